//! Logs that lose their tail or their head, topics that are created anew.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::Value;
use steadfast_core::ids::{Offset, Partition};
use steadfast_tests::simulated::world::{Plan, TOPIC, World};

use crate::play::{SECOND, Story, ms, play, play_unfinished};

const EARLIEST: &str = "\n[offsets]\nout_of_range = \"earliest\"\n";

/// What these scenarios are about.
fn first() -> Partition {
    Partition::new(TOPIC, 0)
}

fn plan(seed: u64, settings: &str) -> Plan {
    Plan { settings: settings.to_owned(), ..Plan::new(seed) }
}

fn end(world: &World) -> Offset {
    world.cluster().with(|cluster| cluster.log_end(&first())).unwrap()
}

/// An unclean election loses the last five records, which were processed.
async fn loses_its_tail(world: &World) {
    let to = Offset(end(world).0 - 5);
    world.lose_tail(&first(), to).unwrap();
    world.elapse(20 * SECOND).await;
}

/// The one event about the lost range, and when it was told.
fn out_of_range(story: &Story) -> (Duration, Value) {
    let told = story.events("offsets.out_of_range");
    assert_eq!(told.len(), 1, "{}", story.told());
    told.into_iter().next().unwrap()
}

#[test]
fn a_tail_that_an_unclean_election_lost_stops_its_partition_alone() {
    let story = play_unfinished(plan(601, ""), loses_its_tail);
    let (at, told) = out_of_range(&story);
    assert!(at <= ms(600), "{}", story.told());
    assert_eq!((&told["cause"], &told["action"]), (&"truncated".into(), &"stop".into()));
    let lost = told["position"].as_i64().unwrap() - told["available"].as_i64().unwrap();
    assert_eq!(lost, 5, "{}", story.told());
    assert_eq!(story.events("partition.quarantined").len(), 1, "{}", story.told());
    let slowest = story.slowest_of(|partition| *partition != first());
    assert!(slowest <= ms(10), "{slowest:?}\n{}", story.told());
    story.broke_nothing().cost(0, 0);
}

#[test]
fn a_tail_that_an_unclean_election_lost_is_reported_and_left_behind_if_so_configured() {
    let story = play(plan(602, EARLIEST), loses_its_tail);
    let (at, told) = out_of_range(&story);
    assert!(at <= ms(600), "{}", story.told());
    assert_eq!((&told["cause"], &told["action"]), (&"truncated".into(), &"resume".into()));
    // What is written after the election is read: it stands at offsets that had other records before.
    // A fetch's max wait, by the end of which the answer says so.
    assert!(story.slowest() <= ms(600), "{:?}\n{}", story.slowest(), story.told());
    story.lost_nothing().cost(0, 0);
}

/// The service is away while records are written and all but the last ten are deleted.
async fn loses_its_head(world: &World) {
    world.stop_service(1).await.unwrap();
    world.append(&first(), 50);
    let to = Offset(end(world).0 - 10);
    world.lose_head(&first(), to).unwrap();
    world.start_service(1);
    world.elapse(20 * SECOND).await;
}

#[test]
fn records_that_were_deleted_before_they_were_read_stop_their_partition_alone() {
    let story = play_unfinished(plan(603, ""), loses_its_head);
    let (at, told) = out_of_range(&story);
    assert!(at <= ms(600), "{}", story.told());
    assert_eq!((&told["cause"], &told["action"]), (&"deleted".into(), &"stop".into()));
    assert_eq!(story.report.tally.missing().into_keys().collect::<Vec<_>>(), [first()], "{}", story.told());
    story.broke_nothing();
}

#[test]
fn records_that_were_deleted_before_they_were_read_are_reported_and_passed_over_if_so_configured() {
    let story = play_unfinished(plan(604, EARLIEST), loses_its_head);
    let (at, told) = out_of_range(&story);
    assert!(at <= ms(600), "{}", story.told());
    assert_eq!((&told["cause"], &told["action"]), (&"deleted".into(), &"resume".into()));
    let lost: BTreeSet<Offset> =
        (told["position"].as_i64().unwrap()..told["available"].as_i64().unwrap()).map(Offset).collect();
    assert!(lost.len() >= 40, "{}", story.told());
    // What is missing is what was said to be, and nothing else.
    assert_eq!(story.report.tally.missing(), [(first(), lost)].into(), "{}", story.told());
    story.broke_nothing();
}

#[test]
fn a_topic_that_is_created_anew_stops_its_partitions() {
    let story = play_unfinished(Plan::new(605), async |world| {
        world.inject("the topic is created anew", |cluster| {
            cluster.with(|cluster| {
                cluster.delete_topic(TOPIC).unwrap();
                cluster.create_topic(TOPIC, 12).unwrap();
            });
        });
        world.elapse(20 * SECOND).await;
    });
    assert_eq!(story.events("topic.recreated").len(), 1, "{}", story.told());
    assert!(story.times("topic.recreated")[0] <= ms(600), "{}", story.told());
    assert_eq!(story.events("partition.quarantined").len(), 12, "{}", story.told());
    assert!(story.waits().is_empty(), "records of the new topic were processed\n{}", story.told());
    story.cost(0, 0);
}
