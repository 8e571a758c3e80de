//! Who fetches over which connection, and whether answers come.

use std::time::Duration;

use steadfast_core::ids::{ConsumerIncarnation, NodeId};

use super::scene::{DRAIN, OTHER, Scene, only, orders};
use super::*;

#[test]
fn a_connection_that_was_replaced_ends_within_the_drain() {
    let mut scene = Scene::begun();
    for connection in [1, 2] {
        scene.open(connection);
        scene.fetch(connection, NodeId(1)).unwrap();
    }
    scene.fetch(1, NodeId(1)).unwrap();
    scene.wait(DRAIN + Duration::from_millis(1));
    scene.violates(Invariant::OneFetcher, |scene| scene.fetch(1, NodeId(1)));
}

#[test]
fn an_incarnation_that_was_replaced_ends_within_the_drain() {
    let mut scene = Scene::begun();
    scene.stand().unwrap();
    scene.open(1);
    scene.fetch(1, NodeId(1)).unwrap();
    scene.standing.incarnation = ConsumerIncarnation(2);
    scene.stand().unwrap();
    scene.wait(DRAIN + Duration::from_millis(1));
    scene.violates(Invariant::OneFetcher, |scene| scene.fetch(1, NodeId(2)));
}

#[test]
fn leadership_that_goes_there_and_back_replaces_no_connection() {
    let mut scene = Scene::begun();
    for connection in [1, 2] {
        scene.open(connection);
        scene.fetch(connection, NodeId(connection)).unwrap();
    }
    scene.wait(DRAIN * 2);
    scene.fetch(1, NodeId(1)).unwrap();
}

#[test]
fn a_member_whose_partition_went_to_another_fetches_it_no_more() {
    let mut scene = Scene::begun();
    scene.open(1);
    scene.fetch(1, NodeId(1)).unwrap();
    scene.tell(Happening::Broker(BrokerSide::Assigned { service: OTHER, partitions: only(orders()) }));
    scene.wait(DRAIN + Duration::from_millis(1));
    scene.violates(Invariant::OneFetcher, |scene| scene.fetch(1, NodeId(1)));
}

#[test]
fn a_request_on_an_open_connection_is_answered_or_given_up_in_time() {
    for (api, limit) in [(Api(3), 35), (Api::JOIN_GROUP, 70)] {
        let mut scene = Scene::begun();
        scene.open(1);
        scene.open(2);
        scene.ask(1, 7, api).unwrap();
        scene.ask(2, 8, api).unwrap();
        scene.connection(2, ConnectionEvent::Answered(Ticket(8))).unwrap();
        scene.wait(Duration::from_secs(limit));
        let mut overdue = scene.clone();
        overdue.violates(Invariant::AnswerAwaited, |scene| scene.later(1));
        scene.connection(1, ConnectionEvent::Closed).unwrap();
        scene.later(1).unwrap();
    }
}

#[test]
fn a_dial_ends_in_time() {
    let mut scene = Scene::begun();
    for connection in [1, 2, 3] {
        scene.dial(connection);
    }
    scene.open(2);
    scene.connection(3, ConnectionEvent::Closed).unwrap();
    scene.wait(Duration::from_millis(1_100));
    scene.later(0).unwrap();
    let mut overdue = scene.clone();
    overdue.violates(Invariant::AnswerAwaited, |scene| scene.later(100));
    scene.connection(1, ConnectionEvent::Closed).unwrap();
    scene.later(100).unwrap();
}

#[test]
fn what_is_overdue_at_the_end_is_found() {
    let mut scene = Scene::begun();
    scene.open(1);
    scene.ask(1, 7, Api(3)).unwrap();
    scene.wait(Duration::from_secs(36));
    scene.violates(Invariant::AnswerAwaited, Scene::finish);
}

#[test]
fn heartbeats_share_no_connection_with_fetches_or_rounds() {
    for other in [Api::FETCH, Api::JOIN_GROUP, Api::SYNC_GROUP] {
        let mut scene = Scene::begun();
        scene.open(1);
        scene.open(2);
        scene.ask(1, 1, Api::HEARTBEAT).unwrap();
        scene.ask(2, 2, other).unwrap();
        scene.violates(Invariant::HeartbeatApart, |scene| scene.ask(1, 3, other));
    }
}
