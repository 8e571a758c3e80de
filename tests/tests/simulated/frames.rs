//! Answers that are cut, corrupted or withheld.

use kafka_protocol::messages::ApiKey;
use steadfast_core::ids::NodeId;
use steadfast_sim::faults::Fault;
use steadfast_tests::simulated::world::Plan;

use crate::play::{SECOND, Story, befall, ms, node, play};

/// The APIs that the service uses while it consumes calmly, or asks again when something breaks.
const APIS: [ApiKey; 6] = [
    ApiKey::ApiVersions,
    ApiKey::Metadata,
    ApiKey::Fetch,
    ApiKey::FindCoordinator,
    ApiKey::Heartbeat,
    ApiKey::OffsetCommit,
];

/// The next answer to this API is damaged on every broker.
fn damaged(seed: u64, damage: impl Fn(NodeId, ApiKey) -> Fault, api: ApiKey) -> Story {
    play(Plan::new(seed), async |world| {
        for number in 1..=3 {
            befall(world, damage(node(number), api));
        }
        // Every API is used in this time, and every limit passes.
        world.elapse(if api == ApiKey::Fetch { 35 * SECOND } else { 20 * SECOND }).await;
    })
}

#[test]
fn a_frame_cut_in_the_middle_costs_a_connection_and_nothing_else() {
    for api in APIS {
        damaged(501, |node, api| Fault::ResetMidFrame { node, api }, api).is_clean(ms(200)).cost(0, 0);
    }
}

#[test]
fn a_truncated_frame_costs_a_connection_and_nothing_else() {
    for api in APIS {
        damaged(502, |node, api| Fault::TruncateFrame { node, api }, api).is_clean(ms(200)).cost(0, 0);
    }
}

#[test]
fn a_corrupt_frame_costs_a_connection_and_nothing_else() {
    for api in APIS {
        damaged(503, |node, api| Fault::CorruptFrame { node, api }, api).is_clean(ms(200)).cost(0, 0);
    }
}

#[test]
fn an_answer_that_is_withheld_costs_its_limit_and_nothing_else() {
    for api in APIS {
        // A fetch is overdue 100 ms after its max wait, and asked again over a fresh connection.
        let limit = if api == ApiKey::Fetch { ms(610) } else { ms(200) };
        damaged(504, |node, api| Fault::WithholdAnswer { node, api }, api).is_clean(limit).cost(0, 0);
    }
}

/// The APIs that a member uses while it joins a group and finds its place.
const JOINING: [ApiKey; 5] =
    [ApiKey::FindCoordinator, ApiKey::JoinGroup, ApiKey::SyncGroup, ApiKey::OffsetFetch, ApiKey::LeaveGroup];

/// A second member joins and leaves, and on every broker the next two answers to this API are damaged.
fn joined_under(seed: u64, damage: impl Fn(NodeId, ApiKey) -> Fault, api: ApiKey) -> Story {
    let settings = "\"partition.assignment.strategy\" = \"cooperative-sticky\"\n\"session.timeout.ms\" = 10000\n\
                    \"max.poll.interval.ms\" = 20000\n";
    play(Plan { settings: settings.to_owned(), ..Plan::new(seed) }, async |world| {
        for number in [1, 2, 3, 1, 2, 3] {
            befall(world, damage(node(number), api));
        }
        world.start_service(2);
        world.elapse(60 * SECOND).await;
        world.stop_service(2).await;
        world.elapse(15 * SECOND).await;
    })
}

#[test]
fn answers_that_are_damaged_while_members_join_hold_up_the_group_for_their_limits_only() {
    for api in JOINING {
        for (seed, damage) in [
            (505, (|node, api| Fault::ResetMidFrame { node, api }) as fn(NodeId, ApiKey) -> Fault),
            (506, |node, api| Fault::CorruptFrame { node, api }),
            (507, |node, api| Fault::WithholdAnswer { node, api }),
        ] {
            let story = joined_under(seed, damage, api);
            // Two rounds of both when the second joins, one of the first when it leaves: as without any damage.
            story.lost_nothing().cost(0, 5);
            // The first hears of the leave by its heartbeat; a question for offsets has 2 s.
            let limit = 5 * SECOND + ms(200);
            assert!(story.slowest() <= limit, "{api:?}: {:?}\n{}", story.slowest(), story.told());
        }
    }
}
