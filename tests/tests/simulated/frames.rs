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
        // What is fetched waits for its own limit only: request.timeout.ms and the wait that was asked for.
        let limit = if api == ApiKey::Fetch { ms(30_600) } else { ms(200) };
        damaged(504, |node, api| Fault::WithholdAnswer { node, api }, api).is_clean(limit).cost(0, 0);
    }
}
