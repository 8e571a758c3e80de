//! What producer, sink and observer note while a run goes on.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use actix::{Actor, Context, Handler};
use steadfast_watch as watch;
use tokio::time::{Instant, timeout_at};

use super::seen::{Acked, Delivery, Mark, Told};
use crate::consume::batch::{Batch, RecordError};
use crate::events::Event;

/// The notes of one run, by one clock. Cheap to clone: all clones are the same notes.
#[derive(Debug, Clone)]
pub(crate) struct Notes {
    begun: Instant,
    written: Arc<Mutex<Written>>,
    changed: watch::Sender<()>,
}

/// What was noted.
#[derive(Debug, Clone, Default)]
pub(crate) struct Written {
    /// By order of acknowledgement.
    pub(crate) acked: Vec<Acked>,
    /// By order of arrival.
    pub(crate) deliveries: Vec<Delivery>,
    /// By order of arrival.
    pub(crate) told: Vec<Told>,
    started: BTreeSet<i32>,
    respawned: bool,
    /// Acknowledged, and not delivered yet.
    outstanding: BTreeSet<Mark>,
    /// Delivered, and not acknowledged yet: a record may come out before the producer reads its acknowledgement.
    early: BTreeSet<Mark>,
}

impl Written {
    /// Partitions that are consumed.
    pub(crate) fn started(&self) -> usize {
        self.started.len()
    }

    /// Whether the consumer was replaced because of drift.
    pub(crate) fn has_respawned(&self) -> bool {
        self.respawned
    }

    /// Whether all that was acknowledged was delivered.
    pub(crate) fn is_delivered(&self) -> bool {
        self.outstanding.is_empty()
    }
}

impl Notes {
    /// Empty notes; time is counted from now on.
    pub(crate) fn begin() -> Notes {
        Notes { begun: Instant::now(), written: Arc::default(), changed: watch::Sender::new(()) }
    }

    /// The time since the begin.
    pub(crate) fn now(&self) -> Duration {
        self.begun.elapsed()
    }

    /// The clock's reading at a time since the begin.
    pub(crate) fn instant(&self, at: Duration) -> Instant {
        self.begun + at
    }

    /// Notes that the cluster acknowledged this record, which was sent at `sent`.
    pub(crate) fn acked(&self, mark: Mark, sent: Duration) {
        let mut written = self.lock();
        written.acked.push(Acked { mark, sent });
        if !written.early.remove(&mark) {
            written.outstanding.insert(mark);
        }
        drop(written);
        self.changed.send_replace(());
    }

    fn delivered(&self, deliveries: Vec<Delivery>) {
        let mut written = self.lock();
        for delivery in deliveries {
            if !written.outstanding.remove(&delivery.mark) {
                written.early.insert(delivery.mark);
            }
            written.deliveries.push(delivery);
        }
        drop(written);
        self.changed.send_replace(());
    }

    fn told(&self, event: Event) {
        let at = self.now();
        let mut written = self.lock();
        match &event {
            Event::PartitionStarted { place, .. } => drop(written.started.insert(place.partition)),
            Event::ConsumerRespawned { reason: "drift", .. } => written.respawned = true,
            _ => {}
        }
        written.told.push(Told { at, event });
        drop(written);
        self.changed.send_replace(());
    }

    /// Reads the notes as they stand.
    pub(crate) fn read<T>(&self, read: impl FnOnce(&Written) -> T) -> T {
        read(&self.lock())
    }

    /// Waits until `holds`, at most until `limit` (since the begin): whether it does.
    pub(crate) async fn until(&self, limit: Duration, holds: impl Fn(&Written) -> bool) -> bool {
        let mut changed = self.changed.subscribe();
        let held = async {
            while !self.read(&holds) {
                // The sender is in these very notes.
                let _ = changed.changed().await;
            }
        };
        timeout_at(self.instant(limit), held).await.is_ok()
    }

    fn lock(&self) -> MutexGuard<'_, Written> {
        self.written.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The sink of one partition.
pub(crate) struct Sink(pub(crate) Notes);

impl Sink {
    /// All of the batch or nothing, since a batch that fails comes again.
    fn note(&self, batch: &Batch) -> Result<(), RecordError> {
        let at = self.0.now();
        let mut deliveries = Vec::new();
        for record in batch.records() {
            let record = record?;
            // What is no record of the load was not acknowledged to it either.
            if let Some(mark) = record.value.and_then(Mark::read) {
                deliveries.push(Delivery { mark, offset: record.offset.0, at });
            }
        }
        self.0.delivered(deliveries);
        Ok(())
    }
}

impl Actor for Sink {
    type Context = Context<Self>;
}

impl Handler<Batch> for Sink {
    type Result = ();

    fn handle(&mut self, batch: Batch, _: &mut Context<Self>) {
        match self.note(&batch) {
            Ok(()) => batch.done(),
            Err(error) => batch.failed(error),
        }
    }
}

/// Who is told of every event.
pub(crate) struct Observer(pub(crate) Notes);

impl Actor for Observer {
    type Context = Context<Self>;
}

impl Handler<Event> for Observer {
    type Result = ();

    fn handle(&mut self, event: Event, _: &mut Context<Self>) {
        self.0.told(event);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::demo::sample::{delivery, ms, respawned};

    const MARK: Mark = Mark { partition: 0, sequence: 0 };

    #[tokio::test(start_paused = true)]
    async fn what_is_acknowledged_is_outstanding_until_it_is_delivered() {
        let notes = Notes::begin();
        notes.acked(MARK, ms(1));
        assert!(!notes.until(ms(10), Written::is_delivered).await);
        assert_eq!(notes.now(), ms(10));
        let waiting = notes.clone();
        let waiting = tokio::spawn(async move { waiting.until(ms(1_000), Written::is_delivered).await });
        notes.delivered(vec![delivery(0, 0, 11)]);
        assert!(waiting.await.unwrap());
        assert_eq!(notes.now(), ms(10));
    }

    #[tokio::test(start_paused = true)]
    async fn a_record_may_be_delivered_before_its_acknowledgement_is_read() {
        let notes = Notes::begin();
        notes.delivered(vec![delivery(0, 0, 1)]);
        notes.acked(MARK, ms(1));
        assert!(notes.read(Written::is_delivered));
    }

    #[tokio::test(start_paused = true)]
    async fn only_a_respawn_because_of_drift_is_one() {
        let notes = Notes::begin();
        notes.told(respawned("crash", 1).event);
        assert!(!notes.read(Written::has_respawned));
        notes.told(respawned("drift", 1).event);
        assert!(notes.read(Written::has_respawned));
    }
}
