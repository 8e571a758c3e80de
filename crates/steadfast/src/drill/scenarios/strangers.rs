//! Somebody says what is not so.

use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use kafka_protocol::messages::ApiKey;
use steadfast_core::ids::NodeId;
use steadfast_sim::embedded::Embedded;
use steadfast_sim::faults::{Fault, Nodes, Old, Way};
use steadfast_sim::guise::Guise;

use crate::drill::expected::Expected;
use crate::drill::opening::{Bootstrap, Opening};
use crate::drill::rehearsal::Rehearsal;
use crate::drill::scenario::Scenario;
use crate::drill::world::GROUP;

const LIED_TO: Opening = Opening { bootstrap: Bootstrap::Both, ..Opening::AN_HOUR };

pub(super) const OTHER_CLUSTER: Scenario = Scenario {
    number: 9,
    name: "other-cluster",
    happens: "A configured address leads to another cluster, and a broker claims to be of one, for an hour.",
    opening: LIED_TO,
    play: |drill| other_cluster(drill).boxed_local(),
    expected: |policy| {
        Expected::within(policy.silent()).respawns(policy.respawns(1, 1.0 / 3.0)).adaptations(1)
    },
};

async fn other_cluster(drill: &Rehearsal) {
    drill.move_some([1], Old::BlackHole);
    drill.mark();
    drill.seconds(20).await;
    drill.befall(Fault::AddressTakenByOtherCluster { node: NodeId(1) });
    drill.befall(Fault::AnswerAsOtherCluster { node: NodeId(2) });
    be_asked_for_an_hour(drill).await;
    drill.befall(Fault::Heal { nodes: Nodes::All });
    for found in asked_of_the_other(drill) {
        drill.find(found);
    }
}

/// What the other cluster was asked that it should not have been; that it was asked nothing is wrong too.
fn asked_of_the_other(drill: &Rehearsal) -> Vec<String> {
    let Some(other) = drill.world().cluster().other_cluster() else {
        return vec!["no address led to another cluster".to_owned()];
    };
    let traffic = other.served().traffic();
    let (about_itself, more): (Vec<_>, Vec<_>) =
        traffic.keys().partition(|api| [ApiKey::ApiVersions as i16, ApiKey::Metadata as i16].contains(api));
    let mut found: Vec<String> =
        more.iter().map(|api| format!("the other cluster was asked for API {api}")).collect();
    if !about_itself.contains(&&(ApiKey::Metadata as i16)) {
        found.push("the other cluster was never asked who it is".to_owned());
    }
    found
}

/// Every ten minutes a connection breaks, and everybody is asked who is in the cluster.
async fn be_asked_for_an_hour(drill: &Rehearsal) {
    for _ in 0..6 {
        drill.befall(Fault::ResetMidFrame { node: NodeId(3), api: ApiKey::Fetch });
        drill.mark();
        drill.seconds(600).await;
    }
}

pub(super) const STALE_BROKER: Scenario = Scenario {
    number: 10,
    name: "stale-broker",
    happens: "All brokers move; one that is cut off from the others names the old ones for an hour, first, then alone.",
    opening: LIED_TO,
    play: |drill| stale_broker(drill).boxed_local(),
    expected: |policy| Expected::within(policy.silent()).respawns(policy.respawns(1, 1.0)).adaptations(0),
};

async fn stale_broker(drill: &Rehearsal) {
    leave_out(drill, NodeId(2));
    drill.seconds(10).await;
    let before = Arc::new(Guise::Stale(drill.world().cluster().endpoints()));
    drill.move_all(Old::Refuse);
    drill.deed("broker 2 goes on naming the old endpoints", |cluster| disguise(cluster, NodeId(2), before));
    let slow = Duration::from_millis(20);
    for node in [1, 3] {
        drill.befall(Fault::Slow { node: NodeId(node), by: slow });
    }
    drill.mark();
    be_asked_for_an_hour(drill).await;
    for node in [1, 3] {
        drill.befall(Fault::Isolate { node: NodeId(node), way: Way::Both });
    }
    drill.seconds(20).await;
    drill.befall(Fault::Heal { nodes: Nodes::Some([NodeId(1), NodeId(3)].into()) });
    drill.mark();
    drill.seconds(20).await;
    drill.befall(Fault::Heal { nodes: Nodes::All });
}

/// The broker leads and coordinates nothing any more, as one that the others miss.
fn leave_out(drill: &Rehearsal, node: NodeId) {
    drill.befall(Fault::MoveLeaders { from: node });
    if drill.world().cluster().with(|cluster| cluster.coordinator(GROUP)) == Some(node) {
        drill.befall(Fault::MoveCoordinator);
    }
}

fn disguise(cluster: &Embedded, node: NodeId, guise: Arc<Guise>) {
    if let Ok(machine) = cluster.machine(node) {
        machine.change_link(|link| link.guise = Some(guise));
    }
}

pub(super) const HALF_METADATA: Scenario = Scenario {
    number: 11,
    name: "half-metadata",
    happens: "Brokers move one by one and name no brokers for 3 s after it; then one names half of them for an hour.",
    opening: LIED_TO,
    play: |drill| half_metadata(drill).boxed_local(),
    expected: |policy| {
        Expected::within(policy.polled()).respawns(policy.respawns(3, 1.0 / 3.0)).adaptations(3)
    },
};

async fn half_metadata(drill: &Rehearsal) {
    for node in [1, 2, 3] {
        let nodes = Nodes::one(NodeId(node));
        drill.befall(Fault::AnswerWithNoBrokers { nodes: nodes.clone() });
        drill.move_some([node], Old::Refuse);
        drill.seconds(3).await;
        drill.befall(Fault::Heal { nodes });
        drill.mark();
        drill.seconds(20).await;
    }
    drill.befall(Fault::AnswerWithHalfOfTheBrokers { nodes: Nodes::one(NodeId(2)) });
    be_asked_for_an_hour(drill).await;
    drill.befall(Fault::Heal { nodes: Nodes::All });
}

pub(super) const LAGGING_METADATA: Scenario = Scenario {
    number: 12,
    name: "lagging-metadata",
    happens: "All brokers move; for 5 s each of them still names the old endpoints.",
    opening: Opening::USUAL,
    play: |drill| lagging(drill).boxed_local(),
    expected: |policy| Expected::within(policy.polled()).respawns(policy.respawns(1, 1.0)),
};

async fn lagging(drill: &Rehearsal) {
    drill.befall(Fault::LagMetadata { during: Duration::from_secs(5) });
    drill.move_all(Old::Refuse);
    drill.seconds(5).await;
    drill.mark();
    drill.seconds(20).await;
}
