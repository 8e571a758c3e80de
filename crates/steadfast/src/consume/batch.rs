//! A batch lends its records and owns its ack.

use std::fmt;
use std::sync::Arc;

use actix::Message;
use steadfast_core::acked::Span;
use steadfast_core::ids::{NodeId, Offset, Partition};
use steadfast_core::progress::{Lease, Progress};
use steadfast_core::retry::Verdict;
use steadfast_core::tick::Tick;
use steadfast_kafka::records::lazy::PlainBatch;
pub use steadfast_kafka::records::lazy::{Record, RecordError};

use crate::consume::handlers::quarantine;
use crate::consume::progress::ProgressTable;
use crate::events::{Event, Failure, Place};
use crate::observers::Events;

/// Records of one partition, in order, to be processed once.
///
/// End it with [`Batch::done`] or [`Batch::failed`], from any thread and in any order. One that is dropped
/// (its handler panicked, a task was aborted) is returned, as if it had failed: its lease ends and the partition
/// is fetched again from what was acked.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Batch {
    partition: Partition,
    leader: NodeId,
    span: Span,
    parts: Vec<PlainBatch>,
    skip: Vec<Span>,
    held: u64,
    /// When it was delivered.
    at: Tick,
    ack: AckToken,
}

struct AckToken {
    table: Arc<ProgressTable>,
    events: Events,
    lease: Lease,
    open: bool,
}

/// What a batch is made of.
pub(crate) struct Delivery {
    pub(crate) partition: Partition,
    pub(crate) leader: NodeId,
    pub(crate) span: Span,
    pub(crate) parts: Vec<PlainBatch>,
    pub(crate) skip: Vec<Span>,
    pub(crate) lease: Lease,
    pub(crate) held: u64,
}

impl Batch {
    pub(crate) fn new(delivery: Delivery, table: Arc<ProgressTable>, events: Events) -> Batch {
        let Delivery { partition, leader, span, parts, skip, lease, held } = delivery;
        table.hold(&partition, held);
        let at = table.now();
        let ack = AckToken { table, events, lease, open: true };
        Batch { partition, leader, span, parts, skip, held, at, ack }
    }

    /// The partition that the records are from.
    pub fn partition(&self) -> &Partition {
        &self.partition
    }

    /// The broker that they were fetched from.
    pub fn leader(&self) -> NodeId {
        self.leader
    }

    /// The offsets that an ack of this batch covers. There may be fewer records: holes of compaction, aborted
    /// transactions and control records are inside it.
    pub fn span(&self) -> Span {
        self.span
    }

    /// The right under which the records were delivered.
    pub fn lease(&self) -> Lease {
        self.ack.lease
    }

    /// The records, borrowed and decoded as they are asked for. An error means that the producer wrote what
    /// cannot be decoded although its checksum holds; nothing follows it.
    pub fn records(&self) -> impl Iterator<Item = Result<Record<'_>, RecordError>> {
        self.parts.iter().flat_map(PlainBatch::records).filter(|record| {
            record.as_ref().map_or(true, |record| {
                self.span.contains(record.offset)
                    && !self.skip.iter().any(|span| span.contains(record.offset))
            })
        })
    }

    /// Everything in the batch was processed.
    pub fn done(mut self) {
        self.end(true);
        self.ack.table.ack(&self.partition, self.ack.lease, self.span);
    }

    /// The batch could not be processed: its lease ends, and the partition goes back to what was acked. It rests
    /// for a while that doubles with each failure, and is quarantined when it fails too often without progress.
    pub fn failed(mut self, error: impl fmt::Display) {
        self.give_back(&Failure::new("failed", error));
    }

    /// Whether an ack would still count. What is not worth an ack any more (a batch before it failed, the
    /// partition was given up) is delivered again, here or elsewhere: writing it now would only write it twice,
    /// and out of order.
    pub fn is_current(&self) -> bool {
        let lease = self.ack.table.read(&self.partition, Progress::lease).flatten();
        lease == Some(self.ack.lease)
    }

    fn give_back(&mut self, failure: &Failure) {
        self.end(false);
        let Some(verdict) = self.ack.table.returned(&self.partition, self.ack.lease) else { return };
        self.ack.events.emit(Event::BatchReturned {
            place: Place::from(&self.partition),
            from: self.span.from,
            failure: failure.clone(),
        });
        if verdict == Verdict::Quarantine {
            quarantine(&self.ack.table, &self.ack.events, &self.partition, &failure.message);
        }
    }

    /// The handler has ended it, one way or the other.
    fn end(&mut self, done: bool) {
        self.ack.open = false;
        let table = &self.ack.table;
        table.processed(&self.partition, table.now().since(self.at), done);
    }

    /// The first offset that the batch covers.
    pub fn from(&self) -> Offset {
        self.span.from
    }
}

impl Drop for Batch {
    fn drop(&mut self) {
        if self.ack.open {
            self.give_back(&Failure::new("dropped", "dropped without an ack"));
        }
        self.ack.table.free(&self.partition, self.held);
    }
}

impl fmt::Debug for Batch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Batch({} [{}, {}))", self.partition, self.span.from, self.span.next)
    }
}
