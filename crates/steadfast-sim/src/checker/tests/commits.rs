//! What is committed, and where a partition begins.

use std::time::Duration;

use steadfast_core::ids::Offset;

use super::scene::{GENERATION_AFTER, MEND, OTHER, Scene, only, orders};
use super::*;

#[test]
fn a_commit_covers_acked_records_only() {
    let mut scene = Scene::begun();
    scene.append(0..4);
    scene.process(0..2);
    scene.deliver(2..4);
    scene.commit(2);
    scene.violates(Invariant::CommitOfAcked, |scene| scene.try_commit(4));
}

#[test]
fn nobody_commits_what_another_was_given() {
    let mut scene = Scene::begun();
    scene.append(0..4);
    scene.process(0..2);
    scene.tell(Happening::Broker(BrokerSide::Assigned { service: OTHER, partitions: only(orders()) }));
    scene.violates(Invariant::CommitOfOwner, |scene| scene.try_commit(2));
}

#[test]
fn a_commit_of_an_older_generation_is_not_stored() {
    let mut scene = Scene::begun();
    scene.tell(Happening::Broker(BrokerSide::GenerationBegan(GENERATION_AFTER)));
    scene.violates(Invariant::CommitInGeneration, |scene| scene.try_commit(0));
}

#[test]
fn a_lowered_offset_is_raised_again_in_time() {
    let mut scene = Scene::begun();
    scene.append(0..4);
    scene.process(0..4);
    scene.ask_to_commit(2);
    scene.ask_to_commit(3);
    scene.commit(4);
    for late in [2, 3] {
        scene.commit_arrives(late).unwrap();
    }
    scene.wait(MEND);
    let mut late = scene;
    late.violates(Invariant::CommitMended, |scene| scene.later(1));
    let mut scene = Scene::begun();
    scene.append(0..4);
    scene.process(0..4);
    scene.ask_to_commit(2);
    scene.commit(4);
    scene.commit_arrives(2).unwrap();
    scene.commit(4);
    scene.wait(MEND * 2);
    scene.finish().unwrap();
}

#[test]
fn a_lower_offset_that_was_asked_for_later_is_no_late_arrival() {
    let mut scene = Scene::begun();
    scene.append(0..4);
    scene.process(0..4);
    scene.commit(2);
    scene.commit(4);
    let mut reset = scene.clone();
    scene.violates(Invariant::CommitMended, |scene| scene.try_commit(2));
    reset.tell(Happening::Log { partition: orders(), change: LogChange::Truncated(Offset(2)) });
    reset.commit(2);
}

#[test]
fn the_service_takes_nothing_for_committed_that_is_not_stored() {
    let mut scene = Scene::begun();
    scene.append(0..4);
    scene.process(0..4);
    scene.commit(2);
    scene.standing.committed = Some(Offset(3));
    scene.violates(Invariant::CommitClaimed, Scene::stand);
}

#[test]
fn a_partition_begins_at_a_committed_offset_or_was_never_committed() {
    let started = |offset, source| {
        ServiceSide::Said(Said::Started { partition: orders(), offset: Offset(offset), source })
    };
    let mut scene = Scene::begun();
    scene.sees(started(0, Source::Earliest));
    scene.append(0..4);
    scene.process(0..4);
    scene.commit(4);
    scene.sees(started(4, Source::Committed));
    scene.wait(Duration::from_secs(1));
    scene.revoke_and_assign_again();
    let mut reset = scene.clone();
    reset.violates(Invariant::StartsAtCommitted, |scene| scene.service(started(0, Source::Earliest)));
    scene.violates(Invariant::StartsAtCommitted, |scene| scene.service(started(3, Source::Committed)));
}
