//! Fetch: records of many partitions from one broker. No session (KIP-227) is used: id 0, epoch -1.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use kafka_protocol::messages::fetch_response::{FetchableTopicResponse, PartitionData};
use kafka_protocol::messages::{FetchRequest, FetchResponse};
use steadfast_core::endpoints::view::{Address, Endpoint};
use steadfast_core::ids::{LeaderEpoch, NodeId, Offset, TopicId};
use uuid::Uuid;

use super::{
    Api, DecodeError, EncodeError, ErrorCode, Isolation, address, decoded, encoded, milliseconds, node,
    shared, text, throttle, topic_name,
};
use crate::guard::Kind::{Blob, Fixed, List, Struct, Text};
use crate::guard::{Shape, between, field, since, tag};
use crate::versions::VersionRange;

/// The last version that names topics by name; from the next one on it is by id (KIP-516).
const LAST_BY_NAME: i16 = 12;

/// Asks for records.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fetch {
    /// How long the broker may wait for `min_bytes`.
    pub max_wait: Duration,
    /// How many bytes make an answer worth sending at once.
    pub min_bytes: i32,
    /// How many bytes the answer should have at most; the first batch comes whole even if it is larger.
    pub max_bytes: i32,
    /// Whether records of open and aborted transactions are wanted.
    pub isolation: Isolation,
    /// The rack of the client, for the choice of a nearer replica (KIP-392); empty for none.
    pub rack: Arc<str>,
    /// The partitions, by topic. A topic without a known id keeps the whole request below version 13.
    pub topics: Vec<FetchFrom>,
}

/// The partitions of one topic to fetch from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FetchFrom {
    /// The topic's name.
    pub name: Arc<str>,
    /// Its identity, if known.
    pub id: TopicId,
    /// Its partitions.
    pub partitions: Vec<PartitionFrom>,
}

/// Where to fetch from in one partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PartitionFrom {
    /// The partition's number.
    pub index: i32,
    /// The first offset wanted.
    pub offset: Offset,
    /// The epoch of the leader that we believe in: another one refuses (KIP-320).
    pub leader_epoch: LeaderEpoch,
    /// The epoch of the last record before `offset`, for the detection of truncation (KIP-595).
    pub last_fetched_epoch: LeaderEpoch,
    /// How many bytes this partition may contribute.
    pub max_bytes: i32,
}

/// The broker's answer.
#[derive(Debug, Clone, PartialEq)]
pub struct FetchAnswer {
    /// What is wrong with the whole request.
    pub error: ErrorCode,
    /// How long the broker holds back further answers on this connection (KIP-219).
    pub throttle: Duration,
    /// The topics, in the order of the answer.
    pub topics: Vec<Fetched>,
    /// Where the new leaders that the partitions name are reached (KIP-951, version 16).
    pub endpoints: BTreeMap<NodeId, Endpoint>,
}

/// What came of one topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fetched {
    /// The topic, by name or by id as the version has it.
    pub topic: TopicKey,
    /// Its partitions, in the order of the answer.
    pub partitions: Vec<FetchedPartition>,
}

/// A topic as an answer names it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum TopicKey {
    /// Up to version 12.
    Name(Arc<str>),
    /// From version 13.
    Id(TopicId),
}

/// What came of one partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FetchedPartition {
    /// The partition's number.
    pub index: i32,
    /// What is wrong with it.
    pub error: ErrorCode,
    /// The end of what is replicated.
    pub high_watermark: Option<Offset>,
    /// The end of what read_committed may read.
    pub last_stable_offset: Option<Offset>,
    /// The first offset that is kept.
    pub log_start_offset: Option<Offset>,
    /// The aborted transactions within the records; only under read_committed.
    pub aborted: Vec<AbortedTransaction>,
    /// A replica nearer by that should be asked instead (KIP-392).
    pub preferred_read_replica: Option<NodeId>,
    /// Where this log parts from what we fetched before (version 12).
    pub diverging: Option<EpochEnd>,
    /// Who leads the partition, if the broker says that we are wrong about it (version 12).
    pub current_leader: Option<CurrentLeader>,
    /// Record batches: a slice of the answer's bytes. The last batch may be cut off.
    pub records: Option<Bytes>,
}

/// A transaction whose records read_committed must not see.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct AbortedTransaction {
    /// Its first offset in this partition.
    pub first_offset: Offset,
    /// Whose transaction.
    pub producer_id: i64,
}

/// The last epoch that both logs share, and its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EpochEnd {
    /// The epoch.
    pub epoch: LeaderEpoch,
    /// The offset after its last record.
    pub end_offset: Offset,
}

/// A partition's leader as a broker knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CurrentLeader {
    /// The leader, if there is one.
    pub node: Option<NodeId>,
    /// Its epoch.
    pub epoch: LeaderEpoch,
}

impl Api for Fetch {
    const KEY: i16 = 1;
    const NAME: &'static str = "Fetch";
    const VERSIONS: VersionRange = VersionRange::new(4, 17);
    const FLEXIBLE: i16 = 12;
    type Answer = FetchAnswer;

    fn throttle(answer: &FetchAnswer) -> Duration {
        answer.throttle
    }

    fn versions(&self) -> VersionRange {
        match self.topics.iter().all(|topic| topic.id != TopicId::UNKNOWN) {
            true => Self::VERSIONS,
            false => VersionRange::new(Self::VERSIONS.min, LAST_BY_NAME),
        }
    }

    fn encode(&self, version: i16, into: &mut BytesMut) -> Result<(), EncodeError> {
        let message = FetchRequest::default()
            .with_max_wait_ms(milliseconds(self.max_wait))
            .with_min_bytes(self.min_bytes)
            .with_max_bytes(self.max_bytes)
            .with_isolation_level(self.isolation.on_the_wire())
            .with_session_id(0)
            .with_session_epoch(-1)
            .with_rack_id(text(&self.rack))
            .with_topics(self.topics.iter().map(|topic| topic_asked(topic, version)).collect());
        encoded::<Self>(&message, version, into)
    }

    fn decode(version: i16, body: Bytes) -> Result<FetchAnswer, DecodeError> {
        let message: FetchResponse = decoded::<Self, _>(&ANSWER, version, body)?;
        let mut endpoints = BTreeMap::new();
        for broker in &message.node_endpoints {
            let address: Address = address(&broker.host, broker.port)
                .map_err(|reason| DecodeError::invalid::<Self>(version, reason))?;
            let rack = broker.rack.as_ref().map(|rack| rack.to_string());
            endpoints.insert(NodeId(broker.node_id.0), Endpoint { address, rack });
        }
        Ok(FetchAnswer {
            error: ErrorCode(message.error_code),
            throttle: throttle(message.throttle_time_ms),
            topics: message.responses.into_iter().map(|topic| fetched(topic, version)).collect(),
            endpoints,
        })
    }
}

fn topic_asked(topic: &FetchFrom, version: i16) -> FetchTopic {
    let partitions = topic.partitions.iter().map(|from| partition_asked(from, version)).collect();
    let asked = FetchTopic::default().with_partitions(partitions);
    match version {
        ..=LAST_BY_NAME => asked.with_topic(topic_name(&topic.name)),
        _ => asked.with_topic_id(Uuid::from_u128(topic.id.0)),
    }
}

fn partition_asked(from: &PartitionFrom, version: i16) -> FetchPartition {
    let asked = FetchPartition::default()
        .with_partition(from.index)
        .with_fetch_offset(from.offset.0)
        .with_current_leader_epoch(from.leader_epoch.0)
        .with_log_start_offset(-1)
        .with_partition_max_bytes(from.max_bytes);
    match version {
        ..=11 => asked,
        _ => asked.with_last_fetched_epoch(from.last_fetched_epoch.0),
    }
}

fn fetched(topic: FetchableTopicResponse, version: i16) -> Fetched {
    let key = match version {
        ..=LAST_BY_NAME => TopicKey::Name(shared(&topic.topic)),
        _ => TopicKey::Id(TopicId(topic.topic_id.as_u128())),
    };
    Fetched { topic: key, partitions: topic.partitions.into_iter().map(partition_fetched).collect() }
}

fn partition_fetched(data: PartitionData) -> FetchedPartition {
    let aborted = data.aborted_transactions.unwrap_or_default();
    let diverging = EpochEnd {
        epoch: LeaderEpoch(data.diverging_epoch.epoch),
        end_offset: Offset(data.diverging_epoch.end_offset),
    };
    let leader = CurrentLeader {
        node: node(data.current_leader.leader_id.0),
        epoch: LeaderEpoch(data.current_leader.leader_epoch),
    };
    FetchedPartition {
        index: data.partition_index,
        error: ErrorCode(data.error_code),
        high_watermark: known(data.high_watermark),
        last_stable_offset: known(data.last_stable_offset),
        log_start_offset: known(data.log_start_offset),
        aborted: aborted.iter().map(aborted_of).collect(),
        preferred_read_replica: node(data.preferred_read_replica.0),
        diverging: diverging.epoch.known().map(|_| diverging),
        current_leader: leader.epoch.known().map(|_| leader),
        records: data.records,
    }
}

fn aborted_of(
    transaction: &kafka_protocol::messages::fetch_response::AbortedTransaction,
) -> AbortedTransaction {
    AbortedTransaction {
        producer_id: transaction.producer_id.0,
        first_offset: Offset(transaction.first_offset),
    }
}

/// -1 stands for an offset that is not known.
fn known(offset: i64) -> Option<Offset> {
    (offset >= 0).then_some(Offset(offset))
}

static ANSWER: Shape = Shape {
    fields: &[
        field("throttle_time_ms", Fixed(4)),
        since(7, "error_code", Fixed(2)),
        since(7, "session_id", Fixed(4)),
        field("responses", List(&Struct(&TOPIC))),
    ],
    tags: &[tag(0, 16, "node_endpoints", List(&Struct(&NODE_ENDPOINT)))],
};

static TOPIC: Shape = Shape {
    fields: &[
        between(4, LAST_BY_NAME, "topic", Text),
        since(13, "topic_id", Fixed(16)),
        field("partitions", List(&Struct(&PARTITION))),
    ],
    tags: &[],
};

static PARTITION: Shape = Shape {
    fields: &[
        field("partition_index", Fixed(4)),
        field("error_code", Fixed(2)),
        field("high_watermark", Fixed(8)),
        field("last_stable_offset", Fixed(8)),
        since(5, "log_start_offset", Fixed(8)),
        field("aborted_transactions", List(&Struct(&ABORTED))),
        since(11, "preferred_read_replica", Fixed(4)),
        field("records", Blob),
    ],
    tags: &[
        tag(0, 12, "diverging_epoch", Struct(&DIVERGING_EPOCH)),
        tag(1, 12, "current_leader", Struct(&CURRENT_LEADER)),
        tag(2, 12, "snapshot_id", Struct(&SNAPSHOT_ID)),
    ],
};

static ABORTED: Shape =
    Shape { fields: &[field("producer_id", Fixed(8)), field("first_offset", Fixed(8))], tags: &[] };

static DIVERGING_EPOCH: Shape =
    Shape { fields: &[field("epoch", Fixed(4)), field("end_offset", Fixed(8))], tags: &[] };

static CURRENT_LEADER: Shape =
    Shape { fields: &[field("leader_id", Fixed(4)), field("leader_epoch", Fixed(4))], tags: &[] };

static SNAPSHOT_ID: Shape =
    Shape { fields: &[field("end_offset", Fixed(8)), field("epoch", Fixed(4))], tags: &[] };

static NODE_ENDPOINT: Shape = Shape {
    fields: &[field("node_id", Fixed(4)), field("host", Text), field("port", Fixed(4)), field("rack", Text)],
    tags: &[],
};
