//! DescribeCluster: who is in the cluster, without topics (KIP-700). Not every broker or listener has it:
//! nothing may depend on it.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use kafka_protocol::messages::{DescribeClusterRequest, DescribeClusterResponse};
use steadfast_core::endpoints::view::{Endpoint, View};
use steadfast_core::ids::{ClusterId, NodeId};

use super::{Api, DecodeError, EncodeError, ErrorCode, address, decoded, encoded, node, shared, throttle};
use crate::guard::Kind::{Fixed, List, Struct, Text};
use crate::guard::{Shape, field, since};
use crate::versions::VersionRange;

/// Asks for the brokers that serve.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct DescribeCluster;

/// The broker's answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DescribeClusterAnswer {
    /// What is wrong with the request.
    pub error: ErrorCode,
    /// How long the broker holds back further answers on this connection (KIP-219).
    pub throttle: Duration,
    /// Cluster id and endpoints, with racks, on the listener that was asked.
    pub view: View<NodeId>,
    /// The controller; informational only, KRaft brokers name a random one.
    pub controller: Option<NodeId>,
}

impl Api for DescribeCluster {
    const KEY: i16 = 60;
    const NAME: &'static str = "DescribeCluster";
    const VERSIONS: VersionRange = VersionRange::new(0, 2);
    const FLEXIBLE: i16 = 0;
    type Answer = DescribeClusterAnswer;

    fn throttle(answer: &DescribeClusterAnswer) -> Duration {
        answer.throttle
    }

    fn encode(&self, version: i16, into: &mut BytesMut) -> Result<(), EncodeError> {
        encoded::<Self>(&DescribeClusterRequest::default(), version, into)
    }

    fn decode(version: i16, body: Bytes) -> Result<DescribeClusterAnswer, DecodeError> {
        let message: DescribeClusterResponse = decoded::<Self, _>(&ANSWER, version, body)?;
        let view = view_of(&message).map_err(|reason| DecodeError::invalid::<Self>(version, reason))?;
        Ok(DescribeClusterAnswer {
            error: ErrorCode(message.error_code),
            throttle: throttle(message.throttle_time_ms),
            view,
            controller: node(message.controller_id.0),
        })
    }
}

fn view_of(message: &DescribeClusterResponse) -> Result<View<NodeId>, String> {
    let cluster = (!message.cluster_id.is_empty()).then(|| ClusterId(shared(&message.cluster_id)));
    let mut view = View::new(cluster, []);
    for broker in &message.brokers {
        let rack = broker.rack.as_ref().map(|rack| rack.to_string());
        let address = address(&broker.host, broker.port)?;
        view.endpoints.insert(NodeId(broker.broker_id.0), Endpoint { address, rack });
    }
    Ok(view)
}

static ANSWER: Shape = Shape {
    fields: &[
        field("throttle_time_ms", Fixed(4)),
        field("error_code", Fixed(2)),
        field("error_message", Text),
        since(1, "endpoint_type", Fixed(1)),
        field("cluster_id", Text),
        field("controller_id", Fixed(4)),
        field("brokers", List(&Struct(&BROKER))),
        field("cluster_authorized_operations", Fixed(4)),
    ],
    tags: &[],
};

static BROKER: Shape = Shape {
    fields: &[
        field("broker_id", Fixed(4)),
        field("host", Text),
        field("port", Fixed(4)),
        field("rack", Text),
        since(2, "is_fenced", Fixed(1)),
    ],
    tags: &[],
};
