//! The table of all partitions' progress: no actor's state, so no panic loses it.
//!
//! A mutex per partition around core's pure [`Progress`]; no IO, no await and no user code under the lock.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use steadfast_core::acked::Span;
use steadfast_core::group::account::{Certainty, Happening};
use steadfast_core::ids::{AssignmentEpoch, ConsumerIncarnation, HandlerIncarnation, Offset, Partition};
use steadfast_core::progress::{Ack, Commit, Lease, Progress, State};
use steadfast_core::retry::Rule;
use steadfast_core::tick::Tick;
#[cfg(test)]
use steadfast_core::{
    ids::{LeaderEpoch, TopicId},
    progress::Start,
};
use steadfast_watch as watch;

use signs::Signs;
use trouble::Trouble;

use crate::group::accounts::Accounts;
use crate::locked::locked;

mod signs;
mod trouble;

pub(crate) use signs::{Processing, Standing};
pub(crate) use trouble::{Aside, Returned};
pub use trouble::{Away, Quarantined};

/// Counts over the life of the process.
#[derive(Debug, Default)]
pub struct Counts {
    /// Records delivered to handlers.
    pub records: AtomicU64,
    /// Bytes of their keys and values.
    pub bytes: AtomicU64,
    /// Records delivered again.
    pub redelivered: AtomicU64,
    /// Partitions that were given up before everything delivered was acked, and what was acked was committed.
    pub unfinished: AtomicUsize,
}

/// Why a partition's first offset is not known yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unplaced {
    /// The group coordinator is asked for the committed offset.
    AskingCoordinator,
    /// Nothing was ever committed: the leader is asked for the earliest or latest offset.
    NeverCommitted,
}

struct Cell {
    progress: Mutex<Progress>,
    /// Locked while `progress` is, if both are.
    trouble: Mutex<Trouble>,
    /// Bytes delivered and not yet given back.
    outstanding: AtomicU64,
    unplaced: Mutex<Unplaced>,
    /// The end of the log as the leader said last.
    end: Mutex<Option<Ends>>,
    signs: Signs,
}

/// The end of the log, for readers of our isolation level.
#[derive(Clone, Copy)]
struct Ends {
    first: Offset,
    last: Offset,
}

/// All partitions that this process owns or owned. Shared by fetch loops, handlers and the checkpointer.
pub struct ProgressTable {
    cells: RwLock<BTreeMap<Partition, Arc<Cell>>>,
    now: Box<dyn Fn() -> Tick + Send + Sync>,
    rule: Rule,
    luck: Box<dyn Fn() -> f64 + Send + Sync>,
    incarnation: Mutex<ConsumerIncarnation>,
    version: watch::Sender<u64>,
    ownership: watch::Sender<u64>,
    condemned: watch::Sender<u64>,
    /// What was delivered in all.
    pub counts: Counts,
    accounts: Option<Accounts>,
}

impl ProgressTable {
    /// An empty table over the clock `now`; what fails is tried again by `rule`, and `luck`, from 0 to 1, keeps
    /// many partitions from trying in step.
    pub fn new(
        now: impl Fn() -> Tick + Send + Sync + 'static,
        rule: Rule,
        luck: impl Fn() -> f64 + Send + Sync + 'static,
    ) -> ProgressTable {
        ProgressTable {
            cells: RwLock::default(),
            now: Box::new(now),
            rule,
            luck: Box::new(luck),
            incarnation: Mutex::new(ConsumerIncarnation(0)),
            version: watch::Sender::new(0),
            ownership: watch::Sender::new(0),
            condemned: watch::Sender::new(0),
            counts: Counts::default(),
            accounts: None,
        }
    }

    /// This table, which tells the account of rebalances when partitions begin.
    pub(crate) fn noting(self, accounts: Accounts) -> ProgressTable {
        ProgressTable { accounts: Some(accounts), ..self }
    }

    /// The leader said where a partition begins of which nothing was ever committed.
    pub(crate) fn placed(&self, partition: &Partition, handed_again: i64) {
        if let Some(accounts) = &self.accounts {
            accounts.placed(partition, handed_again, Certainty::AtLeast);
        }
    }

    fn note(&self, happening: Happening) {
        if let Some(accounts) = &self.accounts {
            accounts.note(happening);
        }
    }

    /// The consumer that fetches; 0 before the first.
    pub fn incarnation(&self) -> ConsumerIncarnation {
        *locked(&self.incarnation)
    }

    /// Changes whenever a partition may have become fetchable, drained, owned or released.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.version.subscribe()
    }

    /// Changes whenever a partition was assigned or released.
    pub fn ownership(&self) -> watch::Receiver<u64> {
        self.ownership.subscribe()
    }

    /// Wakes whoever waits for a change.
    pub fn changed(&self) {
        self.version.send_modify(|version| *version = version.wrapping_add(1));
    }

    fn cell(&self, partition: &Partition) -> Option<Arc<Cell>> {
        self.cells.read().unwrap_or_else(PoisonError::into_inner).get(partition).cloned()
    }

    fn cells(&self) -> Vec<(Partition, Arc<Cell>)> {
        let cells = self.cells.read().unwrap_or_else(PoisonError::into_inner);
        cells.iter().map(|(partition, cell)| (partition.clone(), Arc::clone(cell))).collect()
    }

    fn made(&self, partition: &Partition) -> Arc<Cell> {
        if let Some(cell) = self.cell(partition) {
            return cell;
        }
        let incarnation = *locked(&self.incarnation);
        let mut cells = self.cells.write().unwrap_or_else(PoisonError::into_inner);
        let cell = cells.entry(partition.clone()).or_insert_with(|| {
            Arc::new(Cell {
                progress: Mutex::new(Progress::unowned(incarnation)),
                trouble: Mutex::default(),
                outstanding: AtomicU64::new(0),
                unplaced: Mutex::new(Unplaced::AskingCoordinator),
                end: Mutex::new(None),
                signs: Signs::default(),
            })
        });
        Arc::clone(cell)
    }

    /// Reads one partition's progress.
    pub fn read<T>(&self, partition: &Partition, read: impl FnOnce(&Progress) -> T) -> Option<T> {
        self.cell(partition).map(|cell| read(&locked(&cell.progress)))
    }

    /// Changes one partition's progress: the next value is computed, then stored.
    pub fn update<T>(&self, partition: &Partition, change: impl FnOnce(&mut Progress) -> T) -> T {
        let cell = self.made(partition);
        let (answer, moved, owned) = {
            let mut progress = locked(&cell.progress);
            let mut next = progress.clone();
            let answer = change(&mut next);
            let moved = next.state() != progress.state()
                || next.is_drained() != progress.is_drained()
                || next.position().generation != progress.position().generation;
            let owned = (next.state() == State::Unowned) != (progress.state() == State::Unowned);
            *progress = next;
            (answer, moved, owned)
        };
        if owned {
            self.ownership.send_modify(|version| *version = version.wrapping_add(1));
        }
        if moved {
            self.changed();
        }
        answer
    }

    /// All partitions that are or were owned.
    pub fn partitions(&self) -> BTreeSet<Partition> {
        self.cells().into_iter().map(|(partition, _)| partition).collect()
    }

    /// The partitions that are owned, in order.
    pub fn owned(&self) -> Vec<Partition> {
        let owned = |cell: &Cell| locked(&cell.progress).state() != State::Unowned;
        self.cells().into_iter().filter(|(_, cell)| owned(cell)).map(|(partition, _)| partition).collect()
    }

    /// The partitions that are owned, and under which assignment.
    pub fn assignments(&self) -> BTreeMap<Partition, AssignmentEpoch> {
        let assignment = |cell: &Cell| {
            let progress = locked(&cell.progress);
            (progress.state() != State::Unowned).then(|| progress.assignment())
        };
        self.cells()
            .into_iter()
            .filter_map(|(partition, cell)| Some((partition, assignment(&cell)?)))
            .collect()
    }

    /// The partition was assigned; its first offset is to be found.
    pub fn assign(&self, partition: &Partition) {
        let cell = self.made(partition);
        let fresh = locked(&cell.progress).state() == State::Unowned;
        if fresh {
            *locked(&cell.unplaced) = Unplaced::AskingCoordinator;
            *locked(&cell.end) = None;
            *locked(&cell.trouble) = Trouble::default();
            cell.signs.assigned(self.now());
        }
        self.update(partition, Progress::assign);
    }

    /// Why the partition's first offset is not known, if it is owned and not known.
    pub fn unplaced(&self, partition: &Partition) -> Option<Unplaced> {
        let cell = self.cell(partition)?;
        let resolving = locked(&cell.progress).state() == State::Resolving;
        resolving.then(|| *locked(&cell.unplaced))
    }

    /// Nothing was ever committed for the partition: its leader is to be asked, if the assignment still stands.
    pub fn never_committed(&self, partition: &Partition, assignment: AssignmentEpoch) {
        let Some(cell) = self.cell(partition) else { return };
        let progress = locked(&cell.progress);
        if progress.assignment() == assignment && progress.state() == State::Resolving {
            *locked(&cell.unplaced) = Unplaced::NeverCommitted;
        }
        drop(progress);
        self.changed();
    }

    /// Every partition is now fetched by `incarnation`, each handed over under its lock. Returns the assignments and
    /// the offsets at which it takes over those that are fetched.
    pub fn hand_over(
        &self,
        incarnation: ConsumerIncarnation,
    ) -> BTreeMap<Partition, (AssignmentEpoch, Offset)> {
        *locked(&self.incarnation) = incarnation;
        let mut taken = BTreeMap::new();
        for (partition, cell) in self.cells() {
            let mut progress = locked(&cell.progress);
            let position = progress.hand_over(incarnation);
            if progress.state() == State::Running {
                taken.insert(partition, (progress.assignment(), position.offset));
            }
        }
        self.changed();
        taken
    }

    /// The span was processed under the lease.
    pub fn ack(&self, partition: &Partition, lease: Lease, span: Span) -> Ack {
        self.done(partition, lease, span).0
    }

    /// The handler's life begins.
    pub fn handler_up(&self, partition: &Partition, handler: HandlerIncarnation) {
        self.update(partition, |progress| progress.handler_up(handler));
        self.note(Happening::Working { partition: partition.clone() });
        // What was to be set aside could not be claimed without a handler.
        self.condemn();
    }

    /// The handler's life is over.
    pub fn handler_down(&self, partition: &Partition, handler: HandlerIncarnation) {
        self.update(partition, |progress| progress.handler_down(handler));
    }

    /// What a commit would store now.
    pub fn to_commit(&self) -> BTreeMap<Partition, Commit> {
        let commit = |cell: &Cell| locked(&cell.progress).to_commit();
        self.cells().into_iter().filter_map(|(partition, cell)| Some((partition, commit(&cell)?))).collect()
    }

    /// What a commit of everything owned would store, also what Kafka should have already.
    pub fn all_commits(&self) -> BTreeMap<Partition, Commit> {
        let commit = |cell: &Cell| locked(&cell.progress).commit();
        self.cells().into_iter().filter_map(|(partition, cell)| Some((partition, commit(&cell)?))).collect()
    }

    /// The partitions for whose committed offset the group coordinator is to be asked, and for which assignment.
    pub fn awaiting_coordinator(&self) -> BTreeMap<Partition, AssignmentEpoch> {
        let awaits = |partition: &Partition| self.unplaced(partition) == Some(Unplaced::AskingCoordinator);
        let assignment = |cell: &Cell| locked(&cell.progress).assignment();
        let cells = self.cells().into_iter().filter(|(partition, _)| awaits(partition));
        cells.map(|(partition, cell)| (partition, assignment(&cell))).collect()
    }

    /// Takes note of bytes that were delivered and are held until the ack.
    pub fn hold(&self, partition: &Partition, bytes: u64) {
        let cell = self.made(partition);
        if cell.outstanding.fetch_add(bytes, Ordering::Relaxed) == 0 {
            cell.signs.worked(self.now());
        }
    }

    /// The bytes are free again.
    pub fn free(&self, partition: &Partition, bytes: u64) {
        if let Some(cell) = self.cell(partition) {
            cell.outstanding.fetch_sub(bytes, Ordering::Relaxed);
            self.changed();
        }
    }

    /// Bytes delivered for the partition and not yet given back.
    pub fn outstanding(&self, partition: &Partition) -> u64 {
        self.cell(partition).map_or(0, |cell| cell.outstanding.load(Ordering::Relaxed))
    }

    /// The leader said where the log ends for readers of our isolation level.
    pub fn saw_end(&self, partition: &Partition, end: Offset) {
        if let Some(cell) = self.cell(partition) {
            let mut ends = locked(&cell.end);
            let first = ends.map(|ends| ends.first);
            *ends = Some(Ends { first: first.unwrap_or(end), last: end });
            drop(ends);
            cell.signs.heard(self.now());
            if first.is_none() {
                self.note(Happening::Fetched { partition: partition.clone() });
            }
        }
    }

    /// Where the log ends, as the leader said last.
    pub fn end(&self, partition: &Partition) -> Option<Offset> {
        self.cell(partition).and_then(|cell| *locked(&cell.end)).map(|ends| ends.last)
    }

    /// Where the log ended when it was first seen under this assignment.
    pub fn first_end(&self, partition: &Partition) -> Option<Offset> {
        self.cell(partition).and_then(|cell| *locked(&cell.end)).map(|ends| ends.first)
    }
}

#[cfg(test)]
impl ProgressTable {
    /// Assigns the partition and begins it, with a handler: it runs.
    pub(crate) fn begin(&self, partition: &Partition, start: Start) {
        self.assign(partition);
        self.update(partition, |progress| progress.start(progress.assignment(), start));
        self.handler_up(partition, HandlerIncarnation(1));
    }

    /// The same at this offset, of which nothing else is known.
    pub(crate) fn begin_at(&self, partition: &Partition, offset: Offset) {
        let start = Start {
            topic: TopicId::UNKNOWN,
            offset,
            leader_epoch: LeaderEpoch::UNKNOWN,
            committed: None,
            handed_again_below: offset,
        };
        self.begin(partition, start);
    }
}
