//! ListOffsets: where a partition begins and ends.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use kafka_protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use kafka_protocol::messages::list_offsets_response::ListOffsetsPartitionResponse;
use kafka_protocol::messages::{ListOffsetsRequest, ListOffsetsResponse};
use steadfast_core::ids::{LeaderEpoch, Offset, Partition};

use super::{
    Api, DecodeError, EncodeError, ErrorCode, Isolation, by_topic, decoded, encoded, shared, throttle,
    topic_name,
};
use crate::guard::Kind::{Fixed, List, Struct, Text};
use crate::guard::{Shape, field};
use crate::versions::VersionRange;

/// Asks the leader of some partitions for offsets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListOffsets {
    /// Whether the end is the last stable offset or the high watermark.
    pub isolation: Isolation,
    /// What is asked about each partition.
    pub partitions: BTreeMap<Partition, OffsetAsked>,
}

/// What is asked about one partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OffsetAsked {
    /// Which end of the log.
    pub at: LogEnd,
    /// The epoch of the leader that we believe in, or [`LeaderEpoch::UNKNOWN`] (KIP-320).
    pub leader_epoch: LeaderEpoch,
}

/// An end of a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogEnd {
    /// The first offset that is kept.
    Earliest,
    /// The offset after the last one that may be read.
    Latest,
}

/// The leader's answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListOffsetsAnswer {
    /// How long the broker holds back further answers on this connection (KIP-219).
    pub throttle: Duration,
    /// What was found in each partition, or why nothing was: NOT_LEADER_OR_FOLLOWER for instance.
    pub partitions: BTreeMap<Partition, Result<ListedOffset, ErrorCode>>,
}

/// An offset as a leader lists it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ListedOffset {
    /// The offset.
    pub offset: Offset,
    /// The epoch it belongs to, or [`LeaderEpoch::UNKNOWN`].
    pub leader_epoch: LeaderEpoch,
}

impl Api for ListOffsets {
    const KEY: i16 = 2;
    const NAME: &'static str = "ListOffsets";
    /// Version 10 adds nothing but a limit for lookups in tiered storage, which neither end of a log needs.
    const VERSIONS: VersionRange = VersionRange::new(4, 9);
    const FLEXIBLE: i16 = 6;
    type Answer = ListOffsetsAnswer;

    fn throttle(answer: &ListOffsetsAnswer) -> Duration {
        answer.throttle
    }

    fn encode(&self, version: i16, into: &mut BytesMut) -> Result<(), EncodeError> {
        let topics = by_topic(&self.partitions).into_iter().map(|(name, partitions)| {
            ListOffsetsTopic::default()
                .with_name(topic_name(name))
                .with_partitions(partitions.into_iter().map(partition_asked).collect())
        });
        let message = ListOffsetsRequest::default()
            .with_replica_id((-1).into())
            .with_isolation_level(self.isolation.on_the_wire())
            .with_topics(topics.collect());
        encoded::<Self>(&message, version, into)
    }

    fn decode(version: i16, body: Bytes) -> Result<ListOffsetsAnswer, DecodeError> {
        let message: ListOffsetsResponse = decoded::<Self, _>(&ANSWER, version, body)?;
        let mut partitions = BTreeMap::new();
        for topic in &message.topics {
            let name = shared(&topic.name);
            for at in &topic.partitions {
                let key = Partition::new(name.clone(), at.partition_index);
                let listed =
                    listed(&key, at).map_err(|reason| DecodeError::invalid::<Self>(version, reason))?;
                partitions.insert(key, listed);
            }
        }
        Ok(ListOffsetsAnswer { throttle: throttle(message.throttle_time_ms), partitions })
    }
}

fn partition_asked((index, asked): (i32, &OffsetAsked)) -> ListOffsetsPartition {
    let timestamp = match asked.at {
        LogEnd::Latest => -1,
        LogEnd::Earliest => -2,
    };
    ListOffsetsPartition::default()
        .with_partition_index(index)
        .with_current_leader_epoch(asked.leader_epoch.0)
        .with_timestamp(timestamp)
}

fn listed(
    partition: &Partition,
    at: &ListOffsetsPartitionResponse,
) -> Result<Result<ListedOffset, ErrorCode>, String> {
    match ErrorCode(at.error_code).check() {
        Err(code) => Ok(Err(code)),
        Ok(()) if at.offset < 0 => Err(format!("expected an offset of {partition}, found {}", at.offset)),
        Ok(()) => {
            Ok(Ok(ListedOffset { offset: Offset(at.offset), leader_epoch: LeaderEpoch(at.leader_epoch) }))
        }
    }
}

pub(super) static ANSWER: Shape = Shape {
    fields: &[field("throttle_time_ms", Fixed(4)), field("topics", List(&Struct(&TOPIC)))],
    tags: &[],
};

static TOPIC: Shape =
    Shape { fields: &[field("name", Text), field("partitions", List(&Struct(&PARTITION)))], tags: &[] };

static PARTITION: Shape = Shape {
    fields: &[
        field("partition_index", Fixed(4)),
        field("error_code", Fixed(2)),
        field("timestamp", Fixed(8)),
        field("offset", Fixed(8)),
        field("leader_epoch", Fixed(4)),
    ],
    tags: &[],
};
