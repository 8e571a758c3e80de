//! Actors crash, in calm and in the middle of a recovery.

use std::time::Duration;

use steadfast_sim::faults::{Fault, Old};
use steadfast_tests::simulated::world::{Plan, World};

use crate::play::{SECOND, Story, all, befall, ms, play};

/// All actors but the handlers'.
const ACTORS: [&str; 9] = [
    "bad_records",
    "handlers",
    "checkpointer",
    "supervisor",
    "endpoint_differ",
    "metadata_poller",
    "member",
    "config_watcher",
    "consumer",
];

fn crash(world: &World, actor: &str) {
    world.inject(format!("{actor} panics"), |_| ());
    let control = world.services().remove(&1).flatten().unwrap();
    assert!(control.crash(actor), "{actor} is down");
}

#[test]
fn all_actors_are_known_here() {
    play(Plan::new(900), async |world| {
        let mut actors = world.services().remove(&1).flatten().unwrap().actors();
        let mut known = ACTORS.to_vec();
        actors.sort_unstable();
        known.sort_unstable();
        assert_eq!(actors, known);
    });
}

#[test]
fn an_actor_that_crashes_in_calm_costs_nothing_but_itself() {
    for actor in ACTORS {
        let story = play(Plan::new(901), async |world| {
            crash(world, actor);
            world.elapse(10 * SECOND).await;
        });
        story.is_clean(ms(600)).cost(0, 0);
        assert_eq!(story.events("actor.restarted").len(), 1, "{actor}\n{}", story.told());
        let respawned = story.events("consumer.respawned").len();
        assert_eq!(respawned, usize::from(actor == "consumer"), "{actor}\n{}", story.told());
    }
}

/// Every endpoint moves, and an actor panics so much later.
fn crash_after_move(seed: u64, old: Old, actor: &str, after: Duration) -> Story {
    let plan = Plan { latency: (ms(1), ms(4)), ..Plan::new(seed) };
    play(plan, async |world| {
        befall(world, Fault::MoveEndpoints { nodes: all(), old });
        world.elapse(after).await;
        crash(world, actor);
        world.elapse(4 * SECOND).await;
    })
}

/// In mid-recovery: the phases take some milliseconds each.
#[test]
fn an_actor_that_crashes_in_mid_recovery_costs_a_second_at_most() {
    for actor in ACTORS {
        for after in [0, 3, 10, 20] {
            let story = crash_after_move(902, Old::Refuse, actor, ms(after));
            story.is_clean(ms(1_200));
            assert!(story.respawns() <= 1, "{actor} after {after} ms\n{}", story.told());
            assert_eq!(story.rounds(), 0, "{actor} after {after} ms\n{}", story.told());
        }
    }
}

#[test]
fn an_actor_that_crashes_while_a_black_hole_is_left_costs_a_second_at_most() {
    for actor in ACTORS {
        for after in [600, 610, 630] {
            let story = crash_after_move(903, Old::BlackHole, actor, ms(after));
            story.is_clean(ms(1_800));
            assert!(story.respawns() <= 1, "{actor} after {after} ms\n{}", story.told());
            assert_eq!(story.rounds(), 0, "{actor} after {after} ms\n{}", story.told());
        }
    }
}
