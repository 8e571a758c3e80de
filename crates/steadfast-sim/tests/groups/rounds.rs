//! Rounds: begun, held up, completed, overdue.

use std::sync::Arc;

use kafka_protocol::ResponseError;
use steadfast_core::ids::{GroupGeneration, Partition};
use steadfast_sim::group::GroupSettings;
use steadfast_sim::notice::{Notice, Removal};

use crate::fixture::{GROUP, Join, Stage, secs};

#[test]
fn a_newcomer_begins_a_round_of_which_heartbeats_tell() {
    let mut stage = Stage::new();
    let first = stage.stable_alone();
    assert_eq!(stage.heartbeat(&first, 1), 0);
    let second = stage.invite();
    let parked = stage.park(&Join::of(&second));
    assert_eq!(stage.heartbeat(&first, 1), ResponseError::RebalanceInProgress.code());
    let leader = stage.join(&Join::of(&first));
    assert_eq!((leader.generation_id, leader.members.len()), (2, 2));
    let follower = stage.joined(parked);
    assert_eq!((follower.generation_id, follower.members.len()), (2, 0));
    assert_eq!(follower.leader.as_str(), first);
}

#[test]
fn who_does_not_join_again_in_time_is_out() {
    let mut stage = Stage::new();
    let (leader, second) = stage.stable_pair();
    let parked = stage.park(&Join::of(&leader));
    for _ in 0..12 {
        assert_eq!(stage.answer(parked), None);
        stage.heartbeat(&second, 2);
        stage.pass(secs(5));
    }
    assert_eq!(stage.joined(parked).generation_id, 3);
    assert_eq!(stage.member_ids(), [leader].into());
}

#[test]
fn who_does_not_ask_for_its_assignment_in_time_is_out() {
    let mut stage = Stage::new();
    let (leader, second) = stage.stable_pair();
    let parked = stage.park(&Join::of(&leader));
    stage.join(&Join::of(&second));
    assert_eq!(stage.joined(parked).generation_id, 3);
    assert_eq!(stage.sync(&leader, 3, &[(&leader, &[0]), (&second, &[1])]).error_code, 0);
    for _ in 0..12 {
        assert_eq!(stage.heartbeat(&second, 3), 0);
        assert_eq!(stage.heartbeat(&leader, 3), 0);
        stage.pass(secs(5));
    }
    assert_eq!(stage.member_ids(), [leader.clone()].into());
    assert_eq!(stage.heartbeat(&leader, 3), ResponseError::RebalanceInProgress.code());
}

#[test]
fn a_silent_member_is_out_after_its_session() {
    let mut stage = Stage::new();
    let (leader, second) = stage.stable_pair();
    stage.pass(secs(9));
    assert_eq!(stage.heartbeat(&leader, 2), 0);
    assert_eq!(stage.cluster.group(GROUP).unwrap().members.len(), 2);
    stage.pass(secs(1));
    assert_eq!(stage.member_ids(), [leader].into());
    assert_eq!(stage.heartbeat(&second, 2), ResponseError::UnknownMemberId.code());
}

#[test]
fn one_that_was_given_an_id_holds_up_the_round_for_its_session_at_most() {
    let mut stage = Stage::new();
    let first = stage.stable_alone();
    stage.invite();
    let parked = stage.park(&Join::of(&first));
    stage.pass(secs(9));
    assert_eq!(stage.answer(parked), None);
    stage.pass(secs(1));
    assert_eq!(stage.joined(parked).generation_id, 2);
}

#[test]
fn a_parked_member_need_not_heartbeat() {
    let mut stage = Stage::new();
    let (leader, second) = stage.stable_pair();
    let parked = stage.park(&Join::of(&leader));
    stage.join(&Join::of(&second));
    stage.joined(parked);
    // The follower asks and falls silent, the leader only heartbeats: the sync deadline ends the wait.
    let waiting = stage.try_sync(&second, 3, &[]).unwrap_err();
    for _ in 0..12 {
        assert_eq!(stage.answer(waiting), None);
        assert_eq!(stage.heartbeat(&leader, 3), 0);
        stage.pass(secs(5));
    }
    assert_eq!(stage.synced(waiting).error_code, ResponseError::RebalanceInProgress.code());
    assert_eq!(stage.member_ids(), [second].into());
}

#[test]
fn the_longest_rebalance_timeout_of_all_members_holds() {
    let mut stage = Stage::new();
    let (leader, second) = stage.stable_pair();
    let parked = stage.park(&Join { rebalance: secs(90), session: secs(300), ..Join::of(&leader) });
    for _ in 0..17 {
        stage.heartbeat(&second, 2);
        stage.pass(secs(5));
    }
    assert_eq!(stage.answer(parked), None);
    stage.pass(secs(5));
    assert_eq!(stage.joined(parked).generation_id, 3);
}

#[test]
fn a_sync_during_the_join_phase_is_told_to_join() {
    let mut stage = Stage::new();
    let (leader, second) = stage.stable_pair();
    stage.park(&Join::of(&leader));
    assert_eq!(stage.sync(&second, 2, &[]).error_code, ResponseError::RebalanceInProgress.code());
}

#[test]
fn a_sync_of_another_generation_or_member_is_refused() {
    let mut stage = Stage::new();
    assert_eq!(stage.sync("nobody", 1, &[]).error_code, ResponseError::UnknownMemberId.code());
    let member = stage.stable_alone();
    assert_eq!(stage.sync(&member, 0, &[]).error_code, ResponseError::IllegalGeneration.code());
    assert_eq!(stage.sync("nobody", 1, &[]).error_code, ResponseError::UnknownMemberId.code());
}

#[test]
fn whoever_waits_for_an_assignment_when_a_round_begins_is_told_to_join() {
    let mut stage = Stage::new();
    let (leader, second) = stage.stable_pair();
    let parked = stage.park(&Join::of(&leader));
    stage.join(&Join::of(&second));
    stage.joined(parked);
    let waiting = stage.try_sync(&second, 3, &[]).unwrap_err();
    let third = stage.invite();
    stage.park(&Join::of(&third));
    assert_eq!(stage.synced(waiting).error_code, ResponseError::RebalanceInProgress.code());
}

#[test]
fn whom_the_leader_forgets_gets_nothing() {
    let mut stage = Stage::new();
    let (leader, second) = stage.stable_pair();
    let parked = stage.park(&Join::of(&leader));
    stage.join(&Join::of(&second));
    assert_eq!(stage.joined(parked).generation_id, 3);
    stage.sync(&leader, 3, &[(&leader, &[0, 1])]);
    let answer = stage.sync(&second, 3, &[]);
    assert_eq!((answer.error_code, answer.assignment.len()), (0, 0));
}

#[test]
fn a_heartbeat_of_another_generation_is_refused() {
    let mut stage = Stage::new();
    assert_eq!(stage.heartbeat("nobody", 1), ResponseError::UnknownMemberId.code());
    let member = stage.stable_alone();
    assert_eq!(stage.heartbeat(&member, 0), ResponseError::IllegalGeneration.code());
    assert_eq!(stage.heartbeat(&member, 2), ResponseError::IllegalGeneration.code());
    assert_eq!(stage.heartbeat_as(&member, Some("one"), 1), ResponseError::UnknownMemberId.code());
}

#[test]
fn heartbeats_keep_a_member_between_join_and_sync() {
    let mut stage = Stage::new();
    let member = stage.invite();
    stage.join(&Join::of(&member));
    for _ in 0..5 {
        stage.pass(secs(9));
        assert_eq!(stage.heartbeat(&member, 1), 0);
    }
    assert_eq!(stage.sync(&member, 1, &[]).error_code, 0);
}

#[test]
fn the_first_round_waits_out_its_delay_and_longer_while_members_come() {
    let mut stage = Stage::new();
    stage.cluster.set_group_settings(GroupSettings { initial_delay: secs(3), ..GroupSettings::default() });
    let (first, second) = (stage.invite(), stage.invite());
    let first = stage.park(&Join::of(&first));
    stage.pass(secs(2));
    let second = stage.park(&Join::of(&second));
    stage.pass(secs(3));
    assert_eq!(stage.answer(first), None);
    stage.pass(secs(1));
    let (first, second) = (stage.joined(first), stage.joined(second));
    assert_eq!((first.generation_id, second.generation_id), (1, 1));
    assert_eq!(first.members.len(), 2);
}

#[test]
fn rounds_and_assignments_are_noticed() {
    let mut stage = Stage::new();
    let member = stage.stable_alone();
    let member: Arc<str> = member.as_str().into();
    let round = Notice::RoundCompleted {
        group: GROUP.into(),
        generation: GroupGeneration(1),
        members: [(Arc::clone(&member), None)].into(),
    };
    let given = Notice::AssignmentGiven {
        group: GROUP.into(),
        generation: GroupGeneration(1),
        member,
        partitions: [Partition::new("orders", 0), Partition::new("orders", 1)].into(),
    };
    assert_eq!(stage.notices, [round, given]);
}

#[test]
fn silence_is_noticed_as_such() {
    let mut stage = Stage::new();
    let member = stage.stable_alone();
    assert_eq!(stage.cluster.next_deadline(), Some(stage.now + secs(10)));
    stage.pass(secs(10));
    let removed = Notice::MemberRemoved {
        group: GROUP.into(),
        member: member.as_str().into(),
        reason: Removal::SessionExpired,
    };
    assert!(stage.notices.contains(&removed));
    assert_eq!(stage.cluster.next_deadline(), None);
}

#[test]
fn a_new_member_that_nobody_answers_for_five_minutes_has_to_ask_again() {
    let mut stage = Stage::new();
    let patient = Join { rebalance: secs(600), session: secs(600), ..Join::new() };
    let first = stage.invite();
    let answer = stage.join(&Join { member: first.clone(), ..patient.clone() });
    stage.sync(&first, answer.generation_id, &[]);
    let second = stage.invite();
    let parked = stage.park(&Join { member: second, ..patient });
    stage.pass(secs(299));
    assert_eq!(stage.answer(parked), None);
    stage.pass(secs(1));
    assert_eq!(stage.joined(parked).error_code, ResponseError::UnknownMemberId.code());
    assert_eq!(stage.member_ids(), [first].into());
}

#[test]
fn after_the_assignment_every_member_has_a_whole_session() {
    let mut stage = Stage::new();
    let (leader, second) = stage.stable_pair();
    let parked = stage.park(&Join::of(&leader));
    stage.join(&Join::of(&second));
    stage.joined(parked);
    let waiting = stage.try_sync(&second, 3, &[]).unwrap_err();
    // Longer than the session of the one that waits.
    for _ in 0..3 {
        stage.pass(secs(5));
        assert_eq!(stage.heartbeat(&leader, 3), 0);
    }
    stage.sync(&leader, 3, &[(&leader, &[0]), (&second, &[1])]);
    assert_eq!(stage.synced(waiting).error_code, 0);
    stage.pass(secs(9));
    assert_eq!(stage.heartbeat(&leader, 3), 0);
    assert_eq!(stage.cluster.group(GROUP).unwrap().members.len(), 2);
    stage.pass(secs(1));
    assert_eq!(stage.member_ids(), [leader].into());
}
