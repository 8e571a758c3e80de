//! Kafka's side of a view: the topics, their leaders and the leaders' epochs, merged from what brokers report.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::Serialize;

pub use crate::endpoints::agreement::Rules;
use crate::endpoints::view::Address;
use crate::ids::{LeaderEpoch, NodeId, Partition, TopicId};
use crate::tick::Tick;

use known::{Hearing, Held, Known, Witnesses, Word};

mod known;

/// Why a broker says little or nothing about a topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, thiserror::Error)]
#[serde(rename_all = "snake_case")]
pub enum TopicError {
    /// There is no such topic.
    #[error("unknown topic")]
    Unknown,
    /// We may not describe it.
    #[error("not authorized to describe the topic")]
    Unauthorized,
    /// It is being created, or all its replicas are down.
    #[error("no leader is available")]
    LeaderNotAvailable,
    /// Anything else, by Kafka's number.
    #[error("error {0}")]
    Other(i16),
}

impl TopicError {
    /// The error behind Kafka's number; none for 0.
    pub fn from_code(code: i16) -> Option<TopicError> {
        match code {
            0 => None,
            3 | 100 => Some(TopicError::Unknown),
            5 => Some(TopicError::LeaderNotAvailable),
            29 => Some(TopicError::Unauthorized),
            other => Some(TopicError::Other(other)),
        }
    }
}

/// Who leads a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Leader {
    /// The leader; none while there is none.
    pub node: Option<NodeId>,
    /// The election it won; [`LeaderEpoch::UNKNOWN`] from old brokers.
    pub epoch: LeaderEpoch,
}

/// One topic as one broker reports it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Topic {
    /// Its identity; [`TopicId::UNKNOWN`] from old brokers.
    pub id: TopicId,
    /// What is wrong with it, if anything.
    pub error: Option<TopicError>,
    /// Its partitions, by number.
    pub partitions: BTreeMap<i32, Leader>,
}

/// The topics of one answer, by name. A topic that is not in it was not asked for, and is not gone.
pub type Topics = BTreeMap<Arc<str>, Topic>;

/// A partition has another leader, or the same one by another election.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LeaderChange {
    /// Which partition.
    pub partition: Partition,
    /// Who led it; none if the partition was not known.
    pub from: Option<Leader>,
    /// Who leads it now.
    pub to: Leader,
}

/// A topic was deleted and created again under its name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Recreated {
    /// Its name.
    pub topic: Arc<str>,
    /// The id that is gone.
    pub from: TopicId,
    /// The id that it has now.
    pub to: TopicId,
}

/// A topic has more partitions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Grown {
    /// Its name.
    pub topic: Arc<str>,
    /// How many it had.
    pub from: usize,
    /// How many it has.
    pub to: usize,
}

/// A leader epoch went back and every witness shows it: the cluster lost elections that we know of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Regressed {
    /// Which partition.
    pub partition: Partition,
    /// The epoch that we knew.
    pub from: LeaderEpoch,
    /// The epoch that is believed now.
    pub to: LeaderEpoch,
}

/// What an answer changed.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Changes {
    /// Topics that were not known.
    pub appeared: Vec<Arc<str>>,
    /// Topics that no witness knows any more.
    pub gone: Vec<Arc<str>>,
    /// Topics with another id than before.
    pub recreated: Vec<Recreated>,
    /// Topics with more partitions than before.
    pub grown: Vec<Grown>,
    /// Partitions with another leader or leader epoch, new ones included.
    pub leaders: Vec<LeaderChange>,
    /// Leader epochs that went back for good (`cluster.regressed`).
    pub regressed: Vec<Regressed>,
}

impl Changes {
    /// Whether nothing changed.
    pub fn is_empty(&self) -> bool {
        *self == Changes::default()
    }
}

/// The topics as they are believed to be.
///
/// Per partition the highest leader epoch under the same topic id wins (KIP-320): a lower one is a witness that
/// lags behind, and only its word on that partition is discarded. An answer without epochs, from an old broker,
/// is taken as it comes. Another topic id is another topic: more than half of the electorate have to show it, or
/// every witness for [`Rules::settle`] without contradiction. One without an id never replaces one that has one.
/// Steps back (a lower epoch, an id that was replaced, a topic that is unknown) are believed only when every witness
/// has shown them for so long.
#[derive(Debug, Clone)]
pub struct Cluster {
    rules: Rules,
    topics: BTreeMap<Arc<str>, Known>,
    /// Topics that are no more: whatever has their names again may be another.
    gone: BTreeMap<Arc<str>, Known>,
    electorate: Arc<BTreeSet<Address>>,
    errors: BTreeMap<Arc<str>, TopicError>,
    /// What a topic has that nobody has said anything about: one value for all of them.
    nobody: Arc<Witnesses>,
}

impl Cluster {
    /// Nothing is known yet.
    pub fn new(rules: Rules) -> Cluster {
        let (topics, gone, errors) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        Cluster { rules, topics, gone, electorate: Arc::default(), errors, nobody: Arc::default() }
    }

    /// Names the brokers' addresses: of a topic's id, what more than half of them show is believed at once.
    pub fn elect(&mut self, electorate: BTreeSet<Address>) {
        self.electorate = Arc::new(electorate);
    }

    /// Takes in what the broker at `witness` reports.
    pub fn observe(&mut self, witness: &Address, topics: &Topics, now: Tick) -> Changes {
        let mut changes = Changes::default();
        let (rules, electorate) = (self.rules, Arc::clone(&self.electorate));
        let mut hearing =
            Hearing { word: Word { witness, at: now, rules, electorate: &electorate }, last: None };
        for (name, topic) in topics {
            self.observe_topic(name, topic, &mut hearing, &mut changes);
        }
        changes
    }

    /// Takes in a leader that a fetch answer names (KIP-951), if its epoch is higher than the one known.
    pub fn learn(
        &mut self,
        partition: &Partition,
        id: TopicId,
        node: NodeId,
        epoch: LeaderEpoch,
    ) -> Option<LeaderChange> {
        let known = self.topics.get_mut(&partition.topic)?;
        let held = known.partitions.get_mut(&partition.index)?;
        let same_topic = id == known.id || id == TopicId::UNKNOWN;
        if !same_topic || node.0 < 0 || epoch <= held.leader.epoch {
            return None;
        }
        let to = Leader { node: Some(node), epoch };
        let from = Some(std::mem::replace(held, Held::new(to)).leader);
        Some(LeaderChange { partition: partition.clone(), from, to })
    }

    /// Forgets the topics that are not `wanted`.
    pub fn retain(&mut self, wanted: impl Fn(&str) -> bool) {
        self.topics.retain(|name, _| wanted(name));
        self.gone.retain(|name, _| wanted(name));
        self.errors.retain(|name, _| wanted(name));
    }

    /// Who leads `partition`, and since which election; none if that is not known, or nobody does.
    pub fn leader(&self, partition: &Partition) -> Option<(NodeId, LeaderEpoch)> {
        let held = self.topics.get(&partition.topic)?.partitions.get(&partition.index)?;
        held.leader.node.map(|node| (node, held.leader.epoch))
    }

    /// The topics that exist.
    pub fn topics(&self) -> impl Iterator<Item = &Arc<str>> {
        self.topics.keys()
    }

    /// The topics that do not exist, of those that were asked about.
    pub fn missing(&self) -> impl Iterator<Item = &Arc<str>> {
        let missing = |(name, error): &(&Arc<str>, &TopicError)| {
            **error == TopicError::Unknown && !self.topics.contains_key(*name)
        };
        self.errors.iter().filter(missing).map(|(name, _)| name)
    }

    /// The partitions of `topic`, if it exists.
    pub fn partitions(&self, topic: &str) -> Option<impl Iterator<Item = i32>> {
        self.topics.get(topic).map(|known| known.partitions.keys().copied())
    }

    /// How many partitions `topic` has, if it exists.
    pub fn partition_count(&self, topic: &str) -> Option<usize> {
        self.topics.get(topic).map(|known| known.partitions.len())
    }

    /// The id of `topic`, if it exists and brokers name one.
    pub fn topic_id(&self, topic: &str) -> Option<TopicId> {
        self.topics.get(topic).map(|known| known.id).filter(|id| *id != TopicId::UNKNOWN)
    }

    /// What the newest answer found wrong with `topic`.
    pub fn error(&self, topic: &str) -> Option<TopicError> {
        self.errors.get(topic).copied()
    }

    fn observe_topic(
        &mut self,
        name: &Arc<str>,
        topic: &Topic,
        hearing: &mut Hearing<'_>,
        changes: &mut Changes,
    ) {
        let word = hearing.word;
        match topic.error {
            Some(error) => self.errors.insert(Arc::clone(name), error),
            None => self.errors.remove(name),
        };
        match (self.topics.get_mut(name), topic.error) {
            (None, None) => {
                let first = || Known::new(topic.id, Arc::clone(&self.nobody));
                let mut known = self.gone.remove(name).unwrap_or_else(first);
                hearing.hear(&mut known.witnesses);
                if known.observe(name, topic, word, changes) {
                    changes.appeared.push(Arc::clone(name));
                    self.topics.insert(Arc::clone(name), known);
                } else {
                    self.gone.insert(Arc::clone(name), known);
                }
            }
            (Some(known), Some(TopicError::Unknown)) => {
                hearing.hear(&mut known.witnesses);
                if known.is_missed(word)
                    && let Some(mut known) = self.topics.remove(name)
                {
                    known.be_gone();
                    self.gone.insert(Arc::clone(name), known);
                    changes.gone.push(Arc::clone(name));
                }
            }
            (Some(known), None) => {
                hearing.hear(&mut known.witnesses);
                known.observe(name, topic, word, changes);
            }
            (None, Some(_))
            | (
                Some(_),
                Some(TopicError::Unauthorized | TopicError::LeaderNotAvailable | TopicError::Other(_)),
            ) => {}
        }
    }
}
