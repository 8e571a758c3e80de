//! What follows when batches of a partition come back: rests, and the search for the record that is bad.
//!
//! A handler that says which record is bad is believed. One that only fails leaves the question open which record
//! it is, and whether it is one at all. So each failure narrows what is delivered next, to the first half of what
//! failed, until one record fails alone; that one is tried again until the rule's patience is over. What succeeds
//! meanwhile is acked, so nothing before the bad record waits for it.

use std::time::Duration;

use crate::acked::Span;
use crate::endpoints::backoff::{Backoff, Jitter};
use crate::ids::Offset;
use crate::tick::Tick;

/// The rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rule {
    /// How long a partition rests after a failure: doubling from `first` to `limit` while there is no progress.
    pub backoff: Backoff,
    /// A record that fails alone is bad when nothing was acked for so long since the first failure.
    pub patience: Duration,
}

impl Default for Rule {
    /// Rests of 50 ms doubling to 5 s, and 15 s of patience: a record is tried ten times.
    fn default() -> Rule {
        Rule { backoff: Backoff::default(), patience: Duration::from_secs(15) }
    }
}

/// Why a batch came back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The work failed, nobody knows over which record.
    Failed {
        /// From the batch's first record to behind its last one.
        records: Span,
        /// The record in the middle, if there are several.
        middle: Option<Offset>,
    },
    /// What stands in this span is bad, and everything before it in the batch is acked.
    Rejected(Span),
    /// Where the records are to go is away: they are not to blame.
    Away,
}

/// What follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// The partition is fetched again after this rest.
    Rest(Duration),
    /// What stands in this span is bad: it is not delivered any more.
    Bad(Span),
}

/// What failed in a row: without progress, and in the same way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Row {
    /// Whether the target is away, not the work failed.
    away: bool,
    /// The acked prefix.
    acked: Offset,
    failures: u32,
    since: Tick,
}

/// What is delivered while one of several records is to be found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Narrowed {
    /// Nothing from here on is delivered yet.
    limit: Offset,
    /// The end of what failed.
    end: Offset,
}

/// How one partition's deliveries are limited after failures.
///
/// ```text
///         Failed: several records            Failed alone, out of patience
/// Whole ──────────────────────────► Narrowed ─────────────────────────────► Bad(span)
///   ▲ ▲   acked past what failed     │  ▲ │                                  ▲  │
///   │ └──────────────────────────────┘  └─┘ Failed, or acked up to the limit  │  │
///   │                                                                Rejected │  │
///   └───────────────────────────────────── absolve ───────────────────────────┼──┘
/// any state ──────────────────────────────────────────────────────────────────┘
/// ```
/// Progress is the contiguous acked prefix, not any ack: behind one batch that always fails a handler may well
/// process others, and each of them only once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Retry {
    row: Option<Row>,
    until: Tick,
    narrowed: Option<Narrowed>,
    bad: Option<Span>,
}

impl Retry {
    /// A batch came back when everything below `acked` was processed. `luck` shortens the rest of a partition
    /// whose target is away, so that many do not ask in step.
    pub fn returned(&mut self, rule: Rule, fault: Fault, acked: Offset, now: Tick, luck: Jitter) -> Verdict {
        match fault {
            Fault::Rejected(span) => self.condemn(span),
            Fault::Failed { records, middle } => {
                let row = self.count(false, acked, now);
                if middle.is_none() && now.since(row.since) >= rule.patience {
                    return self.condemn(records);
                }
                let limit = middle.unwrap_or(records.next);
                self.narrowed = Some(Narrowed { limit, end: records.next });
                self.rest(rule.backoff.wait(row.failures - 1, Jitter::FULL), now)
            }
            Fault::Away => {
                let row = self.count(true, acked, now);
                self.rest(rule.backoff.wait(row.failures - 1, luck), now)
            }
        }
    }

    fn count(&mut self, away: bool, acked: Offset, now: Tick) -> Row {
        let same = self.row.filter(|row| (row.away, row.acked) == (away, acked));
        let row = match same {
            Some(row) => Row { failures: row.failures.saturating_add(1), ..row },
            None => Row { away, acked, failures: 1, since: now },
        };
        self.row = Some(row);
        row
    }

    fn rest(&mut self, rest: Duration, now: Tick) -> Verdict {
        self.until = now + rest;
        Verdict::Rest(rest)
    }

    /// Of two the lower one counts: the other is found again when its turn comes.
    fn condemn(&mut self, span: Span) -> Verdict {
        self.bad = Some(span);
        self.until = Tick::ZERO;
        Verdict::Bad(span)
    }

    /// Whether the partition is not to be fetched yet.
    pub fn rests(&self, now: Tick) -> bool {
        now < self.until
    }

    /// The offset from which on nothing is to be delivered yet, when everything below `acked` is processed.
    pub fn limit(&mut self, acked: Offset) -> Option<Offset> {
        // What was acked past, or skipped by a reset, is settled.
        self.bad = self.bad.filter(|bad| acked <= bad.from);
        self.narrowed = self.narrowed.filter(|narrowed| acked < narrowed.end);
        if let Some(narrowed) = self.narrowed.as_mut().filter(|narrowed| acked >= narrowed.limit) {
            narrowed.limit = Offset(acked.0 + (narrowed.end.0 - acked.0 + 1) / 2);
        }
        let limits = [self.bad.map(|bad| bad.from), self.narrowed.map(|narrowed| narrowed.limit)];
        limits.into_iter().flatten().min()
    }

    /// What is bad, once everything before it is processed.
    pub fn due(&self, acked: Offset) -> Option<Span> {
        self.bad.filter(|bad| bad.from == acked)
    }

    /// What stood in this span is somebody else's now.
    pub fn absolve(&mut self, span: Span) {
        self.bad = self.bad.filter(|bad| *bad != span);
        self.row = None;
    }

    /// How often in a row batches came back, and since when.
    pub fn failures(&self) -> (u32, Option<Tick>) {
        self.row.map_or((0, None), |row| (row.failures, Some(row.since)))
    }

    /// Progress up to `acked`: says since when the target had been away, once.
    pub fn progressed(&mut self, acked: Offset) -> Option<Tick> {
        let over = self.row.filter(|row| row.away && acked > row.acked)?;
        self.row = None;
        Some(over.since)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Tick {
        Tick::at(Duration::from_millis(ms))
    }

    fn span(from: i64, next: i64) -> Span {
        Span::new(Offset(from), Offset(next))
    }

    fn rest(ms: u64) -> Verdict {
        Verdict::Rest(Duration::from_millis(ms))
    }

    const ALONE: Fault = Fault::Failed { records: Span { from: Offset(7), next: Offset(8) }, middle: None };

    /// The verdicts on faults one after the other, each when the rest before it is over.
    fn verdicts(retry: &mut Retry, fault: Fault, acked: Offset, times: usize) -> Vec<Verdict> {
        let mut now = retry.until;
        let mut verdicts = Vec::new();
        for _ in 0..times {
            now = now.max(retry.until);
            verdicts.push(retry.returned(Rule::default(), fault, acked, now, Jitter::FULL));
        }
        verdicts
    }

    #[test]
    fn a_record_alone_is_tried_for_as_long_as_there_is_patience_with_rests_that_double() {
        let rests = [50, 100, 200, 400, 800, 1600, 3200, 5000, 5000].map(rest);
        let expected: Vec<Verdict> = rests.into_iter().chain([Verdict::Bad(span(7, 8))]).collect();
        assert_eq!(verdicts(&mut Retry::default(), ALONE, Offset(7), 10), expected);
    }

    #[test]
    fn a_partition_rests_until_its_rest_is_over() {
        let mut retry = Retry::default();
        assert!(!retry.rests(Tick::ZERO));
        retry.returned(Rule::default(), ALONE, Offset(0), at(1000), Jitter::FULL);
        assert!(retry.rests(at(1000)) && retry.rests(at(1049)) && !retry.rests(at(1050)));
    }

    #[test]
    fn progress_and_resets_begin_the_row_anew() {
        for acked in [8, 2] {
            let mut retry = Retry::default();
            verdicts(&mut retry, ALONE, Offset(7), 9);
            assert_eq!(verdicts(&mut retry, ALONE, Offset(acked), 2), [rest(50), rest(100)]);
        }
    }

    #[test]
    fn of_several_records_the_first_half_is_delivered_and_so_on() {
        let mut retry = Retry::default();
        let fault = Fault::Failed { records: span(0, 10), middle: Some(Offset(5)) };
        retry.returned(Rule::default(), fault, Offset(0), at(0), Jitter::FULL);
        assert_eq!(retry.limit(Offset(0)), Some(Offset(5)));
        assert_eq!(retry.limit(Offset(3)), Some(Offset(5)), "part of it was acked");
        assert_eq!(retry.limit(Offset(5)), Some(Offset(8)), "it is in the other half");
        assert_eq!(retry.limit(Offset(8)), Some(Offset(9)));
        assert_eq!(retry.limit(Offset(9)), Some(Offset(10)));
        assert_eq!(retry.limit(Offset(10)), None, "it is none of them");
    }

    #[test]
    fn several_records_are_never_bad_however_long_they_fail() {
        let mut retry = Retry::default();
        let fault = Fault::Failed { records: span(0, 10), middle: Some(Offset(5)) };
        let verdicts = verdicts(&mut retry, fault, Offset(0), 100);
        assert!(verdicts.iter().all(|verdict| matches!(verdict, Verdict::Rest(_))));
    }

    #[test]
    fn what_was_rejected_is_bad_at_once_and_due_when_everything_before_it_is_acked() {
        let mut retry = Retry::default();
        let rejected = Fault::Rejected(span(7, 8));
        let verdict = retry.returned(Rule::default(), rejected, Offset(3), at(0), Jitter::FULL);
        assert_eq!(verdict, Verdict::Bad(span(7, 8)));
        assert!(!retry.rests(at(0)));
        assert_eq!((retry.limit(Offset(3)), retry.due(Offset(3))), (Some(Offset(7)), None));
        assert_eq!((retry.limit(Offset(7)), retry.due(Offset(7))), (Some(Offset(7)), Some(span(7, 8))));
        retry.absolve(span(7, 8));
        assert_eq!((retry.limit(Offset(7)), retry.due(Offset(7))), (None, None));
    }

    #[test]
    fn a_reset_past_what_is_bad_settles_it() {
        let mut retry = Retry::default();
        retry.returned(Rule::default(), Fault::Rejected(span(7, 8)), Offset(3), at(0), Jitter::FULL);
        assert_eq!((retry.limit(Offset(50)), retry.due(Offset(50))), (None, None));
    }

    #[test]
    fn a_target_that_is_away_is_waited_for_without_end_and_no_record_is_to_blame() {
        let mut retry = Retry::default();
        for verdict in verdicts(&mut retry, Fault::Away, Offset(7), 1000) {
            assert!(matches!(verdict, Verdict::Rest(rest) if rest <= Duration::from_secs(5)));
        }
        assert_eq!(retry.limit(Offset(7)), None);
        assert_eq!((retry.progressed(Offset(7)), retry.progressed(Offset(8))), (None, Some(at(0))));
        assert_eq!(retry.progressed(Offset(9)), None, "told once");
    }

    #[test]
    fn the_time_in_which_the_target_was_away_is_no_time_of_tries() {
        let mut retry = Retry::default();
        verdicts(&mut retry, ALONE, Offset(7), 5);
        verdicts(&mut retry, Fault::Away, Offset(7), 100);
        assert_eq!(verdicts(&mut retry, ALONE, Offset(7), 1), [rest(50)]);
    }
}
