//! What of a membership must outlive its actor, and what commits need to know of it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::assign::PartitionCounts;
use super::subscription::Held;
use super::trigger::Roster;
use super::{GroupProtocol, MemberId};
use crate::ids::{GroupGeneration, NodeId, Partition, TopicId};
use crate::tick::Tick;

/// A membership as one value: a machine that is built from it goes on where the last one ended, so that a
/// crash of the member's actor costs neither a round nor a partition.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Standing {
    /// The id that the coordinator gave us or, under the consumer protocol, that we made.
    pub member_id: Option<MemberId>,
    /// The group generation (classic) or member epoch that we belong to; none if to none (any more).
    pub generation: Option<GroupGeneration>,
    /// Whether that generation's assignment has reached us.
    pub settled: bool,
    /// Whether a round is to be joined, or to be completed: then what we hold may be less than what the
    /// coordinator gave us, and only a join puts that right.
    pub rejoin: bool,
    /// The partitions that are ours, those included that are being given up.
    pub owned: BTreeSet<Partition>,
    /// Of these, the ones that are being given up.
    pub releasing: BTreeSet<Partition>,
    /// The ids of the topics that these partitions were given to us under (the consumer protocol).
    pub topics: BTreeMap<Arc<str>, TopicId>,
    /// What the last round that was completed gave us, whatever has become of it (for `sticky`).
    pub assigned: Held,
    /// How often each partition was lost: who holds it from before the last time holds it no longer.
    pub losses: BTreeMap<Partition, u64>,
    /// When we last sent something that the coordinator answered as to a member: the session counts from here.
    pub heard: Tick,
    /// The topics that we joined with.
    pub joined_with: BTreeSet<Arc<str>>,
    /// As leader: the partition counts that the group's assignment was made from. None if another leads.
    pub led: Option<PartitionCounts>,
    /// As leader: who was in the group. None if another leads.
    pub roster: Option<Roster>,
}

impl Standing {
    /// What commits are made under; none outside of a generation.
    pub fn membership(&self, protocol: GroupProtocol, coordinator: Option<NodeId>) -> Option<Membership> {
        let member_id = self.member_id.clone()?;
        let generation = self.generation?;
        Some(Membership { protocol, coordinator, member_id, generation, settled: self.settled })
    }

    /// Whether the partition is ours, and was not lost since `losses` of it were counted.
    pub fn still_holds(&self, partition: &Partition, losses: u64) -> bool {
        self.owned.contains(partition) && self.losses_of(partition) == losses
    }

    /// How often the partition was lost.
    pub fn losses_of(&self, partition: &Partition) -> u64 {
        self.losses.get(partition).copied().unwrap_or_default()
    }

    /// The partitions that are ours to keep.
    pub fn kept(&self) -> BTreeSet<Partition> {
        self.owned.difference(&self.releasing).cloned().collect()
    }
}

/// What commits are made under.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Membership {
    /// Under which protocol.
    pub protocol: GroupProtocol,
    /// The broker that coordinates the group; none while it is being found.
    pub coordinator: Option<NodeId>,
    /// Who we are.
    pub member_id: MemberId,
    /// The group generation (classic) or member epoch that a commit must name.
    pub generation: GroupGeneration,
    /// Whether the generation's round is complete. Until then the coordinator answers commits with
    /// REBALANCE_IN_PROGRESS: keep them (librdkafka#4059).
    pub settled: bool,
}
