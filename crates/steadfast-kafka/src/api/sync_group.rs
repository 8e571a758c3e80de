//! SyncGroup: the leader hands in the assignment, every member gets its part. The broker answers when the
//! leader has done so and serves nothing else on the connection until then.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use kafka_protocol::messages::sync_group_request::SyncGroupRequestAssignment;
use kafka_protocol::messages::{SyncGroupRequest, SyncGroupResponse};
use steadfast_core::ids::GroupGeneration;

use super::{
    Api, DecodeError, EncodeError, ErrorCode, decoded, encoded, group_id, optional_shared, optional_text,
    text, throttle,
};
use crate::guard::Kind::{Blob, Fixed, Text};
use crate::guard::{Shape, field, since};
use crate::versions::VersionRange;

/// The first version that has static members (KIP-345).
const STATIC_MEMBERS: i16 = 3;

/// The first version that names the protocol (KIP-559).
const PROTOCOL: i16 = 5;

/// Asks for the member's assignment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SyncGroup {
    /// The group's id.
    pub group: Arc<str>,
    /// The generation, as JoinGroup answered.
    pub generation: GroupGeneration,
    /// The member's id.
    pub member: Arc<str>,
    /// `group.instance.id` of a static member: needs version 3.
    pub instance: Option<Arc<str>>,
    /// `consumer` for consumers; checked by the broker from version 5.
    pub protocol_type: Arc<str>,
    /// The assignor, as JoinGroup answered; checked by the broker from version 5.
    pub protocol: Arc<str>,
    /// Each member's assignment, from the leader only.
    pub assignments: Vec<(Arc<str>, Bytes)>,
}

/// The coordinator's answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SyncGroupAnswer {
    /// REBALANCE_IN_PROGRESS for instance: join again.
    pub error: ErrorCode,
    /// How long the broker holds back further answers on this connection (KIP-219).
    pub throttle: Duration,
    /// The protocol type (version 5).
    pub protocol_type: Option<Arc<str>>,
    /// The assignor (version 5).
    pub protocol: Option<Arc<str>>,
    /// The member's assignment, in the leader's bytes: a slice of the answer, and not to be trusted.
    pub assignment: Bytes,
}

impl Api for SyncGroup {
    const KEY: i16 = 14;
    const NAME: &'static str = "SyncGroup";
    const VERSIONS: VersionRange = VersionRange::new(0, 5);
    const FLEXIBLE: i16 = 4;
    type Answer = SyncGroupAnswer;

    fn throttle(answer: &SyncGroupAnswer) -> Duration {
        answer.throttle
    }

    fn versions(&self) -> VersionRange {
        Self::VERSIONS.starting_at_if(STATIC_MEMBERS, self.instance.is_some())
    }

    fn encode(&self, version: i16, into: &mut BytesMut) -> Result<(), EncodeError> {
        let assigned = |(member, assignment): &(Arc<str>, Bytes)| {
            SyncGroupRequestAssignment::default()
                .with_member_id(text(member))
                .with_assignment(assignment.clone())
        };
        let named = |name: &Arc<str>| (version >= PROTOCOL).then(|| text(name));
        let message = SyncGroupRequest::default()
            .with_group_id(group_id(&self.group))
            .with_generation_id(self.generation.0)
            .with_member_id(text(&self.member))
            .with_group_instance_id(optional_text(&self.instance))
            .with_protocol_type(named(&self.protocol_type))
            .with_protocol_name(named(&self.protocol))
            .with_assignments(self.assignments.iter().map(assigned).collect());
        encoded::<Self>(&message, version, into)
    }

    fn decode(version: i16, body: Bytes) -> Result<SyncGroupAnswer, DecodeError> {
        let message: SyncGroupResponse = decoded::<Self, _>(&ANSWER, version, body)?;
        Ok(SyncGroupAnswer {
            error: ErrorCode(message.error_code),
            throttle: throttle(message.throttle_time_ms),
            protocol_type: optional_shared(&message.protocol_type),
            protocol: optional_shared(&message.protocol_name),
            assignment: message.assignment,
        })
    }
}

static ANSWER: Shape = Shape {
    fields: &[
        since(1, "throttle_time_ms", Fixed(4)),
        field("error_code", Fixed(2)),
        since(5, "protocol_type", Text),
        since(5, "protocol_name", Text),
        field("assignment", Blob),
    ],
    tags: &[],
};
