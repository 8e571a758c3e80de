//! One partition's part of a fetch answer: which batches count, and how far it reaches.

use bytes::Bytes;
use steadfast_core::ids::{LeaderEpoch, Offset};

use crate::records::aborted::ControlError;
use crate::records::aborted::{AbortedTransaction, Isolation, TransactionFilter, Verdict};
use crate::records::batch::{BatchError, RecordBatch, batches};

/// What a fetch from an offset brought.
#[derive(Debug)]
pub struct Fetched {
    /// The first offset after what was fetched: control, aborted and compacted offsets are before it.
    pub next: Offset,
    /// The leader epoch of the last batch.
    pub last_epoch: LeaderEpoch,
    /// The batches to deliver, still compressed. The first may begin before the offset that was asked for.
    pub batches: Vec<RecordBatch>,
}

/// Why an answer's records cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AnswerError {
    /// A batch is damaged, or of a format that is not read.
    #[error(transparent)]
    Batch(#[from] BatchError),
    /// A transaction's marker cannot be read.
    #[error(transparent)]
    Control(#[from] ControlError),
}

/// Walks the batches of an answer to a fetch from `from`; none if it brought nothing.
pub fn fetched(
    records: Bytes,
    from: Offset,
    isolation: Isolation,
    aborted: Vec<AbortedTransaction>,
) -> Result<Option<Fetched>, AnswerError> {
    let mut filter = TransactionFilter::new(isolation, aborted);
    let mut fetched = Fetched { next: from, last_epoch: LeaderEpoch::UNKNOWN, batches: Vec::new() };
    for batch in batches(records) {
        let batch = batch?;
        // A broker may begin with whole batches before the offset (KAFKA-5443: after compaction too).
        let past = batch.next_offset() <= from;
        let verdict = filter.judge(&batch)?;
        if past {
            continue;
        }
        fetched.next = fetched.next.max(batch.next_offset());
        fetched.last_epoch = batch.header().leader_epoch;
        if verdict == Verdict::Deliver && batch.header().record_count > 0 {
            fetched.batches.push(batch);
        }
    }
    Ok((fetched.next > from).then_some(fetched))
}
