//! What is subscribed changes while the service runs: topics that begin or cease to match a pattern, and another list in
//! the file. Nobody restarts.

use std::path::Path;
use std::time::Duration;

use steadfast_core::ids::Partition;
use steadfast_tests::simulated::world::{Manner, Plan, TOPIC, World};

use crate::play::{SECOND, Story, play, play_unfinished};

/// A poll asks for all topics, `drift.poll_interval` apart, with its jitter; what changes within half a second is one.
const FOUND: Duration = Duration::from_millis(6_500);

fn matching() -> Manner {
    Manner { topics: Some(format!("topics_pattern = \"{TOPIC}.*\"")), ..Manner::default() }
}

/// Services that subscribe by pattern begin once the world is there.
fn by_pattern(seed: u64, strategy: &str) -> Plan {
    let settings = format!("\"partition.assignment.strategy\" = \"{strategy}\"\n");
    Plan { services: 0, settings, ..Plan::new(seed) }
}

fn create(world: &World, name: &str, partitions: usize) {
    let created = world.inject(format!("topic {name} is created"), |cluster| {
        cluster.with(|cluster| cluster.create_topic(name, partitions))
    });
    created.unwrap();
    for index in 0..i32::try_from(partitions).unwrap() {
        world.append(&Partition::new(name, index), 3);
    }
}

fn reasons(story: &Story) -> Vec<String> {
    let reason = |(_, event): &(Duration, serde_json::Value)| event["reason"].as_str().unwrap().to_owned();
    story.events("group.rebalanced").iter().map(reason).collect()
}

const MATCHES: &str = "topics began or ceased to match the pattern";

#[test]
fn a_topic_that_begins_to_match_is_read_from_its_first_record_within_a_poll() {
    for (seed, strategy) in [(2401, "range"), (2402, "cooperative-sticky")] {
        let story = play(by_pattern(seed, strategy), async |world| {
            world.start_service_as(1, &matching());
            world.elapse(15 * SECOND).await;
            create(world, &format!("{TOPIC}-eu"), 4);
            world.cluster().with(|cluster| cluster.create_topic("another", 1)).unwrap();
            world.elapse(15 * SECOND).await;
        });
        let new = |partition: &Partition| *partition.topic == *format!("{TOPIC}-eu");
        let (new, old) = (story.slowest_of(new), story.slowest_of(|partition| *partition.topic == *TOPIC));
        assert!(new > Duration::ZERO && new <= FOUND, "{new:?}\n{}", story.told());
        // Its own round is the member's only pause, and as the only member it does not wait for anybody.
        assert!(old <= SECOND, "{old:?}\n{}", story.told());
        let reasons = reasons(&story);
        assert_eq!(reasons.last().map(String::as_str), Some(MATCHES), "{}", story.told());
        assert_eq!(reasons.len(), 2, "{}", story.told());
    }
}

#[test]
fn topics_that_come_together_cost_no_more_rounds_than_one() {
    let story = play(by_pattern(2403, "cooperative-sticky"), async |world| {
        for service in 1..=2 {
            world.start_service_as(service, &matching());
        }
        world.elapse(20 * SECOND).await;
        for number in 0..5 {
            create(world, &format!("{TOPIC}-{number}"), 2);
        }
        world.elapse(20 * SECOND).await;
    });
    story.broke_nothing();
    let first = story.events("group.rebalanced").into_iter().filter(|(at, _)| *at > 20 * SECOND);
    let generations: std::collections::BTreeSet<_> =
        first.map(|(_, event)| event["generation"].as_i64().unwrap()).collect();
    // The first to see them begins a round, in which the other is still without them; then it has them too. After each
    // of the two, a second one hands over what moved.
    assert!((1..=4).contains(&generations.len()), "{generations:?}\n{}", story.told());
}

#[test]
fn a_topic_that_is_deleted_is_subscribed_no_longer_and_the_others_flow_on() {
    let story = play_unfinished(by_pattern(2404, "cooperative-sticky"), async |world| {
        create(world, &format!("{TOPIC}-eu"), 4);
        world.start_service_as(1, &matching());
        world.elapse(15 * SECOND).await;
        let name = format!("{TOPIC}-eu");
        let deleted = world.inject(format!("{name} is deleted"), |cluster| {
            cluster.with(|cluster| cluster.delete_topic(&name))
        });
        deleted.unwrap();
        world.elapse(40 * SECOND).await;
        let owned = world.control_of("service-1").unwrap().standing().owned;
        assert!(owned.iter().all(|partition| &*partition.topic == TOPIC), "{owned:?}");
        assert_eq!(owned.len(), 12);
    });
    assert!(reasons(&story).iter().any(|reason| reason == MATCHES), "{}", story.told());
    let old = story.slowest_of(|partition| *partition.topic == *TOPIC);
    assert!(old <= SECOND, "{old:?}\n{}", story.told());
}

#[test]
fn a_pattern_that_matches_nothing_waits_as_a_member_for_what_will() {
    let story = play_unfinished(by_pattern(2405, "range"), async |world| {
        let manner = Manner { topics: Some("topics_pattern = \"later-.*\"".to_owned()), ..Manner::default() };
        world.start_service_as(1, &manner);
        world.elapse(15 * SECOND).await;
        create(world, "later-on", 2);
        world.elapse(15 * SECOND).await;
    });
    let found = story.slowest_of(|partition| &*partition.topic == "later-on");
    assert!(found > Duration::ZERO && found <= FOUND, "{found:?}\n{}", story.told());
}

fn with_file(file: &Path, topics: &str) -> Manner {
    Manner { topics: Some(topics.to_owned()), file: Some(file.to_owned()), ..Manner::default() }
}

#[test]
fn another_list_of_topics_in_the_file_is_taken_over_without_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    for (seed, strategy) in [(2406, "range"), (2407, "cooperative-sticky")] {
        let file = directory.path().join(strategy);
        let story = play_unfinished(by_pattern(seed, strategy), async |world| {
            create(world, "second", 4);
            world.start_service_as(1, &with_file(&file, &format!("topics = [\"{TOPIC}\"]")));
            world.elapse(15 * SECOND).await;
            let both = with_file(&file, &format!("topics = [\"{TOPIC}\", \"second\"]"));
            assert!(world.reconfigure(1, &both).unwrap());
            world.elapse(10 * SECOND).await;
            let owned = world.control_of("service-1").unwrap().standing().owned;
            assert_eq!(owned.len(), 16, "{owned:?}");
            assert!(world.reconfigure(1, &with_file(&file, "topics_pattern = \"sec.*\"")).unwrap());
            world.elapse(10 * SECOND).await;
            let owned = world.control_of("service-1").unwrap().standing().owned;
            assert!(owned.len() == 4 && owned.iter().all(|partition| &*partition.topic == "second"));
        });
        let changed = reasons(&story).iter().filter(|reason| *reason == "the subscription changed").count();
        assert_eq!(changed, 2, "{}", story.told());
        let applied: Vec<_> = story.events("config.reloaded").into_iter().map(|(_, event)| event).collect();
        assert_eq!(applied[0]["applied"], serde_json::json!(["topics"]), "{}", story.told());
        assert_eq!(applied[1]["after_restart"], serde_json::json!([]));
        let second = story.slowest_of(|partition| &*partition.topic == "second");
        assert!(second <= 16 * SECOND, "{second:?}");
    }
}

#[test]
fn a_named_topic_that_does_not_exist_holds_nobody_up_and_is_read_when_it_does() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("steadfast.toml");
    let story = play(by_pattern(2408, "range"), async |world| {
        world.start_service_as(1, &with_file(&file, &format!("topics = [\"{TOPIC}\"]")));
        world.elapse(15 * SECOND).await;
        let both = with_file(&file, &format!("topics = [\"{TOPIC}\", \"later\"]"));
        assert!(world.reconfigure(1, &both).unwrap());
        world.elapse(10 * SECOND).await;
        create(world, "later", 2);
        world.elapse(15 * SECOND).await;
    });
    let old = story.slowest_of(|partition| *partition.topic == *TOPIC);
    assert!(old <= SECOND, "{old:?}\n{}", story.told());
    let later = story.slowest_of(|partition| &*partition.topic == "later");
    assert!(later > Duration::ZERO && later <= FOUND, "{later:?}\n{}", story.told());
}
