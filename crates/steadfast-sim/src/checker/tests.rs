//! Each invariant by a sequence that is fine and one that violates it.

mod commits;
mod connections;
mod leases;
mod scene;

use std::time::Duration;

use steadfast_core::endpoints::view::Address;
use steadfast_core::ids::{ClusterId, NodeId, Offset};
use steadfast_core::progress::State;

use self::scene::{CATCH_UP, ONE, OTHER, Scene, WINDOW, broker, only, orders};
use super::*;
use crate::call::Ticket;

#[test]
fn a_quiet_run_is_fine_and_is_counted() {
    let mut scene = Scene::begun();
    scene.append(0..6);
    scene.process(0..3);
    scene.process(3..6);
    scene.commit(6);
    let summary = scene.finish().unwrap();
    assert_eq!(summary, Summary { appended: 6, acked: 6, delivered: 6, redelivered: 0, respawns: 0 });
}

#[test]
fn what_nobody_acked_is_lost() {
    let mut scene = Scene::begun();
    scene.append(0..4);
    scene.process(0..3);
    scene.commit(3);
    scene.violates(Invariant::NothingLost, Scene::finish);
}

#[test]
fn what_was_acked_and_not_committed_is_lost_with_the_process() {
    let mut scene = Scene::begun();
    scene.append(0..4);
    scene.process(0..4);
    scene.commit(3);
    scene.violates(Invariant::NothingLost, Scene::finish);
}

#[test]
fn what_its_owner_gave_up_before_it_was_committed_is_not_lost() {
    let mut scene = Scene::begun();
    scene.append(0..4);
    scene.process(0..4);
    scene.commit(3);
    scene.sees(ServiceSide::Said(Said::GivenUp { partitions: only(orders()) }));
    scene.finish().unwrap();
}

#[test]
fn what_its_owner_says_to_leave_unfinished_is_not_lost() {
    let mut scene = Scene::begun();
    scene.append(0..4);
    scene.process(0..4);
    scene.commit(3);
    scene.sees(ServiceSide::Said(Said::Unfinished { partitions: 1 }));
    scene.finish().unwrap();
}

#[test]
fn a_delivery_beyond_what_was_never_delivered_skips_it() {
    let mut scene = Scene::begun();
    scene.append(0..9);
    scene.deliver(0..3);
    scene.deliver(3..5);
    scene.violates(Invariant::NothingSkipped, |scene| scene.try_deliver(6..9));
}

#[test]
fn a_batch_without_one_of_its_records_skips_it() {
    let mut scene = Scene::begun();
    scene.append(0..9);
    let mut holed = scene.delivery(0..4);
    holed.records.remove(2);
    scene.violates(Invariant::NothingSkipped, |scene| scene.service(ServiceSide::Delivered(holed)));
}

#[test]
fn what_was_acked_beyond_a_gap_may_be_left_out() {
    let mut scene = Scene::begun();
    scene.append(0..6);
    scene.deliver(0..3);
    scene.deliver(3..5);
    scene.ack(3..5);
    scene.fail();
    let mut again = scene.delivery(0..6);
    again.records.drain(3..5);
    scene.sees(ServiceSide::Delivered(again));
}

#[test]
fn what_compaction_took_skips_nothing() {
    let mut scene = Scene::begun();
    scene.append(0..2);
    scene.append(5..7);
    scene.process(0..2);
    scene.process(4..7);
    scene.commit(7);
    scene.finish().unwrap();
}

#[test]
fn records_that_wait_while_all_is_well_are_a_standstill() {
    let mut scene = Scene::begun();
    scene.append(0..1);
    scene.wait(CATCH_UP);
    scene.violates(Invariant::CatchesUp, |scene| scene.later(1));
}

#[test]
fn records_may_wait_while_something_is_broken_and_for_a_while_after() {
    let mut scene = Scene::begun();
    scene.append(0..1);
    scene.tell(Happening::Injected("all brokers away".to_owned()));
    scene.wait(CATCH_UP * 3);
    scene.tell(Happening::Healed("all brokers away".to_owned()));
    scene.wait(CATCH_UP);
    scene.violates(Invariant::CatchesUp, |scene| scene.later(1));
}

#[test]
fn a_quarantined_partition_is_not_waited_for_if_its_handler_failed() {
    let mut scene = Scene::begun();
    scene.append(0..1);
    let quarantined = || ServiceSide::Said(Said::Quarantined { partition: orders() });
    let unearned = scene.service(quarantined());
    assert_eq!(unearned.unwrap_err().invariant, Invariant::QuarantineEarned);
    let mut scene = Scene::begun();
    scene.append(0..1);
    scene.deliver(0..1);
    scene.fail();
    scene.sees(quarantined());
    scene.wait(CATCH_UP * 2);
    scene.sees(ServiceSide::Ended { clean: true });
    scene.finish().unwrap();
}

#[test]
fn two_members_must_not_deliver_one_partition() {
    let mut scene = Scene::begun();
    scene.append(0..6);
    scene.deliver(0..3);
    scene.tell(Happening::Broker(BrokerSide::Assigned { service: OTHER, partitions: only(orders()) }));
    scene.violates(Invariant::OneOwner, |scene| scene.try_deliver(3..6));
}

#[test]
fn progress_is_in_order_and_never_goes_back_within_a_generation() {
    type Spoil = fn(&mut Standing);
    let spoils: [Spoil; 4] = [
        |standing| standing.acked = Offset(5),
        |standing| standing.committed = Some(Offset(3)),
        |standing| standing.acked = Offset(1),
        |standing| standing.position = Offset(2),
    ];
    for spoil in spoils {
        let mut scene = Scene::begun();
        scene.append(0..4);
        scene.process(0..2);
        scene.deliver(2..4);
        spoil(&mut scene.standing);
        scene.violates(Invariant::ProgressOrdered, Scene::stand);
    }
}

#[test]
fn a_rewind_goes_back_in_another_generation_only() {
    let mut scene = Scene::begun();
    scene.append(0..4);
    scene.deliver(0..4);
    scene.fail();
    scene.standing.position = Offset(0);
    scene.stand().unwrap();
    scene.standing.generation.0 -= 1;
    scene.violates(Invariant::LeaseLives, Scene::stand);
}

#[test]
fn a_record_comes_again_after_its_handler_failed_and_for_no_other_reason() {
    let mut scene = Scene::begun();
    scene.append(0..3);
    scene.deliver(0..3);
    scene.fail();
    scene.sees(ServiceSide::Said(Said::Redelivered { partition: orders(), records: 3 }));
    scene.process(0..3);
    scene.commit(3);
    assert_eq!(scene.finish().unwrap().redelivered, 3);

    let mut scene = Scene::begun();
    scene.append(0..3);
    scene.deliver(0..3);
    scene.lease.generation.0 += 1;
    scene.violates(Invariant::RedeliveryAllowed, |scene| scene.try_deliver(0..3));
}

#[test]
fn what_was_acked_never_comes_again_within_an_assignment() {
    let mut scene = Scene::begun();
    scene.append(0..3);
    scene.process(0..3);
    scene.fail();
    scene.violates(Invariant::RedeliveryAllowed, |scene| scene.try_deliver(0..3));
}

#[test]
fn what_another_acked_and_did_not_commit_may_come_again() {
    let mut scene = Scene::begun();
    scene.append(0..3);
    scene.process(0..3);
    scene.tell(Happening::Broker(BrokerSide::Removed { service: ONE, left: false }));
    scene.lease.assignment.0 += 1;
    scene.lease.generation.0 += 1;
    scene.deliver(0..3);
    scene.sees(ServiceSide::Returned { partition: orders() });
    scene.lease.generation.0 += 1;
    scene.deliver(0..3);
}

#[test]
fn another_member_is_given_a_record_again_only_if_the_first_is_gone() {
    for excused in [false, true] {
        let mut scene = Scene::begun();
        scene.append(0..3);
        scene.deliver(0..3);
        if excused {
            scene.tell(Happening::Broker(BrokerSide::Removed { service: ONE, left: false }));
        }
        scene.tell(Happening::Broker(BrokerSide::Assigned { service: OTHER, partitions: only(orders()) }));
        let delivery = ServiceSide::Delivered(scene.delivery(0..3));
        let again = scene.try_tell(Happening::Service { service: OTHER, event: delivery });
        let found = again.err().map(|violation| violation.invariant);
        assert_eq!(found, (!excused).then_some(Invariant::RedeliveryAllowed));
    }
}

#[test]
fn a_redelivery_that_the_service_did_not_count_is_found_at_the_end() {
    let mut scene = Scene::begun();
    scene.append(0..3);
    scene.deliver(0..3);
    scene.fail();
    scene.process(0..3);
    scene.commit(3);
    scene.violates(Invariant::RedeliveryCounted, Scene::finish);
}

#[test]
fn the_content_of_another_cluster_is_foreign() {
    let mut scene = Scene::begun();
    scene.append(0..4);
    let mut delivery = scene.delivery(0..4);
    delivery.records[1].1 = Content(99);
    scene.violates(Invariant::ContentIntact, |scene| scene.service(ServiceSide::Delivered(delivery)));
}

#[test]
fn a_truncated_record_that_was_under_way_is_not_foreign() {
    let mut scene = Scene::begun();
    scene.append(0..4);
    let delivery = scene.delivery(0..4);
    scene.tell(Happening::Log { partition: orders(), change: LogChange::Truncated(Offset(2)) });
    scene.sees(ServiceSide::Delivered(delivery));
}

#[test]
fn no_window_sees_more_respawns_than_its_budget() {
    let respawned = |drift, gap| {
        let promoted_ago = Duration::from_millis(40);
        ServiceSide::Said(Said::Respawned { drift, promoted_ago, gap })
    };
    let mut scene = Scene::begun();
    scene.wait(WINDOW);
    for drift in [true, false, true] {
        scene.sees(respawned(drift, 0));
    }
    scene.wait(WINDOW);
    scene.sees(respawned(true, 0));
    scene.sees(respawned(true, 0));
    let mut once_more = scene.clone();
    once_more.violates(Invariant::RespawnBudget, |scene| scene.service(respawned(true, 0)));
    scene.append(0..3);
    scene.tell(Happening::Log { partition: orders(), change: LogChange::Deleted(Offset(2)) });
    scene.sees(respawned(false, 2));
    scene.violates(Invariant::RespawnGapless, |scene| scene.service(respawned(false, 3)));
    scene.violates(Invariant::RespawnGapless, |scene| scene.service(respawned(false, -1)));
}

fn view(numbers: &[i32]) -> BTreeMap<NodeId, Address> {
    numbers.iter().map(|number| (NodeId(*number), broker(*number))).collect()
}

fn agreed(cluster: &str, brokers: &[i32]) -> ServiceSide {
    let cluster = Some(ClusterId::from(cluster));
    ServiceSide::Said(Said::Agreed { cluster, endpoints: view(brokers) })
}

#[test]
fn what_brokers_say_is_agreed_or_what_they_said_a_moment_ago_and_nothing_else() {
    let told = |numbers: &[i32]| Happening::Told(numbers.iter().map(|number| view(&[*number])).collect());
    let mut scene = Scene::begun();
    [1, 2, 3, 9].into_iter().for_each(|number| scene.hear(number));
    scene.tell(told(&[1]));
    scene.sees(agreed("ours", &[1]));
    scene.violates(Invariant::ViewTrue, |scene| scene.service(agreed("ours", &[9])));
    scene.tell(told(&[2]));
    scene.sees(agreed("ours", &[1]));
    scene.violates(Invariant::ViewTrue, |scene| scene.service(agreed("ours", &[9])));
    scene.wait(Duration::from_secs(40));
    [1, 2, 3, 9].into_iter().for_each(|number| scene.hear(number));
    scene.sees(agreed("ours", &[2]));
    scene.violates(Invariant::ViewTrue, |scene| scene.service(agreed("ours", &[1])));
    scene.violates(Invariant::ClusterPinned, |scene| scene.service(agreed("theirs", &[2])));
    scene.tell(told(&[2, 3]));
    scene.sees(agreed("ours", &[3]));
}

#[test]
fn a_view_is_agreed_once_most_that_it_names_answered_or_one_did_for_long() {
    let mut scene = Scene::begun();
    scene.violates(Invariant::ViewWitnessed, |scene| scene.service(agreed("ours", &[1])));
    scene.hear(1);
    scene.sees(agreed("ours", &[1]));
    scene.violates(Invariant::ViewWitnessed, |scene| scene.service(agreed("ours", &[1, 2, 3])));
    let mut settled = scene.clone();
    settled.wait(Duration::from_secs(2));
    settled.sees(agreed("ours", &[1, 2, 3]));
    scene.hear(3);
    scene.sees(agreed("ours", &[1, 2, 3]));
    scene.wait(Duration::from_secs(60));
    scene.violates(Invariant::ViewWitnessed, |scene| scene.service(agreed("ours", &[1])));
}

#[test]
fn an_offset_out_of_range_of_a_whole_log_is_none() {
    let out_of_range = || ServiceSide::Said(Said::OutOfRange { partition: orders() });
    let mut scene = Scene::begun();
    scene.append(0..4);
    let mut whole = scene.clone();
    whole.violates(Invariant::NothingSkipped, |scene| scene.service(out_of_range()));
    scene.tell(Happening::Log { partition: orders(), change: LogChange::Deleted(Offset(2)) });
    scene.sees(out_of_range());
}

#[test]
fn a_partition_that_is_not_placed_is_not_judged() {
    let mut scene = Scene::begun();
    scene.standing.state = State::Resolving;
    scene.standing.acked = Offset(9);
    scene.stand().unwrap();
}
