//! Some brokers move; some come and go.

use futures::FutureExt;
use steadfast_core::ids::NodeId;
use steadfast_sim::faults::{Fault, Old};

use crate::drill::expected::Expected;
use crate::drill::opening::Opening;
use crate::drill::rehearsal::Rehearsal;
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
    happens: "A fourth broker joins and takes its share; another gives its own away and leaves; later it is back.",
    opening: Opening::USUAL,
    play: |drill| scale(drill).boxed_local(),
    expected: |policy| Expected::within(policy.refused()).respawns(policy.respawns(1, 0.25)),
};

async fn scale(drill: &Rehearsal) {
    let (leaves, joins) = (NodeId(1), NodeId(4));
    drill.befall(Fault::AddBroker { node: joins });
    drill.mark();
    drill.seconds(20).await;
    share(drill, &[joins, NodeId(2), NodeId(3), leaves]);
    drill.mark();
    drill.seconds(20).await;
    share(drill, &[joins, NodeId(2), NodeId(3)]);
    drill.mark();
    drill.seconds(20).await;
    drill.befall(Fault::RemoveBroker { node: leaves });
    drill.mark();
    drill.seconds(20).await;
    drill.befall(Fault::AddBroker { node: leaves });
    share(drill, &[leaves, joins, NodeId(2), NodeId(3)]);
    drill.mark();
    drill.seconds(20).await;
}

/// Each of these brokers leads its share of the partitions, and nobody else leads any.
fn share(drill: &Rehearsal, among: &[NodeId]) {
    for (turn, partition) in drill.world().partitions().iter().enumerate() {
        let mut on = among.to_vec();
        on.rotate_left(turn % among.len());
        let leader = on.first().copied();
        drill.command(&format!("{partition} moves to {on:?}"), |cluster| {
            cluster.with(|cluster| {
                cluster.reassign(partition, on)?;
                leader.map_or(Ok(()), |leader| cluster.move_leader(partition, leader))
            })
        });
    }
}
