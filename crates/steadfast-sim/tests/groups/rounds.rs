//! Rounds: begun, held up, completed, overdue.

use kafka_protocol::ResponseError;

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
