//! OffsetForLeaderEpoch: where an epoch ends in the leader's log, for the detection of truncation (KIP-320).

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use kafka_protocol::messages::offset_for_leader_epoch_request::{
    OffsetForLeaderPartition, OffsetForLeaderTopic,
};
use kafka_protocol::messages::offset_for_leader_epoch_response::EpochEndOffset;
use kafka_protocol::messages::{OffsetForLeaderEpochRequest, OffsetForLeaderEpochResponse};
use steadfast_core::ids::{LeaderEpoch, Offset, Partition};

use super::fetch::EpochEnd;
use super::{
    Api, DecodeError, EncodeError, ErrorCode, by_topic, decoded, encoded, shared, throttle, topic_name,
};
use crate::guard::Kind::{Fixed, List, Struct, Text};
use crate::guard::{Shape, field};
use crate::versions::VersionRange;

/// Asks the leader of some partitions where epochs end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OffsetForLeaderEpoch {
    /// What is asked about each partition.
    pub partitions: BTreeMap<Partition, EpochAsked>,
}

/// What is asked about one partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EpochAsked {
    /// The epoch of the leader that we believe in: another one refuses.
    pub current_leader: LeaderEpoch,
    /// The epoch whose end is wanted.
    pub epoch: LeaderEpoch,
}

/// The leader's answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OffsetForLeaderEpochAnswer {
    /// How long the broker holds back further answers on this connection (KIP-219).
    pub throttle: Duration,
    /// The largest epoch up to the one asked for, and its end; none if the leader knows no such epoch.
    pub partitions: BTreeMap<Partition, Result<Option<EpochEnd>, ErrorCode>>,
}

impl Api for OffsetForLeaderEpoch {
    const KEY: i16 = 23;
    const NAME: &'static str = "OffsetForLeaderEpoch";
    const VERSIONS: VersionRange = VersionRange::new(3, 4);
    const FLEXIBLE: i16 = 4;
    type Answer = OffsetForLeaderEpochAnswer;

    fn throttle(answer: &OffsetForLeaderEpochAnswer) -> Duration {
        answer.throttle
    }

    fn encode(&self, version: i16, into: &mut BytesMut) -> Result<(), EncodeError> {
        let topics = by_topic(&self.partitions).into_iter().map(|(name, partitions)| {
            OffsetForLeaderTopic::default()
                .with_topic(topic_name(name))
                .with_partitions(partitions.into_iter().map(partition_asked).collect())
        });
        let message =
            OffsetForLeaderEpochRequest::default().with_replica_id((-1).into()).with_topics(topics.collect());
        encoded::<Self>(&message, version, into)
    }

    fn decode(version: i16, body: Bytes) -> Result<OffsetForLeaderEpochAnswer, DecodeError> {
        let message: OffsetForLeaderEpochResponse = decoded::<Self, _>(&ANSWER, version, body)?;
        let mut partitions = BTreeMap::new();
        for topic in &message.topics {
            let name = shared(&topic.topic);
            for at in &topic.partitions {
                partitions.insert(Partition::new(name.clone(), at.partition), end_of(at));
            }
        }
        Ok(OffsetForLeaderEpochAnswer { throttle: throttle(message.throttle_time_ms), partitions })
    }
}

fn partition_asked((index, asked): (i32, &EpochAsked)) -> OffsetForLeaderPartition {
    OffsetForLeaderPartition::default()
        .with_partition(index)
        .with_current_leader_epoch(asked.current_leader.0)
        .with_leader_epoch(asked.epoch.0)
}

fn end_of(at: &EpochEndOffset) -> Result<Option<EpochEnd>, ErrorCode> {
    ErrorCode(at.error_code).check()?;
    let known = at.leader_epoch >= 0 && at.end_offset >= 0;
    Ok(known.then_some(EpochEnd { epoch: LeaderEpoch(at.leader_epoch), end_offset: Offset(at.end_offset) }))
}

static ANSWER: Shape = Shape {
    fields: &[field("throttle_time_ms", Fixed(4)), field("topics", List(&Struct(&TOPIC)))],
    tags: &[],
};

static TOPIC: Shape =
    Shape { fields: &[field("topic", Text), field("partitions", List(&Struct(&PARTITION)))], tags: &[] };

static PARTITION: Shape = Shape {
    fields: &[
        field("error_code", Fixed(2)),
        field("partition", Fixed(4)),
        field("leader_epoch", Fixed(4)),
        field("end_offset", Fixed(8)),
    ],
    tags: &[],
};
