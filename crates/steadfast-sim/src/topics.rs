//! Topics: their ids, their partitions' replicas, leaders and logs; and the commands that change them.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::sync::Arc;

use kafka_protocol::ResponseError;
use steadfast_core::ids::{ClusterId, LeaderEpoch, NodeId, Offset, Partition, TopicId};
use thiserror::Error;

use crate::api::fetch;
use crate::batch::{self, Header, NewRecord, Producer};
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

    fn insert(&mut self, cluster: &ClusterId, name: Arc<str>, partitions: Vec<Replicas>) {
        self.created += 1;
        let id = topic_id(cluster, self.created);
        self.names.insert(id, name.clone());
        self.by_name.insert(name, Topic { id, partitions });
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
        let one_in_sync_lives = self.in_sync.iter().any(|node| alive(*node));
        if one_in_sync_lives {
            // All replicas share one log, so one that is alive is in sync as soon as a leader is there to follow.
            self.in_sync = self.on.iter().copied().filter(|node| alive(*node)).collect();
        }
        let leader = match self.leader {
            Some(leader) if alive(leader) => Some(leader),
            _ if one_in_sync_lives => self.in_sync.first().copied(),
            // The last ones in sync stay so: only they have everything, and none of them lives.
            _ => None,
        };
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
        fetch::wake(cluster, &partition);
    }
}

impl Cluster {
    /// Creates a topic. Partitions and their leaders are spread over the living brokers in turn, each with up to three
    /// replicas.
    pub fn create_topic(&mut self, name: &str, partitions: usize) -> Result<TopicId, TopicError> {
        let replicas = self.spread(0..partitions, 3);
        self.create_topic_on(name, replicas)
    }

    /// Creates a topic whose partitions are on these brokers, the preferred leader first.
    pub fn create_topic_on(&mut self, name: &str, replicas: Vec<Vec<NodeId>>) -> Result<TopicId, TopicError> {
        let name: Arc<str> = name.into();
        if !valid_name(&name) {
            return Err(TopicError::Name(name));
        }
        if self.topics.by_name(&name).is_some() {
            return Err(TopicError::Exists(name));
        }
        if replicas.is_empty() {
            return Err(TopicError::Count { topic: name, have: 0, asked: 0 });
        }
        let partitions = self.placed(&name, replicas)?;
        let id = self.id().clone();
        self.topics.insert(&id, name.clone(), partitions);
        self.topic_id(&name)
    }

    /// Adds partitions, so that the topic has `total`.
    pub fn add_partitions(&mut self, name: &str, total: usize) -> Result<(), TopicError> {
        let have = self.topic(name)?.partitions.len();
        if total <= have {
            return Err(TopicError::Count { topic: name.into(), have, asked: total });
        }
        let replicas = self.spread(have..total, 3);
        self.add_partitions_on(name, replicas)
    }

    /// Adds a partition on each of these sets of brokers.
    pub(crate) fn add_partitions_on(&mut self, name: &str, on: Vec<Vec<NodeId>>) -> Result<(), TopicError> {
        let added = self.placed(name, on)?;
        if let Some(topic) = self.topics.by_name.get_mut(name) {
            topic.partitions.extend(added);
        }
        Ok(())
    }

    /// Deletes a topic with all it holds. One of the same name that is created later has another id.
    pub fn delete_topic(&mut self, name: &str) -> Result<(), TopicError> {
        let topic = self.topics.remove(name).ok_or_else(|| TopicError::NoTopic(name.into()))?;
        for index in 0..topic.partitions.len() {
            fetch::wake(self, &Partition::new(name, index as i32));
        }
        Ok(())
    }

    /// The topic's id.
    pub fn topic_id(&self, name: &str) -> Result<TopicId, TopicError> {
        self.topic(name).map(|topic| topic.id)
    }

    /// The topic's partitions.
    pub fn partitions(&self, name: &str) -> Result<Vec<Partition>, TopicError> {
        let count = self.topic(name)?.partitions.len();
        let name: Arc<str> = name.into();
        Ok((0..count).map(|index| Partition::new(name.clone(), index as i32)).collect())
    }

    /// Appends records as one batch, as if a producer had done so that waits for all replicas, and returns the first
    /// one's offset (the log's end if there are none). Refused where nobody could acknowledge: without a leader.
    pub fn append(&mut self, partition: &Partition, records: Vec<NewRecord>) -> Result<Offset, TopicError> {
        self.append_batch(partition, &batch::write(&records, Producer::NONE, false))
    }

    /// Appends records as a part of this producer's transaction, which begins by that.
    pub fn append_transactional(
        &mut self,
        partition: &Partition,
        producer_id: i64,
        records: Vec<NewRecord>,
    ) -> Result<Offset, TopicError> {
        let producer = Producer { id: producer_id, epoch: 0, base_sequence: -1 };
        self.append_batch(partition, &batch::write(&records, producer, true))
    }

    fn append_batch(&mut self, partition: &Partition, batch: &[u8]) -> Result<Offset, TopicError> {
        let replicas = self.replicas_mut(partition)?;
        if replicas.leader.is_none() {
            return Err(TopicError::NoLeader(partition.clone()));
        }
        // The writer's batches are always readable but one without records, which is none.
        let Ok(header) = Header::read(batch) else { return Ok(replicas.log.end()) };
        let base = replicas.log.append(header, batch);
        fetch::wake(self, partition);
        Ok(base)
    }

    /// Ends this producer's transaction: a marker goes to every partition where it is open.
    pub fn end_transaction(&mut self, producer_id: i64, commit: bool) {
        self.mark_transaction(producer_id, 0, commit);
    }

    pub(crate) fn mark_transaction(&mut self, producer_id: i64, epoch: i16, commit: bool) {
        let time_ms = i64::try_from(self.now().since_start().as_millis()).unwrap_or(i64::MAX);
        let marked: Vec<Partition> = self
            .topics
            .partitions_mut()
            .filter_map(|(partition, replicas)| {
                replicas.log.end_transaction(producer_id, epoch, commit, time_ms).then_some(partition)
            })
            .collect();
        for partition in marked {
            fetch::wake(self, &partition);
        }
    }

    /// The broker leads the partition from now on, in the next leader epoch (also if it led it before).
    pub fn move_leader(&mut self, partition: &Partition, node: NodeId) -> Result<(), TopicError> {
        let alive = self.is_alive(node);
        let replicas = self.replicas_mut(partition)?;
        if !alive || !replicas.in_sync.contains(&node) {
            return Err(TopicError::CannotLead { partition: partition.clone(), node });
        }
        replicas.lead(Some(node));
        fetch::wake(self, partition);
        Ok(())
    }

    /// An unclean election: the records from `to` on are lost (a batch across it whole), and the leader, the same
    /// broker, has the next epoch. Returns where the log ends now.
    pub fn truncate(&mut self, partition: &Partition, to: Offset) -> Result<Offset, TopicError> {
        let replicas = self.replicas_mut(partition)?;
        replicas.log.truncate(to);
        let leader = replicas.leader;
        replicas.lead(leader);
        let end = replicas.log.end();
        fetch::wake(self, partition);
        Ok(end)
    }

    /// Retention: the records before this offset are gone. Returns where the log starts now.
    pub fn delete_before(&mut self, partition: &Partition, offset: Offset) -> Result<Offset, TopicError> {
        let replicas = self.replicas_mut(partition)?;
        replicas.log.delete_before(offset);
        let start = replicas.log.start();
        fetch::wake(self, partition);
        Ok(start)
    }

    /// Compaction removes the batch that holds this offset; its offsets stay taken. Returns whether there was one.
    pub fn compact_away(&mut self, partition: &Partition, offset: Offset) -> Result<bool, TopicError> {
        Ok(self.replicas_mut(partition)?.log.compact_away(offset))
    }

    /// Holds the high watermark at this offset, as when followers stopped following; none lets it go.
    pub fn hold_high_watermark(
        &mut self,
        partition: &Partition,
        at: Option<Offset>,
    ) -> Result<(), TopicError> {
        self.replicas_mut(partition)?.log.hold(at);
        fetch::wake(self, partition);
        Ok(())
    }

    /// The partition's first offset.
    pub fn log_start(&self, partition: &Partition) -> Result<Offset, TopicError> {
        self.replicas(partition).map(|replicas| replicas.log.start())
    }

    /// Where readers of the partition have to stop.
    pub fn high_watermark(&self, partition: &Partition) -> Result<Offset, TopicError> {
        self.replicas(partition).map(|replicas| replicas.log.high_watermark())
    }

    /// The offset that the partition's next record gets.
    pub fn log_end(&self, partition: &Partition) -> Result<Offset, TopicError> {
        self.replicas(partition).map(|replicas| replicas.log.end())
    }

    /// Who leads the partition, if anybody does.
    pub fn leader(&self, partition: &Partition) -> Result<Option<NodeId>, TopicError> {
        self.replicas(partition).map(|replicas| replicas.leader)
    }

    /// The epoch of the partition's leader.
    pub fn leader_epoch(&self, partition: &Partition) -> Result<LeaderEpoch, TopicError> {
        self.replicas(partition).map(|replicas| replicas.epoch)
    }

    pub(crate) fn is_alive(&self, node: NodeId) -> bool {
        self.brokers.get(&node).is_some_and(|broker| broker.alive)
    }

    /// Replicas for the partitions of these numbers: the living brokers in turn.
    pub(crate) fn spread(&self, indexes: std::ops::Range<usize>, factor: usize) -> Vec<Vec<NodeId>> {
        let nodes: Vec<NodeId> = self.alive().map(|(node, _)| node).collect();
        let replicas =
            |index| nodes.iter().cycle().skip(index % nodes.len().max(1)).take(factor.min(nodes.len()));
        indexes.map(|index| replicas(index).copied().collect()).collect()
    }

    fn placed(&self, topic: &str, on: Vec<Vec<NodeId>>) -> Result<Vec<Replicas>, TopicError> {
        on.into_iter()
            .map(|on| {
                let known = on.iter().all(|node| self.brokers.contains_key(node));
                let twice = on.iter().enumerate().any(|(at, node)| on[..at].contains(node));
                if on.is_empty() || !known || twice {
                    return Err(TopicError::Replicas { topic: topic.into(), replicas: on });
                }
                Ok(Replicas::new(on, self))
            })
            .collect()
    }

    fn topic(&self, name: &str) -> Result<&Topic, TopicError> {
        self.topics.by_name(name).ok_or_else(|| TopicError::NoTopic(name.into()))
    }

    fn replicas(&self, partition: &Partition) -> Result<&Replicas, TopicError> {
        let found = self.topics.get(&partition.topic, partition.index);
        found.ok_or_else(|| TopicError::NoPartition(partition.clone()))
    }

    fn replicas_mut(&mut self, partition: &Partition) -> Result<&mut Replicas, TopicError> {
        let found = self.topics.get_mut(&partition.topic, partition.index);
        found.ok_or_else(|| TopicError::NoPartition(partition.clone()))
    }
}

/// Whether Kafka allows the name.
pub(crate) fn valid_name(name: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    (1..=LONGEST_NAME).contains(&name.len()) && name != "." && name != ".." && name.bytes().all(allowed)
}
