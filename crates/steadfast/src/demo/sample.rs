//! A small run, by hand, for the tests of what is counted and told.

use std::collections::BTreeMap;
use std::time::Duration;

use steadfast_core::endpoints::drift::Change;
use steadfast_core::endpoints::view::Address;
use steadfast_core::ids::{ConsumerIncarnation, NodeId, Offset};

use super::plan::{LIMIT, Mode, Plan};
use super::seen::{Acked, Delivery, Mark, Move, Seen, Told};
use crate::events::{Event, Place};

pub(super) const PLAN: Plan =
    Plan { brokers: 2, partitions: 2, records: 8, rate: 1000, mode: Mode::Refused, seed: 1, limit: LIMIT };

pub(super) const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

pub(super) fn acked(partition: i32, sequence: u64, sent: u64) -> Acked {
    Acked { mark: Mark { partition, sequence }, sent: ms(sent) }
}

pub(super) fn delivery(partition: i32, sequence: u64, at: u64) -> Delivery {
    let offset = i64::try_from(sequence).unwrap();
    Delivery { mark: Mark { partition, sequence }, offset, at: ms(at) }
}

pub(super) fn told(at: u64, event: Event) -> Told {
    Told { at: ms(at), event }
}

pub(super) fn respawned(reason: &'static str, at: u64) -> Told {
    let event = Event::ConsumerRespawned {
        incarnation: ConsumerIncarnation(2),
        reason,
        detect_ms: 1.0,
        discover_ms: 15.0,
        verify_ms: 14.5,
        handover_ms: 0.5,
        first_record_ms: Some(15.0),
        gap: 0,
        redelivered: 0,
    };
    told(at, event)
}

pub(super) fn rebalanced(at: u64) -> Told {
    let event = Event::GroupRebalanced {
        generation: 1,
        reason: "first join".to_owned(),
        assignor: "range".to_owned(),
        led: true,
        took_ms: 3.0,
    };
    told(at, event)
}

fn suspected(at: u64) -> Told {
    let reason = "Fetch to 127.0.0.1:4001: the connection is closed: Connection reset by peer (os error 104)";
    told(at, Event::EndpointSuspected { reason: reason.to_owned(), node: Some(NodeId(1)), server: None })
}

fn at(port: u16) -> Address {
    Address::new("127.0.0.1", port)
}

/// Two brokers move at 1,000 ms; both partitions flow before, and again 41 and 52 ms later.
pub(super) fn clean() -> Seen {
    let endpoints = |first: u16| BTreeMap::from([(NodeId(0), at(first)), (NodeId(1), at(first + 1))]);
    let moved = Move {
        at: ms(1_000),
        closed: ms(1_002),
        from: endpoints(4_000),
        to: endpoints(5_000),
        bootstrap: at(4_100),
    };
    let drifted = Event::EndpointDrifted {
        changes: (0..2)
            .map(|node| Change::Moved {
                node: NodeId(node.into()),
                from: at(4_000 + node),
                to: at(5_000 + node),
            })
            .collect(),
        score: 1.0,
        threshold: 0.5,
        action: "respawn",
    };
    let agreed = Event::ViewAgreed { cluster: None, endpoints: moved.to.clone(), support: 2, electorate: 2 };
    let resumed = |partition| Event::PartitionResumed {
        place: Place::new("demo", partition),
        before: Offset(2),
        after: Offset(2),
    };
    Seen {
        plan: PLAN,
        acked: (0..2)
            .flat_map(|partition| {
                [(0, 900), (1, 950), (2, 1_010), (3, 1_040)]
                    .map(|(sequence, sent)| acked(partition, sequence, sent))
            })
            .collect(),
        deliveries: vec![
            delivery(0, 0, 901),
            delivery(1, 0, 902),
            delivery(0, 1, 951),
            delivery(1, 1, 952),
            delivery(0, 2, 1_041),
            delivery(0, 3, 1_042),
            delivery(1, 2, 1_052),
            delivery(1, 3, 1_053),
        ],
        told: vec![
            rebalanced(100),
            suspected(1_004),
            suspected(1_005),
            told(1_020, agreed),
            told(1_021, drifted),
            told(1_036, resumed(0)),
            told(1_049, resumed(1)),
            respawned("drift", 1_050),
        ],
        moved: Some(moved),
        rounds: 1,
        trouble: Vec::new(),
    }
}
