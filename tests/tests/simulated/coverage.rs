//! Every fault that there is has a specification here.

use std::collections::BTreeSet;
use std::time::Duration;

use kafka_protocol::messages::ApiKey;
use steadfast_core::ids::NodeId;
use steadfast_sim::faults::{Fault, Nodes, Old, Way};

/// The rooms in which faults happen.
const ROOMS: [&str; 8] = [
    include_str!("brokers.rs"),
    include_str!("coordinators.rs"),
    include_str!("endpoints.rs"),
    include_str!("frames.rs"),
    include_str!("pauses.rs"),
    include_str!("silence.rs"),
    include_str!("storms.rs"),
    include_str!("views.rs"),
];

/// The fault's name in the source. One that is added is to be named here, and so to be specified.
fn name(fault: &Fault) -> &'static str {
    match fault {
        Fault::MoveEndpoints { .. } => "MoveEndpoints",
        Fault::SwapAddresses { .. } => "SwapAddresses",
        Fault::Kill { .. } => "Kill",
        Fault::Restart { .. } => "Restart",
        Fault::Isolate { .. } => "Isolate",
        Fault::SilenceConnections { .. } => "SilenceConnections",
        Fault::Pause { .. } => "Pause",
        Fault::Throttle { .. } => "Throttle",
        Fault::LimitConnections { .. } => "LimitConnections",
        Fault::Slow { .. } => "Slow",
        Fault::Heal { .. } => "Heal",
        Fault::MoveLeaders { .. } => "MoveLeaders",
        Fault::AddBroker { .. } => "AddBroker",
        Fault::RemoveBroker { .. } => "RemoveBroker",
        Fault::AnswerAsOtherCluster { .. } => "AnswerAsOtherCluster",
        Fault::AnswerWithNoBrokers { .. } => "AnswerWithNoBrokers",
        Fault::AnswerWithHalfOfTheBrokers { .. } => "AnswerWithHalfOfTheBrokers",
        Fault::LagMetadata { .. } => "LagMetadata",
        Fault::CoordinatorUnavailable { .. } => "CoordinatorUnavailable",
        Fault::MoveCoordinator => "MoveCoordinator",
        Fault::HangCommits { .. } => "HangCommits",
        Fault::ResetMidFrame { .. } => "ResetMidFrame",
        Fault::TruncateFrame { .. } => "TruncateFrame",
        Fault::CorruptFrame { .. } => "CorruptFrame",
        Fault::WithholdAnswer { .. } => "WithholdAnswer",
        Fault::ChangeDns { .. } => "ChangeDns",
        Fault::RestoreDns { .. } => "RestoreDns",
        Fault::AddressTakenByOtherCluster { .. } => "AddressTakenByOtherCluster",
    }
}

/// One of each kind.
fn kinds() -> Vec<Fault> {
    let (node, nodes, api, during) = (NodeId(1), Nodes::All, ApiKey::Fetch, Duration::ZERO);
    vec![
        Fault::MoveEndpoints { nodes: nodes.clone(), old: Old::Refuse },
        Fault::SwapAddresses { a: node, b: NodeId(2) },
        Fault::Kill { node },
        Fault::Restart { node },
        Fault::Isolate { node, way: Way::Both },
        Fault::SilenceConnections { nodes: nodes.clone() },
        Fault::Pause { node, during },
        Fault::Throttle { nodes: nodes.clone(), by: during },
        Fault::LimitConnections { nodes: nodes.clone(), per_second: 1 },
        Fault::Slow { node, by: during },
        Fault::Heal { nodes: nodes.clone() },
        Fault::MoveLeaders { from: node },
        Fault::AddBroker { node },
        Fault::RemoveBroker { node },
        Fault::AnswerAsOtherCluster { node },
        Fault::AnswerWithNoBrokers { nodes: nodes.clone() },
        Fault::AnswerWithHalfOfTheBrokers { nodes },
        Fault::LagMetadata { during },
        Fault::CoordinatorUnavailable { during },
        Fault::MoveCoordinator,
        Fault::HangCommits { during, stored: true },
        Fault::ResetMidFrame { node, api },
        Fault::TruncateFrame { node, api },
        Fault::CorruptFrame { node, api },
        Fault::WithholdAnswer { node, api },
        Fault::ChangeDns { name: String::new(), hosts: Vec::new() },
        Fault::RestoreDns { name: String::new() },
        Fault::AddressTakenByOtherCluster { node },
    ]
}

/// So many arms has [`name`].
const KINDS: usize = 28;

#[test]
fn every_fault_is_specified() {
    let names: BTreeSet<&str> = kinds().iter().map(name).collect();
    assert_eq!(names.len(), KINDS);
    for name in names {
        let happens = format!("Fault::{name}");
        assert!(ROOMS.iter().any(|room| room.contains(&happens)), "{happens} befalls no world");
    }
    let ways = ["Way::Both", "Way::Requests", "Way::Answers"];
    let olds = ["Old::Refuse", "Old::BlackHole", "Old::Drop", "Old::Stale", "Old::Grace"];
    for value in ways.iter().chain(&olds) {
        assert!(ROOMS.iter().any(|room| room.contains(value)), "{value} befalls no world");
    }
}
