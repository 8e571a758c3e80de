//! Static members (KIP-345, KIP-814): a process that comes back under its instance id disturbs nobody.

use kafka_protocol::ResponseError;
use steadfast_sim::group::GroupState;
use steadfast_sim::notice::{Notice, Removal};

use crate::fixture::{GROUP, Join, Stage, assignment, commit, secs, text};

/// A static member alone in generation 1.
fn stable(stage: &mut Stage) -> String {
    let answer = stage.join(&Join::instance("one"));
    assert_eq!((answer.error_code, answer.generation_id), (0, 1));
    let member = answer.member_id.to_string();
    assert_eq!(stage.sync(&member, 1, &[(&member, &[0, 1])]).error_code, 0);
    member
}

#[test]
fn a_static_member_needs_no_id_before_it_joins() {
    let mut stage = Stage::new();
    let member = stable(&mut stage);
    assert!(member.starts_with("one-"));
}

#[test]
fn one_that_comes_back_gets_the_same_assignment_without_a_round() {
    let mut stage = Stage::new();
    let old = stable(&mut stage);
    let answer = stage.join(&Join::instance("one"));
    assert_eq!((answer.error_code, answer.generation_id), (0, 1));
    assert_ne!(answer.member_id.as_str(), old);
    assert_eq!(stage.state(), GroupState::Stable);
    let answer = stage.sync(&answer.member_id, 1, &[]);
    assert_eq!(answer.assignment, assignment("orders", &[0, 1]));
}

#[test]
fn a_leader_that_comes_back_is_told_to_keep_the_assignment() {
    let mut stage = Stage::new();
    stable(&mut stage);
    let answer = stage.join(&Join::instance("one"));
    assert!(answer.skip_assignment);
    assert_eq!(answer.leader, answer.member_id);
    assert_eq!(answer.members.len(), 1);
}

#[test]
fn before_version_9_a_leader_that_comes_back_is_told_that_its_old_id_leads() {
    let mut stage = Stage::new();
    let old = stable(&mut stage);
    let answer = stage.join(&Join { version: 8, ..Join::instance("one") });
    assert!(!answer.skip_assignment);
    assert_eq!(answer.leader.as_str(), old);
    assert!(answer.members.is_empty());
}

#[test]
fn the_replaced_process_is_fenced_whatever_it_asks() {
    let mut stage = Stage::new();
    let old = stable(&mut stage);
    stage.join(&Join::instance("one"));
    let fenced = ResponseError::FencedInstanceId.code();
    assert_eq!(stage.heartbeat_as(&old, Some("one"), 1), fenced);
    assert_eq!(stage.join(&Join { member: old.clone(), ..Join::instance("one") }).error_code, fenced);
    assert_eq!(stage.leave(&[(&old, Some("one"))]), [fenced]);
    let request = commit(&old, 1, &[("orders", 0, 5)]).with_group_instance_id(Some(text("one")));
    assert_eq!(stage.commit_codes(9, request), [fenced]);
    assert_eq!(stage.committed(0), None);
    // Without its instance id it is merely unknown.
    assert_eq!(stage.heartbeat(&old, 1), ResponseError::UnknownMemberId.code());
}

#[test]
fn the_replacement_is_noticed_with_the_new_id() {
    let mut stage = Stage::new();
    let old = stable(&mut stage);
    let new = stage.join(&Join::instance("one")).member_id;
    let reason = Removal::Replaced(new.as_str().into());
    let notice = Notice::MemberRemoved { group: GROUP.into(), member: old.as_str().into(), reason };
    assert!(stage.notices.contains(&notice));
}

#[test]
fn a_parked_join_of_the_replaced_process_is_fenced() {
    let mut stage = Stage::new();
    let first = stage.stable_alone();
    let parked = stage.park(&Join::instance("one"));
    let again = stage.park(&Join::instance("one"));
    assert_eq!(stage.joined(parked).error_code, ResponseError::FencedInstanceId.code());
    stage.join(&Join::of(&first));
    assert_eq!(stage.joined(again).error_code, 0);
}

#[test]
fn a_replacement_between_join_and_sync_begins_the_round_anew() {
    let mut stage = Stage::new();
    let first = stage.stable_alone();
    let parked = stage.park(&Join::instance("one"));
    stage.join(&Join::of(&first));
    let old = stage.joined(parked);
    let waiting = stage.try_sync(&old.member_id, 2, &[]).unwrap_err();
    stage.park(&Join::instance("one"));
    assert_eq!(stage.synced(waiting).error_code, ResponseError::FencedInstanceId.code());
    assert_eq!(stage.state(), GroupState::PreparingRebalance);
    assert_eq!(stage.heartbeat(&first, 2), ResponseError::RebalanceInProgress.code());
}

#[test]
fn a_replacement_that_changes_the_chosen_protocol_begins_a_round() {
    let mut stage = Stage::new();
    let both = vec![("range", "orders"), ("sticky", "orders")];
    let old = stage.join(&Join { protocols: both, ..Join::instance("one") });
    stage.sync(&old.member_id, 1, &[(&old.member_id, &[0])]);
    assert_eq!(stage.cluster.group(GROUP).unwrap().protocol.as_deref(), Some("range"));
    let answer = stage.join(&Join { protocols: vec![("sticky", "orders")], ..Join::instance("one") });
    assert_eq!((answer.generation_id, answer.protocol_name.as_deref()), (2, Some("sticky")));
}

#[test]
fn a_static_member_that_misses_a_round_stays_until_its_session_ends() {
    let mut stage = Stage::new();
    let first = stage.stable_alone();
    let parked = stage.park(&Join { session: secs(300), ..Join::instance("one") });
    stage.join(&Join::of(&first));
    let absent = stage.joined(parked).member_id.to_string();
    let waiting = stage.try_sync(&absent, 2, &[]).unwrap_err();
    stage.sync(&first, 2, &[(&first, &[0]), (&absent, &[1])]);
    assert_eq!(stage.synced(waiting).error_code, 0);

    let parked = stage.park(&Join::of(&first));
    stage.pass(secs(60));
    assert_eq!(stage.joined(parked).generation_id, 3);
    assert!(stage.member_ids().contains(&absent));
}

#[test]
fn a_round_that_only_absent_static_members_could_join_waits_for_them() {
    let mut stage = Stage::new();
    let one = stage.join(&Join { session: secs(300), ..Join::instance("one") });
    let parked = stage.park(&Join { session: secs(10), ..Join::instance("two") });
    stage.join(&Join { member: one.member_id.to_string(), session: secs(300), ..Join::instance("one") });
    let two = stage.joined(parked).member_id.to_string();
    stage.sync(&one.member_id, 2, &[]);
    stage.sync(&two, 2, &[]);
    // Two falls silent, so a round begins that nobody joins.
    stage.pass(secs(10));
    assert_eq!((stage.state(), stage.generation()), (GroupState::PreparingRebalance, 2));
    stage.pass(secs(200));
    assert_eq!((stage.state(), stage.generation()), (GroupState::PreparingRebalance, 2));
    stage.pass(secs(100));
    assert_eq!((stage.state(), stage.generation()), (GroupState::Empty, 3));
}

#[test]
fn one_that_comes_back_has_a_whole_session() {
    let mut stage = Stage::new();
    stable(&mut stage);
    stage.pass(secs(9));
    let new = stage.join(&Join::instance("one")).member_id;
    stage.pass(secs(9));
    assert_eq!(stage.heartbeat_as(&new, Some("one"), 1), 0);
}
