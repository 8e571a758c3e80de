//! Metadata: who is in the cluster, and who leads which partition.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::metadata_response::{MetadataResponsePartition, MetadataResponseTopic};
use kafka_protocol::messages::{MetadataRequest, MetadataResponse};
use steadfast_core::endpoints::view::{Endpoint, View};
use steadfast_core::ids::{ClusterId, LeaderEpoch, NodeId, TopicId};

use super::{
    Api, DecodeError, EncodeError, ErrorCode, address, decoded, encoded, node, shared, throttle, topic_name,
};
use crate::guard::Kind::{Fixed, List, Struct, Text};
use crate::guard::{Shape, between, field, since};
use crate::versions::VersionRange;

/// Asks for brokers and topics. It never creates a topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Metadata {
    /// The topics to describe: all of them if none, no topic if empty (an answer of a few hundred bytes).
    pub topics: Option<Vec<Arc<str>>>,
}

/// The broker's answer.
#[derive(Debug, Clone, PartialEq)]
pub struct MetadataAnswer {
    /// Anything but NONE from version 13: REBOOTSTRAP_REQUIRED (KIP-1102).
    pub error: ErrorCode,
    /// How long the broker holds back further answers on this connection (KIP-219).
    pub throttle: Duration,
    /// Cluster id and endpoints, with racks, on the listener that was asked.
    pub view: View<NodeId>,
    /// The controller; informational only, KRaft brokers name a random one.
    pub controller: Option<NodeId>,
    /// The topics that were asked for.
    pub topics: Vec<TopicMetadata>,
}

/// One topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicMetadata {
    /// What is wrong with the topic, UNKNOWN_TOPIC_OR_PARTITION for instance.
    pub error: ErrorCode,
    /// Its name.
    pub name: Arc<str>,
    /// Its identity, from version 10.
    pub id: TopicId,
    /// Whether Kafka itself keeps it.
    pub is_internal: bool,
    /// Its partitions, in the order of the answer.
    pub partitions: Vec<PartitionMetadata>,
}

/// One partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PartitionMetadata {
    /// What is wrong with the partition, LEADER_NOT_AVAILABLE for instance.
    pub error: ErrorCode,
    /// Its number within the topic.
    pub index: i32,
    /// Who leads it, if anybody does.
    pub leader: Option<NodeId>,
    /// The epoch of that leader.
    pub leader_epoch: LeaderEpoch,
}

impl Api for Metadata {
    const KEY: i16 = 3;
    const NAME: &'static str = "Metadata";
    const VERSIONS: VersionRange = VersionRange::new(9, 13);
    const FLEXIBLE: i16 = 9;
    type Answer = MetadataAnswer;

    fn throttle(answer: &MetadataAnswer) -> Duration {
        answer.throttle
    }

    fn encode(&self, version: i16, into: &mut BytesMut) -> Result<(), EncodeError> {
        let asked = |name: &Arc<str>| MetadataRequestTopic::default().with_name(Some(topic_name(name)));
        let message = MetadataRequest::default()
            .with_topics(self.topics.as_ref().map(|names| names.iter().map(asked).collect()))
            .with_allow_auto_topic_creation(false);
        encoded::<Self>(&message, version, into)
    }

    fn decode(version: i16, body: Bytes) -> Result<MetadataAnswer, DecodeError> {
        let message: MetadataResponse = decoded::<Self, _>(&ANSWER, version, body)?;
        let invalid = |reason| DecodeError::invalid::<Self>(version, reason);
        let view = view_of(&message).map_err(invalid)?;
        let topics = message.topics.iter().map(topic_of).collect::<Result<_, _>>().map_err(invalid)?;
        Ok(MetadataAnswer {
            error: ErrorCode(message.error_code),
            throttle: throttle(message.throttle_time_ms),
            view,
            controller: node(message.controller_id.0),
            topics,
        })
    }
}

fn view_of(message: &MetadataResponse) -> Result<View<NodeId>, String> {
    let cluster = message.cluster_id.as_ref().map(|id| ClusterId(shared(id)));
    let mut view = View::new(cluster, []);
    for broker in &message.brokers {
        let rack = broker.rack.as_ref().map(|rack| rack.to_string());
        let address = address(&broker.host, broker.port)?;
        view.endpoints.insert(NodeId(broker.node_id.0), Endpoint { address, rack });
    }
    Ok(view)
}

fn topic_of(topic: &MetadataResponseTopic) -> Result<TopicMetadata, String> {
    let name = topic.name.as_ref().ok_or("expected a topic's name, found none")?;
    Ok(TopicMetadata {
        error: ErrorCode(topic.error_code),
        name: shared(name),
        id: TopicId(topic.topic_id.as_u128()),
        is_internal: topic.is_internal,
        partitions: topic.partitions.iter().map(partition_of).collect(),
    })
}

fn partition_of(partition: &MetadataResponsePartition) -> PartitionMetadata {
    PartitionMetadata {
        error: ErrorCode(partition.error_code),
        index: partition.partition_index,
        leader: node(partition.leader_id.0),
        leader_epoch: LeaderEpoch(partition.leader_epoch),
    }
}

static ANSWER: Shape = Shape {
    fields: &[
        field("throttle_time_ms", Fixed(4)),
        field("brokers", List(&Struct(&BROKER))),
        field("cluster_id", Text),
        field("controller_id", Fixed(4)),
        field("topics", List(&Struct(&TOPIC))),
        between(8, 10, "cluster_authorized_operations", Fixed(4)),
        since(13, "error_code", Fixed(2)),
    ],
    tags: &[],
};

static BROKER: Shape = Shape {
    fields: &[field("node_id", Fixed(4)), field("host", Text), field("port", Fixed(4)), field("rack", Text)],
    tags: &[],
};

static TOPIC: Shape = Shape {
    fields: &[
        field("error_code", Fixed(2)),
        field("name", Text),
        since(10, "topic_id", Fixed(16)),
        field("is_internal", Fixed(1)),
        field("partitions", List(&Struct(&PARTITION))),
        field("topic_authorized_operations", Fixed(4)),
    ],
    tags: &[],
};

static PARTITION: Shape = Shape {
    fields: &[
        field("error_code", Fixed(2)),
        field("partition_index", Fixed(4)),
        field("leader_id", Fixed(4)),
        field("leader_epoch", Fixed(4)),
        field("replica_nodes", List(&Fixed(4))),
        field("isr_nodes", List(&Fixed(4))),
        field("offline_replicas", List(&Fixed(4))),
    ],
    tags: &[],
};
