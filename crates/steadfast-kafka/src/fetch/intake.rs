//! Where a fetch loop learns what is wanted, and puts what it fetched.

use std::time::Duration;

use steadfast_core::acked::Span;
use steadfast_core::endpoints::race::Evidence;
use steadfast_core::endpoints::view::Address;
use steadfast_core::ids::{LeaderEpoch, NodeId, Offset, Partition, TopicId};
use steadfast_core::progress::{Claim, Grant, Position};
use steadfast_watch as watch;

use crate::api::ErrorCode;
use crate::api::list_offsets::LogEnd;
use crate::records::batch::{BatchError, RecordBatch};
use crate::records::lazy::PlainBatch;

/// What a partition wants of its leader now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Want {
    /// Nothing: it is not owned, paused, or full.
    Nothing,
    /// Records from this position on.
    Records(Position),
    /// The offset at which to begin, since none was ever committed.
    Offset(LogEnd),
}

/// Records that were claimed, to be processed.
#[derive(Debug)]
pub struct Delivery {
    /// The partition.
    pub partition: Partition,
    /// The broker that they came from.
    pub leader: NodeId,
    /// What was claimed.
    pub span: Span,
    /// The lease and what to leave out.
    pub grant: Grant,
    /// The batches with records, decompressed.
    pub parts: Vec<PlainBatch>,
}

/// A partition's leader as a broker that is not knows it (KIP-951): a hint, to be verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamedLeader {
    /// The topic that was asked for.
    pub topic: TopicId,
    /// Who leads it.
    pub node: NodeId,
    /// By which election.
    pub epoch: LeaderEpoch,
    /// Where that broker advertises itself.
    pub address: Address,
}

/// Something that the owner of the loop should know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Note {
    /// The leader accepted a fetch from this offset, whether or not records came.
    Accepted {
        /// The partition.
        partition: Partition,
        /// The offset that was asked for.
        from: Offset,
    },
    /// The connection broke or could not be opened.
    Broken {
        /// What happened.
        reason: String,
        /// What that says of its endpoint.
        evidence: Evidence,
        /// Whether a connection had stood before.
        stood: bool,
    },
    /// A request is overdue.
    Silent {
        /// For how long it has not been answered.
        waited: Duration,
    },
    /// A fresh connection has taken the place of one that was silent.
    Replaced {
        /// For how long it had not answered.
        waited: Duration,
    },
    /// This broker is not, or no longer, the leader that we take it for.
    NotLeader {
        /// The partition.
        partition: Partition,
        /// What the broker answered.
        code: ErrorCode,
        /// Who leads it in its place, if the broker says so.
        named: Option<NamedLeader>,
    },
    /// The broker refuses the partition for another reason; it is asked again.
    Refused {
        /// The partition.
        partition: Partition,
        /// What the broker answered.
        code: ErrorCode,
    },
    /// The leader does not have the position. All of this is the leader's own word.
    OutOfRange {
        /// The partition.
        partition: Partition,
        /// The position that it does not have.
        position: Position,
        /// The end of the history that its log shares with ours, if it parts from ours before the position
        /// (KIP-320); the position itself with a lower epoch if how far before is not known.
        shared: Option<(Offset, LeaderEpoch)>,
        /// The first offset that its log has.
        earliest: Offset,
        /// The end of its log.
        latest: Offset,
    },
    /// An answer cannot be decoded.
    Undecodable {
        /// The partition.
        partition: Partition,
        /// The position that was asked for.
        position: Offset,
        /// What is wrong.
        error: String,
    },
}

/// What stands behind the fetch loops of one incarnation. All of it is called from the loops and must not block.
pub trait Intake: Send + Sync + 'static {
    /// What the partition wants now.
    fn want(&self, partition: &Partition) -> Want;

    /// Changes whenever an answer of [`Intake::want`] may have become another one.
    fn changes(&self) -> watch::Receiver<u64>;

    /// The compare-and-set: `[from, next)` was fetched.
    fn claim(&self, partition: &Partition, from: Position, next: Offset, last_epoch: LeaderEpoch) -> Claim;

    /// Takes claimed records.
    fn deliver(&self, delivery: Delivery);

    /// Claimed records could not be delivered after all (they cannot be decompressed together, or the loop died):
    /// to be fetched again.
    fn undeliverable(&self, partition: &Partition, grant: &Grant);

    /// The batch at the position stands for `span` and cannot be decompressed, although its checksum holds: it
    /// never will be.
    fn unreadable(&self, partition: &Partition, span: Span, batch: &RecordBatch, error: &BatchError);

    /// The leader said where the log begins or ends, as [`Want::Offset`] asked.
    fn placed(&self, partition: &Partition, at: LogEnd, offset: Offset, epoch: LeaderEpoch);

    /// The end of the log for readers of our isolation level.
    fn saw_end(&self, partition: &Partition, end: Offset);

    /// Takes a note.
    fn note(&self, note: Note);
}
