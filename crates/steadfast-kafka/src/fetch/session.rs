//! One connection of a loop, and what the loop has learned about its broker and its partitions.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use steadfast_core::endpoints::race::Evidence;
use steadfast_core::ids::{LeaderEpoch, Partition};
use steadfast_core::patience::Patience;
use steadfast_core::progress::Position;
use steadfast_core::ramp::Ramp;
use tokio::time::Instant;

use super::request::Ask;
use crate::api::Api;
use crate::api::fetch::Fetch;
use crate::connection::{CallError, CloseReason, Connection};

/// A partition that its leader refuses is asked for again after this.
pub(super) const REST: Duration = Duration::from_millis(100);

/// A partition whose answer makes no sense is asked for again after this.
pub(super) const LONG_REST: Duration = Duration::from_secs(1);

/// From this version of Fetch on a leader tells where its log parts from ours.
const TELLS_DIVERGENCE: i16 = 12;

/// A request is overdue when it is unanswered past its max wait and this, or what this broker usually takes on top.
const OVERDUE_FLOOR: Duration = Duration::from_millis(100);

/// Why a connection is left.
pub(super) enum Leave {
    /// It is of no use any more.
    Broken {
        reason: String,
        /// What that says of its endpoint.
        evidence: Evidence,
    },
    /// It owes an answer, and a fresh one to the same address is ready.
    Silent {
        fresh: Connection,
        /// For how long it had not answered.
        waited: Duration,
    },
    /// A fetch is parked on it without a partition that is wanted by now, and a fresh one is ready.
    Narrow { fresh: Connection },
}

impl From<CallError> for Leave {
    fn from(error: CallError) -> Leave {
        Leave::Broken { reason: error.to_string(), evidence: error.evidence() }
    }
}

impl From<CloseReason> for Leave {
    fn from(reason: CloseReason) -> Leave {
        Leave::Broken { reason: reason.to_string(), evidence: reason.evidence() }
    }
}

/// What a loop knows of its broker and its partitions from one connection to the next.
pub(super) struct Kept {
    /// What this broker usually takes beyond the wait that it was asked for.
    pub(super) patience: Patience,
    resting: BTreeMap<Partition, Instant>,
    /// Of those that rest, the positions at which they were examined: who is wanted from elsewhere rests no longer.
    examined: BTreeMap<Partition, Position>,
    /// Partitions of which something claimed could not be decompressed. From then on each batch is claimed for
    /// itself and tried before: the good ones get through, what they unfold to at once is bounded, and a bad one
    /// does not end the handler's lease again and again.
    pub(super) one_by_one: BTreeSet<Partition>,
    /// Positions that the leader says it does not have: to be examined before the next fetch.
    pub(super) doubtful: BTreeMap<Partition, Position>,
    /// The epochs of leaders whose logs were found to have what came before our positions.
    pub(super) proven: BTreeMap<Partition, LeaderEpoch>,
    /// Partitions that were asked for and answered since they were given to this loop: the others begin.
    begun: BTreeSet<Partition>,
    pub(super) ramp: Ramp,
    /// Counts the answers.
    pub(super) turn: usize,
}

impl Kept {
    /// Nothing is known yet; an answer is never waited for longer than `most` before it is overdue.
    pub(super) fn new(most: Duration) -> Kept {
        Kept {
            patience: Patience::new(OVERDUE_FLOOR, most),
            resting: BTreeMap::new(),
            examined: BTreeMap::new(),
            one_by_one: BTreeSet::new(),
            doubtful: BTreeMap::new(),
            proven: BTreeMap::new(),
            begun: BTreeSet::new(),
            ramp: Ramp::default(),
            turn: 0,
        }
    }

    /// Of what is to be asked for, what the ramp lets begin now, and how many wait.
    pub(super) fn ramped(&self, mut asks: Vec<Ask>) -> (Vec<Ask>, usize) {
        let begins = |ask: &Ask| !self.begun.contains(&ask.partition);
        let beginning = asks.iter().filter(|ask| begins(ask)).count();
        let mut room = self.ramp.admits(beginning);
        if room == beginning {
            return (asks, 0);
        }
        let waiting = beginning - room;
        asks.retain(|ask| {
            let waits = begins(ask) && room == 0;
            room -= usize::from(begins(ask) && !waits);
            !waits
        });
        (asks, waiting)
    }

    /// A fetch for these was answered that left so many waiting; `led` is all that is this loop's.
    pub(super) fn began(&mut self, asks: &[Ask], waiting: usize, led: &BTreeMap<Partition, LeaderEpoch>) {
        self.ramp.answered(waiting);
        for ask in asks {
            if !self.begun.contains(&ask.partition) {
                self.begun.insert(ask.partition.clone());
            }
        }
        // What comes back later begins anew.
        if self.begun.len() > led.len() {
            self.begun.retain(|partition| led.contains_key(partition));
        }
    }
}

/// One connection.
pub(super) struct Session {
    pub(super) connection: Connection,
    pub(super) kept: Kept,
    /// Whether a fetch was answered. The first one does not wait for records: its answer proves the leader.
    pub(super) proven: bool,
    /// When it was taken into use.
    pub(super) opened: Instant,
    /// Whether its fetches tell when the leader's log has parted from ours before a position (KIP-595).
    tells_divergence: bool,
}

impl Session {
    pub(super) fn new(connection: Connection, kept: Kept) -> Session {
        let offered = connection.opened().versions.0.get(&Fetch::KEY);
        let tells_divergence = offered.is_none_or(|offered| offered.max >= TELLS_DIVERGENCE);
        Session { connection, kept, proven: false, opened: Instant::now(), tells_divergence }
    }

    /// Whether a fetch tells when the leader's log has parted from ours before the position, or nothing can have
    /// parted: the last record was fetched from the same leader, or this one was asked (KIP-320).
    pub(super) fn is_proven(&self, ask: &Ask) -> bool {
        // A lower epoch than the record's is no proof: it is another history's.
        self.tells_divergence
            || ask.from.leader_epoch.known().is_none()
            || ask.leader_epoch == ask.from.leader_epoch
            || self.kept.proven.get(&ask.partition) == Some(&ask.leader_epoch)
    }

    /// Leaves the partition alone for a while.
    pub(super) fn rest(&mut self, partition: &Partition, how_long: Duration) {
        let now = Instant::now();
        self.kept.resting.retain(|_, until| *until > now);
        self.kept.examined.remove(partition);
        let until = self.kept.resting.entry(partition.clone()).or_insert(now);
        *until = (*until).max(now + how_long);
    }

    /// Leaves the partition alone until it is wanted from elsewhere, or for a while.
    pub(super) fn rest_at(&mut self, partition: &Partition, position: Position, how_long: Duration) {
        self.rest(partition, how_long);
        self.kept.examined.insert(partition.clone(), position);
    }

    /// Where the partition was examined, if it rests for that.
    pub(super) fn examined(&self, partition: &Partition) -> Option<Position> {
        self.kept.examined.get(partition).copied()
    }

    pub(super) fn is_awake(&self, partition: &Partition) -> bool {
        self.kept.resting.get(partition).is_none_or(|until| *until <= Instant::now())
    }

    /// When the next resting partition is to be asked for again.
    pub(super) fn next_wake(&self) -> Option<Instant> {
        let now = Instant::now();
        self.kept.resting.values().filter(|until| **until > now).min().copied()
    }
}
