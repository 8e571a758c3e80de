//! Some brokers move; some come and go.

use futures::FutureExt;
use steadfast_core::ids::NodeId;
use steadfast_sim::faults::{Fault, Old};

use crate::drill::expected::Expected;
use crate::drill::opening::Opening;
use crate::drill::scenario::Scenario;

pub(super) const PARTIAL: Scenario = Scenario {
    number: 13,
    name: "partial",
    happens: "One of three brokers moves, later the other two.",
    opening: Opening::USUAL,
    play: |drill| {
        async {
            drill.move_some([1], Old::Refuse);
            drill.mark();
            drill.seconds(30).await;
            drill.move_some([2, 3], Old::BlackHole);
            drill.mark();
            drill.seconds(30).await;
        }
        .boxed_local()
    },
    expected: |policy| {
        let respawns = policy.respawns(1, 1.0 / 3.0) + policy.respawns(1, 2.0 / 3.0);
        Expected::within(policy.silent()).respawns(respawns)
    },
};

pub(super) const SCALE: Scenario = Scenario {
    number: 14,
    name: "scale",
    happens: "A fourth broker joins, takes nothing, and another leaves for good; later that one is back.",
    opening: Opening::USUAL,
    play: |drill| {
        async {
            drill.befall(Fault::AddBroker { node: NodeId(4) });
            drill.mark();
            drill.seconds(20).await;
            drill.befall(Fault::RemoveBroker { node: NodeId(1) });
            drill.mark();
            drill.seconds(20).await;
            drill.befall(Fault::AddBroker { node: NodeId(1) });
            drill.mark();
            drill.seconds(20).await;
        }
        .boxed_local()
    },
    expected: |policy| Expected::within(policy.refused()).respawns(policy.respawns(1, 0.25)),
};
