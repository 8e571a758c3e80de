//! Which broker answers for a group, and what a move of it costs.

use kafka_protocol::ResponseError;
use kafka_protocol::messages::{FindCoordinatorRequest, HeartbeatRequest, RequestKind, ResponseKind};
use steadfast_core::endpoints::view::Address;
use steadfast_core::ids::NodeId;
use steadfast_sim::group::{GroupSettings, GroupState};

use crate::fixture::{GROUP, Join, Stage, secs, text};

/// Moves the coordinator to the next broker.
fn move_on(stage: &mut Stage) -> (NodeId, NodeId) {
    let old = stage.cluster.coordinator(GROUP).expect("a live broker");
    let new = NodeId(old.0 % 3 + 1);
    stage.cluster.move_coordinator(GROUP, new);
    (old, new)
}

#[test]
fn every_broker_names_the_same_coordinator() {
    let mut stage = Stage::new();
    let coordinator = stage.cluster.coordinator(GROUP).unwrap();
    for node in 1..=3 {
        let found = stage.find(NodeId(node));
        assert_eq!((found.error_code, found.node_id.0), (0, coordinator.0));
        assert_eq!(found.host.as_str(), format!("broker-{}", coordinator.0));
    }
}

#[test]
fn the_coordinator_is_named_where_it_is_advertised() {
    let mut stage = Stage::new();
    let coordinator = stage.cluster.coordinator(GROUP).unwrap();
    stage.cluster.advertise(coordinator, Address::new("elsewhere", 19092));
    let found = stage.find(NodeId(1));
    assert_eq!((found.host.as_str(), found.port), ("elsewhere", 19092));
}

#[test]
fn a_single_key_and_a_transactional_id_are_found_too() {
    let mut stage = Stage::new();
    let coordinator = stage.cluster.coordinator(GROUP).unwrap();
    let mut find = |key_type| {
        let request = FindCoordinatorRequest::default().with_key(text(GROUP)).with_key_type(key_type);
        match stage.ask(NodeId(1), 3, RequestKind::FindCoordinator(request)) {
            Ok(ResponseKind::FindCoordinator(answer)) => (answer.error_code, answer.node_id.0),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(find(0), (0, coordinator.0));
    assert_eq!(find(1), (0, coordinator.0));
    assert_eq!(find(2), (ResponseError::InvalidRequest.code(), -1));
}

#[test]
fn another_broker_does_not_answer_for_the_group() {
    let mut stage = Stage::new();
    let wrong = NodeId(stage.cluster.coordinator(GROUP).unwrap().0 % 3 + 1);
    let request = HeartbeatRequest::default().with_group_id(text(GROUP).into());
    match stage.ask(wrong, 4, RequestKind::Heartbeat(request)) {
        Ok(ResponseKind::Heartbeat(answer)) => {
            assert_eq!(answer.error_code, ResponseError::NotCoordinator.code());
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_group_cannot_be_moved_to_a_broker_that_is_not_there() {
    let mut stage = Stage::new();
    let before = stage.cluster.coordinator(GROUP);
    stage.cluster.move_coordinator(GROUP, NodeId(99));
    assert_eq!(stage.cluster.coordinator(GROUP), before);
}

#[test]
fn a_group_whose_coordinator_dies_moves_and_stays_when_it_comes_back() {
    let mut stage = Stage::new();
    let member = stage.stable_alone();
    assert_eq!(stage.commit(&member, 1, 0, 5), 0);
    let old = stage.cluster.coordinator(GROUP).unwrap();
    stage.cluster.stop_broker(old);
    let new = stage.cluster.coordinator(GROUP).unwrap();
    assert_ne!(new, old);
    assert_eq!(stage.heartbeat(&member, 1), 0);
    assert_eq!(stage.committed(0), Some(5));
    stage.cluster.start_broker(old);
    assert_eq!(stage.cluster.coordinator(GROUP), Some(new));
}

#[test]
fn without_live_brokers_there_is_no_coordinator_and_nobodys_session_ends() {
    let mut stage = Stage::new();
    let member = stage.stable_alone();
    (1..=3).for_each(|node| stage.cluster.stop_broker(NodeId(node)));
    assert_eq!(stage.cluster.coordinator(GROUP), None);
    assert_eq!(stage.find(NodeId(1)).error_code, ResponseError::CoordinatorNotAvailable.code());
    stage.pass(secs(3600));
    stage.cluster.start_broker(NodeId(2));
    assert_eq!(stage.cluster.coordinator(GROUP), Some(NodeId(2)));
    assert_eq!(stage.heartbeat(&member, 1), 0);
}

#[test]
fn a_move_in_a_round_loses_the_round_and_keeps_the_last_complete_generation() {
    let mut stage = Stage::new();
    let (leader, second) = stage.stable_pair();
    assert_eq!(stage.commit(&leader, 2, 0, 5), 0);
    let parked = stage.park(&Join::of(&leader));
    let (old, new) = move_on(&mut stage);
    assert_eq!(stage.joined(parked).error_code, ResponseError::NotCoordinator.code());
    assert_eq!(stage.find(old).node_id.0, new.0);
    assert_eq!((stage.state(), stage.generation()), (GroupState::Stable, 2));
    assert_eq!(stage.heartbeat(&leader, 2), 0);
    assert_eq!(stage.heartbeat(&second, 2), 0);
    assert_eq!(stage.committed(0), Some(5));
}

#[test]
fn a_move_between_join_and_sync_takes_the_generation_back() {
    let mut stage = Stage::new();
    let (leader, second) = stage.stable_pair();
    let parked = stage.park(&Join::of(&leader));
    stage.join(&Join::of(&second));
    assert_eq!(stage.joined(parked).generation_id, 3);
    let waiting = stage.try_sync(&second, 3, &[]).unwrap_err();
    move_on(&mut stage);
    assert_eq!(stage.synced(waiting).error_code, ResponseError::NotCoordinator.code());
    assert_eq!(stage.heartbeat(&leader, 3), ResponseError::IllegalGeneration.code());
}

#[test]
fn an_id_that_was_given_and_not_used_is_lost_in_a_move() {
    let mut stage = Stage::new();
    let invited = stage.invite();
    move_on(&mut stage);
    assert_eq!(stage.join(&Join::of(&invited)).error_code, ResponseError::UnknownMemberId.code());
}

#[test]
fn after_a_move_every_member_has_a_whole_session() {
    let mut stage = Stage::new();
    let member = stage.stable_alone();
    stage.pass(secs(9));
    move_on(&mut stage);
    stage.pass(secs(9));
    assert_eq!(stage.heartbeat(&member, 1), 0);
    move_on(&mut stage);
    stage.pass(secs(10));
    assert_eq!(stage.heartbeat(&member, 1), ResponseError::UnknownMemberId.code());
}

#[test]
fn a_group_that_is_being_loaded_says_so_but_heartbeats_are_answered() {
    let mut stage = Stage::new();
    let member = stage.stable_alone();
    stage.cluster.set_group_settings(GroupSettings { load_time: secs(20), ..GroupSettings::default() });
    move_on(&mut stage);
    let loading = ResponseError::CoordinatorLoadInProgress.code();
    assert_eq!(stage.commit(&member, 1, 0, 5), loading);
    assert_eq!(stage.join(&Join::of(&member)).error_code, loading);
    assert_eq!(stage.heartbeat(&member, 1), 0);
    assert_eq!(stage.cluster.next_deadline(), Some(stage.now + secs(20)));
    // Longer than a session, which begins only when the group is there.
    stage.pass(secs(29));
    assert_eq!(stage.commit(&member, 1, 0, 5), 0);
}

#[test]
fn while_coordinators_are_unavailable_none_is_found_and_none_answers() {
    let mut stage = Stage::new();
    let member = stage.stable_alone();
    stage.cluster.coordinator_unavailable_until(Some(stage.now + secs(5)));
    let unavailable = ResponseError::CoordinatorNotAvailable.code();
    let found = stage.find(NodeId(1));
    assert_eq!((found.error_code, found.node_id.0, found.port), (unavailable, -1, -1));
    assert_eq!(stage.heartbeat(&member, 1), unavailable);
    assert_eq!(stage.commit(&member, 1, 0, 5), unavailable);
    stage.pass(secs(5));
    assert_eq!(stage.find(NodeId(1)).error_code, 0);
    assert_eq!(stage.heartbeat(&member, 1), 0);
}
