//! What came out of the service, and what may be concluded from it about pauses.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::Value;
use steadfast_tests::checker::{Delivered, Mark};

/// One record: when it was written, and when it came out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seen {
    /// Its partition.
    pub partition: i32,
    /// Its number in that partition.
    pub sequence: u64,
    /// Its timestamp: taken by the producer just before it sent the record, cut to milliseconds.
    pub written: SystemTime,
    /// When the sink's line was read.
    pub at: SystemTime,
}

impl Seen {
    /// Reads the sink's envelope; none when it carries no timestamp.
    pub fn read(delivered: &Delivered, envelope: &Value) -> Option<Seen> {
        let written = UNIX_EPOCH + Duration::from_millis(envelope["ts"].as_u64()?);
        let Mark { partition, sequence } = delivered.mark;
        Some(Seen { partition, sequence, written, at: delivered.at })
    }
}

/// By partition, how long after `moved` its first record came out that was written after `closed`. Such a record
/// cannot have been under way on an old connection. A partition without one is absent.
pub fn first_written_after(seen: &[Seen], closed: SystemTime, moved: SystemTime) -> BTreeMap<i32, Duration> {
    let mut first = BTreeMap::new();
    for record in seen.iter().filter(|record| record.written > closed) {
        if let Ok(after) = record.at.duration_since(moved) {
            first.entry(record.partition).or_insert(after);
        }
    }
    first
}

/// By partition, how long after `since` its first record came out, whenever that was written.
pub fn first_after(seen: &[Seen], since: SystemTime) -> BTreeMap<i32, Duration> {
    let mut first = BTreeMap::new();
    for record in seen {
        if let Ok(after) = record.at.duration_since(since) {
            first.entry(record.partition).or_insert(after);
        }
    }
    first
}

/// By partition, the longest time without a record between `from` and `until`, the bounds counted as records. It
/// is never shorter than the producer's own rhythm.
pub fn longest_gap(seen: &[Seen], from: SystemTime, until: SystemTime) -> BTreeMap<i32, Duration> {
    let mut gaps: BTreeMap<i32, (SystemTime, Duration)> = BTreeMap::new();
    for record in seen {
        let (last, longest) = gaps.entry(record.partition).or_insert((from, Duration::ZERO));
        let at = record.at.clamp(from, until);
        *longest = (*longest).max(at.duration_since(*last).unwrap_or_default());
        *last = at;
    }
    let closed =
        |(last, longest): (SystemTime, Duration)| longest.max(until.duration_since(last).unwrap_or_default());
    gaps.into_iter().map(|(partition, gap)| (partition, closed(gap))).collect()
}

/// By partition, the longest time that one of these records waited, from its acknowledgement to the producer until
/// it came out: a pause of the service alone, without the producer's rhythm and the brokers' time in it. A record
/// that did not come out has waited until `now`.
pub fn longest_wait(acked: &[(Mark, SystemTime)], seen: &[Seen], now: SystemTime) -> BTreeMap<i32, Duration> {
    let key = |record: &Seen| (Mark { partition: record.partition, sequence: record.sequence }, record.at);
    let mut out: BTreeMap<Mark, SystemTime> = BTreeMap::new();
    for (mark, at) in seen.iter().map(key) {
        out.entry(mark).or_insert(at);
    }
    let mut waits: BTreeMap<i32, Duration> = BTreeMap::new();
    for (mark, acknowledged) in acked {
        let at = out.get(mark).copied().unwrap_or(now);
        let longest = waits.entry(mark.partition).or_default();
        // It may come out before the producer has read its acknowledgement.
        *longest = at.duration_since(*acknowledged).unwrap_or_default().max(*longest);
    }
    waits
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> SystemTime {
        UNIX_EPOCH + Duration::from_millis(ms)
    }

    fn seen(records: &[(i32, u64, u64)]) -> Vec<Seen> {
        let seen = |(partition, written, read): &(i32, u64, u64)| Seen {
            partition: *partition,
            sequence: *written,
            written: at(*written),
            at: at(*read),
        };
        records.iter().map(seen).collect()
    }

    const fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn a_record_that_was_under_way_does_not_count_as_the_first() {
        let seen = seen(&[(0, 99, 101), (0, 110, 150), (0, 111, 151), (1, 98, 160)]);
        assert_eq!(first_written_after(&seen, at(105), at(100)), BTreeMap::from([(0, ms(50))]));
        assert_eq!(first_after(&seen, at(100)), BTreeMap::from([(0, ms(1)), (1, ms(60))]));
    }

    #[test]
    fn a_gap_is_bounded_by_its_window() {
        let seen = seen(&[(0, 0, 90), (0, 0, 110), (1, 0, 130), (0, 0, 170), (0, 0, 400)]);
        let expected = BTreeMap::from([(0, ms(60)), (1, ms(70))]);
        assert_eq!(longest_gap(&seen, at(100), at(200)), expected);
    }

    #[test]
    fn a_record_waits_from_its_acknowledgement_until_it_comes_out_first() {
        let seen = seen(&[(0, 1, 150), (0, 1, 190), (0, 2, 95), (1, 1, 120)]);
        let mark = |partition, sequence| Mark { partition, sequence };
        let acked = [(mark(0, 1), at(100)), (mark(0, 2), at(101)), (mark(1, 2), at(110))];
        let expected = BTreeMap::from([(0, ms(50)), (1, ms(90))]);
        assert_eq!(longest_wait(&acked, &seen, at(200)), expected);
    }
}
