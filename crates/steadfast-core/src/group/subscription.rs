//! What members tell each other through the coordinator, decoded.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::ids::{GroupGeneration, Partition, TopicId};

/// What a member wants and holds, as it tells the group's leader in JoinGroup.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Subscription {
    /// The topics it wants to read.
    pub topics: BTreeSet<Arc<str>>,
    /// The partitions it held when it joined: none in an eager group.
    pub owned: BTreeSet<Partition>,
    /// The generation under which it held them; none if it says nothing of it, or held nothing before.
    pub generation: Option<GroupGeneration>,
    /// The rack or zone it runs in (KIP-881).
    pub rack: Option<String>,
    /// What it was assigned last. Only `sticky` tells it: there all is released before joining, and the
    /// leader still has to know what was whose.
    pub previous: Held,
    /// Bytes that only its assignor reads, as they came.
    pub user_data: Vec<u8>,
}

/// Partitions by their topics' ids, as the consumer protocol names them.
pub type ById = BTreeMap<TopicId, BTreeSet<i32>>;

/// Partitions that were assigned, and when.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Held {
    /// The partitions.
    pub partitions: BTreeSet<Partition>,
    /// The generation in which they were assigned; none if that is not known.
    pub generation: Option<GroupGeneration>,
}

/// What the leader gave one member, as SyncGroup brings it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Assignment {
    /// The partitions to read.
    pub partitions: BTreeSet<Partition>,
    /// Bytes that only the assignor reads, as they came.
    pub user_data: Vec<u8>,
}
