//! OffsetCommit: stores how far a group has come.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use kafka_protocol::messages::offset_commit_request::{
    OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use kafka_protocol::messages::{OffsetCommitRequest, OffsetCommitResponse};
use steadfast_core::group::GroupProtocol;
use steadfast_core::ids::{GroupGeneration, LeaderEpoch, Offset, Partition};

use super::{
    Api, DecodeError, EncodeError, ErrorCode, by_topic, decoded, encoded, group_id, optional_text, shared,
    text, throttle, topic_name,
};
use crate::guard::Kind::{Fixed, List, Struct, Text};
use crate::guard::{Shape, field};
use crate::versions::VersionRange;

/// The first version in which members of the consumer protocol commit (KIP-848): brokers that have it check the epoch.
const MEMBER_EPOCHS: i16 = 9;

/// Asks to store offsets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OffsetCommit {
    /// The group's id.
    pub group: Arc<str>,
    /// Under which protocol it is a member: the consumer protocol needs version 9.
    pub protocol: GroupProtocol,
    /// The generation that the member is in, or its member epoch.
    pub generation: GroupGeneration,
    /// The member's id.
    pub member: Arc<str>,
    /// `group.instance.id` of a static member (KIP-345).
    pub instance: Option<Arc<str>>,
    /// What to store.
    pub offsets: BTreeMap<Partition, CommittedOffset>,
}

/// What Kafka stores for one partition of a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommittedOffset {
    /// The next offset to process.
    pub offset: Offset,
    /// The epoch of the last processed record (KIP-320), or [`LeaderEpoch::UNKNOWN`].
    pub leader_epoch: LeaderEpoch,
    /// A note beside it; empty for none. Brokers bound its length (`offset.metadata.max.bytes`).
    pub metadata: Arc<str>,
}

/// The coordinator's answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OffsetCommitAnswer {
    /// How long the broker holds back further answers on this connection (KIP-219).
    pub throttle: Duration,
    /// What came of each partition.
    pub partitions: BTreeMap<Partition, ErrorCode>,
}

impl Api for OffsetCommit {
    const KEY: i16 = 8;
    const NAME: &'static str = "OffsetCommit";
    const VERSIONS: VersionRange = VersionRange::new(7, 9);
    const FLEXIBLE: i16 = 8;
    type Answer = OffsetCommitAnswer;

    fn throttle(answer: &OffsetCommitAnswer) -> Duration {
        answer.throttle
    }

    fn versions(&self) -> VersionRange {
        Self::VERSIONS.starting_at_if(MEMBER_EPOCHS, self.protocol == GroupProtocol::Consumer)
    }

    fn encode(&self, version: i16, into: &mut BytesMut) -> Result<(), EncodeError> {
        let topics = by_topic(&self.offsets).into_iter().map(|(name, partitions)| {
            OffsetCommitRequestTopic::default()
                .with_name(topic_name(name))
                .with_partitions(partitions.into_iter().map(partition_committed).collect())
        });
        let message = OffsetCommitRequest::default()
            .with_group_id(group_id(&self.group))
            .with_generation_id_or_member_epoch(self.generation.0)
            .with_member_id(text(&self.member))
            .with_group_instance_id(optional_text(&self.instance))
            .with_topics(topics.collect());
        encoded::<Self>(&message, version, into)
    }

    fn decode(version: i16, body: Bytes) -> Result<OffsetCommitAnswer, DecodeError> {
        let message: OffsetCommitResponse = decoded::<Self, _>(&ANSWER, version, body)?;
        let mut partitions = BTreeMap::new();
        for topic in &message.topics {
            let name = shared(&topic.name);
            for partition in &topic.partitions {
                let key = Partition::new(name.clone(), partition.partition_index);
                partitions.insert(key, ErrorCode(partition.error_code));
            }
        }
        Ok(OffsetCommitAnswer { throttle: throttle(message.throttle_time_ms), partitions })
    }
}

fn partition_committed((index, commit): (i32, &CommittedOffset)) -> OffsetCommitRequestPartition {
    OffsetCommitRequestPartition::default()
        .with_partition_index(index)
        .with_committed_offset(commit.offset.0)
        .with_committed_leader_epoch(commit.leader_epoch.0)
        .with_committed_metadata(Some(text(&commit.metadata)))
}

static ANSWER: Shape = Shape {
    fields: &[field("throttle_time_ms", Fixed(4)), field("topics", List(&Struct(&TOPIC)))],
    tags: &[],
};

static TOPIC: Shape =
    Shape { fields: &[field("name", Text), field("partitions", List(&Struct(&PARTITION)))], tags: &[] };

static PARTITION: Shape =
    Shape { fields: &[field("partition_index", Fixed(4)), field("error_code", Fixed(2))], tags: &[] };
