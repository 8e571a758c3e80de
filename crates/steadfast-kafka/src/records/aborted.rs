//! Which batches of a fetch answer are delivered: read_committed and read_uncommitted (KIP-98).

use std::collections::BTreeSet;

use steadfast_core::ids::Offset;
use thiserror::Error;

pub use crate::api::Isolation;
pub use crate::api::fetch::AbortedTransaction;

use super::batch::{BatchError, RecordBatch};
use super::lazy::RecordError;

/// A marker takes a dozen bytes; a control batch that unfolds to more than this is none of Kafka's.
const CONTROL_LIMIT: usize = 64 << 10;
/// Kafka's name for no producer.
const NO_PRODUCER_ID: i64 = -1;

/// What becomes of a batch. Whichever it is, the next position is the batch's `next_offset`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Its records are the user's.
    Deliver,
    /// It is part of a transaction that was aborted.
    Aborted,
    /// It holds a marker and nothing for the user.
    Control,
}

/// What a control batch says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ControlMarker {
    /// The version of the key's layout.
    pub version: i16,
    /// What it says.
    pub kind: MarkerKind,
}

/// The kinds of control records that a consumer tells apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MarkerKind {
    /// The producer's transaction was aborted.
    Abort,
    /// The producer's transaction was committed.
    Commit,
    /// Of no concern to a consumer.
    Other(i16),
}

/// A control batch that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ControlError {
    /// Its body cannot be decompressed.
    #[error(transparent)]
    Batch(#[from] BatchError),
    /// Its record cannot be decoded.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// Its record's key does not name a kind.
    #[error("the control batch at offset {base_offset} has no kind: its key is {key:02x?}")]
    Key {
        /// Where the batch begins.
        base_offset: Offset,
        /// The first bytes of the key, at most four.
        key: Vec<u8>,
    },
}

/// Judges the batches of one partition of one fetch answer, in their order.
///
/// The answer lists the aborted transactions that reach into it; a producer's records are dropped from the
/// transaction's first offset on until its abort marker, and the next entry of that producer, if any, begins
/// anew after it. Committed and aborted transactions of different producers may interleave freely.
#[derive(Debug, Clone)]
pub struct TransactionFilter {
    isolation: Isolation,
    /// By first offset, the lowest last.
    ahead: Vec<AbortedTransaction>,
    /// The producers in the middle of an aborted transaction.
    aborting: BTreeSet<i64>,
}

impl TransactionFilter {
    /// A filter for one answer with its list of aborted transactions, in any order.
    pub fn new(
        isolation: Isolation,
        aborted: impl IntoIterator<Item = AbortedTransaction>,
    ) -> TransactionFilter {
        let mut ahead: Vec<_> = aborted.into_iter().collect();
        ahead.sort_unstable_by(|a, b| b.cmp(a));
        TransactionFilter { isolation, ahead, aborting: BTreeSet::new() }
    }

    /// What becomes of `batch`, the next one of the answer.
    ///
    /// # Errors
    /// [`ControlError`] for a producer's control batch that cannot be read: without it nobody knows which of
    /// the following records count. Only read_committed looks into control batches.
    pub fn judge(&mut self, batch: &RecordBatch) -> Result<Verdict, ControlError> {
        let header = batch.header();
        let undelivered = if header.control { Verdict::Control } else { Verdict::Deliver };
        if self.isolation == Isolation::ReadUncommitted || header.producer_id <= NO_PRODUCER_ID {
            return Ok(undelivered);
        }
        self.begin_up_to(header.last_offset);
        if header.control {
            if control_marker(batch)?.is_some_and(|marker| marker.kind == MarkerKind::Abort) {
                self.aborting.remove(&header.producer_id);
            }
            return Ok(Verdict::Control);
        }
        let aborted = header.transactional && self.aborting.contains(&header.producer_id);
        Ok(if aborted { Verdict::Aborted } else { undelivered })
    }

    fn begin_up_to(&mut self, offset: Offset) {
        while let Some(next) = self.ahead.pop_if(|next| next.first_offset <= offset) {
            self.aborting.insert(next.producer_id);
        }
    }
}

/// What the first record of the control batch `batch` says; none if compaction left it empty.
///
/// # Errors
/// [`ControlError`] when it cannot be read.
pub fn control_marker(batch: &RecordBatch) -> Result<Option<ControlMarker>, ControlError> {
    let plain = batch.decompress(CONTROL_LIMIT)?;
    let Some(record) = plain.records().next().transpose()? else {
        return Ok(None);
    };
    let key = record.key.unwrap_or_default();
    let wrong = || ControlError::Key {
        base_offset: batch.header().base_offset,
        key: key[..key.len().min(4)].to_vec(),
    };
    let &[a, b, c, d] = key.first_chunk().ok_or_else(wrong)?;
    let version = i16::from_be_bytes([a, b]);
    if version < 0 {
        return Err(wrong());
    }
    let kind = match i16::from_be_bytes([c, d]) {
        0 => MarkerKind::Abort,
        1 => MarkerKind::Commit,
        other => MarkerKind::Other(other),
    };
    Ok(Some(ControlMarker { version, kind }))
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use proptest::prelude::*;
    use steadfast_core::ids::LeaderEpoch;

    use super::*;
    use crate::records::batch::batches;
    use crate::records::write::{BatchSpec, NewRecord, Producer, TransactionEnd, end_of_transaction};

    /// What producers do to a partition, one batch each.
    #[derive(Debug, Clone, Copy)]
    enum Step {
        /// A batch outside any transaction; by producer 0 it names no producer at all.
        Plain(i64),
        /// A batch inside the producer's transaction.
        InTransaction(i64),
        End(i64, TransactionEnd),
    }

    /// The log of `steps`, its aborted transactions, and for each batch whether read_committed delivers it.
    fn log(steps: &[Step]) -> (Vec<RecordBatch>, Vec<AbortedTransaction>, Vec<Verdict>) {
        let mut bytes = Vec::new();
        let mut aborted = Vec::new();
        let mut verdicts = vec![Verdict::Deliver; steps.len()];
        let mut open: std::collections::BTreeMap<i64, Vec<usize>> = Default::default();
        for (index, &step) in steps.iter().enumerate() {
            let offset = Offset(index as i64 * 3);
            bytes.extend(batch(step, offset));
            match step {
                Step::Plain(_) => {}
                Step::InTransaction(id) => open.entry(id).or_default().push(index),
                Step::End(id, end) => {
                    verdicts[index] = Verdict::Control;
                    let inside = open.remove(&id).unwrap_or_default();
                    if let (TransactionEnd::Abort, Some(first)) = (end, inside.first()) {
                        aborted.push(AbortedTransaction {
                            first_offset: Offset(*first as i64 * 3),
                            producer_id: id,
                        });
                        inside.iter().for_each(|index| verdicts[*index] = Verdict::Aborted);
                    }
                }
            }
        }
        (batches(bytes.into()).map(Result::unwrap).collect(), aborted, verdicts)
    }

    fn batch(step: Step, offset: Offset) -> Bytes {
        let producer =
            |id| if id == 0 { Producer::NONE } else { Producer { id, epoch: 0, base_sequence: 0 } };
        let (id, transactional) = match step {
            Step::Plain(id) => (id, false),
            Step::InTransaction(id) => (id, true),
            Step::End(id, end) => {
                return end_of_transaction(offset, LeaderEpoch(0), producer(id), end, 0, 0).unwrap();
            }
        };
        // Batches of one record too, whose last offset is their first.
        let length = if id == 1 { 1 } else { 3 };
        let records: Vec<_> =
            (0..length).map(|after| NewRecord::new(Offset(offset.0 + after), 0, "x")).collect();
        BatchSpec { transactional, producer: producer(id), ..BatchSpec::at(offset) }.write(&records).unwrap()
    }

    fn judge(
        isolation: Isolation,
        log: &[RecordBatch],
        aborted: impl IntoIterator<Item = AbortedTransaction>,
    ) -> Vec<Verdict> {
        let mut filter = TransactionFilter::new(isolation, aborted);
        log.iter().map(|batch| filter.judge(batch).unwrap()).collect()
    }

    fn any_step() -> impl Strategy<Value = Step> {
        let end = prop_oneof![Just(TransactionEnd::Commit), Just(TransactionEnd::Abort)];
        prop_oneof![
            1 => (0..4_i64).prop_map(Step::Plain),
            4 => (1..4_i64).prop_map(Step::InTransaction),
            2 => (1..4_i64, end).prop_map(|(id, end)| Step::End(id, end)),
        ]
    }

    proptest! {
        #[test]
        fn exactly_the_records_of_aborted_transactions_are_dropped(
            steps in prop::collection::vec(any_step(), 0..40),
            reverse: bool,
        ) {
            let (log, mut aborted, verdicts) = log(&steps);
            if reverse {
                aborted.reverse();
            }
            prop_assert_eq!(judge(Isolation::ReadCommitted, &log, aborted), verdicts);
        }

        #[test]
        fn an_answer_from_anywhere_in_the_log_drops_the_same(
            steps in prop::collection::vec(any_step(), 0..40),
            from: prop::sample::Index,
        ) {
            let (log, aborted, verdicts) = log(&steps);
            let from = from.index(steps.len() + 1);
            // The broker lists the transactions whose abort marker stands at or after the fetch offset.
            let reaches = |aborted: &AbortedTransaction| {
                let first = aborted.first_offset.0 as usize / 3;
                let end = (first..steps.len())
                    .find(|at| matches!(steps[*at], Step::End(id, _) if id == aborted.producer_id));
                end.is_some_and(|end| end >= from)
            };
            let listed = aborted.into_iter().filter(reaches);
            prop_assert_eq!(judge(Isolation::ReadCommitted, &log[from..], listed), &verdicts[from..]);
        }

        #[test]
        fn read_uncommitted_drops_markers_alone(steps in prop::collection::vec(any_step(), 0..40)) {
            let (log, aborted, _) = log(&steps);
            for (step, verdict) in steps.iter().zip(judge(Isolation::ReadUncommitted, &log, aborted)) {
                let control = matches!(step, Step::End(..));
                prop_assert_eq!(verdict, if control { Verdict::Control } else { Verdict::Deliver });
            }
        }
    }

    #[test]
    fn a_transaction_listed_up_to_a_batchs_last_offset_has_begun_in_it() {
        let (log, _, _) = log(&[Step::InTransaction(2)]);
        for (first, verdict) in [(2, Verdict::Aborted), (3, Verdict::Deliver)] {
            let listed = AbortedTransaction { first_offset: Offset(first), producer_id: 2 };
            assert_eq!(judge(Isolation::ReadCommitted, &log, [listed]), [verdict]);
        }
    }

    #[test]
    fn a_producers_next_transaction_counts_after_its_abort() {
        use Step::{End, InTransaction};
        use TransactionEnd::{Abort, Commit};
        use Verdict::{Aborted, Control, Deliver};
        let steps = [
            InTransaction(1),
            InTransaction(2),
            End(1, Abort),
            InTransaction(1),
            End(2, Commit),
            End(1, Commit),
        ];
        let (log, aborted, _) = log(&steps);
        let verdicts = judge(Isolation::ReadCommitted, &log, aborted);
        assert_eq!(verdicts, [Aborted, Deliver, Control, Deliver, Control, Control]);
    }

    #[test]
    fn an_answer_of_markers_alone_delivers_nothing_and_moves_on() {
        let (log, aborted, _) =
            log(&[Step::End(1, TransactionEnd::Abort), Step::End(2, TransactionEnd::Commit)]);
        let verdicts = judge(Isolation::ReadCommitted, &log, aborted);
        assert_eq!(verdicts, [Verdict::Control; 2]);
        assert_eq!(log[1].next_offset(), Offset(4));
    }

    fn control(key: Option<&'static [u8]>) -> RecordBatch {
        let producer = Producer { id: 1, epoch: 0, base_sequence: -1 };
        let spec = BatchSpec { control: true, transactional: true, producer, ..BatchSpec::at(Offset(8)) };
        let record = NewRecord { key: key.map(Bytes::from_static), ..NewRecord::new(Offset(8), 0, "") };
        batches(spec.write(&[record]).unwrap()).next().unwrap().unwrap()
    }

    #[test]
    fn a_marker_that_names_no_kind_is_an_error_only_where_it_matters() {
        for key in [None, Some(&[][..]), Some(&[0, 0, 0]), Some(&[0xff, 0xff, 0, 0])] {
            let batch = control(key);
            let committed = TransactionFilter::new(Isolation::ReadCommitted, []).judge(&batch);
            let key = key.unwrap_or_default().to_vec();
            assert_eq!(committed, Err(ControlError::Key { base_offset: Offset(8), key }));
            let uncommitted = TransactionFilter::new(Isolation::ReadUncommitted, []).judge(&batch);
            assert_eq!(uncommitted, Ok(Verdict::Control));
        }
    }

    #[test]
    fn markers_of_later_kinds_and_versions_are_passed_over() {
        let batch = control(Some(&[0, 1, 0, 9, 7]));
        let marker = ControlMarker { version: 1, kind: MarkerKind::Other(9) };
        assert_eq!(control_marker(&batch), Ok(Some(marker)));
        let verdict = TransactionFilter::new(Isolation::ReadCommitted, []).judge(&batch);
        assert_eq!(verdict, Ok(Verdict::Control));
    }

    #[test]
    fn a_control_batch_emptied_by_compaction_says_nothing() {
        let spec = BatchSpec { control: true, ..BatchSpec::at(Offset(8)) };
        let batch = batches(spec.write(&[]).unwrap()).next().unwrap().unwrap();
        assert_eq!(control_marker(&batch), Ok(None));
    }
}
