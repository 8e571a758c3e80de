//! Heartbeat: a member of a classic group is alive, and learns whether the group is rebalancing.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use kafka_protocol::messages::{HeartbeatRequest, HeartbeatResponse};
use steadfast_core::ids::GroupGeneration;

use super::{
    Api, DecodeError, EncodeError, ErrorCode, decoded, encoded, group_id, optional_text, text, throttle,
};
use crate::guard::Kind::Fixed;
use crate::guard::{Shape, field, since};
use crate::versions::VersionRange;

/// The first version that has static members (KIP-345).
const STATIC_MEMBERS: i16 = 3;

/// Says that a member is alive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Heartbeat {
    /// The group's id.
    pub group: Arc<str>,
    /// The generation that the member is in.
    pub generation: GroupGeneration,
    /// The member's id.
    pub member: Arc<str>,
    /// `group.instance.id` of a static member: needs version 3.
    pub instance: Option<Arc<str>>,
}

/// The coordinator's answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HeartbeatAnswer {
    /// REBALANCE_IN_PROGRESS for instance.
    pub error: ErrorCode,
    /// How long the broker holds back further answers on this connection (KIP-219).
    pub throttle: Duration,
}

impl Api for Heartbeat {
    const KEY: i16 = 12;
    const NAME: &'static str = "Heartbeat";
    const VERSIONS: VersionRange = VersionRange::new(0, 4);
    const FLEXIBLE: i16 = 4;
    type Answer = HeartbeatAnswer;

    fn throttle(answer: &HeartbeatAnswer) -> Duration {
        answer.throttle
    }

    fn versions(&self) -> VersionRange {
        Self::VERSIONS.starting_at_if(STATIC_MEMBERS, self.instance.is_some())
    }

    fn encode(&self, version: i16, into: &mut BytesMut) -> Result<(), EncodeError> {
        let message = HeartbeatRequest::default()
            .with_group_id(group_id(&self.group))
            .with_generation_id(self.generation.0)
            .with_member_id(text(&self.member))
            .with_group_instance_id(optional_text(&self.instance));
        encoded::<Self>(&message, version, into)
    }

    fn decode(version: i16, body: Bytes) -> Result<HeartbeatAnswer, DecodeError> {
        let message: HeartbeatResponse = decoded::<Self, _>(&ANSWER, version, body)?;
        let throttle = throttle(message.throttle_time_ms);
        Ok(HeartbeatAnswer { error: ErrorCode(message.error_code), throttle })
    }
}

static ANSWER: Shape =
    Shape { fields: &[since(1, "throttle_time_ms", Fixed(4)), field("error_code", Fixed(2))], tags: &[] };
