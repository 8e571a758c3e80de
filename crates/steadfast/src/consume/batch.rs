//! A batch lends its records and owns its ack.

use std::fmt;
use std::sync::Arc;

use actix::Message;
use steadfast_core::acked::Span;
use steadfast_core::ids::{NodeId, Offset, Partition};
use steadfast_core::progress::{Lease, Progress};
use steadfast_core::retry::Fault;
use steadfast_core::tick::Tick;
use steadfast_kafka::records::lazy::PlainBatch;
pub use steadfast_kafka::records::lazy::{Record, RecordError};

use crate::consume::letter::{Cause, Letter, Stage};
use crate::consume::progress::{ProgressTable, Returned};
use crate::events::{Event, Failure, Place};
use crate::observers::Events;

/// Records of one partition, in order, to be processed once.
///
/// End it, from any thread and in any order, with
///
/// - [`Batch::done`]: everything in it was processed;
/// - [`Batch::failed`]: the work failed, and it is not known over which record;
/// - [`Batch::rejected`]: this record is bad, everything before it was processed;
/// - [`Batch::unavailable`]: where the records are to go is away, no record is to blame.
///
/// One that is dropped (its handler panicked, a task was aborted) has failed. After all but the first its lease ends
/// and the partition is fetched again from what was acked, so a batch may come again, in other pieces.
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
        let skipped = |offset: Offset| self.skip.iter().any(|span| span.contains(offset));
        let wanted = move |record: &Result<Record<'_>, RecordError>| match record {
            Ok(record) => self.span.contains(record.offset) && !skipped(record.offset),
            Err(error) => error.from < self.span.next && !skipped(error.from),
        };
        // What cannot be read may begin before the span, and goes on to the end of its batch.
        let within = |error: RecordError| RecordError { from: error.from.max(self.span.from), ..error };
        let records = self.parts.iter().flat_map(PlainBatch::records).filter(wanted);
        records.map(move |record| record.map_err(within))
    }

    /// Everything in the batch was processed.
    pub fn done(mut self) {
        self.end(true);
        self.processed(self.span);
    }

    /// The work failed, and it is not known over which record. The partition goes back to what was acked and rests
    /// for a while that doubles with each failure (up to `errors.retry.delay.max.ms`). The handler is then given the
    /// first half of what failed, and so on: what it can process is acked, and a record that fails alone is tried
    /// again until `errors.retry.timeout` is over. Then it is bad, see [`Batch::rejected`].
    pub fn failed(mut self, error: impl fmt::Display) {
        let fault = self.failure();
        self.give_back(fault, "failed", Cause::of(&error));
    }

    /// The record at this offset is bad, and trying again would not help; everything before it in the batch was
    /// processed, nothing behind it. What is before it is acked. With `errors.tolerance = "all"` the record goes to
    /// the dead letters, and is acked when it is there; with `"none"` the partition is quarantined before it. What
    /// is behind it is delivered again, after that.
    ///
    /// What [`Batch::records`] cannot decode begins at [`RecordError::from`]: rejecting that offset rejects all
    /// that cannot be read. An offset that is not in the batch is a plain failure.
    pub fn rejected<E: fmt::Display>(mut self, offset: Offset, error: E) {
        let cause = Cause::of(&error);
        if !self.span.contains(offset) {
            let message = format!("offset {offset} was rejected, which is not in {self:?}: {error}");
            let fault = self.failure();
            return self.give_back(fault, "failed", Cause { message, ..cause });
        }
        let bad = self.bad_at(offset);
        self.processed(Span::new(self.span.from, bad.from));
        self.give_back(Fault::Rejected(bad), "rejected", cause);
    }

    /// Where the records are to go is away. No record is to blame: the partition rests, for a while that doubles
    /// with each time, and is delivered again, without end. It shows as `sink.unavailable`.
    pub fn unavailable(mut self, error: impl fmt::Display) {
        self.give_back(Fault::Away, "unavailable", Cause::of(&error));
    }

    /// Whether an ack would still count. What is not worth an ack any more (a batch before it failed, the
    /// partition was given up) is delivered again, here or elsewhere: writing it now would only write it twice,
    /// and out of order.
    pub fn is_current(&self) -> bool {
        let lease = self.ack.table.read(&self.partition, Progress::lease).flatten();
        lease == Some(self.ack.lease)
    }

    fn processed(&self, span: Span) {
        let (_, recovered) = self.ack.table.done(&self.partition, self.ack.lease, span);
        if let Some(away) = recovered {
            let (place, unavailable_ms) = (Place::from(&self.partition), away.as_secs_f64() * 1e3);
            self.ack.events.emit(Event::SinkRecovered { place, unavailable_ms });
        }
    }

    /// Where records begin, or what cannot be read.
    fn offsets(&self) -> Vec<Offset> {
        self.records().map(|record| record.map_or_else(|error| error.from, |record| record.offset)).collect()
    }

    fn failure(&self) -> Fault {
        let offsets = self.offsets();
        let (Some(first), Some(last)) = (offsets.first(), offsets.last()) else {
            return Fault::Failed { records: self.span, middle: None };
        };
        let records = Span::new(*first, self.bad_at(*last).next);
        Fault::Failed {
            records,
            middle: offsets.get(offsets.len() / 2).copied().filter(|middle| middle > first),
        }
    }

    /// What would be bad if what begins at `offset` were: a record, or all that cannot be read.
    fn bad_at(&self, offset: Offset) -> Span {
        let unreadable = self.unreadable().find(|letter| letter.span.contains(offset));
        unreadable.map_or(Span::new(offset, offset.next()), |letter| letter.span)
    }

    fn unreadable(&self) -> impl Iterator<Item = Letter> {
        let within = |letter: Letter| {
            let from = letter.span.from.max(self.span.from);
            Letter { span: Span { from, ..letter.span }, ..letter }
        };
        let parts = self.parts.iter();
        parts.filter_map(|part| Letter::of_unreadable(&self.partition, self.leader, part)).map(within)
    }

    fn letter(&self, bad: Span, cause: Cause) -> Letter {
        if let Some(letter) = self.unreadable().find(|letter| letter.span == bad) {
            let cause = Cause { stage: letter.cause.stage, ..cause };
            return Letter { cause, ..letter };
        }
        let record = self.records().flatten().find(|record| record.offset == bad.from);
        match record {
            Some(record) => Letter::of_record(&self.partition, self.leader, &record, cause),
            None => Letter::of_bytes(&self.partition, self.leader, bad, &[], cause),
        }
    }

    fn give_back(&mut self, fault: Fault, class: &'static str, cause: Cause) {
        self.end(false);
        let (table, lease) = (&self.ack.table, self.ack.lease);
        let letter = |span| self.letter(span, cause.clone());
        let returned = table.returned(&self.partition, lease, fault, &cause.message, letter);
        let Some(Returned { failures, .. }) = returned else { return };
        let (place, from) = (Place::from(&self.partition), self.span.from);
        let failure = Failure::new(class, &cause.message);
        self.ack.events.emit(match fault {
            Fault::Away => Event::SinkUnavailable { place, from, failure, tries: failures },
            Fault::Failed { .. } | Fault::Rejected(_) => Event::BatchReturned { place, from, failure },
        });
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
            let (fault, message) = (self.failure(), "dropped without an ack".to_owned());
            self.give_back(fault, "dropped", Cause { stage: Stage::Put, class: "dropped", message });
        }
        self.ack.table.free(&self.partition, self.held);
    }
}

impl fmt::Debug for Batch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Batch({} [{}, {}))", self.partition, self.span.from, self.span.next)
    }
}
