//! One connection of a loop, and what the loop has learned about its broker.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use steadfast_core::ids::Partition;
use steadfast_core::progress::Position;
use tokio::time::{Instant, timeout_at};

use super::intake::{Intake, Note};
use crate::api::Api;
use crate::connection::{CallError, Connection, Pending, RawAnswer};

/// A partition that its leader refuses is asked for again after this.
pub(super) const REST: Duration = Duration::from_millis(100);

/// A partition whose answer makes no sense is asked for again after this.
pub(super) const LONG_REST: Duration = Duration::from_secs(1);

/// A request is overdue when it is unanswered past its max wait, what this broker usually takes on top, and this.
const OVERDUE_FLOOR: Duration = Duration::from_millis(100);

/// The connection is of no use any more.
pub(super) struct Broken(pub(super) String);

impl From<CallError> for Broken {
    fn from(error: CallError) -> Broken {
        Broken(error.to_string())
    }
}

/// What a loop knows of its partitions from one connection to the next.
#[derive(Default)]
pub(super) struct Kept {
    resting: BTreeMap<Partition, Instant>,
    /// Of those that rest, the positions at which they were examined: who is wanted from elsewhere rests no longer.
    examined: BTreeMap<Partition, Position>,
    /// Partitions of which something claimed could not be decompressed. From then on each batch is claimed for
    /// itself and tried before: the good ones get through, what they unfold to at once is bounded, and a bad one
    /// does not end the handler's lease again and again.
    pub(super) one_by_one: BTreeSet<Partition>,
    /// Positions that the leader says it does not have: to be examined before the next fetch.
    pub(super) doubtful: BTreeMap<Partition, Position>,
    /// Counts the answers.
    pub(super) turn: usize,
}

/// One connection.
pub(super) struct Session {
    pub(super) connection: Connection,
    pub(super) kept: Kept,
    /// Whether a fetch was answered. The first one does not wait for records: its answer proves the leader.
    pub(super) proven: bool,
    /// What this broker usually takes beyond the wait that it was asked for.
    usual: Duration,
    /// How long the broker said that it holds back its next answer.
    pub(super) throttle: Duration,
}

impl Session {
    pub(super) fn new(connection: Connection, kept: Kept) -> Session {
        Session { connection, kept, proven: false, usual: Duration::ZERO, throttle: Duration::ZERO }
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

    /// Awaits an answer for which the broker may wait `max_wait`, and says so once if it is overdue.
    pub(super) async fn answer<A: Api>(
        &mut self,
        pending: Pending<A>,
        max_wait: Duration,
        intake: &impl Intake,
    ) -> Result<RawAnswer<A>, CallError> {
        let sent = Instant::now();
        let held_back = max_wait + self.throttle;
        let overdue = sent + held_back + OVERDUE_FLOOR.max(self.usual * 4);
        let raw = pending.raw();
        tokio::pin!(raw);
        let raw = match timeout_at(overdue, raw.as_mut()).await {
            Ok(raw) => raw?,
            Err(_) => {
                intake.note(Note::Silent { waited: sent.elapsed() });
                raw.await?
            }
        };
        self.took(sent.elapsed().saturating_sub(held_back));
        Ok(raw)
    }

    /// What is usual rises to twice itself at most: one answer that was held up for seconds must not hide the
    /// next silence.
    fn took(&mut self, beyond: Duration) {
        let most = OVERDUE_FLOOR.max(self.usual * 2);
        self.usual = beyond.min(most).max(self.usual * 7 / 8);
    }
}
