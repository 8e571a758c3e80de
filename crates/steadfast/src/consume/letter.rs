//! A bad record on its way to where somebody looks at it.

use futures::future::BoxFuture;
use steadfast_core::acked::Span;
use steadfast_core::ids::{NodeId, Partition};
use steadfast_kafka::records::batch::TimestampType;
use steadfast_kafka::records::lazy::{PlainBatch, Record};

/// Where a record turned out to be bad, as Kafka Connect names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// It cannot be read.
    Consume,
    /// Its handler could not do its work.
    Put,
}

impl Stage {
    /// Connect's name.
    pub fn name(self) -> &'static str {
        match self {
            Stage::Consume => "KAFKA_CONSUME",
            Stage::Put => "TASK_PUT",
        }
    }
}

/// Why a record is bad.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cause {
    /// Where it turned out.
    pub stage: Stage,
    /// The type of the error.
    pub class: &'static str,
    /// What it says.
    pub message: String,
}

impl Cause {
    /// What a handler said.
    pub(crate) fn of<E: std::fmt::Display>(error: &E) -> Cause {
        Cause { stage: Stage::Put, class: std::any::type_name::<E>(), message: error.to_string() }
    }
}

/// A bad record, or bytes that should have been records, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Letter {
    /// The partition that it is from.
    pub partition: Partition,
    /// Its offset; or all offsets that what cannot be read stands for.
    pub span: Span,
    /// The broker that it was fetched from.
    pub leader: NodeId,
    /// Milliseconds since 1970, or -1.
    pub timestamp: i64,
    /// Whose clock that is from.
    pub timestamp_type: TimestampType,
    /// The key.
    pub key: Option<Vec<u8>>,
    /// The value; of what cannot be read, its bytes.
    pub value: Option<Vec<u8>>,
    /// Names and values in their order.
    pub headers: Vec<(Vec<u8>, Option<Vec<u8>>)>,
    /// Why it is here.
    pub cause: Cause,
}

impl Letter {
    /// A readable record.
    pub(crate) fn of_record(
        partition: &Partition,
        leader: NodeId,
        record: &Record<'_>,
        cause: Cause,
    ) -> Letter {
        let owned = |header: steadfast_kafka::records::lazy::Header<'_>| {
            (header.key.to_vec(), header.value.map(<[u8]>::to_vec))
        };
        Letter {
            partition: partition.clone(),
            span: Span::new(record.offset, record.offset.next()),
            leader,
            timestamp: record.timestamp,
            timestamp_type: record.timestamp_type,
            key: record.key.map(<[u8]>::to_vec),
            value: record.value.map(<[u8]>::to_vec),
            headers: record.headers().map(owned).collect(),
            cause,
        }
    }

    /// Bytes that stand for `span` and cannot be read.
    pub(crate) fn of_bytes(
        partition: &Partition,
        leader: NodeId,
        span: Span,
        bytes: &[u8],
        cause: Cause,
    ) -> Letter {
        Letter {
            partition: partition.clone(),
            span,
            leader,
            timestamp: -1,
            timestamp_type: TimestampType::CreateTime,
            key: None,
            value: Some(bytes.to_vec()),
            headers: Vec::new(),
            cause,
        }
    }

    /// What of `part` cannot be read from its first error on; none if all of it can be.
    pub(crate) fn of_unreadable(partition: &Partition, leader: NodeId, part: &PlainBatch) -> Option<Letter> {
        let (error, bytes) = part.unreadable()?;
        let span = Span::new(error.from, part.header().next_offset());
        let cause = Cause { stage: Stage::Consume, ..Cause::of(&error) };
        let timestamp = part.header().max_timestamp;
        Some(Letter { timestamp, ..Letter::of_bytes(partition, leader, span, bytes, cause) })
    }
}

/// Why a letter was not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotTaken {
    /// The target cannot be reached, or does not work: it is tried again without end.
    #[error("{0}")]
    Away(String),
    /// The target works, and will never take this letter.
    #[error("{0}")]
    Refused(String),
}

/// Where bad records go. The record is acked once it is there, and not before.
pub trait DeadLetters: Send + Sync + 'static {
    /// Puts the letter where it outlives this process. It may come more than once.
    fn put<'a>(&'a self, letter: &'a Letter) -> BoxFuture<'a, Result<(), NotTaken>>;
}
