//! What partitions did last, and how much of it: for whoever looks on.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use steadfast_core::ids::{Offset, Partition};
use steadfast_core::progress::State;
use steadfast_core::tick::Tick;

use super::{Cell, ProgressTable, locked};
use crate::vitals::{Counted, Durations, Moment};

/// When a partition did what last, and how much of it since the process began.
#[derive(Default)]
pub(super) struct Signs {
    /// Its leader answered a fetch, under this assignment.
    answered: Moment,
    /// It began to wait for its leader: it was assigned, answered or held back.
    asking: Moment,
    /// Its handler was given something to do after having nothing, or acked some of it.
    working: Moment,
    records: AtomicU64,
    processed: Durations,
    returned: Durations,
}

impl Signs {
    /// Another assignment begins.
    pub(super) fn assigned(&self, now: Tick) {
        self.answered.clear();
        self.asking.mark(now);
    }

    pub(super) fn heard(&self, now: Tick) {
        self.answered.mark(now);
        self.asking.mark(now);
    }

    pub(super) fn worked(&self, now: Tick) {
        self.working.mark(now);
    }
}

/// How an owned partition stands.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Standing {
    pub(crate) partition: Partition,
    pub(crate) state: State,
    /// None before its first offset is known, as are the next two.
    pub(crate) position: Option<Offset>,
    pub(crate) acked: Option<Offset>,
    pub(crate) committed: Option<Offset>,
    /// The end of its log, as its leader said last.
    pub(crate) end: Option<Offset>,
    pub(crate) held_bytes: u64,
    pub(crate) answered: Option<Tick>,
    /// Records delivered since the process began.
    pub(crate) records: u64,
}

/// How long handlers took for batches, over the life of the process.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Processing {
    pub(crate) partition: Partition,
    pub(crate) processed: Counted,
    pub(crate) returned: Counted,
}

impl ProgressTable {
    /// The time now.
    pub(crate) fn now(&self) -> Tick {
        (self.now)()
    }

    /// The partition is not asked for now: it rests, is paused, or its handler holds its share.
    pub fn held_back(&self, partition: &Partition) {
        if let Some(cell) = self.cell(partition) {
            cell.signs.asking.mark(self.now());
        }
    }

    /// Records go to the partition's handler.
    pub(crate) fn delivered(&self, partition: &Partition, records: u64) {
        self.counts.records.fetch_add(records, Ordering::Relaxed);
        if let Some(cell) = self.cell(partition) {
            cell.signs.records.fetch_add(records, Ordering::Relaxed);
        }
    }

    /// The partition's handler was done with a batch, or gave it back, after so long.
    pub(crate) fn processed(&self, partition: &Partition, took: Duration, done: bool) {
        if let Some(cell) = self.cell(partition) {
            let durations = if done { &cell.signs.processed } else { &cell.signs.returned };
            durations.add(took);
        }
    }

    /// When the leader answered a fetch of the partition last, under this assignment.
    pub fn answered(&self, partition: &Partition) -> Option<Tick> {
        self.cell(partition)?.signs.answered.last()
    }

    /// Since when the partition waits for an answer of its leader, or for its first offset; none if its handler has
    /// something to do, or it is not to be fetched.
    pub fn waits_since(&self, partition: &Partition) -> Option<Tick> {
        let cell = self.cell(partition)?;
        let wanted = matches!(locked(&cell.progress).state(), State::Resolving | State::Running);
        let rests = locked(&cell.trouble).rests(self.now());
        let idle = cell.outstanding.load(Ordering::Relaxed) == 0;
        cell.signs.asking.last().filter(|_| wanted && idle && !rests)
    }

    /// Since when the partition's handler has had something to do without acking any of it; none if it has nothing.
    pub fn busy_since(&self, partition: &Partition) -> Option<Tick> {
        let cell = self.cell(partition)?;
        let busy = cell.outstanding.load(Ordering::Relaxed) > 0;
        cell.signs.working.last().filter(|_| busy)
    }

    /// The partitions that are delivered to, and whose handlers hold something: since when each has acked nothing of it.
    pub(crate) fn busy(&self) -> Vec<(Partition, Tick)> {
        let busy = |(partition, cell): (Partition, std::sync::Arc<Cell>)| {
            let running = locked(&cell.progress).state() == State::Running;
            let holds = cell.outstanding.load(Ordering::Relaxed) > 0;
            let since = cell.signs.working.last().filter(|_| running && holds)?;
            Some((partition, since))
        };
        self.cells().into_iter().filter_map(busy).collect()
    }

    /// How the owned partitions stand, in order.
    pub(crate) fn standings(&self) -> Vec<Standing> {
        let standing = |(partition, cell): (Partition, std::sync::Arc<Cell>)| cell.standing(partition);
        self.cells().into_iter().filter_map(standing).collect()
    }

    /// How long the handlers of all partitions took that are or were owned.
    pub(crate) fn processing(&self) -> Vec<Processing> {
        let processing = |(partition, cell): (Partition, std::sync::Arc<Cell>)| Processing {
            partition,
            processed: cell.signs.processed.counted(),
            returned: cell.signs.returned.counted(),
        };
        self.cells().into_iter().map(processing).collect()
    }
}

impl Cell {
    fn standing(&self, partition: Partition) -> Option<Standing> {
        let progress = locked(&self.progress);
        if progress.state() == State::Unowned {
            return None;
        }
        let placed = progress.is_placed();
        Some(Standing {
            partition,
            state: progress.state(),
            position: placed.then(|| progress.position().offset),
            acked: placed.then(|| progress.acked()),
            committed: progress.committed().filter(|_| placed),
            end: locked(&self.end).map(|ends| ends.last),
            held_bytes: self.outstanding.load(Ordering::Relaxed),
            answered: self.signs.answered.last(),
            records: self.signs.records.load(Ordering::Relaxed),
        })
    }
}
