//! Compares what a producer had acknowledged with what a reader was given.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, SystemTime};

/// One record of the load: which it is of its partition. It is the record's value, as JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mark {
    /// The partition it was written to.
    pub partition: i32,
    /// Its number in that partition, from 0 on.
    pub sequence: u64,
}

impl Mark {
    /// The value of this record.
    pub fn value(&self) -> Vec<u8> {
        let Mark { partition, sequence } = self;
        serde_json::json!({"partition": partition, "sequence": sequence}).to_string().into_bytes()
    }

    /// Reads a record's value; none when it is no record of the load.
    pub fn read(value: &[u8]) -> Option<Mark> {
        let value: serde_json::Value = serde_json::from_slice(value).ok()?;
        let partition = i32::try_from(value.get("partition")?.as_i64()?).ok()?;
        Some(Mark { partition, sequence: value.get("sequence")?.as_u64()? })
    }
}

/// One delivery to a reader.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Delivered {
    /// Which record.
    pub mark: Mark,
    /// The offset it came from.
    pub offset: i64,
    /// When the reader was given it.
    pub at: SystemTime,
}

/// The sequences that brokers acknowledged, by partition.
pub type Acked = BTreeMap<i32, BTreeSet<u64>>;

/// Whether a reader was given every record once and in order.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Verdict {
    /// Acknowledged, and never delivered.
    pub lost: Vec<Mark>,
    /// Delivered again: once for each time after the first. By offset, since a producer without idempotence may
    /// write a record twice, which is no fault of the reader.
    pub redelivered: Vec<(Mark, i64)>,
    /// Delivered for the first time, and after a record with a higher offset.
    pub disordered: Vec<(Mark, i64)>,
}

impl Verdict {
    /// Everything came once and in order.
    pub fn is_clean(&self) -> bool {
        *self == Verdict::default()
    }
}

/// All deliveries, in the order in which they came.
#[derive(Debug, Clone, Default)]
pub struct Checker {
    delivered: Vec<Delivered>,
}

impl Checker {
    /// Notes a delivery.
    pub fn see(&mut self, delivered: Delivered) {
        self.delivered.push(delivered);
    }

    /// All deliveries so far.
    pub fn delivered(&self) -> &[Delivered] {
        &self.delivered
    }

    /// What of `acked` is not delivered yet.
    pub fn outstanding(&self, acked: &Acked) -> Vec<Mark> {
        let seen: BTreeSet<Mark> = self.delivered.iter().map(|delivered| delivered.mark).collect();
        let marks = acked.iter().flat_map(|(partition, sequences)| {
            sequences.iter().map(|sequence| Mark { partition: *partition, sequence: *sequence })
        });
        marks.filter(|mark| !seen.contains(mark)).collect()
    }

    /// Judges all deliveries so far, once no more are expected.
    pub fn verdict(&self, acked: &Acked) -> Verdict {
        let mut verdict = Verdict { lost: self.outstanding(acked), ..Verdict::default() };
        let mut offsets: BTreeMap<i32, BTreeSet<i64>> = BTreeMap::new();
        for Delivered { mark, offset, .. } in &self.delivered {
            let seen = offsets.entry(mark.partition).or_default();
            let last = seen.last().copied();
            if !seen.insert(*offset) {
                verdict.redelivered.push((*mark, *offset));
            } else if last.is_some_and(|last| last > *offset) {
                verdict.disordered.push((*mark, *offset));
            }
        }
        verdict
    }

    /// How long after `since` each partition's first delivery came. A partition without one is absent.
    pub fn first_after(&self, since: SystemTime) -> BTreeMap<i32, Duration> {
        let mut first = BTreeMap::new();
        for delivered in &self.delivered {
            if let Ok(after) = delivered.at.duration_since(since) {
                first.entry(delivered.mark.partition).or_insert(after);
            }
        }
        first
    }

    /// The longest time without a delivery of each partition between `from` and `until`, the bounds counted as
    /// deliveries.
    pub fn longest_pause(&self, from: SystemTime, until: SystemTime) -> BTreeMap<i32, Duration> {
        let mut moments: BTreeMap<i32, Vec<SystemTime>> = BTreeMap::new();
        for Delivered { mark, at, .. } in &self.delivered {
            let moments = moments.entry(mark.partition).or_insert_with(|| vec![from]);
            if (from..until).contains(at) {
                moments.push(*at);
            }
        }
        let pause = |moments: &Vec<SystemTime>| {
            let ends = moments.iter().skip(1).chain([&until]);
            moments
                .iter()
                .zip(ends)
                .filter_map(|(from, to)| to.duration_since(*from).ok())
                .max()
                .unwrap_or_default()
        };
        moments.iter().map(|(partition, moments)| (*partition, pause(moments))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(deliveries: &[(i32, i64, u64, u64)]) -> Checker {
        let mut checker = Checker::default();
        for &(partition, offset, sequence, ms) in deliveries {
            checker.see(Delivered { mark: Mark { partition, sequence }, offset, at: at(ms) });
        }
        checker
    }

    fn at(ms: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_millis(ms)
    }

    fn acked(sequences: &[(i32, u64)]) -> Acked {
        let mut acked = Acked::new();
        for (partition, count) in sequences {
            acked.insert(*partition, (0..*count).collect());
        }
        acked
    }

    #[test]
    fn a_mark_is_read_as_it_is_written() {
        let mark = Mark { partition: 3, sequence: 99 };
        assert_eq!(Mark::read(&mark.value()), Some(mark));
        for other in [&b"{}"[..], b"", b"{\"partition\":1}", b"{\"partition\":99999999999,\"sequence\":1}"] {
            assert_eq!(Mark::read(other), None);
        }
    }

    #[test]
    fn what_came_once_and_in_order_is_clean() {
        let checker = seen(&[(0, 10, 0, 1), (1, 5, 0, 2), (0, 12, 1, 3)]);
        assert!(checker.verdict(&acked(&[(0, 2), (1, 1)])).is_clean());
    }

    #[test]
    fn a_record_that_was_not_acknowledged_may_come_or_not() {
        assert!(seen(&[(0, 0, 0, 1), (0, 1, 1, 1)]).verdict(&acked(&[(0, 1)])).is_clean());
    }

    #[test]
    fn what_never_came_is_lost() {
        let verdict = seen(&[(0, 0, 0, 1), (0, 2, 2, 1)]).verdict(&acked(&[(0, 3), (1, 1)]));
        let mark = |partition, sequence| Mark { partition, sequence };
        assert_eq!(verdict, Verdict { lost: vec![mark(0, 1), mark(1, 0)], ..Verdict::default() });
    }

    #[test]
    fn an_offset_that_came_twice_was_redelivered_and_a_record_written_twice_was_not() {
        let verdict = seen(&[(0, 0, 0, 1), (0, 1, 0, 1), (0, 0, 0, 1)]).verdict(&acked(&[(0, 1)]));
        let again = (Mark { partition: 0, sequence: 0 }, 0);
        assert_eq!(verdict, Verdict { redelivered: vec![again], ..Verdict::default() });
    }

    #[test]
    fn a_lower_offset_that_comes_later_is_out_of_order() {
        let verdict = seen(&[(0, 1, 1, 1), (0, 0, 0, 1)]).verdict(&acked(&[(0, 2)]));
        let late = (Mark { partition: 0, sequence: 0 }, 0);
        assert_eq!(verdict, Verdict { disordered: vec![late], ..Verdict::default() });
    }

    #[test]
    fn pauses_are_measured_by_partition() {
        let checker = seen(&[(0, 0, 0, 90), (0, 1, 1, 110), (1, 0, 0, 100), (0, 2, 2, 150), (1, 1, 1, 190)]);
        let ms = Duration::from_millis;
        assert_eq!(checker.first_after(at(100)), BTreeMap::from([(0, ms(10)), (1, ms(0))]));
        assert_eq!(checker.longest_pause(at(100), at(200)), BTreeMap::from([(0, ms(50)), (1, ms(90))]));
    }
}
