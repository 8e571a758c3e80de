//! JoinGroup: a member enters a classic group, or a new round of it. The broker answers when the round is
//! complete and serves nothing else on the connection until then.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use kafka_protocol::messages::join_group_request::JoinGroupRequestProtocol;
use kafka_protocol::messages::join_group_response::JoinGroupResponseMember;
use kafka_protocol::messages::{JoinGroupRequest, JoinGroupResponse};
use steadfast_core::ids::GroupGeneration;

use super::{
    Api, DecodeError, EncodeError, ErrorCode, decoded, encoded, group_id, milliseconds, optional_shared,
    optional_text, shared, text, throttle,
};
use crate::guard::Kind::{Blob, Fixed, List, Struct, Text};
use crate::guard::{Shape, field, since};
use crate::versions::VersionRange;

/// The first version that has static members (KIP-345).
const STATIC_MEMBERS: i16 = 5;

/// Asks to join.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JoinGroup {
    /// The group's id.
    pub group: Arc<str>,
    /// The member's id; empty for the first time. The broker then answers MEMBER_ID_REQUIRED with an id.
    pub member: Arc<str>,
    /// `group.instance.id` of a static member: needs version 5.
    pub instance: Option<Arc<str>>,
    /// How long the member may go without a heartbeat.
    pub session_timeout: Duration,
    /// How long the members have for joining again; before version 1 the session timeout.
    pub rebalance_timeout: Duration,
    /// `consumer` for consumers.
    pub protocol_type: Arc<str>,
    /// The assignors that the member knows, the one it likes best first, each with the member's subscription.
    pub protocols: Vec<(Arc<str>, Bytes)>,
    /// Why it joins, for the broker's log (KIP-800, version 8).
    pub reason: Option<Arc<str>>,
}

/// The coordinator's answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JoinGroupAnswer {
    /// MEMBER_ID_REQUIRED for instance.
    pub error: ErrorCode,
    /// How long the broker holds back further answers on this connection (KIP-219).
    pub throttle: Duration,
    /// The generation that the round made.
    pub generation: GroupGeneration,
    /// The protocol type (version 7).
    pub protocol_type: Option<Arc<str>>,
    /// The assignor that was chosen.
    pub protocol: Option<Arc<str>>,
    /// The member that computes the assignment.
    pub leader: Arc<str>,
    /// The member's id: keep it.
    pub member: Arc<str>,
    /// The leader must not compute an assignment: a static leader came back (KIP-814, version 9).
    pub skip_assignment: bool,
    /// All members, in the leader's answer only.
    pub members: Vec<JoinedMember>,
}

/// A member as the leader sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JoinedMember {
    /// Its id.
    pub member: Arc<str>,
    /// Its `group.instance.id`, if it is static.
    pub instance: Option<Arc<str>>,
    /// Its subscription, in bytes of its own: a slice of the answer. Whatever it says is not to be trusted.
    pub metadata: Bytes,
}

impl Api for JoinGroup {
    const KEY: i16 = 11;
    const NAME: &'static str = "JoinGroup";
    const VERSIONS: VersionRange = VersionRange::new(0, 9);
    const FLEXIBLE: i16 = 6;
    type Answer = JoinGroupAnswer;

    fn throttle(answer: &JoinGroupAnswer) -> Duration {
        answer.throttle
    }

    fn versions(&self) -> VersionRange {
        Self::VERSIONS.starting_at_if(STATIC_MEMBERS, self.instance.is_some())
    }

    fn encode(&self, version: i16, into: &mut BytesMut) -> Result<(), EncodeError> {
        let protocol = |(name, metadata): &(Arc<str>, Bytes)| {
            JoinGroupRequestProtocol::default().with_name(text(name)).with_metadata(metadata.clone())
        };
        let message = JoinGroupRequest::default()
            .with_group_id(group_id(&self.group))
            .with_session_timeout_ms(milliseconds(self.session_timeout))
            .with_rebalance_timeout_ms(milliseconds(self.rebalance_timeout))
            .with_member_id(text(&self.member))
            .with_group_instance_id(optional_text(&self.instance))
            .with_protocol_type(text(&self.protocol_type))
            .with_protocols(self.protocols.iter().map(protocol).collect())
            .with_reason(optional_text(&self.reason));
        encoded::<Self>(&message, version, into)
    }

    fn decode(version: i16, body: Bytes) -> Result<JoinGroupAnswer, DecodeError> {
        let message: JoinGroupResponse = decoded::<Self, _>(&ANSWER, version, body)?;
        Ok(JoinGroupAnswer {
            error: ErrorCode(message.error_code),
            throttle: throttle(message.throttle_time_ms),
            generation: GroupGeneration(message.generation_id),
            protocol_type: optional_shared(&message.protocol_type),
            protocol: optional_shared(&message.protocol_name).filter(|name| !name.is_empty()),
            leader: shared(&message.leader),
            member: shared(&message.member_id),
            skip_assignment: message.skip_assignment,
            members: message.members.into_iter().map(member_of).collect(),
        })
    }
}

fn member_of(member: JoinGroupResponseMember) -> JoinedMember {
    JoinedMember {
        member: shared(&member.member_id),
        instance: optional_shared(&member.group_instance_id),
        metadata: member.metadata,
    }
}

static ANSWER: Shape = Shape {
    fields: &[
        since(2, "throttle_time_ms", Fixed(4)),
        field("error_code", Fixed(2)),
        field("generation_id", Fixed(4)),
        since(7, "protocol_type", Text),
        field("protocol_name", Text),
        field("leader", Text),
        since(9, "skip_assignment", Fixed(1)),
        field("member_id", Text),
        field("members", List(&Struct(&MEMBER))),
    ],
    tags: &[],
};

static MEMBER: Shape = Shape {
    fields: &[field("member_id", Text), since(5, "group_instance_id", Text), field("metadata", Blob)],
    tags: &[],
};
