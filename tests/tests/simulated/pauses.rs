//! Brokers that pause and go on, and brokers that throttle (KIP-219): they are silent again and again, and nothing is
//! wrong with their endpoints.

use std::time::Duration;

use kafka_protocol::messages::ApiKey;
use steadfast_core::tick::Tick;
use steadfast_sim::faults::{Fault, Old};
use steadfast_tests::simulated::journal::What;
use steadfast_tests::simulated::tap::WireEvent;
use steadfast_tests::simulated::world::{Plan, World};

use crate::play::{SECOND, Story, all, befall, ms, node, only, play, under};

/// What silence alone may begin.
const ONE_IN: Duration = Duration::from_secs(5);

/// When discoveries began: in a calm world nothing else dials the stable address.
fn discoveries(story: &Story) -> Vec<Duration> {
    let dialled = story.happenings.iter().filter(|happening| happening.at >= story.began);
    let dialled = dialled.filter(|happening| match &happening.what {
        What::Wire(wire) => wire.event == WireEvent::Dialled && wire.to.host == "bootstrap",
        _ => false,
    });
    dialled.map(|happening| happening.at.since(story.began)).collect()
}

#[track_caller]
fn seldom(story: &Story) {
    let begun = discoveries(story);
    let crowded = begun.windows(2).find(|two| two[1] - two[0] < ONE_IN);
    assert_eq!(crowded, None, "more than one in {ONE_IN:?}: {begun:?}\n{}", story.told());
}

#[test]
fn brokers_that_pause_for_2_s_for_an_hour_cost_no_respawn_and_one_discovery_in_5_s() {
    let story = play(Plan::new(701), async |world| {
        for turn in 0..900 {
            befall(world, Fault::Pause { node: node(turn % 3 + 1), during: 2 * SECOND });
            world.elapse(4 * SECOND).await;
        }
    });
    story.is_clean(2 * SECOND + ms(600)).cost(0, 0);
    seldom(&story);
    assert!(!discoveries(&story).is_empty(), "a pause is noticed");
}

#[test]
fn throttled_for_half_a_minute_a_service_is_slow_and_nothing_else() {
    let story = under(702, Fault::Throttle { nodes: all(), by: ms(500) });
    story.is_clean(2 * SECOND).cost(0, 0);
    seldom(&story);
}

#[test]
fn one_broker_that_throttles_is_left_in_peace() {
    let story = under(703, Fault::Throttle { nodes: only(2), by: ms(700) });
    story.is_clean(2 * SECOND).cost(0, 0);
    seldom(&story);
}

/// From now on a broker breaks every fetch, and answers everything else.
fn break_fetches(world: &World, number: i32) {
    // Each is tried again after 1 s at the latest.
    for _ in 0..700 {
        befall(world, Fault::ResetMidFrame { node: node(number), api: ApiKey::Fetch });
    }
}

#[test]
fn a_broker_that_breaks_every_fetch_for_ten_minutes_costs_a_discovery_in_2_s_and_no_respawn() {
    let story = play(Plan::new(704), async |world| {
        break_fetches(world, 2);
        world.elapse(600 * SECOND).await;
        befall(world, Fault::Heal { nodes: all() });
        world.elapse(5 * SECOND).await;
    });
    story.lost_nothing().cost(0, 0);
    let begun = discoveries(&story);
    // It is suspected each second, and the waits between discoveries are drawn from 0 to 5 s.
    assert!((100..300).contains(&begun.len()), "{}: {begun:?}", begun.len());
}

#[test]
fn a_broker_that_was_suspected_in_vain_for_long_and_then_moves_is_found_at_its_next_failure() {
    let mut moved = Tick::ZERO;
    let story = play(Plan::new(705), async |world| {
        break_fetches(world, 2);
        world.elapse(60 * SECOND).await;
        befall(world, Fault::Heal { nodes: all() });
        moved = world.now();
        befall(world, Fault::MoveEndpoints { nodes: only(2), old: Old::Refuse });
        world.elapse(20 * SECOND).await;
    });
    story.lost_nothing().cost(0, 0);
    let agreed: Vec<Duration> =
        story.times("view.agreed").into_iter().map(|at| (story.began + at).since(moved)).collect();
    // The broker is tried within 1 s. Its suspicion waits, and another broker is asked in the meantime.
    assert!(agreed.len() == 1 && agreed[0] <= 2 * SECOND, "{agreed:?}\n{}", story.told());
}

#[test]
fn a_discovery_waits_for_as_long_as_brokers_say_that_they_throttle() {
    let mut moved = Tick::ZERO;
    let story = play(Plan::new(706), async |world| {
        befall(world, Fault::Throttle { nodes: all(), by: ms(1_500) });
        world.elapse(10 * SECOND).await;
        moved = world.now();
        befall(world, Fault::MoveEndpoints { nodes: all(), old: Old::Refuse });
        world.elapse(30 * SECOND).await;
        befall(world, Fault::Heal { nodes: all() });
        world.elapse(15 * SECOND).await;
    });
    story.lost_nothing().cost(1, 0);
    assert!(!story.told().contains("no answer within"), "{}", story.told());
    let agreed: Vec<_> =
        story.times("view.agreed").into_iter().map(|at| (story.began + at).since(moved)).collect();
    // Each of two, the stable address and then the brokers that it names, is asked twice, and deaf before each.
    assert!(agreed.len() == 1 && agreed[0] <= 6 * SECOND + ms(100), "{agreed:?}\n{}", story.told());
}
