//! When a partition whose batches fail is fetched again, and when it is given up.

use std::time::Duration;

use crate::endpoints::backoff::{Backoff, Jitter};
use crate::ids::Offset;
use crate::tick::Tick;

/// The rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rule {
    /// How long a partition rests after a failure: doubling from `first` to `limit` while there is no progress.
    pub backoff: Backoff,
    /// So many failures in a row without progress are the end of it.
    pub failures: u32,
}

impl Default for Rule {
    /// 50 ms doubling to 5 s; ten failures, so 16 s of rests.
    fn default() -> Rule {
        Rule { backoff: Backoff::default(), failures: 10 }
    }
}

/// What follows a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// The partition is fetched again after this rest.
    Rest(Duration),
    /// It failed too often in a row: it is to be quarantined.
    Quarantine,
}

/// The failures of one partition since its last progress.
///
/// Progress is the contiguous acked prefix, not any ack: behind one batch that always fails a handler may well
/// process others, and each of them only once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Retry {
    failures: u32,
    /// The acked prefix at the last failure.
    acked: Option<Offset>,
    until: Tick,
}

impl Retry {
    /// A batch came back when everything below `acked` was processed.
    pub fn failed(&mut self, rule: Rule, acked: Offset, now: Tick) -> Verdict {
        let earlier = if self.acked == Some(acked) { self.failures } else { 0 };
        if earlier + 1 >= rule.failures {
            // Whoever lets the partition go on does so from the beginning.
            *self = Retry::default();
            return Verdict::Quarantine;
        }
        let rest = rule.backoff.wait(earlier, Jitter::FULL);
        *self = Retry { failures: earlier + 1, acked: Some(acked), until: now + rest };
        Verdict::Rest(rest)
    }

    /// Whether the partition is not to be fetched yet.
    pub fn rests(&self, now: Tick) -> bool {
        now < self.until
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(ms: u64) -> Tick {
        Tick::at(Duration::from_millis(ms))
    }

    /// The verdicts on failures one after the other, each when the rest before it is over.
    fn verdicts(retry: &mut Retry, acked: Offset, failures: usize) -> Vec<Verdict> {
        (0..failures).map(|_| retry.failed(Rule::default(), acked, retry.until)).collect()
    }

    fn rest(ms: u64) -> Verdict {
        Verdict::Rest(Duration::from_millis(ms))
    }

    #[test]
    fn rests_double_up_to_five_seconds_and_the_tenth_failure_is_the_end() {
        let rests = [50, 100, 200, 400, 800, 1600, 3200, 5000, 5000].map(rest);
        let expected: Vec<Verdict> = rests.into_iter().chain([Verdict::Quarantine]).collect();
        assert_eq!(verdicts(&mut Retry::default(), Offset(7), 10), expected);
    }

    #[test]
    fn a_partition_rests_until_its_rest_is_over() {
        let mut retry = Retry::default();
        assert!(!retry.rests(Tick::ZERO));
        retry.failed(Rule::default(), Offset(0), at(1000));
        assert!(retry.rests(at(1000)) && retry.rests(at(1049)) && !retry.rests(at(1050)));
    }

    #[test]
    fn progress_begins_the_row_anew() {
        let mut retry = Retry::default();
        verdicts(&mut retry, Offset(7), 9);
        assert_eq!(verdicts(&mut retry, Offset(8), 2), [rest(50), rest(100)]);
    }

    #[test]
    fn a_reset_to_a_lower_offset_begins_the_row_anew() {
        let mut retry = Retry::default();
        verdicts(&mut retry, Offset(7), 9);
        assert_eq!(verdicts(&mut retry, Offset(2), 1), [rest(50)]);
    }

    #[test]
    fn one_that_goes_on_after_its_quarantine_has_all_its_tries() {
        let mut retry = Retry::default();
        verdicts(&mut retry, Offset(7), 10);
        assert!(!retry.rests(Tick::ZERO));
        assert_eq!(verdicts(&mut retry, Offset(7), 10).last(), Some(&Verdict::Quarantine));
    }

    proptest! {
        /// Whatever fails when, there are never ten rests in a row without progress, and never a busy loop.
        #[test]
        fn retries_without_progress_are_bounded(steps in prop::collection::vec((0_i64..3, 0_u64..10_000), 1..200)) {
            let (mut retry, mut row, mut last) = (Retry::default(), 0, None);
            for (acked, ms) in steps {
                let acked = Offset(acked);
                row = if last == Some(acked) { row + 1 } else { 1 };
                last = Some(acked);
                match retry.failed(Rule::default(), acked, at(ms)) {
                    Verdict::Rest(rest) => {
                        prop_assert!(rest >= Duration::from_millis(50) && rest <= Duration::from_secs(5));
                        prop_assert!(row < 10 && retry.rests(at(ms)));
                    }
                    Verdict::Quarantine => {
                        prop_assert!(row >= 10);
                        (row, last) = (0, None);
                    }
                }
            }
        }
    }
}
