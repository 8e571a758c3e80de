//! Group membership: who reads which partitions, as Kafka's group protocols settle it.

pub mod assign;
pub mod subscription;

use std::fmt;
use std::sync::Arc;

/// A member's id, as the coordinator gave it. It outlives connections and rounds.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MemberId(pub Arc<str>);

impl fmt::Display for MemberId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<&str> for MemberId {
    fn from(id: &str) -> MemberId {
        MemberId(id.into())
    }
}
