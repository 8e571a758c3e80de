//! ConsumerGroupHeartbeat: a member of a group under the consumer protocol (KIP-848) joins, stays, says what it has given
//! up, hears what is its own, and leaves.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use kafka_protocol::messages::consumer_group_heartbeat_request::TopicPartitions;
use kafka_protocol::messages::consumer_group_heartbeat_response::TopicPartitions as Assigned;
use kafka_protocol::messages::{ConsumerGroupHeartbeatRequest, ConsumerGroupHeartbeatResponse};
use steadfast_core::group::subscription::ById;
use steadfast_core::ids::{GroupGeneration, TopicId};
use uuid::Uuid;

use super::{
    Api, DecodeError, EncodeError, ErrorCode, decoded, encoded, group_id, milliseconds, optional_shared,
    optional_text, text, throttle, topic_name,
};
use crate::guard::Kind::{Fixed, List, Optional, Struct, Text};
use crate::guard::{Shape, field};
use crate::versions::VersionRange;

/// The first version in which brokers resolve a pattern.
const PATTERNS: i16 = 1;

/// A member's heartbeat. What is none has not changed since the last one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConsumerGroupHeartbeat {
    /// The group's id.
    pub group: Arc<str>,
    /// The id that the member has made for itself.
    pub member: Arc<str>,
    /// The member epoch: 0 to join, -1 to leave, -2 to leave for a while as a static member.
    pub epoch: GroupGeneration,
    /// `group.instance.id` of a static member (KIP-345).
    pub instance: Option<Arc<str>>,
    /// The rack or zone that the member runs in.
    pub rack: Option<Arc<str>>,
    /// How long the member may take to give partitions up.
    pub rebalance_timeout: Option<Duration>,
    /// The topics that it wants.
    pub topics: Option<BTreeSet<Arc<str>>>,
    /// A pattern of the topics that it wants instead, in RE2's syntax: sent in version 1, whose brokers resolve it. To
    /// older ones `topics` says what matches.
    pub pattern: Option<Arc<str>>,
    /// The assignor that the coordinator is to use; none leaves it the choice.
    pub assignor: Option<Arc<str>>,
    /// The partitions that it owns.
    pub owned: Option<ById>,
}

/// The coordinator's answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConsumerGroupHeartbeatAnswer {
    /// FENCED_MEMBER_EPOCH for instance.
    pub error: ErrorCode,
    /// What the coordinator says about the error.
    pub message: Option<Arc<str>>,
    /// How long the broker holds back further answers on this connection (KIP-219).
    pub throttle: Duration,
    /// The member's epoch from now on.
    pub epoch: GroupGeneration,
    /// When the coordinator expects the next heartbeat.
    pub interval: Duration,
    /// What the member may own from now on; none if that has not changed.
    pub assignment: Option<ById>,
}

impl Api for ConsumerGroupHeartbeat {
    const KEY: i16 = 68;
    const NAME: &'static str = "ConsumerGroupHeartbeat";
    const VERSIONS: VersionRange = VersionRange::new(0, 1);
    const FLEXIBLE: i16 = 0;
    type Answer = ConsumerGroupHeartbeatAnswer;

    fn throttle(answer: &ConsumerGroupHeartbeatAnswer) -> Duration {
        answer.throttle
    }

    fn encode(&self, version: i16, into: &mut BytesMut) -> Result<(), EncodeError> {
        let pattern = self.pattern.clone().filter(|_| version >= PATTERNS);
        let topics = if pattern.is_some() { Some(BTreeSet::new()) } else { self.topics.clone() };
        let names = topics.map(|topics| topics.iter().map(|topic| topic_name(topic)).collect());
        let owned = self.owned.as_ref().map(|owned| owned.iter().map(owned_of_topic).collect());
        let message = ConsumerGroupHeartbeatRequest::default()
            .with_group_id(group_id(&self.group))
            .with_member_id(text(&self.member))
            .with_member_epoch(self.epoch.0)
            .with_instance_id(optional_text(&self.instance))
            .with_rack_id(optional_text(&self.rack))
            .with_rebalance_timeout_ms(self.rebalance_timeout.map_or(UNCHANGED, milliseconds))
            .with_subscribed_topic_names(names)
            .with_subscribed_topic_regex(optional_text(&pattern))
            .with_server_assignor(optional_text(&self.assignor))
            .with_topic_partitions(owned);
        encoded::<Self>(&message, version, into)
    }

    fn decode(version: i16, body: Bytes) -> Result<ConsumerGroupHeartbeatAnswer, DecodeError> {
        let message: ConsumerGroupHeartbeatResponse = decoded::<Self, _>(&ANSWER, version, body)?;
        Ok(ConsumerGroupHeartbeatAnswer {
            error: ErrorCode(message.error_code),
            message: optional_shared(&message.error_message),
            throttle: throttle(message.throttle_time_ms),
            epoch: GroupGeneration(message.member_epoch),
            interval: throttle(message.heartbeat_interval_ms),
            assignment: message.assignment.map(|assignment| assigned(&assignment.topic_partitions)),
        })
    }
}

const UNCHANGED: i32 = -1;

fn owned_of_topic((topic, partitions): (&TopicId, &BTreeSet<i32>)) -> TopicPartitions {
    TopicPartitions::default()
        .with_topic_id(Uuid::from_u128(topic.0))
        .with_partitions(partitions.iter().copied().collect())
}

fn assigned(topics: &[Assigned]) -> ById {
    let mut assigned = ById::new();
    for topic in topics {
        assigned.entry(TopicId(topic.topic_id.as_u128())).or_default().extend(&topic.partitions);
    }
    assigned
}

static ANSWER: Shape = Shape {
    fields: &[
        field("throttle_time_ms", Fixed(4)),
        field("error_code", Fixed(2)),
        field("error_message", Text),
        field("member_id", Text),
        field("member_epoch", Fixed(4)),
        field("heartbeat_interval_ms", Fixed(4)),
        field("assignment", Optional(&ASSIGNMENT)),
    ],
    tags: &[],
};

static ASSIGNMENT: Shape = Shape { fields: &[field("topic_partitions", List(&Struct(&TOPIC)))], tags: &[] };

static TOPIC: Shape =
    Shape { fields: &[field("topic_id", Fixed(16)), field("partitions", List(&Fixed(4)))], tags: &[] };
