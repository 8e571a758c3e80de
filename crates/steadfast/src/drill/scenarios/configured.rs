//! What is configured, what is stored, and what is so.

use std::time::Duration;

use futures::FutureExt;
use steadfast_core::endpoints::view::Address;
use steadfast_core::ids::NodeId;
use steadfast_sim::embedded::Embedded;
use steadfast_sim::faults::Old;
use steadfast_sim::network::Door;

use crate::drill::expected::Expected;
use crate::drill::opening::{Bootstrap, Opening};
use crate::drill::rehearsal::Rehearsal;
use crate::drill::scenario::Scenario;

const BY_BROKERS: Opening = Opening { bootstrap: Bootstrap::Brokers, ..Opening::USUAL };

pub(super) const TO_TLS: Scenario = Scenario {
    number: 7,
    name: "plaintext-to-tls",
    happens: "All brokers listen elsewhere, in TLS, the old ones refuse, and the file says so; later two of them move.",
    opening: BY_BROKERS,
    play: |drill| to_tls(drill).boxed_local(),
    // Who begins anew with other settings spends nothing of the budget.
    expected: |policy| Expected::within(policy.silent()).respawns(policy.respawns(1, 2.0 / 3.0)),
};

async fn to_tls(drill: &Rehearsal) {
    let secure = |cluster: &Embedded| cluster.secure_listeners(Old::Refuse);
    let Some(authority) = drill.command("all brokers listen elsewhere, in TLS", secure) else { return };
    drill.reconfigure_secured(1, drill.world().cluster().endpoints().into_values(), &authority);
    drill.mark();
    drill.seconds(30).await;
    drill.move_some([1, 2], Old::BlackHole);
    drill.mark();
    drill.seconds(30).await;
}

pub(super) const DEAD_BOOTSTRAP: Scenario = Scenario {
    number: 19,
    name: "dead-bootstrap",
    happens: "Everything that is configured or known is dead for 20 s; then the file names addresses that work.",
    opening: BY_BROKERS,
    play: |drill| {
        async {
            drill.move_all(Old::Refuse);
            drill.seconds(20).await;
            drill.reconfigure(1, drill.world().cluster().endpoints().into_values());
            drill.mark();
            drill.seconds(20).await;
        }
        .boxed_local()
    },
    expected: |policy| Expected::within(policy.refused()).respawns(policy.respawns(1, 1.0)),
};

pub(super) const COLD_START: Scenario = Scenario {
    number: 20,
    name: "cold-start",
    happens: "The service is begun anew when of all that it knew only the stored endpoints still work.",
    opening: BY_BROKERS,
    play: |drill| {
        async {
            let grace = drill.policy().config().drift.poll_interval * 2;
            drill.move_all(Old::Grace(grace));
            drill.elapse(grace).await;
            drill.seconds(10).await;
            drill.world().stop_service(1).await;
            drill.seconds(1).await;
            drill.start(1);
            drill.mark();
            drill.seconds(30).await;
        }
        .boxed_local()
    },
    // The coordinator waits 3 s for further members of an empty group.
    expected: |policy| {
        let first_round = Duration::from_secs(3);
        Expected::within(first_round + policy.silent()).respawns(policy.respawns(1, 1.0)).rebalances(1, 2)
    },
};

pub(super) const CONFIG_AND_DRIFT: Scenario = Scenario {
    number: 28,
    name: "config-and-drift",
    happens: "The file names the new addresses at the instant of the move: just before it, and once just after it.",
    opening: BY_BROKERS,
    play: |drill| config_and_drift(drill).boxed_local(),
    expected: |policy| Expected::within(policy.refused()).respawns(policy.respawns(2, 1.0)),
};

async fn config_and_drift(drill: &Rehearsal) {
    let nodes: Vec<NodeId> = drill.world().cluster().endpoints().into_keys().collect();
    for (subnet, configured_first) in [(1, true), (2, false)] {
        let to = |node: NodeId| Address::new(format!("10.55.{subnet}.{node}"), 9092);
        let configured = || drill.reconfigure(1, nodes.iter().copied().map(to));
        if configured_first {
            configured();
        }
        drill.relocate("all brokers move", to, |door| door, &Door::Refuse);
        if !configured_first {
            configured();
        }
        drill.mark();
        drill.seconds(30).await;
    }
}
