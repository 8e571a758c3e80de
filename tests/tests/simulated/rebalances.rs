//! The ledger of rebalances: what each was and cost, as the member itself tells it.

use std::time::Duration;

use serde_json::Value;
use steadfast::exit::Exit;
use steadfast_tests::simulated::world::{Plan, World};

use crate::play::{SECOND, Story, ms, play};

fn plan(seed: u64, strategy: &str) -> Plan {
    let settings = format!("\"partition.assignment.strategy\" = \"{strategy}\"\n");
    Plan { settings, latency: (ms(1), ms(3)), ..Plan::new(seed) }
}

/// The finished rebalances that this service told of, since the scenario began.
fn over(story: &Story, service: &str) -> Vec<Value> {
    let told = story.events("group.rebalance.completed").into_iter();
    told.filter(|(_, event)| event["service.instance.id"] == service).map(|(_, event)| event).collect()
}

/// These numbers of the record.
fn counts<const N: usize>(record: &Value, fields: [&str; N]) -> [i64; N] {
    fields.map(|field| record[field].as_i64().unwrap_or_else(|| panic!("{field}: {record:#}")))
}

fn number(record: &Value, field: &str) -> f64 {
    record[field].as_f64().unwrap_or_else(|| panic!("{field}: {record:#}"))
}

async fn another_comes_and_goes(world: &World) {
    world.start_service(2);
    world.elapse(20 * SECOND).await;
    assert_eq!(world.stop_service(2).await, Some(Exit::Fine));
    world.elapse(20 * SECOND).await;
}

const MOVED: [&str; 3] = ["taken_up", "given_up", "kept"];

#[test]
fn with_range_everything_stops_and_the_record_says_for_how_long() {
    let story = play(plan(751, "range"), another_comes_and_goes);
    let (first, second) = (over(&story, "service-1"), over(&story, "service-2"));
    assert_eq!((first.len(), second.len()), (2, 1), "{}", story.told());
    let [joined, left] = [&first[0], &first[1]];
    assert_eq!((counts(joined, MOVED), counts(left, MOVED)), ([0, 6, 6], [6, 0, 6]), "{}", story.told());
    assert_eq!(counts(&second[0], MOVED), [6, 0, 0]);
    for record in [joined, left, &second[0]] {
        assert_eq!(
            counts(record, ["lost", "undrained", "unseen", "handed_again", "rounds"]),
            [0, 0, 0, 0, 1]
        );
        assert_eq!(record["protocol"], "eager");
        assert!(number(record, "phase.first_record_ms") < 100.0, "{record:#}");
        assert!(number(record, "unavailable_partition_seconds") > 0.0, "{record:#}");
        assert!(counts(record, ["requests", "bytes"]) > [2, 400], "{record:#}");
    }
    assert!(joined["trigger"].as_str().unwrap().ends_with("joined"), "{joined:#}");
    assert!(left["trigger"].as_str().unwrap().ends_with("left"), "{left:#}");
    assert_eq!((&joined["led"], &joined["members"]), (&true.into(), &2.into()), "{joined:#}");
    assert!(number(joined, "phase.drain_ms") > 0.0);
}

#[test]
fn with_cooperative_sticky_nothing_stops_that_does_not_move() {
    let story = play(plan(752, "cooperative-sticky"), another_comes_and_goes);
    let (first, second) = (over(&story, "service-1"), over(&story, "service-2"));
    let [joined, left] = [&first[0], first.last().unwrap()];
    assert_eq!(counts(joined, MOVED), [0, 6, 6], "{}", story.told());
    assert_eq!(counts(joined, ["rounds", "lost", "undrained"]), [2, 0, 0], "{joined:#}");
    assert_eq!(joined["latest_reason"], "released");
    assert_eq!(number(joined, "unavailable_partition_seconds"), 0.0, "{joined:#}");
    assert!(number(joined, "phase.revoke_ms") >= number(joined, "phase.commit_ms"), "{joined:#}");
    assert_eq!(counts(left, MOVED), [6, 0, 6], "{left:#}");
    let taken: i64 = second.iter().map(|record| counts(record, ["taken_up"])[0]).sum();
    assert_eq!(taken, 6, "{}", story.told());
}

#[test]
fn what_was_handed_over_cleanly_is_known_to_the_offset() {
    let mut plan = plan(753, "range");
    // Whoever gives partitions up has something to commit.
    plan.settings += "\"auto.commit.interval.ms\" = 600000\n";
    let story = play(plan, another_comes_and_goes);
    for record in over(&story, "service-1").iter().chain(&over(&story, "service-2")) {
        assert_eq!(counts(record, ["handed_again"]), [0], "{record:#}");
    }
    let left = &over(&story, "service-1")[1];
    assert_eq!(left["handed_again_certainty"], "exact", "{left:#}\n{}", story.told());
}

#[test]
fn after_a_crash_the_next_owner_counts_at_least_what_the_last_commit_says() {
    let mut plan = plan(754, "cooperative-sticky");
    plan.services = 2;
    plan.settings += "\"session.timeout.ms\" = 10000\n";
    let story = play(plan, async |world| {
        assert_eq!(world.crash_service(2).await, Some(Exit::Internal));
        world.elapse(20 * SECOND).await;
    });
    let records = over(&story, "service-1");
    let taken = records.iter().find(|record| counts(record, ["taken_up"]) == [6]).unwrap();
    assert_eq!(taken["handed_again_certainty"], "at_least", "{taken:#}");
    // From the session's end, not from the crash, of which nobody told.
    let unavailable = number(taken, "unavailable_partition_seconds");
    assert!(unavailable < 6.0 * Duration::from_secs(1).as_secs_f64(), "{unavailable}\n{}", story.told());
}

/// The longest that a record waited in a partition that nobody gave up before `until`.
fn slowest_of_the_kept(story: &Story, until: Duration) -> Duration {
    let moved: Vec<i64> = story
        .events("partitions.revoked")
        .iter()
        .filter(|(at, _)| *at < until)
        .flat_map(|(_, event)| event["partitions"].as_array().unwrap().clone())
        .map(|partition| partition["index"].as_i64().unwrap())
        .collect();
    assert!((1..12).contains(&moved.len()), "some move and some stay: {moved:?}\n{}", story.told());
    story.slowest_of(|partition| !moved.contains(&i64::from(partition.index)))
}

#[test]
fn kept_partitions_wait_for_nobody_when_a_fourth_member_joins() {
    let plan = Plan { services: 3, ..plan(755, "cooperative-sticky") };
    let story = play(plan, async |world| {
        world.start_service(4);
        world.elapse(15 * SECOND).await;
    });
    story.lost_nothing();
    let slowest = slowest_of_the_kept(&story, 15 * SECOND);
    assert!(slowest <= ms(50), "{slowest:?}\n{}", story.told());
}

#[test]
fn kept_partitions_wait_for_nobody_when_one_of_four_leaves() {
    let plan = Plan { services: 4, ..plan(756, "cooperative-sticky") };
    let story = play(plan, async |world| {
        assert_eq!(world.stop_service(3).await, Some(Exit::Fine));
        world.elapse(15 * SECOND).await;
    });
    story.lost_nothing();
    let slowest = slowest_of_the_kept(&story, 15 * SECOND);
    assert!(slowest <= ms(50), "{slowest:?}\n{}", story.told());
}
