//! The commands on topics and logs, and what can be asked about them.

use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::Arc;

use steadfast_core::ids::{LeaderEpoch, NodeId, Offset, Partition, TopicId};

use super::{Replicas, Topic, TopicError, changed, valid_name};
use crate::batch::{self, Header, NewRecord, Producer};
use crate::cluster::Cluster;
use crate::groups;
use crate::transactions::Session;

/// The most partitions of one topic: a request may ask for billions.
pub(crate) const MOST_PARTITIONS: usize = 10_000;

impl Cluster {
    /// Creates a topic. Partitions and their leaders are spread over the living brokers in turn, each with up to three
    /// replicas.
    pub fn create_topic(&mut self, name: &str, partitions: usize) -> Result<TopicId, TopicError> {
        let replicas = self.spread(0..partitions.min(MOST_PARTITIONS + 1), 3);
        self.create_topic_on(name, replicas)
    }

    /// Creates a topic whose partitions are on these brokers, the preferred leader first.
    pub fn create_topic_on(&mut self, name: &str, replicas: Vec<Vec<NodeId>>) -> Result<TopicId, TopicError> {
        let partitions = self.creatable(name, replicas)?;
        let id = self.id().clone();
        Ok(self.topics.insert(&id, name.into(), partitions))
    }

    /// The partitions of a topic that could be created.
    pub(crate) fn creatable(
        &self,
        name: &str,
        replicas: Vec<Vec<NodeId>>,
    ) -> Result<Vec<Replicas>, TopicError> {
        if !valid_name(name) {
            return Err(TopicError::Name(name.into()));
        }
        if self.topics.by_name(name).is_some() {
            return Err(TopicError::Exists(name.into()));
        }
        if replicas.is_empty() || replicas.len() > MOST_PARTITIONS {
            return Err(TopicError::Count { topic: name.into(), have: 0, asked: replicas.len() });
        }
        self.placed(name, replicas)
    }

    /// Adds partitions, so that the topic has `total`.
    pub fn add_partitions(&mut self, name: &str, total: usize) -> Result<(), TopicError> {
        let added = self.addable(name, total, None)?;
        self.topics.add(name, added);
        Ok(())
    }

    /// The partitions that could be added so that the topic has `total`: on these brokers, or on as many brokers as
    /// its first partition.
    pub(crate) fn addable(
        &self,
        name: &str,
        total: usize,
        on: Option<Vec<Vec<NodeId>>>,
    ) -> Result<Vec<Replicas>, TopicError> {
        let topic = self.topic(name)?;
        let have = topic.partitions.len();
        if total <= have || total > MOST_PARTITIONS {
            return Err(TopicError::Count { topic: name.into(), have, asked: total });
        }
        let factor = topic.partitions.first().map_or(1, |first| first.on.len());
        let on = on.unwrap_or_else(|| self.spread(have..total, factor));
        if on.len() != total - have {
            return Err(TopicError::Replicas { topic: name.into(), replicas: on.concat() });
        }
        self.placed(name, on)
    }

    /// Deletes a topic with all it holds. One of the same name that is created later has another id.
    pub fn delete_topic(&mut self, name: &str) -> Result<(), TopicError> {
        let topic = self.topics.remove(name).ok_or_else(|| TopicError::NoTopic(name.into()))?;
        for index in 0..topic.partitions.len() {
            changed(self, &Partition::new(name, index as i32));
        }
        groups::topic_deleted(self, name);
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
        changed(self, partition);
        Ok(base)
    }

    /// Ends this producer's transaction: a marker goes to every partition where it is open.
    pub fn end_transaction(&mut self, producer_id: i64, commit: bool) {
        self.mark_transaction(Session { producer_id, epoch: 0 }, commit);
    }

    pub(crate) fn mark_transaction(&mut self, session: Session, commit: bool) {
        let time_ms = i64::try_from(self.now().since_start().as_millis()).unwrap_or(i64::MAX);
        let marked: Vec<Partition> = self
            .topics
            .partitions_mut()
            .filter_map(|(partition, replicas)| {
                replicas.log.end_transaction(session, commit, time_ms).then_some(partition)
            })
            .collect();
        for partition in marked {
            changed(self, &partition);
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
        changed(self, partition);
        Ok(())
    }

    /// The partition moves to these brokers, the preferred leader first, and nowhere else: a reassignment (KIP-455) that is
    /// done at once. Its leader stays if it is one of them.
    pub fn reassign(&mut self, partition: &Partition, to: Vec<NodeId>) -> Result<(), TopicError> {
        let Some(placed) = self.placed(&partition.topic, vec![to])?.pop() else { return Ok(()) };
        let replicas = self.replicas_mut(partition)?;
        (replicas.on, replicas.in_sync) = (placed.on, placed.in_sync);
        if !replicas.leader.is_some_and(|leader| replicas.in_sync.contains(&leader)) {
            replicas.lead(placed.leader);
        }
        changed(self, partition);
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
        changed(self, partition);
        Ok(end)
    }

    /// Retention: the records before this offset are gone. Returns where the log starts now.
    pub fn delete_before(&mut self, partition: &Partition, offset: Offset) -> Result<Offset, TopicError> {
        let replicas = self.replicas_mut(partition)?;
        replicas.log.delete_before(offset);
        let start = replicas.log.start();
        changed(self, partition);
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
        changed(self, partition);
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
    pub(crate) fn spread(&self, indexes: Range<usize>, factor: usize) -> Vec<Vec<NodeId>> {
        let nodes: Vec<NodeId> = self.alive().map(|(node, _)| node).collect();
        let replicas =
            |index| nodes.iter().cycle().skip(index % nodes.len().max(1)).take(factor.min(nodes.len()));
        indexes.map(|index| replicas(index).copied().collect()).collect()
    }

    fn placed(&self, topic: &str, on: Vec<Vec<NodeId>>) -> Result<Vec<Replicas>, TopicError> {
        on.into_iter()
            .map(|on| {
                let known = on.iter().all(|node| self.brokers.contains_key(node));
                let distinct = on.iter().collect::<BTreeSet<_>>().len();
                if on.is_empty() || !known || distinct < on.len() {
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
