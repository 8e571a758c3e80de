//! What one group has committed.

use std::collections::BTreeMap;
use std::sync::Arc;

use steadfast_core::ids::{LeaderEpoch, Offset, Partition};

/// One committed offset.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommittedOffset {
    /// The next record to read.
    pub offset: Offset,
    /// The leader epoch of the last record that was read, if the member said so (KIP-320).
    pub leader_epoch: Option<LeaderEpoch>,
    /// What the member wrote beside it.
    pub metadata: Arc<str>,
}

/// The offsets of a group.
#[derive(Debug, Default)]
pub(crate) struct Offsets {
    committed: BTreeMap<Partition, CommittedOffset>,
}

impl Offsets {
    /// Takes the offset, a lower one too, and gives the one before it.
    pub(crate) fn commit(
        &mut self,
        partition: Partition,
        offset: CommittedOffset,
    ) -> Option<CommittedOffset> {
        self.committed.insert(partition, offset)
    }

    /// All of them.
    pub(crate) fn all(&self) -> &BTreeMap<Partition, CommittedOffset> {
        &self.committed
    }

    /// That of one partition.
    pub(crate) fn get(&self, partition: &Partition) -> Option<&CommittedOffset> {
        self.committed.get(partition)
    }

    /// Forgets that of one partition.
    pub(crate) fn delete(&mut self, partition: &Partition) {
        self.committed.remove(partition);
    }

    /// Forgets those of a topic.
    pub(crate) fn delete_topic(&mut self, topic: &str) {
        self.committed.retain(|partition, _| &*partition.topic != topic);
    }
}
