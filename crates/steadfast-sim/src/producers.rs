//! Producers: the ids that are given out, and in each log the sequences by which an idempotent producer's batches are
//! taken once (KIP-98).

use std::collections::{BTreeMap, VecDeque};

use steadfast_core::ids::Offset;

use crate::batch::{Header, Producer};

/// How many of a producer's last batches are known well enough to answer them again, as in Kafka.
const REMEMBERED: usize = 5;

/// The producer ids of a cluster.
#[derive(Debug, Default)]
pub(crate) struct Producers {
    given: i64,
}

impl Producers {
    /// An id that nobody had before.
    pub(crate) fn fresh_id(&mut self) -> i64 {
        self.given += 1;
        self.given - 1
    }
}

/// What one log knows of the idempotent producers that wrote to it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Sequences(BTreeMap<i64, Known>);

#[derive(Debug, Clone)]
struct Known {
    epoch: i16,
    batches: VecDeque<Taken>,
}

#[derive(Debug, Clone, Copy)]
struct Taken {
    first: i32,
    last: i32,
    base: Offset,
}

/// What a log says to a producer's next batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It is to be appended.
    Next,
    /// It stands there already, from this offset on: acknowledged again, not written again.
    Duplicate(Offset),
    /// A producer of the same id and a later epoch has taken over.
    Fenced,
    /// A batch before it is missing.
    OutOfOrder,
}

impl Sequences {
    /// Whether the batch is this producer's next one.
    pub(crate) fn judge(&self, header: &Header) -> Verdict {
        let Producer { id, epoch, base_sequence } = header.producer;
        let Some(known) = self.0.get(&id).filter(|_| id >= 0) else { return Verdict::Next };
        if epoch < known.epoch {
            return Verdict::Fenced;
        }
        if base_sequence < 0 {
            return Verdict::Next;
        }
        if epoch > known.epoch {
            return if base_sequence == 0 { Verdict::Next } else { Verdict::OutOfOrder };
        }
        let last = last_sequence(header);
        let taken = known.batches.iter().find(|taken| taken.first == base_sequence && taken.last == last);
        match (taken, known.batches.back()) {
            (Some(taken), _) => Verdict::Duplicate(taken.base),
            (None, Some(before)) if next_sequence(before.last) != base_sequence => Verdict::OutOfOrder,
            (None, _) => Verdict::Next,
        }
    }

    /// The batch was appended from `base` on.
    pub(crate) fn appended(&mut self, header: &Header, base: Offset) {
        let Producer { id, epoch, base_sequence } = header.producer;
        if id < 0 {
            return;
        }
        let known = self.0.entry(id).or_insert(Known { epoch, batches: VecDeque::new() });
        if epoch > known.epoch {
            *known = Known { epoch, batches: VecDeque::new() };
        }
        if base_sequence >= 0 {
            known.batches.push_back(Taken { first: base_sequence, last: last_sequence(header), base });
            if known.batches.len() > REMEMBERED {
                known.batches.pop_front();
            }
        }
    }

    /// What was appended from this offset on is lost.
    pub(crate) fn forget_from(&mut self, end: Offset) {
        for known in self.0.values_mut() {
            known.batches.retain(|taken| taken.base < end);
        }
    }
}

/// Sequences go on at 0 after the greatest.
fn next_sequence(sequence: i32) -> i32 {
    if sequence == i32::MAX { 0 } else { sequence + 1 }
}

fn last_sequence(header: &Header) -> i32 {
    let last = i64::from(header.producer.base_sequence) + i64::from(header.last_offset_delta);
    (last % (i64::from(i32::MAX) + 1)) as i32
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::{self, NewRecord};

    fn batch(epoch: i16, base_sequence: i32, records: usize) -> Header {
        let records = vec![NewRecord::new(0, "x"); records];
        Header::read(&batch::write(&records, Producer { id: 4, epoch, base_sequence }, false)).unwrap()
    }

    fn after(batches: &[Header]) -> Sequences {
        let mut sequences = Sequences::default();
        let mut base = 0;
        for header in batches {
            sequences.appended(header, Offset(base));
            base += i64::from(header.count);
        }
        sequences
    }

    #[test]
    fn a_batch_sent_again_is_answered_with_its_first_place() {
        let sequences = after(&[batch(0, 0, 3), batch(0, 3, 2)]);
        assert_eq!(sequences.judge(&batch(0, 0, 3)), Verdict::Duplicate(Offset(0)));
        assert_eq!(sequences.judge(&batch(0, 3, 2)), Verdict::Duplicate(Offset(3)));
        assert_eq!(sequences.judge(&batch(0, 5, 1)), Verdict::Next);
    }

    #[test]
    fn only_the_last_five_batches_are_known_again() {
        let sequences = after(&(0..6).map(|n| batch(0, n, 1)).collect::<Vec<_>>());
        assert_eq!(sequences.judge(&batch(0, 0, 1)), Verdict::OutOfOrder);
        assert_eq!(sequences.judge(&batch(0, 1, 1)), Verdict::Duplicate(Offset(1)));
    }

    #[test]
    fn a_missing_batch_is_noticed() {
        assert_eq!(after(&[batch(0, 0, 3)]).judge(&batch(0, 4, 1)), Verdict::OutOfOrder);
    }

    #[test]
    fn a_later_epoch_begins_at_zero_and_fences_the_earlier_one() {
        let mut sequences = after(&[batch(0, 0, 3)]);
        assert_eq!(sequences.judge(&batch(1, 3, 1)), Verdict::OutOfOrder);
        assert_eq!(sequences.judge(&batch(1, 0, 1)), Verdict::Next);
        sequences.appended(&batch(1, 0, 1), Offset(3));
        assert_eq!(sequences.judge(&batch(0, 3, 1)), Verdict::Fenced);
    }

    #[test]
    fn sequences_begin_again_at_zero_after_the_greatest() {
        let sequences = after(&[batch(0, i32::MAX - 1, 3)]);
        assert_eq!(sequences.judge(&batch(0, 1, 1)), Verdict::Next);
        assert_eq!(sequences.judge(&batch(0, i32::MAX, 1)), Verdict::OutOfOrder);
    }
}
