//! Endpoints move, and the brokers behind them are sound.

use std::time::Duration;

use futures::FutureExt;
use steadfast_core::endpoints::view::Address;
use steadfast_core::ids::NodeId;
use steadfast_sim::faults::{Fault, Old};
use steadfast_sim::network::Door;

use crate::drill::expected::Expected;
use crate::drill::opening::{Advertised, Bootstrap, Opening};
use crate::drill::rehearsal::Rehearsal;
use crate::drill::scenario::Scenario;

pub(super) const ALL_REPLACED: Scenario = Scenario {
    number: 1,
    name: "all-replaced",
    happens: "All endpoints are replaced at once; the old ones refuse.",
    opening: Opening::USUAL,
    play: |drill| {
        async {
            drill.move_all(Old::Refuse);
            drill.mark();
            drill.seconds(20).await;
        }
        .boxed_local()
    },
    expected: |policy| Expected::within(policy.refused()).respawns(policy.respawns(1, 1.0)),
};

pub(super) const ROLLING: Scenario = Scenario {
    number: 2,
    name: "rolling",
    happens: "Brokers move one after another; the old addresses still accept connections and never answer.",
    opening: Opening::USUAL,
    play: |drill| {
        async {
            for node in [1, 2, 3] {
                drill.move_some([node], Old::BlackHole);
                drill.mark();
                drill.seconds(20).await;
            }
        }
        .boxed_local()
    },
    expected: |policy| Expected::within(policy.silent()).respawns(policy.respawns(3, 1.0 / 3.0)),
};

pub(super) const RECYCLED: Scenario = Scenario {
    number: 5,
    name: "recycled",
    happens: "Addresses are recycled: broker 2 takes that of 1, 3 that of 2, 1 that of 3.",
    opening: Opening::USUAL,
    play: |drill| {
        async {
            drill.befall(Fault::SwapAddresses { a: NodeId(1), b: NodeId(2) });
            drill.befall(Fault::SwapAddresses { a: NodeId(1), b: NodeId(3) });
            drill.mark();
            drill.seconds(20).await;
        }
        .boxed_local()
    },
    expected: |policy| Expected::within(policy.refused()).respawns(policy.respawns(1, 1.0)),
};

pub(super) const PORT_SWAP: Scenario = Scenario {
    number: 6,
    name: "port-swap",
    happens: "Brokers on one host swap their ports; later each listens at another port, and no longer at the old one.",
    opening: Opening { advertised: Advertised::OneHost, ..Opening::USUAL },
    play: |drill| {
        async {
            drill.befall(Fault::SwapAddresses { a: NodeId(1), b: NodeId(2) });
            drill.befall(Fault::SwapAddresses { a: NodeId(1), b: NodeId(3) });
            drill.mark();
            drill.seconds(30).await;
            let hosts = drill.world().cluster().endpoints();
            let to = |node| {
                let Address { host, port } = hosts.get(&node).cloned().unwrap_or(Address::new("", 0));
                Address::new(host, port + 10_000)
            };
            drill.relocate("every broker listens at another port", to, |door| door, &Door::Refuse);
            drill.mark();
            drill.seconds(20).await;
        }
        .boxed_local()
    },
    expected: |policy| Expected::within(policy.refused()).respawns(policy.respawns(2, 1.0)),
};

pub(super) const FLAPPING: Scenario = Scenario {
    number: 15,
    name: "flapping",
    happens: "For an hour, once a minute, all brokers move to their other addresses and back again.",
    opening: Opening::AN_HOUR,
    play: |drill| flap(drill).boxed_local(),
    expected: |policy| {
        let most = policy.respawns(FLAPS, 1.0).min(policy.most_respawns(MINUTE * FLAPS));
        let expected = Expected::within(policy.silent()).adaptations(FLAPS);
        if most == 0 {
            expected
        } else {
            Expected { respawns: (1, policy.most_respawns(MINUTE * FLAPS)), ..expected }
        }
    },
};

const FLAPS: u32 = 60;
const MINUTE: Duration = Duration::from_secs(60);

async fn flap(drill: &Rehearsal) {
    for turn in 0..FLAPS {
        let (subnet, old) = match turn % 4 {
            0 => (1, Door::Refuse),
            1 => (2, Door::BlackHole),
            2 => (1, Door::Drop),
            _ => (2, Door::Refuse),
        };
        let to = |node: NodeId| Address::new(format!("10.99.{subnet}.{node}"), 9092);
        drill.relocate("all brokers move to their other addresses", to, |door| door, &old);
        drill.mark();
        drill.elapse(MINUTE).await;
    }
}

pub(super) const GRACE: Scenario = Scenario {
    number: 25,
    name: "grace",
    happens: "The old addresses are all that is configured; they serve the new metadata for 10 s, then they die.",
    opening: Opening { bootstrap: Bootstrap::Brokers, ..Opening::USUAL },
    play: |drill| {
        async {
            drill.move_all(Old::Grace(LASTS));
            drill.mark();
            drill.elapse(LASTS).await;
            drill.mark();
            drill.seconds(20).await;
        }
        .boxed_local()
    },
    expected: |policy| Expected::within(policy.refused()).respawns(policy.respawns(1, 1.0)).grace(LASTS),
};

/// How long the old addresses go on serving.
const LASTS: Duration = Duration::from_secs(10);
