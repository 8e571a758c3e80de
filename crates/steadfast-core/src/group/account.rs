//! What each rebalance was and cost: an account that is told what happens and gives finished records.
//!
//! A record begins with the first sign of a round and ends when everything that was taken up has been fetched here.
//! A cooperative round that takes partitions away and the one that follows for that reason are one rebalance.

mod open;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use super::MemberId;
use super::actions::{Gathered, Manner, Reason, Rebalance, Trigger};
use crate::ids::{GroupGeneration, Partition};
use crate::tick::Tick;
use open::Open;

/// What the account is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Happening {
    /// A round is to be gone through.
    Began {
        /// Why.
        reason: Reason,
    },
    /// A round is complete.
    Settled(Box<Rebalance>),
    /// These are to be given up, and nothing more of them is delivered.
    Stopped {
        /// Which.
        partitions: BTreeSet<Partition>,
    },
    /// Their handlers have finished, or their time was over.
    Drained {
        /// Which.
        partitions: BTreeSet<Partition>,
    },
    /// They are given up.
    GivenUp {
        /// Which.
        partitions: BTreeSet<Partition>,
        /// How many of them still held what was delivered and not acked.
        undrained: usize,
    },
    /// They were another's already, or may have been: nothing was committed.
    Lost {
        /// Which.
        partitions: BTreeSet<Partition>,
    },
    /// Where a partition that was taken up begins is known.
    Placed {
        /// Which.
        partition: Partition,
        /// What comes again.
        handed: Handed,
    },
    /// The handler of a partition begins its life.
    Working {
        /// Which.
        partition: Partition,
    },
    /// The leader answered the first fetch of a partition under its assignment.
    Fetched {
        /// Which.
        partition: Partition,
    },
    /// The coordinator's connections were left.
    CoordinatorLost,
    /// Nothing happened, but time passes.
    Looked,
}

/// What of a partition comes again although it was delivered under an earlier assignment, here or to another owner.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Handed {
    /// How many offsets.
    pub offsets: u64,
    /// How well that is known.
    pub certainty: Certainty,
}

/// How well a number is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Certainty {
    /// The former owner wrote it when it gave the partition up.
    Exact,
    /// The former owner wrote it in a commit along the way, and may have been handed more after that.
    AtLeast,
    /// The former owner wrote nothing of the kind: it was another program.
    Unknown,
}

impl Certainty {
    /// In a word.
    pub fn name(self) -> &'static str {
        match self {
            Certainty::Exact => "exact",
            Certainty::AtLeast => "at_least",
            Certainty::Unknown => "unknown",
        }
    }
}

/// What was sent to the coordinator and came from it, counted from any beginning.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Spent {
    /// Requests.
    pub requests: u64,
    /// Bytes, of requests and of answers.
    pub bytes: u64,
}

/// How long the phases of a rebalance took. Those that it did not have are none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Took {
    /// Giving up everything before the join, commits included: eager members only.
    pub drain: Duration,
    /// From there until the coordinator named the generation, of all rounds together.
    pub join: Duration,
    /// From there until the assignment was known, of all rounds together; of the consumer protocol the reconciliation.
    pub sync: Duration,
    /// After an assignment that took partitions away: until they were given up, commits included.
    pub revoke: Option<Duration>,
    /// Of giving up, before or after: from the handlers' end to the stored commit.
    pub commit: Option<Duration>,
    /// From the assignment until the last handler of what was taken up had begun its life.
    pub handlers: Option<Duration>,
    /// From the assignment until the last partition that was taken up had been fetched, with or without records.
    pub first_record: Option<Duration>,
}

/// A finished rebalance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// What began it.
    pub reason: Reason,
    /// Why its last join was sent.
    pub latest: Reason,
    /// What set it off, as far as we can tell as its leader.
    pub trigger: Option<Trigger>,
    /// The generation that it ended in.
    pub generation: GroupGeneration,
    /// How members went through it.
    pub manner: Manner,
    /// The assignor, by its name on the wire.
    pub assignor: Arc<str>,
    /// Whether we made the assignment.
    pub leader: bool,
    /// Who made it, if we were told.
    pub led_by: Option<MemberId>,
    /// The group as we saw it as its leader.
    pub gathered: Option<Gathered>,
    /// Rounds that it took.
    pub rounds: u32,
    /// How long its phases took.
    pub took: Took,
    /// From its first sign to its end.
    pub whole: Duration,
    /// Ours now, and not before.
    pub taken: BTreeSet<Partition>,
    /// Ours before, and not now.
    pub given: BTreeSet<Partition>,
    /// How many were ours before and are now.
    pub kept: usize,
    /// Of those given up, how many were lost instead: nothing was committed for them.
    pub lost: usize,
    /// Of those given up, how many held what was delivered and not acked.
    pub undrained: usize,
    /// Partitions that had not been fetched here when the record was closed.
    pub unseen: usize,
    /// Of all partitions that are ours now, the time from when they were delivered nowhere that we know of (we
    /// stopped, or another's round began) to their first fetch here, added up: partition-seconds.
    pub unavailable: Duration,
    /// What comes again of partitions that began here, with the least certain of the certainties.
    pub handed: Handed,
    /// How often the coordinator's connections were left, since the rebalance before.
    pub coordinator_losses: u32,
    /// What went to and from the coordinator meanwhile, heartbeats and commits included.
    pub spent: Spent,
}

impl Record {
    /// How many are ours.
    pub fn owned(&self) -> usize {
        self.taken.len() + self.kept
    }
}

/// A partition that was not seen by then counts no longer as being waited for.
const SEEN_WITHIN: Duration = Duration::from_secs(30);

/// The account of one member.
#[derive(Debug, Clone, Default)]
pub struct Account {
    /// What was ours when the last round was complete.
    owned: BTreeSet<Partition>,
    /// What is not delivered here any more, and since when.
    stopped: BTreeMap<Partition, Tick>,
    open: Option<Open>,
    /// Partitions that were lost since the last rebalance.
    lost: usize,
    coordinator_losses: u32,
}

impl Account {
    /// Takes in what happened at `now`, when so much had been `spent`. A record that is finished by it is given out.
    pub fn handle(&mut self, happening: Happening, now: Tick, spent: Spent) -> Option<Record> {
        match happening {
            Happening::Began { reason } => return self.began(reason, now, spent),
            Happening::Settled(rebalance) => self.settled(*rebalance, now, spent),
            Happening::Stopped { partitions } => {
                self.stop(partitions, now);
                self.with(|open| open.revoking(now));
            }
            Happening::Drained { .. } => self.with(|open| open.drained(now)),
            Happening::GivenUp { partitions, undrained } => {
                self.with(|open| open.given_up(&partitions, undrained, now));
            }
            Happening::Lost { partitions } => self.lose(partitions, now),
            Happening::Placed { partition, handed } => self.with(|open| open.placed(&partition, handed)),
            Happening::Working { partition } => self.with(|open| open.working(&partition, now)),
            Happening::Fetched { partition } => {
                self.stopped.remove(&partition);
                self.with(|open| open.fetched(&partition, now));
            }
            Happening::CoordinatorLost => self.coordinator_losses += 1,
            Happening::Looked => {}
        }
        self.finished(now, spent)
    }

    /// When a record that is open is closed at the latest.
    pub fn next_deadline(&self) -> Option<Tick> {
        self.open.as_ref()?.limit(SEEN_WITHIN)
    }

    fn with(&mut self, change: impl FnOnce(&mut Open)) {
        if let Some(open) = &mut self.open {
            change(open);
        }
    }

    /// The round that follows may not have begun yet.
    fn lose(&mut self, partitions: BTreeSet<Partition>, now: Tick) {
        match &mut self.open {
            Some(open) if open.goes_on() => open.lose(&partitions),
            Some(_) | None => {
                self.lost += partitions.iter().filter(|partition| self.owned.contains(*partition)).count();
            }
        }
        self.stop(partitions, now);
    }

    fn stop(&mut self, partitions: BTreeSet<Partition>, now: Tick) {
        for partition in partitions {
            self.stopped.entry(partition).or_insert(now);
        }
    }

    /// Another round of the rebalance that goes on, or another rebalance: then what was not seen yet is closed.
    fn began(&mut self, reason: Reason, now: Tick, spent: Spent) -> Option<Record> {
        if let Some(open) = &mut self.open
            && open.goes_on()
        {
            open.another_round(reason);
            return None;
        }
        let closed = self.close(now, spent);
        let lost = std::mem::take(&mut self.lost);
        self.open = Some(Open::new(reason, self.owned.clone(), lost, now, spent));
        closed
    }

    fn settled(&mut self, rebalance: Rebalance, now: Tick, spent: Spent) {
        let held: BTreeSet<Partition> =
            self.owned.iter().filter(|partition| !self.stopped.contains_key(*partition)).cloned().collect();
        self.owned.clone_from(&rebalance.assigned);
        let open = self.open.get_or_insert_with(|| Open::new(rebalance.reason, held.clone(), 0, now, spent));
        let began = open.began();
        for partition in rebalance.assigned.difference(&held) {
            open.await_fetch(partition, self.stopped.get(partition).copied().unwrap_or(began));
        }
        open.settled(rebalance, now);
    }

    fn finished(&mut self, now: Tick, spent: Spent) -> Option<Record> {
        let over = self.open.as_ref()?.is_over() || self.next_deadline().is_some_and(|limit| limit <= now);
        over.then(|| self.close(now, spent)).flatten()
    }

    /// The record of what was open; none of a round that never came to an assignment.
    fn close(&mut self, now: Tick, spent: Spent) -> Option<Record> {
        let open = self.open.take()?;
        let unseen = open.unseen();
        self.stopped.retain(|partition, _| unseen.contains(partition));
        // The time until now stands in this record.
        self.stopped.values_mut().for_each(|since| *since = now);
        let losses = std::mem::take(&mut self.coordinator_losses);
        open.record(losses, now, spent)
    }
}
