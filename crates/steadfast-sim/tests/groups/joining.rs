//! Who comes in, and under which id.

use kafka_protocol::ResponseError;
use kafka_protocol::messages::{JoinGroupRequest, RequestKind, ResponseKind};
use steadfast_sim::group::{GroupSettings, GroupState};

use crate::fixture::{GROUP, Join, Stage, assignment, commit, secs, subscription, text};

#[test]
fn a_dynamic_member_is_given_an_id_and_joins_with_it() {
    let mut stage = Stage::new();
    let refused = stage.join(&Join::new());
    assert_eq!(refused.error_code, ResponseError::MemberIdRequired.code());
    assert!(refused.member_id.starts_with("client-"));
    assert_eq!(stage.cluster.group(GROUP).unwrap().state, GroupState::Empty);

    let answer = stage.join(&Join::of(&refused.member_id));
    assert_eq!((answer.error_code, answer.generation_id), (0, 1));
    assert_eq!(answer.leader, answer.member_id);
    assert_eq!(stage.cluster.group(GROUP).unwrap().state, GroupState::CompletingRebalance);
}

#[test]
fn before_version_4_a_member_joins_at_once() {
    let mut stage = Stage::new();
    let answer = stage.join(&Join { version: 3, ..Join::new() });
    assert_eq!((answer.error_code, answer.generation_id), (0, 1));
}

#[test]
fn an_id_that_nobody_gave_is_unknown() {
    let mut stage = Stage::new();
    assert_eq!(stage.join(&Join::of("made-up")).error_code, ResponseError::UnknownMemberId.code());
    stage.stable_alone();
    assert_eq!(stage.join(&Join::of("made-up")).error_code, ResponseError::UnknownMemberId.code());
}

#[test]
fn the_leader_is_told_the_subscriptions_as_they_came() {
    let mut stage = Stage::new();
    let member = stage.invite();
    let answer = stage.join(&Join::of(&member));
    assert_eq!(answer.members.len(), 1);
    assert_eq!(answer.members[0].metadata, subscription("orders"));
    let answer = stage.sync(&member, 1, &[(&member, &[3, 4])]);
    assert_eq!(answer.assignment, assignment("orders", &[3, 4]));
    assert_eq!(stage.cluster.group(GROUP).unwrap().state, GroupState::Stable);
}

#[test]
fn a_session_timeout_out_of_bounds_is_refused() {
    let mut stage = Stage::new();
    for session in [secs(5), secs(1801)] {
        let answer = stage.join(&Join { session, ..Join::new() });
        assert_eq!(answer.error_code, ResponseError::InvalidSessionTimeout.code());
    }
}

#[test]
fn a_follower_that_joins_again_unchanged_disturbs_nobody() {
    let mut stage = Stage::new();
    let (leader, second) = stage.stable_pair();
    let answer = stage.join(&Join::of(&second));
    assert_eq!((answer.generation_id, answer.leader.as_str()), (2, &*leader));
    assert_eq!(stage.state(), GroupState::Stable);
}

#[test]
fn a_follower_that_wants_something_else_begins_a_round() {
    let mut stage = Stage::new();
    let (leader, second) = stage.stable_pair();
    let parked = stage.park(&Join { protocols: vec![("range", "payments")], ..Join::of(&second) });
    let answer = stage.join(&Join::of(&leader));
    assert_eq!(answer.generation_id, 3);
    let told = answer.members.iter().find(|member| member.member_id.as_str() == second).unwrap();
    assert_eq!(told.metadata, subscription("payments"));
    assert_eq!(stage.joined(parked).generation_id, 3);
}

#[test]
fn a_leader_that_joins_again_begins_a_round_even_unchanged() {
    let mut stage = Stage::new();
    let (leader, _) = stage.stable_pair();
    stage.park(&Join::of(&leader));
    assert_eq!(stage.state(), GroupState::PreparingRebalance);
}

#[test]
fn who_missed_the_answer_of_a_round_is_answered_again_until_the_assignment_is_there() {
    let mut stage = Stage::new();
    let member = stage.invite();
    let first = stage.join(&Join::of(&member));
    assert_eq!(stage.join(&Join::of(&member)), first);
    let answer = stage.join(&Join { protocols: vec![("range", "payments")], ..Join::of(&member) });
    assert_eq!(answer.generation_id, 2);
}

#[test]
fn a_group_that_is_full_takes_nobody_else() {
    let mut stage = Stage::new();
    stage.cluster.set_group_settings(GroupSettings { max_size: 1, ..GroupSettings::default() });
    let member = stage.stable_alone();
    let answer = stage.join(&Join::new());
    assert_eq!(answer.error_code, ResponseError::GroupMaxSizeReached.code());
    assert_eq!(stage.heartbeat(&member, 1), 0);
}

#[test]
fn a_group_without_a_name_has_offsets_but_no_members() {
    let mut stage = Stage::new();
    let node = stage.cluster.coordinator("").unwrap();
    let request = commit("", -1, &[("orders", 0, 5)]).with_group_id(text("").into());
    assert!(stage.ask(node, 9, RequestKind::OffsetCommit(request)).is_ok());
    assert_eq!(stage.cluster.committed("").len(), 1);
    let request = JoinGroupRequest::default().with_session_timeout_ms(10_000);
    match stage.ask(node, 9, RequestKind::JoinGroup(request)) {
        Ok(ResponseKind::JoinGroup(answer)) => {
            assert_eq!(answer.error_code, ResponseError::InvalidGroupId.code());
        }
        other => panic!("{other:?}"),
    }
}
