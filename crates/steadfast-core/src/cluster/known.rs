//! One topic as it is believed to be, and what witnesses say that is not believed yet.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use super::{Changes, Grown, Leader, LeaderChange, Recreated, Regressed, Rules, Topic};
use crate::endpoints::view::Address;
use crate::ids::{LeaderEpoch, Partition, TopicId};
use crate::tick::Tick;

/// When each witness last said anything about a topic.
pub(super) type Witnesses = BTreeMap<Address, Tick>;

/// How many replaced ids of a topic are remembered.
const RETIRED: usize = 16;

#[derive(Debug, Clone)]
pub(super) struct Known {
    pub(super) id: TopicId,
    retired: VecDeque<TopicId>,
    pub(super) partitions: BTreeMap<i32, Held>,
    /// Shared by the topics that are always told together, so that a thousand brokers which tell of ten thousand topics
    /// do not cost ten million entries.
    pub(super) witnesses: Arc<Witnesses>,
    /// That the topic is unknown.
    missing: Option<Standing>,
    /// Whether it has its id on more than the word of a few.
    confirmed: bool,
    /// Ids that are claimed for it: others, and its own as long as that is not confirmed.
    claims: BTreeMap<TopicId, Claim>,
}

#[derive(Debug, Clone)]
pub(super) struct Held {
    pub(super) leader: Leader,
    /// That its epoch is lower.
    regressing: Option<(Leader, Standing)>,
}

/// Who has shown a step back, and since when.
#[derive(Debug, Clone)]
struct Standing {
    since: Tick,
    shown_by: BTreeSet<Address>,
}

/// An id that some witnesses show.
#[derive(Debug, Clone)]
struct Claim {
    /// When it was last contradicted, or first shown.
    since: Tick,
    /// Those whose last word it is.
    shown_by: Witnesses,
}

/// Who says something, and when; and what it takes to be believed.
#[derive(Clone, Copy)]
pub(super) struct Word<'a> {
    pub(super) witness: &'a Address,
    pub(super) at: Tick,
    pub(super) rules: Rules,
    /// Those of whom more than half are believed at once.
    pub(super) electorate: &'a BTreeSet<Address>,
}

/// Adds one witness to the topics that it tells of, in one go for those that share what they had.
pub(super) struct Hearing<'a> {
    pub(super) word: Word<'a>,
    /// The last that it was added to, before and after.
    pub(super) last: Option<(Arc<Witnesses>, Arc<Witnesses>)>,
}

impl Hearing<'_> {
    pub(super) fn hear(&mut self, witnesses: &mut Arc<Witnesses>) {
        if let Some((before, after)) = &self.last
            && Arc::ptr_eq(before, witnesses)
        {
            *witnesses = Arc::clone(after);
            return;
        }
        let before = Arc::clone(witnesses);
        let mut after = Witnesses::clone(witnesses);
        after.insert(self.word.witness.clone(), self.word.at);
        self.word.forget_old(&mut after);
        *witnesses = Arc::new(after);
        self.last = Some((before, Arc::clone(witnesses)));
    }
}

impl Word<'_> {
    fn forget_old(&self, witnesses: &mut Witnesses) {
        witnesses.retain(|_, heard| self.at.since(*heard) <= self.rules.max_age);
    }

    fn has_stood(&self, since: Tick) -> bool {
        self.at.since(since) >= self.rules.settle
    }
}

impl Known {
    pub(super) fn new(id: TopicId, witnesses: Arc<Witnesses>) -> Known {
        Known {
            id,
            retired: VecDeque::new(),
            partitions: BTreeMap::new(),
            witnesses,
            missing: None,
            confirmed: false,
            claims: BTreeMap::new(),
        }
    }

    pub(super) fn is_missed(&mut self, word: Word<'_>) -> bool {
        self.missing.get_or_insert_with(|| Standing::since(word.at)).holds(word, &self.witnesses)
    }

    /// There is no such topic any more: of what it was only its identity matters, should something have its name again.
    pub(super) fn be_gone(&mut self) {
        self.missing = None;
        self.partitions.clear();
    }

    /// Whether the report is about the topic that we know, or one that now takes its place; then it counts.
    pub(super) fn observe(
        &mut self,
        name: &Arc<str>,
        topic: &Topic,
        word: Word<'_>,
        changes: &mut Changes,
    ) -> bool {
        self.missing = None;
        if !self.is_same(name, topic, word, changes) {
            return false;
        }
        let before = self.partitions.len();
        for (index, leader) in topic.partitions.iter().filter(|(index, _)| **index >= 0) {
            let partition = Partition::new(Arc::clone(name), *index);
            self.observe_leader(partition, *leader, word, changes);
        }
        if before > 0 && self.partitions.len() > before {
            changes.grown.push(Grown { topic: Arc::clone(name), from: before, to: self.partitions.len() });
        }
        true
    }

    fn is_same(&mut self, name: &Arc<str>, topic: &Topic, word: Word<'_>, changes: &mut Changes) -> bool {
        if topic.id == TopicId::UNKNOWN {
            return true;
        }
        self.contradict_others(topic.id, word);
        if self.id == TopicId::UNKNOWN {
            self.id = topic.id;
        }
        let same = topic.id == self.id;
        if same && self.confirmed {
            return true;
        }
        let prevails = self.claim(topic.id, word);
        if prevails && !same {
            // What only a few had said is corrected: nothing was created again.
            if self.confirmed {
                changes.recreated.push(Recreated { topic: Arc::clone(name), from: self.id, to: topic.id });
            }
            self.become_another(topic.id);
        }
        if prevails {
            self.confirmed = true;
            self.claims.remove(&topic.id);
        }
        prevails || same
    }

    /// A witness has one word: who shows `id` shows no other any more.
    fn contradict_others(&mut self, id: TopicId, word: Word<'_>) {
        for (_, claim) in self.claims.iter_mut().filter(|(other, _)| **other != id) {
            claim.since = word.at;
            claim.shown_by.remove(word.witness);
            word.forget_old(&mut claim.shown_by);
        }
        self.claims.retain(|_, claim| !claim.shown_by.is_empty());
    }

    /// Adds a word for an id; whether that is believed now.
    fn claim(&mut self, id: TopicId, word: Word<'_>) -> bool {
        let claim = self.claims.entry(id).or_insert_with(|| Claim::since(word.at));
        claim.shown_by.insert(word.witness.clone(), word.at);
        word.forget_old(&mut claim.shown_by);
        let unanimous = self.witnesses.keys().all(|witness| claim.shown_by.contains_key(witness));
        // Ids are never given twice: one that was replaced and is shown again is an old tale, whoever tells it.
        let by_majority = !self.retired.contains(&id) && claim.is_of_most(word.electorate);
        by_majority || unanimous && word.has_stood(claim.since)
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
        changes: &mut Changes,
    ) {
        let Some(held) = self.partitions.get_mut(&partition.index) else {
            self.partitions.insert(partition.index, Held::new(leader));
            changes.leaders.push(LeaderChange { partition, from: None, to: leader });
            return;
        };
        let before = held.leader;
        if is_behind(leader.epoch, before.epoch) {
            if let Some(regressed) = held.regress(leader, word, &self.witnesses) {
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
    pub(super) fn new(leader: Leader) -> Held {
        Held { leader, regressing: None }
    }

    /// The best of the lower epochs, once it is believed.
    fn regress(&mut self, leader: Leader, word: Word<'_>, witnesses: &Witnesses) -> Option<Leader> {
        let (best, standing) = self.regressing.get_or_insert_with(|| (leader, Standing::since(word.at)));
        if leader.epoch >= best.epoch {
            *best = leader;
        }
        standing.holds(word, witnesses).then_some(*best)
    }
}

impl Standing {
    fn since(now: Tick) -> Standing {
        Standing { since: now, shown_by: BTreeSet::new() }
    }

    /// Adds a witness; whether all of them have shown it by now, for long enough.
    fn holds(&mut self, word: Word<'_>, witnesses: &Witnesses) -> bool {
        self.shown_by.insert(word.witness.clone());
        word.has_stood(self.since) && witnesses.keys().all(|witness| self.shown_by.contains(witness))
    }
}

impl Claim {
    fn since(now: Tick) -> Claim {
        Claim { since: now, shown_by: BTreeMap::new() }
    }

    fn is_of_most(&self, electorate: &BTreeSet<Address>) -> bool {
        let votes = self.shown_by.keys().filter(|witness| electorate.contains(*witness)).count();
        votes * 2 > electorate.len()
    }
}
