//! All groups of the cluster: which broker coordinates which, and what they have committed.

mod commits;
mod hosted;
mod migration;
mod placement;

use std::collections::BTreeMap;
use std::sync::Arc;

use kafka_protocol::ResponseError;
use steadfast_core::ids::{NodeId, Partition};
use steadfast_core::tick::Tick;

use crate::call::{Call, Reply};
use crate::cluster::Cluster;
use crate::consumer_group::{ConsumerGroup, ConsumerGroupView};
use crate::group::{Group, GroupSettings, GroupView};
use crate::offsets::{CommittedOffset, Offsets};

pub use commits::HungCommits;
pub(crate) use commits::{admit_in_transaction, commit, hung};
pub(crate) use hosted::{Committer, Hosted, Kind};
pub(crate) use migration::{act_on_consumers, heartbeat};
use placement::Placement;

/// The group side of the cluster.
#[derive(Debug, Default)]
pub(crate) struct Groups {
    settings: GroupSettings,
    placement: Placement,
    by_name: BTreeMap<Arc<str>, Hosted>,
    /// Member ids are numbered over the life of the cluster.
    serial: u64,
    unavailable_until: Option<Tick>,
    hung: Option<(Tick, HungCommits)>,
}

impl Groups {
    /// The group of this name, if there is one.
    pub(crate) fn get(&self, group: &str) -> Option<&Hosted> {
        self.by_name.get(group)
    }

    /// The group of this name, if there is one.
    pub(crate) fn get_mut(&mut self, group: &str) -> Option<&mut Hosted> {
        self.by_name.get_mut(group)
    }

    /// All groups that this broker coordinates, by name.
    pub(crate) fn on(&self, node: NodeId) -> impl Iterator<Item = (&Arc<str>, &Hosted)> {
        self.by_name.iter().filter(move |(name, _)| self.placement.coordinator(name) == Some(node))
    }

    /// The group of this name; if there is none, an empty one of the classic protocol is made.
    pub(crate) fn get_or_create(&mut self, group: &str) -> &mut Hosted {
        let settings = self.settings;
        let name: Arc<str> = group.into();
        let hosted = || Hosted {
            kind: Kind::Classic(Group::new(Arc::clone(&name), settings)),
            offsets: Offsets::default(),
        };
        self.by_name.entry(Arc::clone(&name)).or_insert_with(hosted)
    }

    /// The same, for a member of the classic protocol that joins: a group without members becomes one of that.
    pub(crate) fn for_classic(&mut self, group: &str) -> &mut Hosted {
        let settings = self.settings;
        let hosted = self.get_or_create(group);
        if hosted.consumer().is_some_and(ConsumerGroup::is_vacant) {
            hosted.kind = Kind::Classic(Group::new(group.into(), settings));
        }
        hosted
    }

    /// The same for a member of the consumer protocol.
    fn for_consumer(&mut self, group: &str) -> &mut Hosted {
        let settings = self.settings.consumer;
        let hosted = self.get_or_create(group);
        if hosted.classic().is_some_and(Group::is_vacant) {
            hosted.kind = Kind::Consumer(ConsumerGroup::new(group.into(), settings));
        }
        hosted
    }

    /// Forgets the group and its offsets.
    pub(crate) fn delete(&mut self, group: &str) {
        self.by_name.remove(group);
    }

    /// A number that no member id has.
    pub(crate) fn next_serial(&mut self) -> u64 {
        self.serial += 1;
        self.serial
    }

    /// The bounds of session timeouts and the like.
    pub(crate) fn settings(&self) -> &GroupSettings {
        &self.settings
    }

    /// Which broker coordinates this group, or this transactional id; none while it cannot be said.
    pub(crate) fn find_coordinator(&self, key: &str, now: Tick) -> Option<NodeId> {
        if self.is_unavailable(now) { None } else { self.placement.coordinator(key) }
    }

    /// Whether the broker may answer for the group now.
    ///
    /// Errors: COORDINATOR_NOT_AVAILABLE, INVALID_GROUP_ID without a name, NOT_COORDINATOR,
    /// COORDINATOR_LOAD_IN_PROGRESS.
    pub(crate) fn admit(&self, node: NodeId, group: &str, now: Tick) -> Result<(), ResponseError> {
        if group.is_empty() && !self.is_unavailable(now) {
            return Err(ResponseError::InvalidGroupId);
        }
        self.admit_nameless(node, group, now)
    }

    /// The same where Kafka lets a group be without a name, for the sake of old consumers: to commit, to read what
    /// was committed, to describe and to delete it.
    pub(crate) fn admit_nameless(&self, node: NodeId, group: &str, now: Tick) -> Result<(), ResponseError> {
        if self.is_unavailable(now) {
            return Err(ResponseError::CoordinatorNotAvailable);
        }
        self.placement.admit(node, group, now)
    }

    fn is_unavailable(&self, now: Tick) -> bool {
        self.unavailable_until.is_some_and(|until| now < until)
    }

    /// When something is due next.
    pub(crate) fn next_deadline(&self) -> Option<Tick> {
        let groups = self.by_name.values().filter_map(Hosted::next_deadline);
        groups.chain(self.placement.next_load()).min()
    }
}

/// What is due by now happens.
pub(crate) fn advance(cluster: &mut Cluster) {
    let now = cluster.now();
    load(cluster);
    let Cluster { groups, topics, .. } = cluster;
    for (name, hosted) in &mut groups.by_name {
        hosted.fire(topics, now);
        migration::downgrade_if_due(name, hosted, groups.settings, topics, now);
    }
    publish(cluster);
}

/// The set of live brokers changed: the groups of dead ones move.
pub(crate) fn brokers_changed(cluster: &mut Cluster) {
    let alive: Vec<NodeId> = cluster.alive().map(|(node, _)| node).collect();
    let loaded_at = cluster.now() + cluster.groups.settings.load_time;
    let moved = cluster.groups.placement.brokers_changed(&alive, loaded_at);
    unload(cluster, &moved);
}

/// Lets a group of the classic protocol act, then tells what came of it; none if there is no such group.
pub(crate) fn act<R>(
    cluster: &mut Cluster,
    group: &str,
    act: impl FnOnce(&mut Group, Tick) -> R,
) -> Option<R> {
    let now = cluster.now();
    let Kind::Classic(group) = &mut cluster.groups.get_mut(group)?.kind else { return None };
    let result = act(group, now);
    // With no initial delay the first round is over at once.
    group.fire(now);
    publish(cluster);
    Some(result)
}

/// The answer to this call if there is one by now.
pub(crate) fn reply(cluster: &mut Cluster, call: &Call) -> Reply {
    cluster.answered(call.ticket).map_or(Reply::Later, Reply::now)
}

/// Whether the partition exists: offsets of others are not committed.
pub(crate) fn partition_exists(cluster: &Cluster, partition: &Partition) -> bool {
    cluster.topics.get(&partition.topic, partition.index).is_some()
}

/// The topic is gone: what was committed of it is forgotten, as Kafka does.
pub(crate) fn topic_deleted(cluster: &mut Cluster, topic: &str) {
    for hosted in cluster.groups.by_name.values_mut() {
        hosted.offsets.delete_topic(topic);
    }
}

fn load(cluster: &mut Cluster) {
    let loaded = cluster.groups.placement.loaded_by(cluster.now());
    for (slot, at) in loaded {
        for (name, hosted) in &mut cluster.groups.by_name {
            if Placement::slot(name) == slot {
                hosted.load(at);
            }
        }
    }
}

fn unload(cluster: &mut Cluster, slots: &[usize]) {
    for (name, hosted) in &mut cluster.groups.by_name {
        if slots.contains(&Placement::slot(name)) {
            hosted.unload();
        }
    }
    load(cluster);
    publish(cluster);
}

fn publish(cluster: &mut Cluster) {
    let outputs: Vec<_> = cluster.groups.by_name.values_mut().map(Hosted::take_output).collect();
    for (answers, notices) in outputs {
        for (ticket, answer) in answers {
            cluster.answer(ticket, answer);
        }
        for notice in notices {
            cluster.notice(notice);
        }
    }
}

impl Cluster {
    /// What the group has committed, by partition.
    pub fn committed(&self, group: &str) -> BTreeMap<Partition, CommittedOffset> {
        self.groups.get(group).map(|hosted| hosted.offsets.all().clone()).unwrap_or_default()
    }

    /// The group of the classic protocol as it stands, if there is one.
    pub fn group(&self, group: &str) -> Option<GroupView> {
        self.groups.get(group)?.classic().map(Group::view)
    }

    /// The group of the consumer protocol as it stands, if there is one.
    pub fn consumer_group(&self, group: &str) -> Option<ConsumerGroupView> {
        self.groups.get(group)?.consumer().map(|group| group.view(&self.topics))
    }

    /// The broker that coordinates the group, also if there is no such group yet; none if no broker is alive.
    pub fn coordinator(&self, group: &str) -> Option<NodeId> {
        self.groups.placement.coordinator(group)
    }

    /// Another broker becomes the group's coordinator. As in Kafka the groups of one partition of
    /// `__consumer_offsets` move together; a round under way is lost, what was written down survives.
    ///
    /// Nothing happens if that broker is not alive or coordinates the group already.
    pub fn move_coordinator(&mut self, group: &str, node: NodeId) {
        let alive = self.brokers().get(&node).is_some_and(|broker| broker.alive);
        if alive && self.coordinator(group) != Some(node) {
            let loaded_at = self.now() + self.groups.settings.load_time;
            let slot = self.groups.placement.move_to(group, node, loaded_at);
            unload(self, &[slot]);
        }
    }

    /// Until then no coordinator is found, and none answers but with COORDINATOR_NOT_AVAILABLE; `None` ends it.
    /// Sessions go on meanwhile.
    pub fn coordinator_unavailable_until(&mut self, until: Option<Tick>) {
        self.groups.unavailable_until = until;
    }

    /// Until then OffsetCommit requests are taken and never answered; `None` ends it for those that come later.
    pub fn hang_commits(&mut self, until: Option<Tick>, fate: HungCommits) {
        self.groups.hung = until.map(|until| (until, fate));
    }

    /// The settings of the coordinators, for groups that come into being from now on.
    pub fn set_group_settings(&mut self, settings: GroupSettings) {
        self.groups.settings = settings;
    }
}
