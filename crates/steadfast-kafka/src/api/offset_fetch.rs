//! OffsetFetch: how far a group has come, as Kafka has stored it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use kafka_protocol::messages::offset_fetch_request::{
    OffsetFetchRequestGroup, OffsetFetchRequestTopic, OffsetFetchRequestTopics,
};
use kafka_protocol::messages::{OffsetFetchRequest, OffsetFetchResponse};
use kafka_protocol::protocol::StrBytes;
use steadfast_core::group::MemberId;
use steadfast_core::ids::{GroupGeneration, LeaderEpoch, Offset, Partition};

use super::offset_commit::CommittedOffset;
use super::{
    Api, DecodeError, EncodeError, ErrorCode, by_topic, decoded, encoded, group_id, shared, text, throttle,
    topic_name,
};
use crate::guard::Kind::{Fixed, List, Struct, Text};
use crate::guard::{Shape, between, field, since};
use crate::versions::VersionRange;

/// The last version with one group in a request and in an answer (KIP-709).
pub(super) const LAST_ALONE: i16 = 7;

/// The first version that says who asks (KIP-848): who is no member of that epoch (any more) is told so.
const MEMBER_EPOCHS: i16 = 9;

/// Asks for committed offsets. Offsets of open transactions are waited for (RequireStable, KIP-447): the
/// partition answers UNSTABLE_OFFSET_COMMIT.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OffsetFetch {
    /// The group's id.
    pub group: Arc<str>,
    /// Who asks, and its member epoch: needs version 9. None asks as anybody may, which is never refused as stale.
    pub member: Option<(MemberId, GroupGeneration)>,
    /// The partitions.
    pub partitions: BTreeSet<Partition>,
}

/// The coordinator's answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OffsetFetchAnswer {
    /// What is wrong with the whole group, NOT_COORDINATOR for instance.
    pub error: ErrorCode,
    /// How long the broker holds back further answers on this connection (KIP-219).
    pub throttle: Duration,
    /// What is stored for each partition; none if nothing ever was. An error is no reason for a reset.
    pub partitions: BTreeMap<Partition, Result<Option<CommittedOffset>, ErrorCode>>,
}

impl Api for OffsetFetch {
    const KEY: i16 = 9;
    const NAME: &'static str = "OffsetFetch";
    const VERSIONS: VersionRange = VersionRange::new(7, 9);
    const FLEXIBLE: i16 = 6;
    type Answer = OffsetFetchAnswer;

    fn throttle(answer: &OffsetFetchAnswer) -> Duration {
        answer.throttle
    }

    fn versions(&self) -> VersionRange {
        Self::VERSIONS.starting_at_if(MEMBER_EPOCHS, self.member.is_some())
    }

    fn encode(&self, version: i16, into: &mut BytesMut) -> Result<(), EncodeError> {
        let message = OffsetFetchRequest::default().with_require_stable(true);
        let message = match version {
            ..=LAST_ALONE => {
                message.with_group_id(group_id(&self.group)).with_topics(Some(self.topics_alone()))
            }
            _ => message.with_groups(vec![self.one_group(version)]),
        };
        encoded::<Self>(&message, version, into)
    }

    fn decode(version: i16, body: Bytes) -> Result<OffsetFetchAnswer, DecodeError> {
        let message: OffsetFetchResponse = decoded::<Self, _>(&ANSWER, version, body)?;
        let throttle = throttle(message.throttle_time_ms);
        match version {
            ..=LAST_ALONE => Ok(alone(message, throttle)),
            _ => {
                first_group(message, throttle).map_err(|reason| DecodeError::invalid::<Self>(version, reason))
            }
        }
    }
}

impl OffsetFetch {
    fn asked(&self) -> Vec<(&str, Vec<i32>)> {
        let topics = by_topic(self.partitions.iter().map(|partition| (partition, ())));
        let indexes = |partitions: Vec<(i32, ())>| partitions.into_iter().map(|(index, ())| index).collect();
        topics.into_iter().map(|(name, partitions)| (name, indexes(partitions))).collect()
    }

    fn topics_alone(&self) -> Vec<OffsetFetchRequestTopic> {
        let topic = |(name, indexes)| {
            OffsetFetchRequestTopic::default().with_name(topic_name(name)).with_partition_indexes(indexes)
        };
        self.asked().into_iter().map(topic).collect()
    }

    fn one_group(&self, version: i16) -> OffsetFetchRequestGroup {
        let topic = |(name, indexes)| {
            OffsetFetchRequestTopics::default().with_name(topic_name(name)).with_partition_indexes(indexes)
        };
        let topics = self.asked().into_iter().map(topic).collect();
        let group =
            OffsetFetchRequestGroup::default().with_group_id(group_id(&self.group)).with_topics(Some(topics));
        match &self.member {
            Some((member, epoch)) if version >= MEMBER_EPOCHS => {
                group.with_member_id(Some(text(&member.0))).with_member_epoch(epoch.0)
            }
            _ => group,
        }
    }
}

fn alone(message: OffsetFetchResponse, throttle: Duration) -> OffsetFetchAnswer {
    let mut partitions = BTreeMap::new();
    for topic in &message.topics {
        let name = shared(&topic.name);
        for at in &topic.partitions {
            let stored = stored(at.error_code, at.committed_offset, at.committed_leader_epoch, &at.metadata);
            partitions.insert(Partition::new(name.clone(), at.partition_index), stored);
        }
    }
    OffsetFetchAnswer { error: ErrorCode(message.error_code), throttle, partitions }
}

fn first_group(message: OffsetFetchResponse, throttle: Duration) -> Result<OffsetFetchAnswer, String> {
    let group = message.groups.first().ok_or("expected one group, found none")?;
    let mut partitions = BTreeMap::new();
    for topic in &group.topics {
        let name = shared(&topic.name);
        for at in &topic.partitions {
            let stored = stored(at.error_code, at.committed_offset, at.committed_leader_epoch, &at.metadata);
            partitions.insert(Partition::new(name.clone(), at.partition_index), stored);
        }
    }
    Ok(OffsetFetchAnswer { error: ErrorCode(group.error_code), throttle, partitions })
}

/// A negative offset stands for none.
fn stored(
    error: i16,
    offset: i64,
    epoch: i32,
    metadata: &Option<StrBytes>,
) -> Result<Option<CommittedOffset>, ErrorCode> {
    ErrorCode(error).check()?;
    Ok((offset >= 0).then(|| CommittedOffset {
        offset: Offset(offset),
        leader_epoch: LeaderEpoch(epoch),
        metadata: metadata.as_ref().map_or("".into(), shared),
    }))
}

static ANSWER: Shape = Shape {
    fields: &[
        field("throttle_time_ms", Fixed(4)),
        between(0, LAST_ALONE, "topics", List(&Struct(&TOPIC))),
        between(0, LAST_ALONE, "error_code", Fixed(2)),
        since(8, "groups", List(&Struct(&GROUP))),
    ],
    tags: &[],
};

static GROUP: Shape = Shape {
    fields: &[field("group_id", Text), field("topics", List(&Struct(&TOPIC))), field("error_code", Fixed(2))],
    tags: &[],
};

static TOPIC: Shape =
    Shape { fields: &[field("name", Text), field("partitions", List(&Struct(&PARTITION)))], tags: &[] };

static PARTITION: Shape = Shape {
    fields: &[
        field("partition_index", Fixed(4)),
        field("committed_offset", Fixed(8)),
        field("committed_leader_epoch", Fixed(4)),
        field("metadata", Text),
        field("error_code", Fixed(2)),
    ],
    tags: &[],
};
