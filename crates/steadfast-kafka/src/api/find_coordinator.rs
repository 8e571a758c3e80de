//! FindCoordinator: which broker coordinates a group.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use kafka_protocol::messages::find_coordinator_response::Coordinator as Entry;
use kafka_protocol::messages::{FindCoordinatorRequest, FindCoordinatorResponse};
use steadfast_core::endpoints::view::Address;
use steadfast_core::ids::NodeId;

use super::{Api, DecodeError, EncodeError, ErrorCode, address, decoded, encoded, text, throttle};
use crate::guard::Kind::{Fixed, List, Struct, Text};
use crate::guard::{Shape, between, field, since};
use crate::versions::VersionRange;

/// Asks for the coordinator of a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FindCoordinator {
    /// The group's id.
    pub group: Arc<str>,
}

/// The broker's answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FindCoordinatorAnswer {
    /// How long the broker holds back further answers on this connection (KIP-219).
    pub throttle: Duration,
    /// The coordinator, or why there is none: COORDINATOR_NOT_AVAILABLE for instance.
    pub coordinator: Result<Coordinator, ErrorCode>,
}

/// Who coordinates a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Coordinator {
    /// The broker.
    pub node: NodeId,
    /// Where it is reached.
    pub address: Address,
}

impl Api for FindCoordinator {
    const KEY: i16 = 10;
    const NAME: &'static str = "FindCoordinator";
    const VERSIONS: VersionRange = VersionRange::new(3, 6);
    const FLEXIBLE: i16 = 3;
    type Answer = FindCoordinatorAnswer;

    fn throttle(answer: &FindCoordinatorAnswer) -> Duration {
        answer.throttle
    }

    fn encode(&self, version: i16, into: &mut BytesMut) -> Result<(), EncodeError> {
        // Several keys in one request since version 4 (KIP-699).
        let message = match version {
            ..=3 => FindCoordinatorRequest::default().with_key(text(&self.group)),
            _ => FindCoordinatorRequest::default().with_coordinator_keys(vec![text(&self.group)]),
        };
        encoded::<Self>(&message, version, into)
    }

    fn decode(version: i16, body: Bytes) -> Result<FindCoordinatorAnswer, DecodeError> {
        let message: FindCoordinatorResponse = decoded::<Self, _>(&ANSWER, version, body)?;
        let invalid = |reason| DecodeError::invalid::<Self>(version, reason);
        let throttle = throttle(message.throttle_time_ms);
        let entry = match version {
            ..=3 => alone(message),
            _ => {
                message.coordinators.into_iter().next().ok_or("expected a coordinator, found none".to_owned())
            }
        };
        let coordinator = coordinator_of(&entry.map_err(invalid)?).map_err(invalid)?;
        Ok(FindCoordinatorAnswer { throttle, coordinator })
    }
}

/// The one coordinator of an answer before version 4.
fn alone(message: FindCoordinatorResponse) -> Result<Entry, String> {
    Ok(Entry::default()
        .with_error_code(message.error_code)
        .with_node_id(message.node_id)
        .with_host(message.host)
        .with_port(message.port))
}

fn coordinator_of(entry: &Entry) -> Result<Result<Coordinator, ErrorCode>, String> {
    match ErrorCode(entry.error_code).check() {
        Err(code) => Ok(Err(code)),
        Ok(()) => {
            let address = address(&entry.host, entry.port)?;
            Ok(Ok(Coordinator { node: NodeId(entry.node_id.0), address }))
        }
    }
}

static ANSWER: Shape = Shape {
    fields: &[
        field("throttle_time_ms", Fixed(4)),
        between(0, 3, "error_code", Fixed(2)),
        between(0, 3, "error_message", Text),
        between(0, 3, "node_id", Fixed(4)),
        between(0, 3, "host", Text),
        between(0, 3, "port", Fixed(4)),
        since(4, "coordinators", List(&Struct(&COORDINATOR))),
    ],
    tags: &[],
};

static COORDINATOR: Shape = Shape {
    fields: &[
        field("key", Text),
        field("node_id", Fixed(4)),
        field("host", Text),
        field("port", Fixed(4)),
        field("error_code", Fixed(2)),
        field("error_message", Text),
    ],
    tags: &[],
};
