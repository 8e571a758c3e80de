//! A rebalance that is not over yet.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::{Certainty, Handed, Record, Spent, Took};
use crate::group::actions::{Manner, Reason, Rebalance};
use crate::ids::Partition;
use crate::tick::Tick;

/// A rebalance from its first sign on.
#[derive(Debug, Clone)]
pub(super) struct Open {
    reason: Reason,
    latest: Reason,
    began: Tick,
    spent: Spent,
    /// What was ours when it began.
    before: BTreeSet<Partition>,
    /// Whether a round is being gone through.
    in_round: bool,
    rounds: u32,
    last: Option<(Rebalance, Tick)>,
    took: Took,
    /// What is being given up after a round: another one follows.
    releasing: BTreeSet<Partition>,
    revoking: Option<Tick>,
    drained: Option<Tick>,
    waits: BTreeMap<Partition, Wait>,
    lost: usize,
    undrained: usize,
    handed: Option<Handed>,
}

/// A partition that was taken up.
#[derive(Debug, Clone)]
struct Wait {
    /// Since when it is delivered nowhere that we know of.
    since: Tick,
    handler: Option<Tick>,
    fetched: Option<Tick>,
}

impl Open {
    /// One that begins now; `lost` partitions were lost before it.
    pub(super) fn new(
        reason: Reason,
        before: BTreeSet<Partition>,
        lost: usize,
        now: Tick,
        spent: Spent,
    ) -> Open {
        Open {
            reason,
            latest: reason,
            began: now,
            spent,
            before,
            in_round: true,
            rounds: 0,
            last: None,
            took: Took::default(),
            releasing: BTreeSet::new(),
            revoking: None,
            drained: None,
            waits: BTreeMap::new(),
            lost,
            undrained: 0,
            handed: None,
        }
    }

    pub(super) fn began(&self) -> Tick {
        self.began
    }

    /// Whether a round that begins now is one more of this rebalance.
    pub(super) fn goes_on(&self) -> bool {
        self.in_round || self.follows()
    }

    /// Whether what the last round took away is why there is another one.
    fn follows(&self) -> bool {
        self.last.as_ref().is_some_and(|(rebalance, _)| {
            rebalance.manner == Manner::Cooperative && !rebalance.releasing.is_empty()
        })
    }

    pub(super) fn another_round(&mut self, reason: Reason) {
        self.latest = reason;
        self.in_round = true;
    }

    pub(super) fn await_fetch(&mut self, partition: &Partition, since: Tick) {
        let wait = Wait { since, handler: None, fetched: None };
        self.waits.entry(partition.clone()).or_insert(wait);
    }

    pub(super) fn settled(&mut self, rebalance: Rebalance, now: Tick) {
        self.in_round = false;
        self.rounds += 1;
        self.latest = rebalance.latest;
        self.took.drain += rebalance.took.drain;
        self.took.join += rebalance.took.join;
        self.took.sync += rebalance.took.sync;
        self.waits.retain(|partition, _| rebalance.assigned.contains(partition));
        self.releasing.clone_from(&rebalance.releasing);
        self.last = Some((rebalance, now));
    }

    /// Eager members give up in the midst of a round: that is the drain.
    pub(super) fn revoking(&mut self, now: Tick) {
        if !self.in_round {
            self.revoking.get_or_insert(now);
        }
    }

    pub(super) fn drained(&mut self, now: Tick) {
        self.drained = Some(now);
    }

    pub(super) fn given_up(&mut self, partitions: &BTreeSet<Partition>, undrained: usize, now: Tick) {
        self.undrained += undrained;
        self.releasing.retain(|partition| !partitions.contains(partition));
        if let Some(drained) = self.drained.take() {
            *self.took.commit.get_or_insert_default() += now.since(drained);
        }
        if let Some(since) = self.revoking.filter(|_| self.releasing.is_empty()) {
            *self.took.revoke.get_or_insert_default() += now.since(since);
            self.revoking = None;
        }
    }

    pub(super) fn lose(&mut self, partitions: &BTreeSet<Partition>) {
        self.lost += partitions.iter().filter(|partition| self.before.contains(*partition)).count();
        self.releasing.retain(|partition| !partitions.contains(partition));
    }

    pub(super) fn placed(&mut self, partition: &Partition, handed: Handed) {
        if !self.waits.contains_key(partition) {
            return;
        }
        let known = self.handed.unwrap_or(Handed { offsets: 0, certainty: Certainty::Exact });
        self.handed = Some(Handed {
            offsets: known.offsets.saturating_add(handed.offsets),
            certainty: known.certainty.max(handed.certainty),
        });
    }

    pub(super) fn working(&mut self, partition: &Partition, now: Tick) {
        if let Some(wait) = self.waits.get_mut(partition) {
            wait.handler.get_or_insert(now);
        }
    }

    pub(super) fn fetched(&mut self, partition: &Partition, now: Tick) {
        if let Some(wait) = self.waits.get_mut(partition) {
            wait.fetched.get_or_insert(now);
        }
    }

    /// What was taken up and has not been fetched yet.
    pub(super) fn unseen(&self) -> BTreeSet<Partition> {
        let unseen = self.waits.iter().filter(|(_, wait)| wait.fetched.is_none());
        unseen.map(|(partition, _)| partition.clone()).collect()
    }

    pub(super) fn is_over(&self) -> bool {
        !self.goes_on() && self.releasing.is_empty() && self.waits.values().all(|wait| wait.fetched.is_some())
    }

    /// How long at most what is not seen is waited for. A round has no such limit: the coordinator ends it.
    pub(super) fn limit(&self, wait: Duration) -> Option<Tick> {
        let (_, settled) = self.last.as_ref().filter(|_| !self.in_round)?;
        Some(*settled + wait)
    }

    /// What it comes to, if any round of it was complete.
    pub(super) fn record(self, coordinator_losses: u32, now: Tick, spent: Spent) -> Option<Record> {
        let unseen = self.unseen().len();
        let (last, settled) = self.last?;
        let mut took = self.took;
        let latest = |moment: fn(&Wait) -> Option<Tick>| {
            let moments = self.waits.values().map(moment).collect::<Option<Vec<Tick>>>()?;
            moments.into_iter().max().map(|moment| moment.since(settled))
        };
        took.handlers = latest(|wait| wait.handler);
        took.first_record = latest(|wait| wait.fetched);
        let unavailable = self.waits.values().map(|wait| wait.fetched.unwrap_or(now).since(wait.since)).sum();
        let nothing = Handed { offsets: 0, certainty: Certainty::Exact };
        Some(Record {
            reason: self.reason,
            latest: self.latest,
            taken: last.assigned.difference(&self.before).cloned().collect(),
            given: self.before.difference(&last.assigned).cloned().collect(),
            kept: last.assigned.intersection(&self.before).count(),
            trigger: last.trigger,
            generation: last.generation,
            manner: last.manner,
            assignor: last.assignor,
            leader: last.leader,
            led_by: last.led_by,
            gathered: last.gathered,
            rounds: self.rounds,
            took,
            whole: now.since(self.began),
            lost: self.lost,
            undrained: self.undrained,
            unseen,
            unavailable,
            handed: self.handed.unwrap_or(nothing),
            coordinator_losses,
            spent: Spent {
                requests: spent.requests.saturating_sub(self.spent.requests),
                bytes: spent.bytes.saturating_sub(self.spent.bytes),
            },
        })
    }
}
