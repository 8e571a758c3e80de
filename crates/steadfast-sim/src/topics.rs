//! Topics: their ids, their partitions' replicas, leaders and logs; and the commands that change them.

pub(crate) mod commands;

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::sync::Arc;

use kafka_protocol::ResponseError;
use steadfast_core::ids::{ClusterId, LeaderEpoch, NodeId, Partition, TopicId};
use thiserror::Error;

use crate::api::{fetch, produce};
use crate::cluster::Cluster;
use crate::log::Log;

/// The longest name that Kafka allows.
const LONGEST_NAME: usize = 249;

/// Why a command on topics was refused.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum TopicError {
    /// There is one of that name.
    #[error("topic {0} exists")]
    Exists(Arc<str>),
    /// Not a name that Kafka allows.
    #[error("{0:?} is no topic name: expected 1 to 249 letters, digits, '.', '_' and '-', and not . or ..")]
    Name(Arc<str>),
    /// There is none of that name.
    #[error("there is no topic {0}")]
    NoTopic(Arc<str>),
    /// There is no such partition.
    #[error("there is no partition {0}")]
    NoPartition(Partition),
    /// The partition has no leader.
    #[error("partition {0} has no leader")]
    NoLeader(Partition),
    /// A partition needs at least one replica, each on another broker of the cluster.
    #[error("topic {topic} cannot have a partition on brokers {replicas:?}")]
    Replicas {
        /// The topic.
        topic: Arc<str>,
        /// Where the partition was to be.
        replicas: Vec<NodeId>,
    },
    /// Partitions can only be added.
    #[error("topic {topic} has {have} partitions and cannot come to have {asked}")]
    Count {
        /// The topic.
        topic: Arc<str>,
        /// How many it has; 0 for a new one.
        have: usize,
        /// How many were asked for.
        asked: usize,
    },
    /// The broker cannot lead the partition: it has no replica of it in sync, or is dead.
    #[error("broker {node} cannot lead {partition}")]
    CannotLead {
        /// The partition.
        partition: Partition,
        /// The broker.
        node: NodeId,
    },
}

impl From<&TopicError> for ResponseError {
    fn from(error: &TopicError) -> ResponseError {
        match error {
            TopicError::Exists(_) => ResponseError::TopicAlreadyExists,
            TopicError::Name(_) => ResponseError::InvalidTopicException,
            TopicError::NoTopic(_) | TopicError::NoPartition(_) => ResponseError::UnknownTopicOrPartition,
            TopicError::NoLeader(_) | TopicError::CannotLead { .. } => ResponseError::LeaderNotAvailable,
            TopicError::Replicas { .. } => ResponseError::InvalidReplicaAssignment,
            TopicError::Count { .. } => ResponseError::InvalidPartitions,
        }
    }
}

/// The topics of a cluster.
#[derive(Debug, Default)]
pub(crate) struct Topics {
    by_name: BTreeMap<Arc<str>, Topic>,
    names: BTreeMap<TopicId, Arc<str>>,
    created: u64,
}

/// Whom a request asks for a partition.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Asked {
    pub(crate) node: NodeId,
    /// The leader epoch that the client knows; -1 if none. It is checked before anything else (KIP-320).
    pub(crate) leader_epoch: i32,
    /// Whether only the leader may answer, or any replica (KIP-392).
    pub(crate) of_leader: bool,
}

/// One topic.
#[derive(Debug)]
pub(crate) struct Topic {
    pub(crate) id: TopicId,
    pub(crate) partitions: Vec<Replicas>,
    /// What it was created with. It is described; only [`largest_batch`](Topic::largest_batch) has an effect.
    pub(crate) configs: BTreeMap<String, String>,
}

/// Kafka's default of `max.message.bytes`.
const LARGEST_BATCH: usize = 1_048_588;

impl Topic {
    /// The largest batch that is taken, by the setting `max.message.bytes`.
    pub(crate) fn largest_batch(&self) -> usize {
        let set = self.configs.get("max.message.bytes").and_then(|set| set.parse().ok());
        set.unwrap_or(LARGEST_BATCH)
    }
}

/// One partition: where it is, who leads it, and its log.
#[derive(Debug)]
pub(crate) struct Replicas {
    /// The brokers that have it, the preferred leader first.
    pub(crate) on: Vec<NodeId>,
    /// Those in sync; never empty.
    pub(crate) in_sync: Vec<NodeId>,
    pub(crate) leader: Option<NodeId>,
    pub(crate) epoch: LeaderEpoch,
    pub(crate) log: Log,
}

impl Topics {
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&Arc<str>, &Topic)> {
        self.by_name.iter()
    }

    pub(crate) fn by_name(&self, name: &str) -> Option<&Topic> {
        self.by_name.get(name)
    }

    /// The name, shared, if there is a topic of that name.
    pub(crate) fn known_name(&self, name: &str) -> Option<&Arc<str>> {
        self.by_name.get_key_value(name).map(|(name, _)| name)
    }

    pub(crate) fn name(&self, id: TopicId) -> Option<&Arc<str>> {
        self.names.get(&id)
    }

    pub(crate) fn get(&self, name: &str, index: i32) -> Option<&Replicas> {
        self.by_name(name)?.partitions.get(usize::try_from(index).ok()?)
    }

    pub(crate) fn get_mut(&mut self, name: &str, index: i32) -> Option<&mut Replicas> {
        self.by_name.get_mut(name)?.partitions.get_mut(usize::try_from(index).ok()?)
    }

    /// The partition, for a request to a broker that says which leader epoch it knows (-1: none).
    pub(crate) fn hosted(&self, name: &str, index: i32, asked: Asked) -> Result<&Replicas, ResponseError> {
        let replicas = self.get(name, index).ok_or(ResponseError::UnknownTopicOrPartition)?;
        if !replicas.on.contains(&asked.node) {
            return Err(ResponseError::NotLeaderOrFollower);
        }
        if let Some(epoch) = LeaderEpoch(asked.leader_epoch).known() {
            match epoch.cmp(&replicas.epoch) {
                Ordering::Less => return Err(ResponseError::FencedLeaderEpoch),
                Ordering::Greater => return Err(ResponseError::UnknownLeaderEpoch),
                Ordering::Equal => {}
            }
        }
        if asked.of_leader && replicas.leader != Some(asked.node) {
            return Err(ResponseError::NotLeaderOrFollower);
        }
        Ok(replicas)
    }

    /// Every partition, with its name.
    pub(crate) fn partitions_mut(&mut self) -> impl Iterator<Item = (Partition, &mut Replicas)> {
        self.by_name.iter_mut().flat_map(|(name, topic)| {
            let numbered = topic.partitions.iter_mut().zip(0..);
            numbered.map(move |(replicas, index)| (Partition::new(name.clone(), index), replicas))
        })
    }

    fn insert(&mut self, cluster: &ClusterId, name: Arc<str>, partitions: Vec<Replicas>) -> TopicId {
        self.created += 1;
        let id = topic_id(cluster, self.created);
        self.names.insert(id, name.clone());
        self.by_name.insert(name, Topic { id, partitions, configs: BTreeMap::new() });
        id
    }

    pub(crate) fn add(&mut self, name: &str, partitions: Vec<Replicas>) {
        if let Some(topic) = self.by_name.get_mut(name) {
            topic.partitions.extend(partitions);
        }
    }

    /// Keeps settings for the topic.
    pub(crate) fn configure(&mut self, name: &str, configs: BTreeMap<String, String>) {
        if let Some(topic) = self.by_name.get_mut(name) {
            topic.configs = configs;
        }
    }

    fn remove(&mut self, name: &str) -> Option<Topic> {
        let topic = self.by_name.remove(name)?;
        self.names.remove(&topic.id);
        Some(topic)
    }
}

/// An id that no other topic has, of this cluster or (by FNV-1a over its id) of another one; it has the form of a
/// random UUID.
fn topic_id(cluster: &ClusterId, created: u64) -> TopicId {
    let bytes = cluster.0.bytes().chain(created.to_be_bytes());
    let hash = bytes.fold(0x6c62_272e_07bb_0142_62b8_2175_6295_c58d_u128, |hash, byte| {
        (hash ^ u128::from(byte)).wrapping_mul(0x0000_0000_0100_0000_0000_0000_0000_013b)
    });
    let form = 0xf000_c000_0000_0000_0000_u128;
    TopicId(hash & !form | 0x4000_8000_0000_0000_0000)
}

impl Replicas {
    fn new(on: Vec<NodeId>, cluster: &Cluster) -> Replicas {
        let in_sync: Vec<NodeId> = on.iter().copied().filter(|node| cluster.is_alive(*node)).collect();
        let leader = in_sync.first().copied();
        let in_sync = if in_sync.is_empty() { on.clone() } else { in_sync };
        Replicas { on, in_sync, leader, epoch: LeaderEpoch(0), log: Log::new(LeaderEpoch(0)) }
    }

    fn lead(&mut self, leader: Option<NodeId>) {
        self.leader = leader;
        self.epoch = LeaderEpoch(self.epoch.0 + 1);
        if leader.is_some() {
            self.log.begin_epoch(self.epoch);
        }
    }

    /// After brokers died or returned: who is in sync, and who leads. Returns whether the leader is another.
    fn elect(&mut self, alive: impl Fn(NodeId) -> bool) -> bool {
        let leader = match self.leader {
            Some(leader) if alive(leader) => Some(leader),
            _ => self.on.iter().copied().find(|node| alive(*node) && self.in_sync.contains(node)),
        };
        // Without a leader the last ones in sync stay so: only they have everything, and none of them lives. With
        // one, whoever lives is in sync as soon as it follows, since all replicas share one log.
        if leader.is_some() {
            self.in_sync = self.on.iter().copied().filter(|node| alive(*node)).collect();
        }
        let changed = leader != self.leader;
        if changed {
            self.lead(leader);
        }
        changed
    }
}

/// Brokers died, returned, came or went: partitions get the leaders that are left to them.
pub(crate) fn brokers_changed(cluster: &mut Cluster) {
    let brokers = &cluster.brokers;
    let alive = |node: NodeId| brokers.get(&node).is_some_and(|broker| broker.alive);
    let moved: Vec<Partition> = cluster
        .topics
        .partitions_mut()
        .filter_map(|(partition, replicas)| replicas.elect(alive).then_some(partition))
        .collect();
    for partition in moved {
        changed(cluster, &partition);
    }
}

/// Something about the partition is different: whoever waits for that is answered.
pub(crate) fn changed(cluster: &mut Cluster, partition: &Partition) {
    produce::waiting::wake(cluster);
    fetch::wake(cluster, partition);
}

/// Whether Kafka allows the name.
pub(crate) fn valid_name(name: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    (1..=LONGEST_NAME).contains(&name.len()) && name != "." && name != ".." && name.bytes().all(allowed)
}

#[cfg(test)]
mod tests;
