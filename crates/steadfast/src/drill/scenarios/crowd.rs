//! Many clients at once.

use std::time::Duration;

use futures::FutureExt;
use steadfast_core::ids::NodeId;
use steadfast_sim::faults::{Fault, Nodes, Old};

use crate::drill::expected::Expected;
use crate::drill::opening::Opening;
use crate::drill::rehearsal::Rehearsal;
use crate::drill::scenario::Scenario;

/// How many clients there are, each a group of its own.
const CLIENTS: u32 = 500;
/// What each of them may ask of the brokers in the mean within the worst second: connections to open (one of the consumer to each
/// broker, the member's, the checkpointer's, and those of discovery), and requests for metadata (each connection begins with
/// one).
const EACH: (u32, u32) = (16, 24);
/// How many connections each broker takes up in a second, once they come back (KIP-612).
const QUOTA: u32 = 1_000;
/// Who has tried in vain for 20 s pauses so long at most.
const PAUSE: Duration = Duration::from_secs(3);

/// The same of any one of them: in its worst second, which is not that of all.
const MOST: (u32, u32) = (19, 32);

pub(super) const STORM: Scenario = Scenario {
    number: 27,
    name: "storm",
    happens: "500 clients recover at once: all brokers move; later all are down for 20 s, and come back under a quota.",
    opening: Opening { services: CLIENTS as usize, partitions: 3, rate: 2.0, apart: true, ..Opening::USUAL },
    play: |drill| storm(drill).boxed_local(),
    expected: |policy| {
        Expected::within(PAUSE + policy.silent())
            .respawns(policy.respawns(1, 1.0) * CLIENTS)
            .burst(CLIENTS * EACH.0, CLIENTS * EACH.1)
            .burst_of_one(MOST.0, MOST.1)
    },
};

async fn storm(drill: &Rehearsal) {
    drill.move_all(Old::Refuse);
    drill.mark();
    drill.seconds(5).await;
    let nodes = [1, 2, 3].map(NodeId);
    for node in nodes {
        drill.befall(Fault::Kill { node });
    }
    drill.seconds(20).await;
    drill.befall(Fault::LimitConnections { nodes: Nodes::All, per_second: QUOTA });
    for node in nodes {
        drill.befall(Fault::Restart { node });
    }
    drill.mark();
    drill.seconds(5).await;
}
