//! The search for bad records, against a log in which some are bad and a handler that may also fail for no reason.

use std::collections::BTreeSet;
use std::time::Duration;

use proptest::prelude::*;
use steadfast_core::acked::Span;
use steadfast_core::endpoints::backoff::Jitter;
use steadfast_core::ids::Offset;
use steadfast_core::retry::{Fault, Retry, Rule, Verdict};
use steadfast_core::tick::Tick;

/// What befalls the next delivery, besides what is in it.
#[derive(Debug, Clone, Copy)]
enum Luck {
    None,
    Fails,
    Away,
}

/// One partition: the offsets that have records, those that are bad, and what became of them.
struct Log {
    records: BTreeSet<i64>,
    bad: BTreeSet<i64>,
    rejects: bool,
    end: i64,
    acked: i64,
    now: Tick,
    retry: Retry,
    processed: Vec<i64>,
    set_aside: Vec<i64>,
}

impl Log {
    /// Delivers up to `most` offsets, as far as the machine lets it, and answers as the handler does.
    fn deliver(&mut self, most: i64, luck: Luck) {
        let limit = self.retry.limit(Offset(self.acked)).map_or(self.end, |limit| limit.0);
        if let Some(span) = self.retry.due(Offset(self.acked)) {
            assert_eq!(limit, self.acked, "nothing is delivered past a bad record");
            return self.settle(span);
        }
        assert!(limit > self.acked, "the partition stands still at {limit}");
        let next = limit.min(self.acked + most).min(self.end);
        let given: Vec<i64> = self.records.range(self.acked..next).copied().collect();
        let stumbles = given.iter().copied().find(|offset| self.bad.contains(offset));
        match (luck, stumbles) {
            (Luck::None, None) => self.done(next, &given),
            (Luck::None, Some(bad)) if self.rejects => {
                self.done(bad, &given);
                self.fail(Fault::Rejected(Span::new(Offset(bad), Offset(bad + 1))));
            }
            (Luck::Away, _) => self.fail(Fault::Away),
            (Luck::None | Luck::Fails, _) => self.fail(failed(&given, self.acked, next)),
        }
    }

    fn done(&mut self, next: i64, given: &[i64]) {
        self.processed.extend(given.iter().filter(|offset| **offset < next));
        self.acked = next;
        self.retry.progressed(Offset(next));
    }

    fn fail(&mut self, fault: Fault) {
        let (rule, acked) = (Rule::default(), Offset(self.acked));
        if let Verdict::Rest(rest) = self.retry.returned(rule, fault, acked, self.now, Jitter::FULL) {
            assert!(rest >= Duration::from_millis(10) && rest <= Duration::from_secs(5));
            self.now = self.now + rest;
        }
        assert!(!self.retry.rests(self.now));
    }

    fn settle(&mut self, span: Span) {
        let inside: Vec<i64> = self.records.range(span.from.0..span.next.0).copied().collect();
        assert_eq!(inside.len(), 1, "one record is set aside, not {inside:?}");
        self.set_aside.extend(inside);
        self.retry.absolve(span);
        self.acked = span.next.0;
    }
}

fn failed(given: &[i64], from: i64, next: i64) -> Fault {
    let (Some(first), Some(last)) = (given.first(), given.last()) else {
        return Fault::Failed { records: Span::new(Offset(from), Offset(next)), middle: None };
    };
    let records = Span::new(Offset(*first), Offset(last + 1));
    let middle = Some(given[given.len() / 2]).filter(|middle| middle > first).map(Offset);
    Fault::Failed { records, middle }
}

fn luck() -> impl Strategy<Value = Luck> {
    prop_oneof![12 => Just(Luck::None), 1 => Just(Luck::Fails), 1 => Just(Luck::Away)]
}

proptest! {
    #[test]
    fn every_record_is_processed_in_order_or_was_bad_and_is_set_aside(
        records in prop::collection::btree_set(0_i64..300, 1..120),
        bad in prop::collection::btree_set(0_i64..300, 0..6),
        rejects: bool,
        most in 1_i64..200,
        bad_luck in prop::collection::vec(luck(), 0..60),
    ) {
        let end = records.last().unwrap() + 1;
        let bad: BTreeSet<i64> = bad.intersection(&records).copied().collect();
        let mut log = Log {
            records: records.clone(), bad: bad.clone(), rejects, end, acked: 0, now: Tick::ZERO,
            retry: Retry::default(), processed: Vec::new(), set_aside: Vec::new(),
        };
        let mut bad_luck = bad_luck.into_iter();
        let mut steps = 0;
        while log.acked < end {
            // Holes have no records, and nothing to fail over.
            let luck = bad_luck.next().unwrap_or(Luck::None);
            let next = log.records.range(log.acked..).next().copied().unwrap_or(end);
            let luck = if next > log.acked { Luck::None } else { luck };
            log.deliver(most, luck);
            steps += 1;
            prop_assert!(steps < 3_000, "it does not end: {} of {end}", log.acked);
        }
        let mut sorted = log.processed.clone();
        sorted.sort_unstable();
        prop_assert_eq!(&sorted, &log.processed, "in order, and none twice");
        prop_assert_eq!(log.set_aside.into_iter().collect::<BTreeSet<_>>(), bad.clone());
        prop_assert_eq!(sorted, records.difference(&bad).copied().collect::<Vec<_>>());
    }
}
