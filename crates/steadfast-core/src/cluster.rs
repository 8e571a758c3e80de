//! Kafka's side of a view: the topics, their leaders and the leaders' epochs, merged from what brokers report.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;

pub use crate::endpoints::agreement::Rules;
use crate::endpoints::view::Address;
use crate::ids::{LeaderEpoch, NodeId, Partition, TopicId};
use crate::tick::Tick;

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
/// is taken as it comes. Another topic id is another topic; one without an id never replaces one that has one;
/// one that was replaced does not come back. Steps back (a lower epoch, an id that was replaced, a topic that is
/// unknown) are believed once every witness has shown them for [`Rules::settle`] without contradiction.
#[derive(Debug, Clone)]
pub struct Cluster {
    rules: Rules,
    topics: BTreeMap<Arc<str>, Known>,
    errors: BTreeMap<Arc<str>, TopicError>,
    /// What a topic has that nobody has said anything about: one value for all of them.
    nobody: Arc<Witnesses>,
}

/// When each witness last said anything about a topic.
type Witnesses = BTreeMap<Address, Tick>;

/// How many replaced ids of a topic are remembered.
const RETIRED: usize = 16;

#[derive(Debug, Clone)]
struct Known {
    id: TopicId,
    retired: VecDeque<TopicId>,
    partitions: BTreeMap<i32, Held>,
    /// Shared by the topics that are always told together, so that a thousand brokers which tell of ten thousand topics
    /// do not cost ten million entries.
    witnesses: Arc<Witnesses>,
    /// That the topic is unknown.
    missing: Option<Standing>,
    /// That it has an id which was replaced.
    returned: Option<(TopicId, Standing)>,
}

#[derive(Debug, Clone)]
struct Held {
    leader: Leader,
    /// That its epoch is lower.
    regressing: Option<(Leader, Standing)>,
}

/// Who has shown a step back, and since when.
#[derive(Debug, Clone)]
struct Standing {
    since: Tick,
    shown_by: BTreeSet<Address>,
}

/// Who says something, and when.
#[derive(Clone, Copy)]
struct Word<'a> {
    witness: &'a Address,
    at: Tick,
}

/// Adds one witness to the topics that it tells of, in one go for those that share what they had.
struct Hearing<'a> {
    word: Word<'a>,
    max_age: Duration,
    /// The last that it was added to, before and after.
    last: Option<(Arc<Witnesses>, Arc<Witnesses>)>,
}

impl Hearing<'_> {
    fn hear(&mut self, witnesses: &mut Arc<Witnesses>) {
        if let Some((before, after)) = &self.last
            && Arc::ptr_eq(before, witnesses)
        {
            *witnesses = Arc::clone(after);
            return;
        }
        let before = Arc::clone(witnesses);
        let mut after = Witnesses::clone(witnesses);
        after.insert(self.word.witness.clone(), self.word.at);
        after.retain(|_, heard| self.word.at.since(*heard) <= self.max_age);
        *witnesses = Arc::new(after);
        self.last = Some((before, Arc::clone(witnesses)));
    }
}

impl Cluster {
    /// Nothing is known yet.
    pub fn new(rules: Rules) -> Cluster {
        Cluster { rules, topics: BTreeMap::new(), errors: BTreeMap::new(), nobody: Arc::default() }
    }

    /// Takes in what the broker at `witness` reports.
    pub fn observe(&mut self, witness: &Address, topics: &Topics, now: Tick) -> Changes {
        let mut changes = Changes::default();
        let mut hearing =
            Hearing { word: Word { witness, at: now }, max_age: self.rules.max_age, last: None };
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
                changes.appeared.push(Arc::clone(name));
                let witnesses = Arc::clone(&self.nobody);
                let known = Known::new(topic.id, witnesses);
                let known = self.topics.entry(Arc::clone(name)).or_insert(known);
                hearing.hear(&mut known.witnesses);
                known.observe(name, topic, word, self.rules, changes);
            }
            (Some(known), Some(TopicError::Unknown)) => {
                hearing.hear(&mut known.witnesses);
                if known.is_missed(word, self.rules) {
                    self.topics.remove(name);
                    changes.gone.push(Arc::clone(name));
                }
            }
            (Some(known), None) => {
                hearing.hear(&mut known.witnesses);
                known.observe(name, topic, word, self.rules, changes);
            }
            (None, Some(_))
            | (
                Some(_),
                Some(TopicError::Unauthorized | TopicError::LeaderNotAvailable | TopicError::Other(_)),
            ) => {}
        }
    }
}

impl Known {
    fn new(id: TopicId, witnesses: Arc<Witnesses>) -> Known {
        Known {
            id,
            retired: VecDeque::new(),
            partitions: BTreeMap::new(),
            witnesses,
            missing: None,
            returned: None,
        }
    }

    fn is_missed(&mut self, word: Word<'_>, rules: Rules) -> bool {
        self.missing.get_or_insert_with(|| Standing::since(word.at)).holds(word, &self.witnesses, rules)
    }

    fn observe(
        &mut self,
        name: &Arc<str>,
        topic: &Topic,
        word: Word<'_>,
        rules: Rules,
        changes: &mut Changes,
    ) {
        self.missing = None;
        if !self.is_same(name, topic, word, rules, changes) {
            return;
        }
        let before = self.partitions.len();
        for (index, leader) in topic.partitions.iter().filter(|(index, _)| **index >= 0) {
            let partition = Partition::new(Arc::clone(name), *index);
            self.observe_leader(partition, *leader, word, rules, changes);
        }
        if before > 0 && self.partitions.len() > before {
            changes.grown.push(Grown { topic: Arc::clone(name), from: before, to: self.partitions.len() });
        }
    }

    /// Whether the report is about the topic that we know, or one that now takes its place.
    fn is_same(
        &mut self,
        name: &Arc<str>,
        topic: &Topic,
        word: Word<'_>,
        rules: Rules,
        changes: &mut Changes,
    ) -> bool {
        if topic.id == self.id || topic.id == TopicId::UNKNOWN {
            if topic.id != TopicId::UNKNOWN {
                self.returned = None;
            }
            return true;
        }
        if self.id == TopicId::UNKNOWN {
            self.id = topic.id;
            return true;
        }
        if self.retired.contains(&topic.id) {
            let (_, standing) = self
                .returned
                .take_if(|(id, _)| *id == topic.id)
                .unwrap_or_else(|| (topic.id, Standing::since(word.at)));
            let standing = &mut self.returned.insert((topic.id, standing)).1;
            if !standing.holds(word, &self.witnesses, rules) {
                return false;
            }
        }
        changes.recreated.push(Recreated { topic: Arc::clone(name), from: self.id, to: topic.id });
        self.become_another(topic.id);
        true
    }

    fn become_another(&mut self, id: TopicId) {
        let mut retired = std::mem::take(&mut self.retired);
        retired.retain(|before| *before != id);
        retired.push_back(self.id);
        if retired.len() > RETIRED {
            retired.pop_front();
        }
        *self = Known { retired, ..Known::new(id, Arc::clone(&self.witnesses)) };
    }

    fn observe_leader(
        &mut self,
        partition: Partition,
        leader: Leader,
        word: Word<'_>,
        rules: Rules,
        changes: &mut Changes,
    ) {
        let Some(held) = self.partitions.get_mut(&partition.index) else {
            self.partitions.insert(partition.index, Held::new(leader));
            changes.leaders.push(LeaderChange { partition, from: None, to: leader });
            return;
        };
        let before = held.leader;
        if is_behind(leader.epoch, before.epoch) {
            if let Some(regressed) = held.regress(leader, word, &self.witnesses, rules) {
                *held = Held::new(regressed);
                let (from, to) = (before.epoch, regressed.epoch);
                changes.regressed.push(Regressed { partition: partition.clone(), from, to });
            }
        } else {
            // The same election has one winner: who does not know it has nothing to add.
            let nobody = leader.node.is_none() && leader.epoch.known() == Some(before.epoch);
            *held = Held::new(if nobody { before } else { leader });
        }
        if held.leader != before {
            changes.leaders.push(LeaderChange { partition, from: Some(before), to: held.leader });
        }
    }
}

fn is_behind(epoch: LeaderEpoch, known: LeaderEpoch) -> bool {
    epoch.known().zip(known.known()).is_some_and(|(epoch, known)| epoch < known)
}

impl Held {
    fn new(leader: Leader) -> Held {
        Held { leader, regressing: None }
    }

    /// The best of the lower epochs, once it is believed.
    fn regress(
        &mut self,
        leader: Leader,
        word: Word<'_>,
        witnesses: &BTreeMap<Address, Tick>,
        rules: Rules,
    ) -> Option<Leader> {
        let (best, standing) = self.regressing.get_or_insert_with(|| (leader, Standing::since(word.at)));
        if leader.epoch >= best.epoch {
            *best = leader;
        }
        standing.holds(word, witnesses, rules).then_some(*best)
    }
}

impl Standing {
    fn since(now: Tick) -> Standing {
        Standing { since: now, shown_by: BTreeSet::new() }
    }

    /// Adds a witness; whether all of them have shown it by now, for long enough.
    fn holds(&mut self, word: Word<'_>, witnesses: &BTreeMap<Address, Tick>, rules: Rules) -> bool {
        self.shown_by.insert(word.witness.clone());
        let long_enough = word.at.since(self.since) >= rules.settle;
        long_enough && witnesses.keys().all(|witness| self.shown_by.contains(witness))
    }
}
