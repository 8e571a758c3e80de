//! LeaveGroup: members leave a classic group, and it need not wait for their sessions to end. Static members
//! do not leave.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use kafka_protocol::messages::leave_group_request::MemberIdentity;
use kafka_protocol::messages::leave_group_response::MemberResponse;
use kafka_protocol::messages::{LeaveGroupRequest, LeaveGroupResponse};

use super::{
    Api, DecodeError, EncodeError, ErrorCode, decoded, encoded, group_id, optional_shared, optional_text,
    shared, text, throttle,
};
use crate::guard::Kind::{Fixed, List, Struct, Text};
use crate::guard::{Shape, field};
use crate::versions::VersionRange;

/// Asks to leave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeaveGroup {
    /// The group's id.
    pub group: Arc<str>,
    /// Who leaves.
    pub members: Vec<LeavingMember>,
}

/// A member that leaves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeavingMember {
    /// Its id.
    pub member: Arc<str>,
    /// Its `group.instance.id`, if it is static.
    pub instance: Option<Arc<str>>,
    /// Why it leaves, for the broker's log (KIP-800, version 5).
    pub reason: Option<Arc<str>>,
}

/// The coordinator's answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeaveGroupAnswer {
    /// What is wrong with the whole request.
    pub error: ErrorCode,
    /// How long the broker holds back further answers on this connection (KIP-219).
    pub throttle: Duration,
    /// What came of each member.
    pub members: Vec<LeftMember>,
}

/// What came of a member that asked to leave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeftMember {
    /// Its id.
    pub member: Arc<str>,
    /// Its `group.instance.id`, if it is static.
    pub instance: Option<Arc<str>>,
    /// UNKNOWN_MEMBER_ID for instance.
    pub error: ErrorCode,
}

impl Api for LeaveGroup {
    const KEY: i16 = 13;
    const NAME: &'static str = "LeaveGroup";
    const VERSIONS: VersionRange = VersionRange::new(3, 5);
    const FLEXIBLE: i16 = 4;
    type Answer = LeaveGroupAnswer;

    fn throttle(answer: &LeaveGroupAnswer) -> Duration {
        answer.throttle
    }

    fn encode(&self, version: i16, into: &mut BytesMut) -> Result<(), EncodeError> {
        let leaving = |member: &LeavingMember| {
            MemberIdentity::default()
                .with_member_id(text(&member.member))
                .with_group_instance_id(optional_text(&member.instance))
                .with_reason(optional_text(&member.reason))
        };
        let message = LeaveGroupRequest::default()
            .with_group_id(group_id(&self.group))
            .with_members(self.members.iter().map(leaving).collect());
        encoded::<Self>(&message, version, into)
    }

    fn decode(version: i16, body: Bytes) -> Result<LeaveGroupAnswer, DecodeError> {
        let message: LeaveGroupResponse = decoded::<Self, _>(&ANSWER, version, body)?;
        Ok(LeaveGroupAnswer {
            error: ErrorCode(message.error_code),
            throttle: throttle(message.throttle_time_ms),
            members: message.members.iter().map(left).collect(),
        })
    }
}

fn left(member: &MemberResponse) -> LeftMember {
    LeftMember {
        member: shared(&member.member_id),
        instance: optional_shared(&member.group_instance_id),
        error: ErrorCode(member.error_code),
    }
}

static ANSWER: Shape = Shape {
    fields: &[
        field("throttle_time_ms", Fixed(4)),
        field("error_code", Fixed(2)),
        field("members", List(&Struct(&MEMBER))),
    ],
    tags: &[],
};

static MEMBER: Shape = Shape {
    fields: &[field("member_id", Text), field("group_instance_id", Text), field("error_code", Fixed(2))],
    tags: &[],
};
