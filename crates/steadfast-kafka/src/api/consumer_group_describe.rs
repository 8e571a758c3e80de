//! ConsumerGroupDescribe: a group of the consumer protocol (KIP-848) with its members.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use kafka_protocol::messages::consumer_group_describe_response::{Assignment, DescribedGroup, Member};
use kafka_protocol::messages::{ConsumerGroupDescribeRequest, ConsumerGroupDescribeResponse};
use steadfast_core::ids::Partition;

use super::{
    Api, DecodeError, EncodeError, ErrorCode, decoded, encoded, group_id, optional_shared, shared, throttle,
};
use crate::guard::Kind::{Fixed, List, Struct, Text};
use crate::guard::{Shape, field, since};
use crate::versions::VersionRange;

/// The first version that tells which protocol a member speaks (KIP-1099).
const WITH_TYPES: i16 = 1;
const CLASSIC: i8 = 0;
const CONSUMER: i8 = 1;

/// Asks the coordinator of a group of the consumer protocol for its state, its epochs and its members.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConsumerGroupDescribe {
    /// The group's id.
    pub group: Arc<str>,
}

/// The coordinator's answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConsumerGroupDescribeAnswer {
    /// How long the broker holds back further answers on this connection (KIP-219).
    pub throttle: Duration,
    /// The group, or why it is not described. GROUP_ID_NOT_FOUND: there is no such group, or it is a classic one.
    pub group: Result<ConsumerGroup, ErrorCode>,
}

/// A group of the consumer protocol.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConsumerGroup {
    /// Its state by Kafka's name: `Empty`, `Assigning`, `Reconciling`, `Stable`, `Dead`.
    pub state: Arc<str>,
    /// Counts changes of members, subscriptions and partitions.
    pub epoch: i32,
    /// The epoch of the newest target assignment.
    pub assignment_epoch: i32,
    /// The assignor on the broker.
    pub assignor: Arc<str>,
    /// Its members, in the broker's order.
    pub members: Vec<ConsumerMember>,
}

/// A member of such a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConsumerMember {
    /// Its id.
    pub member: Arc<str>,
    /// `group.instance.id` of a static member.
    pub instance: Option<Arc<str>>,
    /// Its `client.rack`.
    pub rack: Option<Arc<str>>,
    /// The epoch that it has come to.
    pub epoch: i32,
    /// Its `client.id`.
    pub client: Arc<str>,
    /// Where it joined from, as the broker shows it: `/10.0.0.7`.
    pub host: Arc<str>,
    /// The topics that it names.
    pub topics: Vec<Arc<str>>,
    /// The regular expression that the broker resolves for it.
    pub pattern: Option<Arc<str>>,
    /// What it holds.
    pub assigned: BTreeSet<Partition>,
    /// What it is to hold in the end.
    pub target: BTreeSet<Partition>,
    /// Whether it joined by the classic protocol; none from brokers that do not tell.
    pub classic: Option<bool>,
}

impl Api for ConsumerGroupDescribe {
    const KEY: i16 = 69;
    const NAME: &'static str = "ConsumerGroupDescribe";
    const VERSIONS: VersionRange = VersionRange::new(0, 1);
    const FLEXIBLE: i16 = 0;
    type Answer = ConsumerGroupDescribeAnswer;

    fn throttle(answer: &ConsumerGroupDescribeAnswer) -> Duration {
        answer.throttle
    }

    fn encode(&self, version: i16, into: &mut BytesMut) -> Result<(), EncodeError> {
        let message = ConsumerGroupDescribeRequest::default().with_group_ids(vec![group_id(&self.group)]);
        encoded::<Self>(&message, version, into)
    }

    fn decode(version: i16, body: Bytes) -> Result<ConsumerGroupDescribeAnswer, DecodeError> {
        let message: ConsumerGroupDescribeResponse = decoded::<Self, _>(&ANSWER, version, body)?;
        let found = message.groups.first();
        let found =
            found.ok_or_else(|| DecodeError::invalid::<Self>(version, "expected a group, found none"))?;
        let group = ErrorCode(found.error_code).check().map(|()| group(found, version));
        Ok(ConsumerGroupDescribeAnswer { throttle: throttle(message.throttle_time_ms), group })
    }
}

fn group(found: &DescribedGroup, version: i16) -> ConsumerGroup {
    ConsumerGroup {
        state: shared(&found.group_state),
        epoch: found.group_epoch,
        assignment_epoch: found.assignment_epoch,
        assignor: shared(&found.assignor_name),
        members: found.members.iter().map(|found| member(found, version)).collect(),
    }
}

fn member(found: &Member, version: i16) -> ConsumerMember {
    ConsumerMember {
        member: shared(&found.member_id),
        instance: optional_shared(&found.instance_id),
        rack: optional_shared(&found.rack_id),
        epoch: found.member_epoch,
        client: shared(&found.client_id),
        host: shared(&found.client_host),
        topics: found.subscribed_topic_names.iter().map(|name| shared(name)).collect(),
        // Brokers write an empty one for none.
        pattern: optional_shared(&found.subscribed_topic_regex).filter(|pattern| !pattern.is_empty()),
        assigned: partitions(&found.assignment),
        target: partitions(&found.target_assignment),
        classic: match found.member_type {
            CLASSIC if version >= WITH_TYPES => Some(true),
            CONSUMER if version >= WITH_TYPES => Some(false),
            _ => None,
        },
    }
}

fn partitions(assignment: &Assignment) -> BTreeSet<Partition> {
    let of_topic = assignment.topic_partitions.iter().map(|topic| (shared(&topic.topic_name), topic));
    of_topic
        .flat_map(|(name, topic)| {
            topic.partitions.iter().map(move |index| Partition::new(Arc::clone(&name), *index))
        })
        .collect()
}

static ANSWER: Shape = Shape {
    fields: &[field("throttle_time_ms", Fixed(4)), field("groups", List(&Struct(&GROUP)))],
    tags: &[],
};

static GROUP: Shape = Shape {
    fields: &[
        field("error_code", Fixed(2)),
        field("error_message", Text),
        field("group_id", Text),
        field("group_state", Text),
        field("group_epoch", Fixed(4)),
        field("assignment_epoch", Fixed(4)),
        field("assignor_name", Text),
        field("members", List(&Struct(&MEMBER))),
        field("authorized_operations", Fixed(4)),
    ],
    tags: &[],
};

static MEMBER: Shape = Shape {
    fields: &[
        field("member_id", Text),
        field("instance_id", Text),
        field("rack_id", Text),
        field("member_epoch", Fixed(4)),
        field("client_id", Text),
        field("client_host", Text),
        field("subscribed_topic_names", List(&Text)),
        field("subscribed_topic_regex", Text),
        field("assignment", Struct(&ASSIGNMENT)),
        field("target_assignment", Struct(&ASSIGNMENT)),
        since(WITH_TYPES, "member_type", Fixed(1)),
    ],
    tags: &[],
};

static ASSIGNMENT: Shape = Shape { fields: &[field("topic_partitions", List(&Struct(&TOPIC)))], tags: &[] };

static TOPIC: Shape = Shape {
    fields: &[field("topic_id", Fixed(16)), field("topic_name", Text), field("partitions", List(&Fixed(4)))],
    tags: &[],
};
