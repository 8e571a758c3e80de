//! Restarts, planned or not, cost few rounds: how many, by generations of the group.

use std::time::Duration;

use steadfast::exit::Exit;
use steadfast_tests::simulated::world::{Manner, Plan, World};

use crate::play::{SECOND, Story, play};

/// Three members and the time to settle.
const SETTLED: Duration = Duration::from_secs(20);

fn plan(seed: u64, strategy: &str) -> Plan {
    let settings = format!("\"partition.assignment.strategy\" = \"{strategy}\"\n");
    Plan { settings, services: 0, ..Plan::new(seed) }
}

/// A static member of this number, or with more settings.
fn instance(number: usize, more: &str) -> Manner {
    Manner { settings: format!("\"group.instance.id\" = \"instance-{number}\"\n{more}"), ..Manner::default() }
}

async fn three(world: &World, manner: impl Fn(usize) -> Manner) {
    for number in 1..=3 {
        world.start_service_as(number, &manner(number));
        world.elapse(SECOND).await;
    }
    world.elapse(SETTLED - 3 * SECOND).await;
}

async fn rolling(world: &World, manner: impl Fn(usize) -> Manner) {
    three(world, &manner).await;
    for number in 1..=3 {
        assert_eq!(world.stop_service(number).await, Some(Exit::Fine));
        world.elapse(2 * SECOND).await;
        world.start_service_as(number, &manner(number));
        world.elapse(15 * SECOND).await;
    }
}

/// By how many generations the group went on after it had settled.
fn rounds(story: &Story) -> i64 {
    let told = story.events("group.rebalanced");
    let generation = |settled: bool| {
        let of = told.iter().filter(|(at, _)| (*at < SETTLED) == settled);
        of.filter_map(|(_, event)| event["generation"].as_i64()).max()
    };
    let before = generation(true).unwrap();
    generation(false).unwrap_or(before) - before
}

#[test]
fn a_rolling_restart_of_static_members_costs_no_round() {
    for (seed, strategy) in [(761, "range"), (762, "cooperative-sticky")] {
        let story = play(plan(seed, strategy), async |world| {
            rolling(world, |number| instance(number, "")).await;
        });
        story.lost_nothing();
        assert_eq!(rounds(&story), 0, "{strategy}\n{}", story.told());
        // Who came back took its own partitions up again, and took nothing from the others.
        let late = story.events("partitions.revoked").into_iter().filter(|(at, _)| *at > SETTLED);
        let others = late.filter(|(_, event)| event["undrained"] != 0);
        assert_eq!(others.count(), 0, "{}", story.told());
        assert_eq!(story.report.tally.redelivered().len(), 0, "{}", story.told());
    }
}

#[test]
fn a_rolling_restart_of_dynamic_members_costs_a_leave_and_a_join_each() {
    let story = play(plan(763, "range"), async |world| {
        rolling(world, |_| Manner::default()).await;
    });
    story.lost_nothing();
    assert_eq!(rounds(&story), 6, "{}", story.told());
}

#[test]
fn a_static_member_that_crashes_in_a_loop_costs_no_round() {
    let story = play(plan(764, "range"), async |world| {
        three(world, |number| instance(number, "")).await;
        for _ in 0..6 {
            assert_eq!(world.crash_service(2).await, Some(Exit::Internal));
            world.elapse(SECOND).await;
            world.start_service_as(2, &instance(2, ""));
            world.elapse(4 * SECOND).await;
        }
        world.elapse(10 * SECOND).await;
    });
    story.lost_nothing();
    assert_eq!(rounds(&story), 0, "{}", story.told());
}

#[test]
fn a_dynamic_member_that_crashes_in_a_loop_costs_its_joins_and_the_ends_of_its_sessions() {
    let prompt = "\"session.timeout.ms\" = 6000\n";
    let mut plan = plan(765, "range");
    plan.settings += prompt;
    let story = play(plan, async |world| {
        three(world, |_| Manner::default()).await;
        for _ in 0..3 {
            assert_eq!(world.crash_service(2).await, Some(Exit::Internal));
            world.elapse(10 * SECOND).await;
            world.start_service(2);
            world.elapse(5 * SECOND).await;
        }
        world.elapse(10 * SECOND).await;
    });
    story.lost_nothing();
    assert!(rounds(&story) <= 6, "{} rounds\n{}", rounds(&story), story.told());
}

#[test]
fn a_static_member_leaves_at_a_stop_if_it_is_told_to() {
    let story = play(plan(766, "range"), async |world| {
        let leaves = |number| instance(number, "[group]\nleave_on_stop = \"always\"\n");
        three(world, leaves).await;
        assert_eq!(world.stop_service(3).await, Some(Exit::Fine));
        world.elapse(10 * SECOND).await;
    });
    story.lost_nothing();
    assert_eq!(rounds(&story), 1, "{}", story.told());
    assert!(story.slowest() < 5 * SECOND, "nobody waits for the session's end\n{}", story.told());
}

#[test]
fn a_dynamic_member_that_does_not_leave_keeps_its_partitions_until_its_session_ends() {
    let mut plan = plan(767, "range");
    plan.settings += "\"session.timeout.ms\" = 10000\n";
    let story = play(plan, async |world| {
        let stays =
            |_| Manner { settings: "[group]\nleave_on_stop = \"never\"\n".into(), ..Manner::default() };
        three(world, stays).await;
        assert_eq!(world.stop_service(3).await, Some(Exit::Fine));
        world.elapse(5 * SECOND).await;
        world.elapse(15 * SECOND).await;
    });
    story.lost_nothing();
    assert_eq!(rounds(&story), 1, "{}", story.told());
    assert!(story.slowest() > 5 * SECOND, "{:?}\n{}", story.slowest(), story.told());
}
