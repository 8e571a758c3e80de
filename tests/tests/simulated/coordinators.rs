//! The group's coordinator moves, is away, hangs.

use steadfast_sim::faults::{Fault, Way};
use steadfast_tests::simulated::world::{GROUP, Plan, World};

use crate::play::{SECOND, Story, befall, ms, node, play, under};

/// The longest time between two commits that were stored, from the begin of the scenario to its end.
fn longest_without_commit(story: &Story) -> std::time::Duration {
    let mut times = vec![ms(0)];
    times.extend(story.stored());
    times.push(story.report.ended.since(story.began));
    times.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap_or_default()
}

fn coordinator(world: &World) -> i32 {
    world.cluster().with(|cluster| cluster.coordinator(GROUP)).unwrap().0
}

#[test]
fn a_coordinator_that_moves_costs_no_round_and_at_most_a_heartbeat_of_commits() {
    let story = under(401, Fault::MoveCoordinator);
    story.is_clean(ms(10)).cost(0, 0);
    // The commit interval, and a retry.
    assert!(longest_without_commit(&story) <= ms(5_200), "{}", story.told());
}

#[test]
fn without_a_coordinator_records_flow_and_are_committed_when_there_is_one() {
    let story = under(402, Fault::CoordinatorUnavailable { during: 20 * SECOND });
    story.is_clean(ms(10)).cost(0, 0);
    assert!(longest_without_commit(&story) <= 27 * SECOND, "{}", story.told());
}

#[test]
fn a_coordinator_that_hangs_commits_is_asked_again_through_another_connection() {
    for (seed, stored) in [(403, true), (404, false)] {
        let story = under(seed, Fault::HangCommits { during: 10 * SECOND, stored });
        story.is_clean(ms(10)).cost(0, 0);
        assert!(story.times("checkpoint.failed").len() >= 2, "{}", story.told());
        // Each attempt has 2 s.
        assert!(longest_without_commit(&story) <= 17 * SECOND, "{}", story.told());
    }
}

#[test]
fn an_isolated_coordinator_costs_no_rebalance_while_the_session_lives() {
    let story = play(Plan::new(405), async |world| {
        let number = coordinator(world);
        befall(world, Fault::Isolate { node: node(number), way: Way::Both });
        world.elapse(30 * SECOND).await;
        befall(world, Fault::Heal { nodes: crate::play::all() });
        world.elapse(30 * SECOND).await;
    });
    story.is_clean(36 * SECOND).cost(0, 0);
}
