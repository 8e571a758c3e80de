//! Which broker answers for a group.

use kafka_protocol::ResponseError;
use steadfast_core::ids::NodeId;

use crate::fixture::{GROUP, Join, Stage};

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
fn a_moved_coordinator_answers_not_coordinator_and_the_new_one_knows_the_group() {
    let mut stage = Stage::new();
    let (leader, second) = stage.stable_pair();
    let parked = stage.park(&Join::of(&leader));
    let old = stage.cluster.coordinator(GROUP).unwrap();
    let new = NodeId(old.0 % 3 + 1);
    stage.cluster.move_coordinator(GROUP, new);
    assert_eq!(stage.joined(parked).error_code, ResponseError::NotCoordinator.code());
    assert_eq!(stage.find(old).node_id.0, new.0);
    assert_eq!(stage.heartbeat(&leader, 2), 0);
    assert_eq!(stage.heartbeat(&second, 2), 0);
}
