//! DescribeGroups: a classic group with its members.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use kafka_protocol::messages::describe_groups_response::{DescribedGroup, DescribedGroupMember};
use kafka_protocol::messages::{DescribeGroupsRequest, DescribeGroupsResponse};

use super::{
    Api, DecodeError, EncodeError, ErrorCode, decoded, encoded, group_id, optional_shared, shared, throttle,
};
use crate::guard::Kind::{Blob, Fixed, List, Struct, Text};
use crate::guard::{Shape, field, since};
use crate::versions::VersionRange;

/// Asks the coordinator of a classic group for its state and its members.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DescribeGroups {
    /// The group's id.
    pub group: Arc<str>,
}

/// The coordinator's answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DescribeGroupsAnswer {
    /// How long the broker holds back further answers on this connection (KIP-219).
    pub throttle: Duration,
    /// The group, or why it is not described: NOT_COORDINATOR for instance. One that does not exist is
    /// GROUP_ID_NOT_FOUND since version 6 (KIP-1043), and a group in the state `Dead` before.
    pub group: Result<ClassicGroup, ErrorCode>,
}

/// A classic group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClassicGroup {
    /// Its state by Kafka's name: `Empty`, `Dead`, `Stable`, `PreparingRebalance`, `CompletingRebalance`.
    pub state: Arc<str>,
    /// What its members are: `consumer` for consumers; empty if it never had any.
    pub protocol_type: Arc<str>,
    /// The protocol that its leader chose, for consumers the assignor; empty while there is none.
    pub protocol: Arc<str>,
    /// Its members, in the broker's order.
    pub members: Vec<ClassicMember>,
}

/// A member of a classic group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClassicMember {
    /// Its id.
    pub member: Arc<str>,
    /// `group.instance.id` of a static member (KIP-345); told since version 4.
    pub instance: Option<Arc<str>>,
    /// Its `client.id`.
    pub client: Arc<str>,
    /// Where it joined from, as the broker shows it: `/10.0.0.7`.
    pub host: Arc<str>,
    /// What it wrote for the group's leader; empty while the group is not stable.
    pub metadata: Bytes,
    /// What the leader gave it; empty while the group is not stable.
    pub assignment: Bytes,
}

impl Api for DescribeGroups {
    const KEY: i16 = 15;
    const NAME: &'static str = "DescribeGroups";
    const VERSIONS: VersionRange = VersionRange::new(0, 6);
    const FLEXIBLE: i16 = 5;
    type Answer = DescribeGroupsAnswer;

    fn throttle(answer: &DescribeGroupsAnswer) -> Duration {
        answer.throttle
    }

    fn encode(&self, version: i16, into: &mut BytesMut) -> Result<(), EncodeError> {
        let message = DescribeGroupsRequest::default().with_groups(vec![group_id(&self.group)]);
        encoded::<Self>(&message, version, into)
    }

    fn decode(version: i16, body: Bytes) -> Result<DescribeGroupsAnswer, DecodeError> {
        let message: DescribeGroupsResponse = decoded::<Self, _>(&ANSWER, version, body)?;
        let found = message.groups.first();
        let found =
            found.ok_or_else(|| DecodeError::invalid::<Self>(version, "expected a group, found none"))?;
        let group = ErrorCode(found.error_code).check().map(|()| group(found));
        Ok(DescribeGroupsAnswer { throttle: throttle(message.throttle_time_ms), group })
    }
}

fn group(found: &DescribedGroup) -> ClassicGroup {
    ClassicGroup {
        state: shared(&found.group_state),
        protocol_type: shared(&found.protocol_type),
        protocol: shared(&found.protocol_data),
        members: found.members.iter().map(member).collect(),
    }
}

fn member(found: &DescribedGroupMember) -> ClassicMember {
    ClassicMember {
        member: shared(&found.member_id),
        instance: optional_shared(&found.group_instance_id),
        client: shared(&found.client_id),
        host: shared(&found.client_host),
        metadata: found.member_metadata.clone(),
        assignment: found.member_assignment.clone(),
    }
}

static ANSWER: Shape = Shape {
    fields: &[since(1, "throttle_time_ms", Fixed(4)), field("groups", List(&Struct(&GROUP)))],
    tags: &[],
};

static GROUP: Shape = Shape {
    fields: &[
        field("error_code", Fixed(2)),
        since(6, "error_message", Text),
        field("group_id", Text),
        field("group_state", Text),
        field("protocol_type", Text),
        field("protocol_data", Text),
        field("members", List(&Struct(&MEMBER))),
        since(3, "authorized_operations", Fixed(4)),
    ],
    tags: &[],
};

static MEMBER: Shape = Shape {
    fields: &[
        field("member_id", Text),
        since(4, "group_instance_id", Text),
        field("client_id", Text),
        field("client_host", Text),
        field("member_metadata", Blob),
        field("member_assignment", Blob),
    ],
    tags: &[],
};
