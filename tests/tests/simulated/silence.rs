//! Connections that stand fall silent, while new ones to the same address work.

use std::time::Duration;

use steadfast_core::ids::{NodeId, Partition};
use steadfast_sim::faults::{Fault, Nodes};
use steadfast_tests::simulated::world::{GROUP, Plan, World};

use crate::play::{SECOND, Story, all, befall, ms, node, only, play, under};

/// A fetch's max wait, and the least that an answer is overdue after that.
const FETCH_OVERDUE: Duration = Duration::from_millis(600);
/// The least that an answer of the coordinator is overdue after.
const GROUP_OVERDUE: Duration = Duration::from_millis(500);

fn coordinator(world: &World) -> NodeId {
    world.cluster().with(|cluster| cluster.coordinator(GROUP)).unwrap()
}

/// The brokers to which connections were replaced, each with the time since the scenario began.
fn replaced(story: &Story) -> Vec<(Duration, i64)> {
    let told = story.events("connection.replaced").into_iter();
    told.map(|(at, event)| (at, event["node"].as_i64().unwrap())).collect()
}

#[test]
fn silent_connections_are_replaced_when_an_answer_is_overdue() {
    for seed in 601..604 {
        let story = under(seed, Fault::SilenceConnections { nodes: all() });
        story.is_clean(FETCH_OVERDUE + ms(10)).cost(0, 0);
        let told = story.events("connection.replaced").into_iter();
        let heartbeat = |event: &serde_json::Value| event["reason"].to_string().contains("Heartbeat");
        let fetching = told.filter(|(at, event)| *at <= FETCH_OVERDUE && !heartbeat(event)).count();
        assert_eq!(fetching, 3, "{}", story.told());
        // A heartbeat and a commit are overdue once each, whenever they come.
        assert!(replaced(&story).len() <= 5, "{}", story.told());
    }
}

#[test]
fn the_silence_of_one_leader_holds_up_its_own_partitions_only() {
    let (mut leads, mut silent) = (Vec::new(), 0);
    let story = play(Plan::new(604), async |world| {
        silent = if coordinator(world) == node(1) { 2 } else { 1 };
        let leader = |of: &Partition| world.cluster().with(|cluster| cluster.leader(of).unwrap());
        leads = world.partitions();
        leads.retain(|partition| leader(partition) == Some(node(silent)));
        befall(world, Fault::SilenceConnections { nodes: only(silent) });
        world.elapse(30 * SECOND).await;
    });
    story.is_clean(FETCH_OVERDUE + ms(10)).cost(0, 0);
    assert!(story.slowest_of(|partition| !leads.contains(partition)) <= ms(10), "{}", story.told());
    assert_eq!(replaced(&story).len(), 1, "{}", story.told());
}

/// The longest time between two commits that were stored, from the begin of the scenario to its end.
fn longest_without_commit(story: &Story) -> Duration {
    let mut times = vec![ms(0)];
    times.extend(story.times("checkpoint.committed"));
    times.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap_or_default()
}

#[test]
fn the_silence_of_the_coordinator_costs_no_round_and_holds_up_one_commit() {
    for seed in 605..608 {
        let story = play(Plan::new(seed), async |world| {
            befall(world, Fault::SilenceConnections { nodes: Nodes::one(coordinator(world)) });
            world.elapse(40 * SECOND).await;
        });
        story.is_clean(FETCH_OVERDUE + ms(10)).cost(0, 0);
        // The commit interval is 5 s; what was asked for over the silent connection is committed again at once.
        let longest = longest_without_commit(&story);
        assert!(longest <= 5 * SECOND + GROUP_OVERDUE + ms(100), "{longest:?}\n{}", story.told());
        assert!(story.times("checkpoint.failed").len() <= 1, "{}", story.told());
    }
}

/// A second member joins while the coordinator's connections have been silent for `during`.
fn joined_after_a_silence_of(during: Duration, seed: u64) -> Story {
    play(Plan::new(seed), async |world| {
        befall(world, Fault::SilenceConnections { nodes: Nodes::one(coordinator(world)) });
        world.elapse(during).await;
        world.start_service(2);
        world.elapse(20 * SECOND).await;
    })
}

#[test]
fn a_round_after_a_silence_is_not_held_up_by_the_connection_of_the_round_before() {
    // A calm member heartbeats each 300 ms, so it may not have noticed anything when it is to join.
    for (during, seed) in [(ms(1), 610), (4 * SECOND, 611), (60 * SECOND, 612)] {
        let story = joined_after_a_silence_of(during, seed);
        story.lost_nothing();
        let limit = 3 * SECOND + 2 * GROUP_OVERDUE + ms(100);
        assert!(story.slowest() <= limit, "{:?} for {during:?}\n{}", story.slowest(), story.told());
        let rounds = story.times("group.rebalanced");
        assert!(rounds.len() >= 2, "{}", story.told());
        assert!(rounds.iter().all(|at| *at <= during + limit + SECOND), "{}", story.told());
    }
}

#[test]
fn a_round_that_waits_for_others_when_its_connection_falls_silent_is_joined_again() {
    let story = play(Plan { services: 2, ..Plan::new(613) }, async |world| {
        // Its join waits for the others' next heartbeats; its own go through another connection, each 200 ms.
        world.start_service(3);
        world.elapse(ms(500)).await;
        befall(world, Fault::SilenceConnections { nodes: all() });
        world.elapse(30 * SECOND).await;
    });
    story.lost_nothing();
    let settled = story.times("group.rebalanced");
    assert!(settled.iter().all(|at| *at <= 8 * SECOND), "{}", story.told());
}

#[test]
fn silence_again_and_again_is_overcome_each_time() {
    let story = play(Plan::new(608), async |world| {
        for _ in 0..20 {
            befall(world, Fault::SilenceConnections { nodes: all() });
            world.elapse(3 * SECOND).await;
        }
        world.elapse(10 * SECOND).await;
    });
    story.is_clean(FETCH_OVERDUE + ms(10)).cost(0, 0);
}

#[test]
fn a_broker_that_is_slow_but_answers_is_not_left() {
    for by in [ms(100), ms(400), 2 * SECOND] {
        let story = under(609, Fault::Slow { node: node(2), by });
        story.is_clean(6 * by + 2 * FETCH_OVERDUE).cost(0, 0);
        assert_eq!(replaced(&story), [], "{}", story.told());
    }
}
