//! What stands behind a fetch loop: the progress table on one side, the handlers' routes on the other.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};

use actix::Recipient;

use steadfast_core::acked::Span;
use steadfast_core::ids::{AssignmentEpoch, ConsumerIncarnation, LeaderEpoch, NodeId, Offset, Partition};
use steadfast_core::progress::{Claim, Grant, Position, Progress, Start};
use steadfast_kafka::api::list_offsets::LogEnd;
use steadfast_kafka::fetch::intake::{Delivery, Intake, Note, Want};
use steadfast_kafka::records::batch::{BatchError, RecordBatch};
use steadfast_kafka::records::lazy::PlainBatch;
use steadfast_watch as watch;

use crate::config::AutoOffsetReset;
use crate::consume::batch::{self, Batch};
use crate::consume::consumer::Seat;
use crate::consume::handlers::HandlerRoutes;
use crate::consume::letter::{Cause, Letter, Stage};
use crate::consume::progress::{ProgressTable, Unplaced};
use crate::drift::published::Cluster;
use crate::events::Event;
use crate::messages::LoopNote;
use crate::observers::Events;

use pieces::{Piece, pieces};

mod pieces;

/// The intake of one leader's loop in one incarnation of the consumer.
pub(crate) struct LoopIntake {
    node: NodeId,
    incarnation: ConsumerIncarnation,
    table: Arc<ProgressTable>,
    handlers: HandlerRoutes,
    cluster: watch::Receiver<Arc<Cluster>>,
    consumer: Recipient<LoopNote>,
    events: Events,
    reset: AutoOffsetReset,
    share: u64,
    /// `max.poll.records`.
    most_records: usize,
    /// For which assignments the leader was asked where to begin.
    asked: Mutex<BTreeMap<Partition, AssignmentEpoch>>,
    /// The partitions whose first accepted fetch was told already.
    accepted: Mutex<BTreeSet<Partition>>,
}

impl LoopIntake {
    /// The intake of the loop that fetches from `node`; a partition whose handler holds `share` bytes is fetched
    /// no further.
    pub(crate) fn new(
        node: NodeId,
        incarnation: ConsumerIncarnation,
        seat: &Seat,
        consumer: Recipient<LoopNote>,
        share: u64,
    ) -> LoopIntake {
        LoopIntake {
            node,
            incarnation,
            table: Arc::clone(&seat.table),
            handlers: seat.handlers.clone(),
            cluster: seat.cluster.clone(),
            consumer,
            events: seat.events.clone(),
            reset: seat.reset,
            share,
            most_records: seat.most_records,
            asked: Mutex::default(),
            accepted: Mutex::default(),
        }
    }
}

impl Intake for LoopIntake {
    fn want(&self, partition: &Partition) -> Want {
        if let Some(unplaced) = self.table.unplaced(partition) {
            return match unplaced {
                Unplaced::AskingCoordinator => Want::Nothing,
                Unplaced::NeverCommitted => self.want_offset(partition),
            };
        }
        match self.table.fetch_from(partition, self.incarnation) {
            Some(position) if self.table.outstanding(partition) < self.share => Want::Records(position),
            Some(_) | None => {
                self.table.held_back(partition);
                Want::Nothing
            }
        }
    }

    fn changes(&self) -> watch::Receiver<u64> {
        self.table.changes()
    }

    fn claim(&self, partition: &Partition, from: Position, next: Offset, last_epoch: LeaderEpoch) -> Claim {
        self.table.claim(partition, self.incarnation, from, next, last_epoch)
    }

    fn deliver(&self, delivery: Delivery) {
        let Delivery { partition, leader, span, grant, parts } = delivery;
        if !has_records(&parts, span, &grant) {
            self.table.ack(&partition, grant.lease, span);
            return;
        }
        self.count(&partition, span, &grant, &parts);
        let held: u64 = parts.iter().map(|part| part.plain().len() as u64).sum();
        let pieces = pieces(span, parts, self.most_records);
        let share = held / (pieces.len() as u64).max(1);
        // All are made before one is sent: none of them is free before the others are held.
        let batch = |Piece { span, parts }| {
            let (partition, skip, lease) = (partition.clone(), grant.skip.clone(), grant.lease);
            let delivery = batch::Delivery { partition, leader, span, parts, skip, lease, held: share };
            Batch::new(delivery, Arc::clone(&self.table), self.events.clone())
        };
        let batches: Vec<Batch> = pieces.into_iter().map(batch).collect();
        for batch in batches {
            self.handlers.send(&partition, batch);
        }
    }

    fn undeliverable(&self, partition: &Partition, grant: &Grant) {
        // The loop's business, not the records': what they are the next loop finds out.
        self.table.update(partition, |progress| progress.returned(grant.lease));
    }

    fn unreadable(&self, partition: &Partition, span: Span, batch: &RecordBatch, error: &BatchError) {
        let cause = Cause { stage: Stage::Consume, ..Cause::of(error) };
        self.table.reject(Letter::of_bytes(partition, self.node, span, &batch.body(), cause));
    }

    fn placed(&self, partition: &Partition, at: LogEnd, offset: Offset, leader_epoch: LeaderEpoch) {
        let topic = self.cluster.borrow().topic_id(&partition.topic);
        let start = Start { topic, offset, leader_epoch, committed: None, handed_again_below: offset };
        // An answer to a question of an earlier assignment says nothing about this one.
        let asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner).remove(partition);
        let Some(assignment) = asked else { return };
        let began = self.table.update(partition, |progress| {
            progress.start(assignment, start).then(|| progress.handed_again_below())
        });
        if let Some(handed_again_below) = began {
            // A former owner may have been handed some and have committed nothing.
            self.table.placed(partition, handed_again_below.0 - offset.0);
            self.events.emit(Event::PartitionStarted {
                place: partition.into(),
                offset,
                source: match at {
                    LogEnd::Earliest => "earliest",
                    LogEnd::Latest => "latest",
                },
                handed_again: handed_again_below.0 - offset.0,
            });
        }
    }

    fn saw_end(&self, partition: &Partition, end: Offset) {
        self.table.saw_end(partition, end);
    }

    fn note(&self, note: Note) {
        if let Note::Accepted { partition, .. } = &note {
            let mut accepted = self.accepted.lock().unwrap_or_else(PoisonError::into_inner);
            if !accepted.insert(partition.clone()) {
                return;
            }
        }
        self.consumer.do_send(LoopNote { incarnation: self.incarnation, node: self.node, note });
    }
}

impl LoopIntake {
    fn want_offset(&self, partition: &Partition) -> Want {
        if let Some(assignment) = self.table.read(partition, Progress::assignment) {
            let mut asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
            asked.insert(partition.clone(), assignment);
        }
        Want::Offset(match self.reset {
            AutoOffsetReset::Earliest => LogEnd::Earliest,
            AutoOffsetReset::Latest => LogEnd::Latest,
        })
    }

    fn count(&self, partition: &Partition, span: Span, grant: &Grant, parts: &[PlainBatch]) {
        let counts = &self.table.counts;
        let whole = parts.first().is_none_or(|part| part.header().base_offset >= span.from)
            && parts.last().is_none_or(|part| part.header().last_offset < span.next)
            && grant.skip.is_empty();
        let delivered: u64 = if whole {
            parts.iter().map(|part| u64::try_from(part.header().record_count).unwrap_or(0)).sum()
        } else {
            in_span(parts, span, grant, span.next)
        };
        self.table.delivered(partition, delivered);
        counts.bytes.fetch_add(parts.iter().map(|part| part.plain().len() as u64).sum(), Ordering::Relaxed);
        let rewound = in_span(parts, span, grant, grant.redelivered_below);
        self.redelivered(partition, "rewind", rewound);
        let handed_before = in_span(parts, span, grant, grant.handed_again_below);
        self.redelivered(partition, "former_owner", handed_before.saturating_sub(rewound));
    }

    fn redelivered(&self, partition: &Partition, reason: &'static str, records: u64) {
        if records == 0 {
            return;
        }
        self.table.counts.redelivered.fetch_add(records, Ordering::Relaxed);
        self.events.emit(Event::RecordsRedelivered { place: partition.into(), records, reason });
    }
}

/// Whether there is something to deliver, if only something that cannot be read.
fn has_records(parts: &[PlainBatch], span: Span, grant: &Grant) -> bool {
    let counts = |offset: Offset| !grant.skip.iter().any(|skip| skip.contains(offset));
    parts.iter().flat_map(PlainBatch::records).any(|record| match record {
        Ok(record) => span.contains(record.offset) && counts(record.offset),
        Err(error) => error.from < span.next && counts(error.from),
    })
}

/// How many records of the span below `limit` are delivered.
fn in_span(parts: &[PlainBatch], span: Span, grant: &Grant, limit: Offset) -> u64 {
    if limit <= span.from {
        return 0;
    }
    let limit = Span::new(span.from, span.next.min(limit));
    let counts =
        |offset: Offset| limit.contains(offset) && !grant.skip.iter().any(|skip| skip.contains(offset));
    let records = parts.iter().flat_map(PlainBatch::records).flatten();
    records.filter(|record| counts(record.offset)).count() as u64
}
