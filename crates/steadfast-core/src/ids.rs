//! The integers and names of Kafka's protocol as types, so that none is taken for another.

use std::fmt::{self, Write};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

macro_rules! number {
    ($(#[$doc:meta])* $name:ident($inner:ty)) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub $inner);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

number!(
    /// A broker's id, unique within its cluster.
    NodeId(i32)
);
number!(
    /// A record's place in its partition.
    Offset(i64)
);
number!(
    /// Counts a partition's elections (KIP-320). It restarts when a topic is created again, so it is
    /// compared only under the same [`TopicId`].
    LeaderEpoch(i32)
);
number!(
    /// One life of the consumer, counted from 1 in this process.
    ConsumerIncarnation(u64)
);
number!(
    /// One life of a partition's handler, counted from 1 in this process.
    HandlerIncarnation(u64)
);
number!(
    /// Counts a partition's assignments to this process.
    AssignmentEpoch(u64)
);
number!(
    /// Counts the rewinds, resets and truncations of a position: offsets are ordered only within one.
    FetchGeneration(u64)
);
number!(
    /// The generation of a classic consumer group, or a member epoch (KIP-848), as the coordinator counts it.
    GroupGeneration(i32)
);

impl Offset {
    /// The offset after this one.
    pub fn next(self) -> Offset {
        Offset(self.0.saturating_add(1))
    }
}

impl LeaderEpoch {
    /// No epoch is known: Kafka's -1.
    pub const UNKNOWN: LeaderEpoch = LeaderEpoch(-1);

    /// This epoch, if one is known.
    pub fn known(self) -> Option<LeaderEpoch> {
        (self.0 >= 0).then_some(self)
    }
}

/// A topic's identity (KIP-516): a topic that is deleted and created again has another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct TopicId(pub u128);

impl TopicId {
    /// The broker is too old to name topics by id, or did not say.
    pub const UNKNOWN: TopicId = TopicId(0);

    /// Whether both are known, and they are not the same topic.
    pub fn differs(self, other: TopicId) -> bool {
        self != other && self != TopicId::UNKNOWN && other != TopicId::UNKNOWN
    }
}

/// As Kafka's own tools write it: 16 bytes in the URL's alphabet of base 64, without padding.
impl fmt::Display for TopicId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
        let digit = |value: u128| char::from(ALPHABET[usize::try_from(value % 64).unwrap_or_default()]);
        for place in (1..22).rev() {
            f.write_char(digit(self.0 >> (6 * place - 4)))?;
        }
        f.write_char(digit(self.0 << 4))
    }
}

/// A cluster's identity, as its brokers report it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ClusterId(pub Arc<str>);

impl fmt::Display for ClusterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<&str> for ClusterId {
    fn from(id: &str) -> ClusterId {
        ClusterId(id.into())
    }
}

/// One partition of one topic.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Partition {
    /// The topic's name.
    pub topic: Arc<str>,
    /// The partition's number within the topic.
    pub index: i32,
}

impl Partition {
    /// Partition `index` of `topic`.
    pub fn new(topic: impl Into<Arc<str>>, index: i32) -> Partition {
        Partition { topic: topic.into(), index }
    }
}

impl fmt::Display for Partition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.topic, self.index)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_topic_id_reads_as_in_kafkas_own_tools() {
        // As `new org.apache.kafka.common.Uuid(high, low)` prints them.
        assert_eq!(TopicId(0).to_string(), "AAAAAAAAAAAAAAAAAAAAAA");
        assert_eq!(TopicId(1).to_string(), "AAAAAAAAAAAAAAAAAAAAAQ");
        assert_eq!(TopicId(u128::MAX).to_string(), "_____________________w");
    }
}
