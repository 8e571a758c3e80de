//! Brokers end, come back, are out of reach, slow, added and removed; leaders move.

use std::time::Duration;

use steadfast_sim::faults::{Fault, Way};
use steadfast_tests::simulated::world::{GROUP, Plan, World};

use crate::play::{SECOND, all, befall, ms, node, play, under};

const FETCH_MAX_WAIT: Duration = Duration::from_millis(500);
/// A fetch's max wait, and 100 ms for the suspicion.
const NOTICED: Duration = Duration::from_millis(600);

fn coordinator(world: &World) -> i32 {
    world.cluster().with(|cluster| cluster.coordinator(GROUP)).unwrap().0
}

/// A broker that does not coordinate the group.
fn another(world: &World) -> i32 {
    (1..=3).find(|number| *number != coordinator(world)).unwrap()
}

#[test]
fn a_broker_that_is_killed_and_comes_back_costs_neither_respawn_nor_round() {
    for number in 1..=3 {
        let story = play(Plan::new(201), async |world| {
            befall(world, Fault::Kill { node: node(number) });
            world.elapse(20 * SECOND).await;
            befall(world, Fault::Restart { node: node(number) });
            world.elapse(20 * SECOND).await;
        });
        story.is_clean(ms(200)).cost(0, 0);
    }
}

#[test]
fn brokers_that_restart_one_after_another_cost_neither_respawn_nor_round() {
    let story = play(Plan::new(202), async |world| {
        for number in [1, 2, 3, 1, 2, 3] {
            befall(world, Fault::Kill { node: node(number) });
            world.elapse(8 * SECOND).await;
            befall(world, Fault::Restart { node: node(number) });
            world.elapse(4 * SECOND).await;
        }
    });
    story.is_clean(ms(200)).cost(0, 0);
}

#[test]
fn when_the_last_broker_is_back_so_is_the_flow() {
    let story = play(Plan::new(203), async |world| {
        for number in 1..=3 {
            befall(world, Fault::Kill { node: node(number) });
        }
        world.elapse(30 * SECOND).await;
        for number in 1..=3 {
            befall(world, Fault::Restart { node: node(number) });
        }
        world.elapse(30 * SECOND).await;
    });
    // Nothing was appended meanwhile. The longest pause between two attempts to connect is 1 s.
    story.is_clean(ms(1_100)).cost(0, 0);
}

fn isolated(seed: u64, way: Way, noticed: Duration) {
    let story = play(Plan::new(seed), async |world| {
        let number = another(world);
        befall(world, Fault::Isolate { node: node(number), way });
        world.elapse(20 * SECOND).await;
        // Its partitions are elected away, as a controller does that misses it.
        befall(world, Fault::MoveLeaders { from: node(number) });
        world.elapse(20 * SECOND).await;
        befall(world, Fault::Heal { nodes: all() });
        world.elapse(20 * SECOND).await;
    });
    // Its leaders are missed by the next poll: each 5 s, with jitter.
    story.is_clean(20 * SECOND + ms(6_300)).cost(0, 0);
    assert!(story.times("endpoint.suspected")[0] <= noticed, "{}", story.told());
}

#[test]
fn an_isolated_broker_is_noticed_at_once_and_holds_up_its_own_partitions_only() {
    isolated(204, Way::Both, NOTICED);
}

#[test]
fn a_broker_that_hears_and_is_not_heard_is_as_good_as_isolated() {
    isolated(205, Way::Answers, NOTICED);
}

#[test]
fn a_broker_that_is_heard_and_does_not_hear_is_as_good_as_isolated() {
    // The fetch under way is answered yet, at its max wait at the latest.
    isolated(206, Way::Requests, FETCH_MAX_WAIT + NOTICED);
}

#[test]
fn a_slow_broker_is_slow_and_nothing_else() {
    let story = under(207, Fault::Slow { node: node(2), by: ms(200) });
    story.is_clean(ms(800)).cost(0, 0);
}

#[test]
fn leaders_that_move_are_followed_at_once_where_a_fetch_is_parked_without_them_too() {
    for number in 1..=3 {
        let story = under(208, Fault::MoveLeaders { from: node(number) });
        story.is_clean(ms(50)).cost(0, 0);
        // The old leader names the new one, which is where it is known to be: nobody else is asked.
        assert!(story.times("endpoint.suspected").is_empty(), "{}", story.told());
    }
}

#[test]
fn a_broker_that_is_added_is_taken_in_place_by_the_next_poll() {
    let story = under(209, Fault::AddBroker { node: node(4) });
    story.is_clean(ms(10)).cost(0, 0);
    let agreed = story.events("view.agreed");
    assert_eq!(agreed.len(), 1, "{}", story.told());
    // The poll interval is 5 s, with jitter; then everybody is asked.
    assert!(agreed[0].0 <= 6 * SECOND + ms(50), "{}", story.told());
    assert!(agreed[0].1["endpoints"]["4"].is_string());
}

#[test]
fn a_broker_that_is_removed_is_left_in_place() {
    for number in 1..=3 {
        let story = under(210, Fault::RemoveBroker { node: node(number) });
        story.is_clean(ms(200)).cost(0, 0);
    }
}
