//! One file per API: what is asked, what is answered, and the versions spoken, in plain types.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use kafka_protocol::messages::{GroupId, TopicName};
use kafka_protocol::protocol::{Decodable, Encodable, StrBytes};
use steadfast_core::endpoints::view::Address;
use steadfast_core::ids::{NodeId, Partition};

use crate::guard::{self, Shape};
use crate::versions::VersionRange;

pub use crate::guard::{Malformed, Problem};
pub use error::ErrorCode;
pub use isolation::Isolation;

pub mod api_versions;
pub mod consumer_group_describe;
pub mod consumer_group_heartbeat;
pub mod describe_cluster;
pub mod describe_groups;
pub mod error;
pub mod fetch;
pub mod find_coordinator;
pub mod group_offsets;
pub mod heartbeat;
pub mod isolation;
pub mod join_group;
pub mod leave_group;
pub mod list_groups;
pub mod list_offsets;
pub mod metadata;
pub mod offset_commit;
pub mod offset_fetch;
pub mod offset_for_leader_epoch;
pub mod offsets_for_times;
pub mod sasl_authenticate;
pub mod sasl_handshake;
pub mod sync_group;

/// A request of one of Kafka's APIs. What is asked is the value, how it is written is negotiated.
pub trait Api: Send + Sync {
    /// The API's key on the wire.
    const KEY: i16;
    /// The API's name in Kafka's documentation.
    const NAME: &'static str;
    /// The versions that this crate speaks.
    const VERSIONS: VersionRange;
    /// The first flexible version (KIP-482): varint lengths, tagged fields.
    const FLEXIBLE: i16;
    /// What the broker answers.
    type Answer: Send + 'static;

    /// How long the broker says that it holds back its next answers on the connection (KIP-219).
    fn throttle(answer: &Self::Answer) -> Duration;

    /// The versions that can express this very request.
    fn versions(&self) -> VersionRange {
        Self::VERSIONS
    }

    /// Whether the answer's header has tagged fields.
    fn answer_header_has_tags(version: i16) -> bool {
        version >= Self::FLEXIBLE
    }

    /// Appends the request's body as `version` writes it.
    fn encode(&self, version: i16, into: &mut BytesMut) -> Result<(), EncodeError>;

    /// Reads the answer's body as `version` writes it. Byte strings in the answer are slices of `body`.
    fn decode(version: i16, body: Bytes) -> Result<Self::Answer, DecodeError>;
}

/// A request cannot be written in the version that was negotiated.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{api} v{version} cannot be written: {reason}")]
pub struct EncodeError {
    /// The API's name.
    pub api: &'static str,
    /// The version.
    pub version: i16,
    /// What does not fit.
    pub reason: String,
}

/// An answer cannot be read as the version that was negotiated.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the answer to {api} v{version} cannot be read: {reason}")]
pub struct DecodeError {
    /// The API's name.
    pub api: &'static str,
    /// The version.
    pub version: i16,
    /// What is wrong with it.
    pub reason: Undecodable,
}

/// Why an answer cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Undecodable {
    /// Lengths, counts or sizes are wrong.
    #[error(transparent)]
    Malformed(#[from] Malformed),
    /// The bytes are laid out well but are no such answer (null where nothing may be null, bad UTF-8).
    #[error("{0}")]
    Invalid(String),
}

impl DecodeError {
    fn invalid<A: Api>(version: i16, reason: impl ToString) -> DecodeError {
        DecodeError { api: A::NAME, version, reason: Undecodable::Invalid(reason.to_string()) }
    }
}

fn encoded<A: Api>(message: &impl Encodable, version: i16, into: &mut BytesMut) -> Result<(), EncodeError> {
    let failed = |reason: String| EncodeError { api: A::NAME, version, reason };
    message.encode(into, version).map_err(|reason| failed(reason.to_string()))
}

fn decoded<A: Api, M: Decodable>(
    shape: &'static Shape,
    version: i16,
    mut body: Bytes,
) -> Result<M, DecodeError> {
    guard::check(shape, version >= A::FLEXIBLE, version, &body).map_err(|reason| DecodeError {
        api: A::NAME,
        version,
        reason: reason.into(),
    })?;
    M::decode(&mut body, version).map_err(|reason| DecodeError::invalid::<A>(version, reason))
}

fn text(text: &str) -> StrBytes {
    StrBytes::from_string(text.to_owned())
}

fn topic_name(name: &str) -> TopicName {
    TopicName(text(name))
}

fn optional_text(optional: &Option<Arc<str>>) -> Option<StrBytes> {
    optional.as_deref().map(text)
}

fn group_id(id: &str) -> GroupId {
    GroupId(text(id))
}

fn shared(text: &StrBytes) -> Arc<str> {
    Arc::from(text.as_str())
}

fn optional_shared(optional: &Option<StrBytes>) -> Option<Arc<str>> {
    optional.as_ref().map(shared)
}

/// Partitions gathered by topic, as requests list them.
fn by_topic<'a, V>(
    partitions: impl IntoIterator<Item = (&'a Partition, V)>,
) -> BTreeMap<&'a str, Vec<(i32, V)>> {
    let mut topics: BTreeMap<&str, Vec<_>> = BTreeMap::new();
    for (partition, value) in partitions {
        topics.entry(&partition.topic).or_default().push((partition.index, value));
    }
    topics
}

fn node(id: i32) -> Option<NodeId> {
    (id >= 0).then_some(NodeId(id))
}

/// A limit in milliseconds as the wire has it; what is longer than 24 days becomes 24 days.
fn milliseconds(limit: Duration) -> i32 {
    i32::try_from(limit.as_millis()).unwrap_or(i32::MAX)
}

fn throttle(milliseconds: i32) -> Duration {
    Duration::from_millis(u64::try_from(milliseconds).unwrap_or(0))
}

/// An address that a broker names: a host, and a port that fits one.
fn address(host: &str, port: i32) -> Result<Address, String> {
    match u16::try_from(port) {
        Ok(port) if port > 0 && !host.is_empty() => Ok(Address::new(host, port)),
        _ => Err(format!("expected a host and a port from 1 to 65535, found {host:?} and {port}")),
    }
}
