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
    /// A batch begins within what the batches before it stand for: its records would be delivered twice.
    #[error("expected a batch at offset {expected} or past it, found one at offset {found}")]
    Disorder {
        /// The end of the batch before it.
        expected: Offset,
        /// Where it begins.
        found: Offset,
    },
}

/// Walks the batches of an answer to a fetch from `from`; none if it brought nothing.
///
/// # Errors
/// [`AnswerError`] when the first batch that counts cannot be used. Damage behind good batches is not an error
/// yet: they are delivered, and the next fetch begins at it.
pub fn fetched(
    records: Bytes,
    from: Offset,
    isolation: Isolation,
    aborted: Vec<AbortedTransaction>,
) -> Result<Option<Fetched>, AnswerError> {
    let mut fetched = Fetched { next: from, last_epoch: LeaderEpoch::UNKNOWN, batches: Vec::new() };
    let walked = fetched.walk(records, from, TransactionFilter::new(isolation, aborted));
    let moved = fetched.next > from;
    match walked {
        Err(error) if !moved => Err(error),
        Ok(()) | Err(_) => Ok(moved.then_some(fetched)),
    }
}

impl Fetched {
    /// Without all but the first of the batches to deliver.
    pub(super) fn cut_to_one(&mut self) {
        if let Some(first) = self.batches.first() {
            self.next = first.next_offset();
            self.last_epoch = first.header().leader_epoch;
            self.batches.truncate(1);
        }
    }

    fn walk(
        &mut self,
        records: Bytes,
        from: Offset,
        mut filter: TransactionFilter,
    ) -> Result<(), AnswerError> {
        let mut expected = Offset(0);
        for batch in batches(records) {
            let batch = batch?;
            let found = batch.header().base_offset;
            if found < expected {
                return Err(AnswerError::Disorder { expected, found });
            }
            expected = batch.next_offset();
            let verdict = filter.judge(&batch)?;
            // A broker may begin with whole batches before the offset (KAFKA-5443: after compaction too).
            if batch.next_offset() <= from {
                continue;
            }
            self.next = batch.next_offset();
            self.last_epoch = batch.header().leader_epoch;
            if verdict == Verdict::Deliver && batch.header().record_count > 0 {
                self.batches.push(batch);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::records::write::{BatchSpec, NewRecord, Producer, TransactionEnd, end_of_transaction};

    const COMMITTED: Isolation = Isolation::ReadCommitted;
    const PRODUCER: Producer = Producer { id: 9, epoch: 0, base_sequence: 0 };

    fn records(offsets: impl IntoIterator<Item = i64>) -> Vec<NewRecord> {
        offsets.into_iter().map(|offset| NewRecord::new(Offset(offset), 0, "x")).collect()
    }

    fn batch(spec: BatchSpec, offsets: impl IntoIterator<Item = i64>) -> Vec<u8> {
        spec.write(&records(offsets)).unwrap().to_vec()
    }

    fn plain(offsets: std::ops::Range<i64>) -> Vec<u8> {
        batch(BatchSpec::at(Offset(offsets.start)), offsets)
    }

    fn transactional(offsets: std::ops::Range<i64>) -> Vec<u8> {
        let spec =
            BatchSpec { transactional: true, producer: PRODUCER, ..BatchSpec::at(Offset(offsets.start)) };
        batch(spec, offsets)
    }

    fn marker(offset: i64, end: TransactionEnd) -> Vec<u8> {
        end_of_transaction(Offset(offset), LeaderEpoch(4), PRODUCER, end, 0, 0).unwrap().to_vec()
    }

    /// Where the fetch goes on, and where the batches to deliver begin.
    fn walk(
        log: &[Vec<u8>],
        from: i64,
        isolation: Isolation,
        aborted: &[i64],
    ) -> Result<Option<(i64, Vec<i64>)>, AnswerError> {
        let transaction = |first: &i64| AbortedTransaction { first_offset: Offset(*first), producer_id: 9 };
        let aborted = aborted.iter().map(transaction).collect();
        let found = fetched(log.concat().into(), Offset(from), isolation, aborted)?;
        let begin = |batch: &RecordBatch| batch.header().base_offset.0;
        Ok(found.map(|found| (found.next.0, found.batches.iter().map(begin).collect())))
    }

    #[test]
    fn an_empty_answer_brought_nothing() {
        assert_eq!(walk(&[], 5, COMMITTED, &[]), Ok(None));
    }

    #[test]
    fn all_batches_are_delivered_and_the_epoch_is_the_last_ones() {
        let late = BatchSpec { leader_epoch: LeaderEpoch(8), ..BatchSpec::at(Offset(3)) };
        let log = [plain(0..3), batch(late, 3..6)].concat();
        let found = fetched(log.into(), Offset(0), COMMITTED, Vec::new()).unwrap().unwrap();
        assert_eq!((found.next, found.last_epoch, found.batches.len()), (Offset(6), LeaderEpoch(8), 2));
    }

    #[test]
    fn holes_that_compaction_left_are_passed() {
        let compacted = BatchSpec { last_offset: Some(Offset(19)), ..BatchSpec::at(Offset(10)) };
        let emptied = BatchSpec { last_offset: Some(Offset(39)), ..BatchSpec::at(Offset(30)) };
        let log = [batch(compacted, [12, 15]), batch(emptied, [])];
        assert_eq!(walk(&log, 4, COMMITTED, &[]), Ok(Some((40, vec![10]))));
        assert_eq!(
            walk(&log, 16, COMMITTED, &[]),
            Ok(Some((40, vec![10]))),
            "its end is past what was asked"
        );
    }

    #[test]
    fn markers_alone_move_the_position() {
        let log = [marker(5, TransactionEnd::Commit), marker(6, TransactionEnd::Abort)];
        for isolation in [COMMITTED, Isolation::ReadUncommitted] {
            assert_eq!(walk(&log, 5, isolation, &[]), Ok(Some((7, vec![]))));
        }
    }

    #[test]
    fn aborted_records_are_left_out_unless_everything_is_read() {
        let log = [transactional(0..3), plain(3..5), marker(5, TransactionEnd::Abort), transactional(6..8)];
        assert_eq!(walk(&log, 0, COMMITTED, &[0]), Ok(Some((8, vec![3, 6]))));
        assert_eq!(walk(&log, 0, Isolation::ReadUncommitted, &[0]), Ok(Some((8, vec![0, 3, 6]))));
    }

    #[test]
    fn batches_before_the_offset_are_not_delivered_but_their_markers_count() {
        let log = [marker(3, TransactionEnd::Abort), transactional(4..6)];
        assert_eq!(walk(&log, 4, COMMITTED, &[0]), Ok(Some((6, vec![4]))));
        assert_eq!(walk(&[plain(0..5)], 5, COMMITTED, &[]), Ok(None));
        assert_eq!(walk(&[plain(0..5), plain(5..6)], 3, COMMITTED, &[]), Ok(Some((6, vec![0, 5]))));
    }

    #[test]
    fn a_cut_off_batch_is_an_error_only_at_the_beginning() {
        let whole = plain(0..3);
        let cut = plain(3..9)[..40].to_vec();
        assert_eq!(walk(&[whole, cut.clone()], 0, COMMITTED, &[]), Ok(Some((3, vec![0]))));
        let error = walk(&[cut], 3, COMMITTED, &[]);
        assert!(
            matches!(error, Err(AnswerError::Batch(BatchError::Truncated { found: 40, .. }))),
            "{error:?}"
        );
    }

    #[test]
    fn damage_is_an_error_once_nothing_good_is_before_it() {
        let mut damaged = plain(3..6);
        damaged[70] ^= 1;
        assert_eq!(walk(&[plain(0..3), damaged.clone()], 0, COMMITTED, &[]), Ok(Some((3, vec![0]))));
        for log in [vec![damaged.clone()], vec![plain(0..3), damaged]] {
            let error = walk(&log, 3, COMMITTED, &[]);
            assert!(matches!(error, Err(AnswerError::Batch(BatchError::Checksum { .. }))), "{error:?}");
        }
    }

    #[test]
    fn no_offset_is_delivered_twice() {
        let again = [plain(0..5), plain(3..8)];
        assert_eq!(walk(&again, 0, COMMITTED, &[]), Ok(Some((5, vec![0]))));
        let disorder = AnswerError::Disorder { expected: Offset(5), found: Offset(3) };
        assert_eq!(walk(&again, 5, COMMITTED, &[]), Err(disorder));
    }

    #[test]
    fn one_batch_of_several_can_be_taken_alone() {
        let log = [marker(0, TransactionEnd::Commit), plain(1..3), plain(3..6)].concat();
        let mut found = fetched(log.into(), Offset(0), COMMITTED, Vec::new()).unwrap().unwrap();
        found.cut_to_one();
        assert_eq!((found.next, found.last_epoch, found.batches.len()), (Offset(3), LeaderEpoch(0), 1));
    }

    proptest! {
        #[test]
        fn whatever_the_bytes_what_is_delivered_is_in_order_and_past_the_offset(
            mut log in prop::collection::vec((0..40_i64, 1..4_i64), 0..6)
                .prop_map(|all| all.into_iter().flat_map(|(at, count)| plain(at..at + count)).collect::<Vec<u8>>()),
            flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..3),
            from in 0..40_i64,
        ) {
            for (at, byte) in flips {
                if !log.is_empty() {
                    let at = at.index(log.len());
                    log[at] = byte;
                }
            }
            if let Ok(Some(found)) = fetched(log.into(), Offset(from), COMMITTED, Vec::new()) {
                let mut reached = Offset(0);
                for batch in &found.batches {
                    prop_assert!(batch.header().base_offset >= reached && batch.next_offset() > Offset(from));
                    reached = batch.next_offset();
                }
                prop_assert!(found.next >= reached && found.next > Offset(from));
            }
        }
    }
}
