//! What handlers and the observer of one service note.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use actix::{Actor, Context, Handler};
use steadfast_core::acked::Span;
use steadfast_core::ids::{Offset, Partition};
use tokio::time::Instant;

use super::holes::Hole;
use crate::consume::batch::Batch;
use crate::events::Event;

/// So many holes are kept: each transaction of a quiet topic leaves one.
const MOST_HOLES: usize = 100;

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
    /// Offsets that came to no handler, although later ones of their partition did: the first of them.
    pub(super) holes: Vec<Hole>,
    /// By partition, the offset that is due.
    due: BTreeMap<Partition, Offset>,
    pub(super) started: usize,
    pub(super) respawns: usize,
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

    /// A batch begins where the one before it ended, unless there was nothing for a handler in between.
    fn batch(&self, partition: &Partition, span: Span) {
        let mut written = self.lock();
        let due = written.due.get(partition).copied().unwrap_or(span.from);
        if due < span.from && written.holes.len() < MOST_HOLES {
            written.holes.push((partition.clone(), Span::new(due, span.from)));
        }
        written.due.insert(partition.clone(), due.max(span.next));
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
            Event::PartitionStarted { place, offset, .. } => {
                written.started += 1;
                let partition = Partition::new(Arc::clone(&place.topic), place.partition);
                written.due.entry(partition).or_insert(*offset);
            }
            Event::ConsumerRespawned { reason: "drift", .. } => written.respawns += 1,
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
        self.notes.batch(&self.partition, batch.span());
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_lies_between_two_batches_is_a_hole_and_what_comes_again_is_none() {
        let (notes, partition) = (Notes::default(), Partition::new("orders", 3));
        let span = |from, next| Span::new(Offset(from), Offset(next));
        for (from, next) in [(10, 12), (12, 15), (17, 20), (12, 15), (20, 21)] {
            notes.batch(&partition, span(from, next));
        }
        assert_eq!(notes.read(|written| written.holes.clone()), [(partition, span(15, 17))]);
    }

    #[test]
    fn the_first_batch_is_held_against_where_its_partition_started() {
        let (notes, partition) = (Notes::default(), Partition::new("orders", 3));
        let place = (&partition).into();
        let source = "latest";
        notes.told(&Event::PartitionStarted { place, offset: Offset(7), source, handed_again: 0 });
        notes.batch(&partition, Span::new(Offset(9), Offset(10)));
        let hole = Span::new(Offset(7), Offset(9));
        assert_eq!(notes.read(|written| written.holes.clone()), [(partition, hole)]);
    }
}
