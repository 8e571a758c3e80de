//! What handlers and the observer of one service note.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use actix::{Actor, Context, Handler};
use steadfast_core::ids::{Offset, Partition};
use tokio::time::Instant;

use crate::consume::batch::Batch;
use crate::events::Event;

/// The notes of one service. Cheap to clone: all clones are the same notes.
#[derive(Clone, Default)]
pub(super) struct Notes(Arc<Mutex<Written>>);

/// What was noted: as much as there are partitions and events, whatever flows.
#[derive(Debug, Clone, Default)]
pub(super) struct Written {
    /// By partition, what came out last.
    pub(super) last: BTreeMap<Partition, Last>,
    /// Records that came out with an offset at or below one that had come out.
    pub(super) redelivered: u64,
    pub(super) started: usize,
    pub(super) respawns: usize,
    pub(super) rebalances: usize,
    /// Offsets that respawns skipped, as the service counted them.
    pub(super) gap: i64,
    /// What the service complained about last.
    pub(super) missing: Option<String>,
}

/// The last record of a partition.
#[derive(Debug, Clone, Copy)]
pub(super) struct Last {
    pub(super) offset: Offset,
    pub(super) at: Instant,
}

impl Notes {
    /// Reads the notes as they stand.
    pub(super) fn read<T>(&self, read: impl FnOnce(&Written) -> T) -> T {
        read(&self.lock())
    }

    fn lock(&self) -> MutexGuard<'_, Written> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn came_out(&self, partition: &Partition, offset: Offset) {
        let at = Instant::now();
        let mut written = self.lock();
        let again = written.last.get(partition).is_some_and(|last| offset <= last.offset);
        if again {
            written.redelivered += 1;
        } else {
            written.last.insert(partition.clone(), Last { offset, at });
        }
    }

    fn told(&self, event: &Event) {
        let mut written = self.lock();
        match event {
            Event::PartitionStarted { .. } => written.started += 1,
            Event::GroupRebalanced { .. } => written.rebalances += 1,
            Event::ConsumerRespawned { reason: "drift", gap, .. } => {
                written.respawns += 1;
                written.gap += gap;
            }
            Event::ServiceDegraded { missing } => written.missing = Some(missing.join("; ")),
            _ => {}
        }
    }
}

/// The sink of one partition: it notes that records came, and throws them away.
pub(super) struct Sink {
    pub(super) notes: Notes,
    pub(super) partition: Partition,
}

impl Actor for Sink {
    type Context = Context<Self>;
}

impl Handler<Batch> for Sink {
    type Result = ();

    fn handle(&mut self, batch: Batch, _: &mut Context<Self>) {
        // A record that cannot be decoded is none to judge here: the drill is about places in the log.
        for record in batch.records().flatten() {
            self.notes.came_out(&self.partition, record.offset);
        }
        batch.done();
    }
}

/// Who is told of every event.
pub(super) struct Observer(pub(super) Notes);

impl Actor for Observer {
    type Context = Context<Self>;
}

impl Handler<Event> for Observer {
    type Result = ();

    fn handle(&mut self, event: Event, _: &mut Context<Self>) {
        self.0.told(&event);
    }
}
