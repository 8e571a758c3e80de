//! What is delivered and acked under which lease.

use steadfast_core::acked::Span;
use steadfast_core::ids::Offset;

use super::scene::{Scene, orders};
use super::*;

#[test]
fn a_delivery_under_an_older_lease_than_the_newest_is_late() {
    let mut scene = Scene::begun();
    scene.append(0..6);
    scene.deliver(0..3);
    let mut late = scene.delivery(3..6);
    scene.fail();
    scene.deliver(0..3);
    late.live = Some(scene.lease);
    scene.violates(Invariant::LeaseLives, |scene| scene.service(ServiceSide::Delivered(late)));
}

#[test]
fn a_batch_that_waited_until_its_lease_was_over_is_left_alone() {
    let mut scene = Scene::begun();
    scene.append(0..6);
    scene.deliver(0..3);
    let mut late = scene.delivery(3..6);
    scene.fail();
    late.live = Some(scene.lease);
    scene.stand().unwrap();
    scene.sees(ServiceSide::Delivered(late));
    scene.sees(ServiceSide::Said(Said::Redelivered { partition: orders(), records: 3 }));
    scene.process(0..6);
    scene.commit(6);
    scene.finish().unwrap();
}

#[test]
fn a_batch_that_comes_later_than_its_lease_ended_was_not_claimed_under_it() {
    let mut scene = Scene::begun();
    scene.append(0..6);
    scene.deliver(0..3);
    let mut late = scene.delivery(3..6);
    let mut unclaimed = scene.clone();
    unclaimed.violates(Invariant::LeaseLives, |scene| {
        scene.wait(Duration::from_millis(1));
        let live = None;
        scene.service(ServiceSide::Delivered(Delivery { live, ..scene.delivery(3..6) }))
    });
    scene.fail();
    scene.stand().unwrap();
    late.live = Some(scene.lease);
    scene.later(1).unwrap();
    scene.violates(Invariant::LeaseLives, |scene| scene.service(ServiceSide::Delivered(late)));
}

#[test]
fn an_ack_under_an_ended_lease_must_not_count() {
    let mut scene = Scene::begun();
    scene.append(0..3);
    scene.deliver(0..3);
    let ended = scene.lease;
    scene.fail();
    let (partition, span) = (orders(), Span::new(Offset(0), Offset(3)));
    let live = Some(scene.lease);
    scene.sees(ServiceSide::Acked { partition, span, lease: ended, live });
    scene.standing.acked = Offset(3);
    scene.standing.position = Offset(3);
    scene.violates(Invariant::LeaseLives, Scene::stand);
}

#[test]
fn one_lease_delivers_in_order_and_once() {
    for again in [0..3, 2..4] {
        let mut scene = Scene::begun();
        scene.append(0..4);
        scene.deliver(0..3);
        scene.violates(Invariant::OncePerLease, |scene| scene.try_deliver(again));
    }
    let mut scene = Scene::begun();
    scene.append(0..4);
    let mut delivery = scene.delivery(0..4);
    delivery.records.swap(1, 2);
    scene.violates(Invariant::OncePerLease, |scene| scene.service(ServiceSide::Delivered(delivery)));
}
