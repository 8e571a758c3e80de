//! LeaveGroup.

use kafka_protocol::ResponseError;
use kafka_protocol::messages::{LeaveGroupRequest, RequestKind, ResponseKind};
use steadfast_sim::group::GroupState;
use steadfast_sim::notice::{Notice, Removal};

use crate::fixture::{GROUP, Join, Stage, text};

#[test]
fn who_leaves_begins_a_round_and_says_why() {
    let mut stage = Stage::new();
    let (leader, second) = stage.stable_pair();
    assert_eq!(stage.leave(&[(&second, None)]), [0]);
    let reason = Removal::Left(Some("enough".into()));
    let notice = Notice::MemberRemoved { group: GROUP.into(), member: second.as_str().into(), reason };
    assert!(stage.notices.contains(&notice));
    assert_eq!(stage.heartbeat(&second, 2), ResponseError::UnknownMemberId.code());
    assert_eq!(stage.heartbeat(&leader, 2), ResponseError::RebalanceInProgress.code());
    assert_eq!(stage.join(&Join::of(&leader)).generation_id, 3);
}

#[test]
fn the_last_that_leaves_empties_the_group() {
    let mut stage = Stage::new();
    let member = stage.stable_alone();
    assert_eq!(stage.leave(&[(&member, None)]), [0]);
    assert_eq!((stage.state(), stage.generation()), (GroupState::Empty, 2));
    assert_eq!(stage.cluster.group(GROUP).unwrap().protocol, None);
}

#[test]
fn several_leave_at_once_each_with_its_own_error() {
    let mut stage = Stage::new();
    let (leader, second) = stage.stable_pair();
    let unknown = ResponseError::UnknownMemberId.code();
    let gone = stage.leave(&[(&second, None), ("nobody", None), ("", Some("nobody")), (&leader, None)]);
    assert_eq!(gone, [0, unknown, unknown, 0]);
    assert_eq!(stage.state(), GroupState::Empty);
}

#[test]
fn an_administrator_takes_a_static_member_out_by_its_instance() {
    let mut stage = Stage::new();
    let answer = stage.join(&Join::instance("one"));
    stage.sync(&answer.member_id, 1, &[]);
    assert_eq!(stage.leave(&[("", Some("one"))]), [0]);
    assert_eq!(stage.state(), GroupState::Empty);
}

#[test]
fn one_that_was_given_an_id_and_leaves_holds_up_no_round() {
    let mut stage = Stage::new();
    let first = stage.stable_alone();
    let invited = stage.invite();
    let parked = stage.park(&Join::of(&first));
    assert_eq!(stage.leave(&[(&invited, None)]), [0]);
    assert_eq!(stage.joined(parked).generation_id, 2);
}

#[test]
fn a_leaver_whose_join_is_parked_is_told_that_it_is_unknown() {
    let mut stage = Stage::new();
    let (leader, second) = stage.stable_pair();
    let parked = stage.park(&Join::of(&leader));
    assert_eq!(stage.leave(&[(&leader, None)]), [0]);
    assert_eq!(stage.joined(parked).error_code, ResponseError::UnknownMemberId.code());
    let answer = stage.join(&Join::of(&second));
    assert_eq!((answer.generation_id, answer.leader.as_str()), (3, &*second));
}

#[test]
fn before_version_3_the_members_error_is_the_answers() {
    let mut stage = Stage::new();
    let member = stage.stable_alone();
    let mut leave = |member: &str| {
        let request =
            LeaveGroupRequest::default().with_group_id(text(GROUP).into()).with_member_id(text(member));
        match stage.ask_coordinator(2, RequestKind::LeaveGroup(request)) {
            Ok(ResponseKind::LeaveGroup(answer)) => (answer.error_code, answer.members.len()),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(leave("nobody"), (ResponseError::UnknownMemberId.code(), 0));
    assert_eq!(leave(&member), (0, 0));
}

#[test]
fn one_that_was_given_an_id_and_leaves_an_empty_group_begins_nothing() {
    let mut stage = Stage::new();
    let invited = stage.invite();
    assert_eq!(stage.leave(&[(&invited, None)]), [0]);
    assert_eq!((stage.state(), stage.generation()), (GroupState::Empty, 0));
    assert_eq!(stage.cluster.next_deadline(), None);
}
