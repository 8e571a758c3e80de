//! What watching costs while nothing happens.

use std::collections::BTreeMap;

use kafka_protocol::messages::ApiKey;
use steadfast_sim::faults::Fault;
use steadfast_sim::serve::Traffic;
use steadfast_tests::simulated::world::{Plan, World, simulate};

use crate::play::{SECOND, all, befall, play};

const MINUTES: u32 = 10;

/// What passes between an idle service and its brokers in ten minutes, by API.
fn passed(brokers: u16) -> BTreeMap<i16, Traffic> {
    let traffic = |world: &World| world.cluster().served().traffic();
    let of = |all: &BTreeMap<i16, Traffic>, api| all.get(&api).copied().unwrap_or_default();
    let (passed, _) = simulate(
        Plan { brokers, ..Plan::new(1_101) },
        |_, _| {},
        async |world| {
            world.elapse(180 * SECOND).await;
            let before = traffic(world);
            world.elapse(60 * SECOND * MINUTES).await;
            let since = |(api, now): (&i16, &Traffic)| {
                let before = of(&before, *api);
                let (requests, received) = (now.requests - before.requests, now.received - before.received);
                (*api, Traffic { requests, received, sent: now.sent - before.sent })
            };
            traffic(world).iter().map(since).collect()
        },
    );
    println!("{brokers} brokers: {passed:?}");
    passed
}

#[test]
fn a_poll_is_one_request_on_a_connection_that_stands() {
    for brokers in [1, 3, 30] {
        let passed = passed(brokers);
        let of = |api: ApiKey| passed.get(&(api as i16)).copied().unwrap_or_default();
        let polls = of(ApiKey::Metadata);
        assert_eq!(of(ApiKey::ApiVersions).requests, 0, "a connection was opened among {brokers} brokers");
        // One in 5 s, with jitter.
        assert!((100..=150).contains(&polls.requests), "{polls:?}");
    }
}

#[test]
fn a_poll_whose_connection_fell_silent_asks_again_on_a_fresh_one_and_doubts_nobody() {
    let story = play(Plan::new(1_102), async |world| {
        // All three connections of polls stand by then.
        world.elapse(20 * SECOND).await;
        befall(world, Fault::SilenceConnections { nodes: all() });
        world.elapse(30 * SECOND).await;
    });
    story.is_clean(SECOND).cost(0, 0);
    let doubts = story.events("endpoint.suspected");
    let by_polls =
        doubts.iter().filter(|(_, event)| event["reason"].as_str().unwrap().starts_with("Metadata"));
    assert_eq!(by_polls.count(), 0, "{}", story.told());
}
