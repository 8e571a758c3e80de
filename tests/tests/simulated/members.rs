//! Members come, go and are cut off.

use std::time::Duration;

use steadfast::exit::Exit;
use steadfast_sim::faults::{Fault, Old};
use steadfast_tests::simulated::journal::What;
use steadfast_tests::simulated::world::Plan;

use crate::play::{SECOND, Story, all, befall, ms, node, play};

fn plan(seed: u64, strategy: &str, settings: &str) -> Plan {
    let settings = format!("\"partition.assignment.strategy\" = \"{strategy}\"\n{settings}");
    Plan { settings, ..Plan::new(seed) }
}

/// A calm member hears of a round by its next heartbeat.
const HEARD: Duration = Duration::from_millis(300);

fn comes_and_goes(seed: u64, strategy: &str) -> Story {
    play(plan(seed, strategy, ""), async |world| {
        world.start_service(2);
        world.elapse(20 * SECOND).await;
        assert_eq!(world.stop_service(2).await, Some(Exit::Fine));
        world.elapse(20 * SECOND).await;
    })
}

#[test]
fn with_range_everything_waits_for_one_round_and_no_longer() {
    let story = comes_and_goes(701, "range");
    // Two rounds of the first, one of the second. What the second had waits until the first hears of its leave.
    story.is_clean(HEARD + ms(100)).cost(0, 3);
}

#[test]
fn with_cooperative_sticky_what_is_kept_does_not_wait() {
    let story = comes_and_goes(702, "cooperative-sticky");
    story.is_clean(HEARD + ms(100));
    let given_up: Vec<i64> = story
        .events("partitions.revoked")
        .iter()
        .filter(|(at, event)| event["service.instance.id"] == "service-1" && *at < 30 * SECOND)
        .flat_map(|(_, event)| event["partitions"].as_array().unwrap().clone())
        .map(|partition| partition["index"].as_i64().unwrap())
        .collect();
    assert_eq!(given_up.len(), 6, "{}", story.told());
    let kept = story.slowest_of(|partition| !given_up.contains(&i64::from(partition.index)));
    assert!(kept <= ms(10), "{kept:?}\n{}", story.told());
}

#[test]
fn three_members_come_go_and_crash_and_nothing_is_lost() {
    for (seed, strategy) in [(703, "range"), (704, "cooperative-sticky")] {
        let prompt = "\"session.timeout.ms\" = 10000\n";
        let story = play(plan(seed, strategy, prompt), async |world| {
            world.start_service(2);
            world.start_service(3);
            world.elapse(15 * SECOND).await;
            assert_eq!(world.crash_service(2).await, Some(Exit::Internal));
            world.elapse(20 * SECOND).await;
            assert_eq!(world.stop_service(1).await, Some(Exit::Fine));
            world.elapse(10 * SECOND).await;
            world.start_service(2);
            world.elapse(15 * SECOND).await;
        });
        story.lost_nothing();
        // The session, and the heartbeat by which the others hear of its end.
        let limit = 10 * SECOND + HEARD + ms(100);
        assert!(story.slowest() <= limit, "{:?}\n{}", story.slowest(), story.told());
    }
}

#[test]
fn endpoints_that_move_while_members_come_cost_each_one_respawn_at_most() {
    for (seed, strategy) in [(705, "range"), (706, "cooperative-sticky")] {
        for old in [Old::Refuse, Old::BlackHole, Old::Drop] {
            let story = play(plan(seed, strategy, ""), async |world| {
                world.start_service(2);
                world.elapse(ms(1)).await;
                befall(world, Fault::MoveEndpoints { nodes: all(), old });
                world.elapse(ms(2_900)).await;
                befall(world, Fault::MoveEndpoints { nodes: all(), old });
                world.elapse(20 * SECOND).await;
            });
            story.is_clean(HEARD + 3 * SECOND);
            assert!(story.respawns() <= 4, "{}", story.told());
        }
    }
}

/// When the first event of this name was told by this service.
fn told_by(story: &Story, service: &str, name: &str) -> Option<Duration> {
    let told = story.events(name).into_iter();
    told.filter(|(_, event)| event["service.instance.id"] == service).map(|(at, _)| at).next()
}

#[test]
fn cut_off_past_the_session_it_gives_up_its_partitions_before_another_gets_them() {
    for (seed, strategy) in [(707, "range"), (708, "cooperative-sticky")] {
        let plan = Plan { services: 2, ..plan(seed, strategy, "\"session.timeout.ms\" = 10000\n") };
        let story = play(plan, async |world| {
            world.inject("service 1 is cut off", |_| world.cut_off(1, true));
            world.elapse(30 * SECOND).await;
            world.inject("service 1 is connected again", |_| world.cut_off(1, false));
            world.elapse(30 * SECOND).await;
        });
        story.lost_nothing();
        let lost = told_by(&story, "service-1", "partitions.lost").unwrap();
        let gained = told_by(&story, "service-2", "partitions.assigned").unwrap();
        assert!(lost <= 10 * SECOND && lost <= gained, "{lost:?} {gained:?}\n{}", story.told());
        assert!(gained <= 10 * SECOND + HEARD, "{gained:?}\n{}", story.told());
        // Nothing was processed by whoever had lost it.
        for happening in &story.happenings {
            if let What::Delivered(batch) = &happening.what {
                assert!(batch.current, "{happening:?}");
            }
        }
    }
}

#[test]
fn cut_off_for_less_than_the_session_it_stays_a_member_and_nothing_comes_twice() {
    let plan = Plan { services: 2, ..plan(709, "range", "") };
    let story = play(plan, async |world| {
        world.inject("service 1 is cut off", |_| world.cut_off(1, true));
        world.elapse(30 * SECOND).await;
        world.inject("service 1 is connected again", |_| world.cut_off(1, false));
        world.elapse(30 * SECOND).await;
    });
    story.is_clean(36 * SECOND).cost(0, 0);
}

#[test]
fn without_any_broker_for_longer_than_the_session_one_round_and_what_was_not_committed_come_again() {
    let story = play(Plan::new(710), async |world| {
        for number in 1..=3 {
            befall(world, Fault::Kill { node: node(number) });
        }
        world.elapse(60 * SECOND).await;
        for number in 1..=3 {
            befall(world, Fault::Restart { node: node(number) });
        }
        world.elapse(30 * SECOND).await;
    });
    story.lost_nothing().cost(0, 1);
    let lost = story.times("partitions.lost");
    assert!(lost.len() == 1 && lost[0] <= 45 * SECOND, "{}", story.told());
    // Commits are 5 s apart.
    let again: usize = story.report.tally.redelivered().into_values().map(|offsets| offsets.len()).sum();
    let uncommitted = (crate::play::RATE * 5.5) as usize;
    assert!(again <= uncommitted, "{again} came again\n{}", story.told());
}

#[test]
fn an_instance_that_restarts_costs_no_round_and_its_own_time_only() {
    let settings = "\"group.instance.id\" = \"first\"\n";
    let story = play(plan(711, "range", settings), async |world| {
        assert_eq!(world.stop_service(1).await, Some(Exit::Fine));
        world.elapse(SECOND).await;
        world.start_service(1);
        world.elapse(20 * SECOND).await;
    });
    story.is_clean(ms(1_100));
    assert!(story.rounds() <= 1, "{}", story.told());
}
