//! Brokers that pause and go on, and brokers that throttle (KIP-219): they are silent again and again, and nothing is
//! wrong with their endpoints.

use std::time::Duration;

use steadfast_sim::faults::Fault;
use steadfast_tests::simulated::journal::What;
use steadfast_tests::simulated::tap::WireEvent;
use steadfast_tests::simulated::world::Plan;

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
fn brokers_that_pause_for_2_s_for_half_an_hour_cost_no_respawn_and_one_discovery_in_5_s() {
    let story = play(Plan::new(701), async |world| {
        for turn in 0..450 {
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
