//! Brokers cannot be reached, or don't answer.

use std::time::Duration;

use futures::FutureExt;
use steadfast_core::endpoints::view::Address;
use steadfast_core::ids::NodeId;
use steadfast_sim::faults::{Fault, Nodes, Old};
use steadfast_sim::network::Door;

use crate::drill::expected::Expected;
use crate::drill::opening::Opening;
use crate::drill::rehearsal::Rehearsal;
use crate::drill::scenario::Scenario;

pub(super) const UNREACHABLE: Scenario = Scenario {
    number: 16,
    name: "unreachable",
    happens: "All brokers move to addresses that metadata names rightly and nobody reaches for 20 s.",
    opening: Opening::USUAL,
    play: |drill| unreachable(drill).boxed_local(),
    expected: |policy| Expected::within(policy.polled()).respawns(policy.respawns(1, 1.0)),
};

async fn unreachable(drill: &Rehearsal) {
    let cluster = drill.world().cluster().clone();
    let Some(network) = cluster.network() else { return };
    let at = |node: NodeId| Address::new(format!("10.66.0.{node}"), 9092);
    let before: Vec<(NodeId, Door)> =
        cluster.endpoints().into_iter().map(|(node, address)| (node, network.door(&address))).collect();
    drill.relocate("all move to where nobody reaches them", at, |_| Door::Drop, &Door::Refuse);
    drill.seconds(20).await;
    drill.deed("they are reached", |_| {
        for (node, door) in before {
            network.lead(&at(node), door);
        }
    });
    drill.mark();
    drill.seconds(20).await;
}

pub(super) const HUNG_CLOSE: Scenario = Scenario {
    number: 17,
    name: "hung-close",
    happens: "All brokers move while a commit hangs that was stored, and the old connections cannot be closed.",
    opening: Opening::USUAL,
    play: |drill| hung_close(drill).boxed_local(),
    expected: |policy| Expected::within(policy.silent()).respawns(policy.respawns(1, 1.0)),
};

async fn hung_close(drill: &Rehearsal) {
    drill.befall(Fault::HangCommits { during: Duration::from_secs(60), stored: true });
    if drill.policy().config().checkpoint.enabled {
        drill.next_commit().await;
        // So short that its limit has not passed, and long enough for any answer.
        drill.elapse(Duration::from_millis(100)).await;
        if drill.figures().hanging_commits() == 0 {
            drill.find("the commit did not hang");
        }
    }
    drill.move_all(Old::BlackHole);
    drill.mark();
    drill.seconds(60).await;
}

pub(super) const BLACK_HOLE: Scenario = Scenario {
    number: 18,
    name: "black-hole",
    happens: "All brokers move; the old addresses accept and never answer. Again; the old ones don't even accept.",
    opening: Opening::USUAL,
    play: |drill| {
        async {
            for old in [Old::BlackHole, Old::Drop] {
                drill.move_all(old);
                drill.mark();
                drill.seconds(30).await;
            }
        }
        .boxed_local()
    },
    expected: |policy| Expected::within(policy.silent()).respawns(policy.respawns(2, 1.0)),
};

pub(super) const SILENT_CONNECTIONS: Scenario = Scenario {
    number: 26,
    name: "silent-connections",
    happens: "All connections that stand fall silent and stay open, while new ones to the same addresses work.",
    opening: Opening::USUAL,
    play: |drill| {
        async {
            drill.befall(Fault::SilenceConnections { nodes: Nodes::All });
            drill.mark();
            drill.seconds(40).await;
        }
        .boxed_local()
    },
    expected: |policy| Expected::within(policy.silent()).adaptations(0),
};

pub(super) const THROTTLED: Scenario = Scenario {
    number: 29,
    name: "throttled",
    happens: "For an hour a broker pauses for 2 s every 4 s; for another, all throttle by 500 ms.",
    opening: Opening::AN_HOUR,
    play: |drill| throttled(drill).boxed_local(),
    expected: |policy| {
        Expected::within(PAUSE + policy.silent()).adaptations(0).discoveries(1, Duration::from_secs(5))
    },
};

const PAUSE: Duration = Duration::from_secs(2);

async fn throttled(drill: &Rehearsal) {
    for turn in 0..900 {
        drill.befall(Fault::Pause { node: NodeId(turn % 3 + 1), during: PAUSE });
        drill.mark();
        drill.seconds(4).await;
    }
    drill.befall(Fault::Throttle { nodes: Nodes::All, by: Duration::from_millis(500) });
    for _ in 0..60 {
        drill.mark();
        drill.seconds(60).await;
    }
    drill.befall(Fault::Heal { nodes: Nodes::All });
}
