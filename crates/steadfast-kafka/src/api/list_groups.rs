//! ListGroups: the groups that one broker coordinates.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use kafka_protocol::messages::{ListGroupsRequest, ListGroupsResponse};

use super::{Api, DecodeError, EncodeError, ErrorCode, decoded, encoded, shared, text, throttle};
use crate::guard::Kind::{Fixed, List, Struct, Text};
use crate::guard::{Shape, field, since};
use crate::versions::VersionRange;

/// The first version that filters by state, and tells it (KIP-518).
const WITH_STATES: i16 = 4;
/// The first version that filters by type, and tells it (KIP-848).
const WITH_TYPES: i16 = 5;

/// Asks a broker for the groups that it coordinates.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ListGroups {
    /// Only groups in one of these states; all for none. Brokers before 2.6 cannot filter so.
    pub states: Vec<Arc<str>>,
    /// Only groups of one of these types, `classic` or `consumer`; all for none. Brokers before 3.8 cannot filter so.
    pub types: Vec<Arc<str>>,
}

/// The broker's answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListGroupsAnswer {
    /// What is wrong with all of it: COORDINATOR_LOAD_IN_PROGRESS for instance.
    pub error: ErrorCode,
    /// How long the broker holds back further answers on this connection (KIP-219).
    pub throttle: Duration,
    /// The groups, as the broker lists them.
    pub groups: Vec<ListedGroup>,
}

/// One group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedGroup {
    /// Its id.
    pub group: Arc<str>,
    /// What its members are: `consumer`, or empty for a group that has offsets only.
    pub protocol_type: Arc<str>,
    /// Its state by Kafka's name; none from brokers that do not tell.
    pub state: Option<Arc<str>>,
    /// `classic`, `consumer` or another type; none from brokers that do not tell.
    pub kind: Option<Arc<str>>,
}

impl Api for ListGroups {
    const KEY: i16 = 16;
    const NAME: &'static str = "ListGroups";
    const VERSIONS: VersionRange = VersionRange::new(0, 5);
    const FLEXIBLE: i16 = 3;
    type Answer = ListGroupsAnswer;

    fn throttle(answer: &ListGroupsAnswer) -> Duration {
        answer.throttle
    }

    fn versions(&self) -> VersionRange {
        Self::VERSIONS
            .starting_at_if(WITH_STATES, !self.states.is_empty())
            .starting_at_if(WITH_TYPES, !self.types.is_empty())
    }

    fn encode(&self, version: i16, into: &mut BytesMut) -> Result<(), EncodeError> {
        let texts = |names: &[Arc<str>]| names.iter().map(|name| text(name)).collect();
        let message = ListGroupsRequest::default()
            .with_states_filter(texts(&self.states))
            .with_types_filter(texts(&self.types));
        encoded::<Self>(&message, version, into)
    }

    fn decode(version: i16, body: Bytes) -> Result<ListGroupsAnswer, DecodeError> {
        let message: ListGroupsResponse = decoded::<Self, _>(&ANSWER, version, body)?;
        let groups = message.groups.iter().map(|group| ListedGroup {
            group: shared(&group.group_id),
            protocol_type: shared(&group.protocol_type),
            state: (version >= WITH_STATES).then(|| shared(&group.group_state)),
            kind: (version >= WITH_TYPES).then(|| shared(&group.group_type)),
        });
        Ok(ListGroupsAnswer {
            error: ErrorCode(message.error_code),
            throttle: throttle(message.throttle_time_ms),
            groups: groups.collect(),
        })
    }
}

static ANSWER: Shape = Shape {
    fields: &[
        since(1, "throttle_time_ms", Fixed(4)),
        field("error_code", Fixed(2)),
        field("groups", List(&Struct(&GROUP))),
    ],
    tags: &[],
};

static GROUP: Shape = Shape {
    fields: &[
        field("group_id", Text),
        field("protocol_type", Text),
        since(WITH_STATES, "group_state", Text),
        since(WITH_TYPES, "group_type", Text),
    ],
    tags: &[],
};
