//! What one change of a group cost: from what each member was given, and when.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, SystemTime};

use steadfast_tests::checker::{Delivered, Mark};

/// A delivery, and to which member.
pub type Given = (usize, Delivered);

/// Looked at before the change: records that were under way.
const BEFORE: Duration = Duration::from_secs(1);
/// Records that were acknowledged so shortly before the end are another look's.
const TAIL: Duration = Duration::from_millis(500);

/// The time from a change until the group has been balanced for a while.
#[derive(Debug, Clone, Copy)]
pub struct Window<'a> {
    /// When somebody was told to join or to leave.
    pub from: SystemTime,
    /// Until when it was looked at.
    pub until: SystemTime,
    /// All that was ever given, in the order of its time.
    pub given: &'a [Given],
    /// Records with the times of their acknowledgements.
    pub acked: &'a [(Mark, SystemTime)],
}

/// What the change cost.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cost {
    /// The longest wait of a record of partitions that stayed where they were.
    pub kept: Duration,
    /// The same of partitions that went to another member.
    pub moved: Duration,
    /// How many went to another.
    pub moves: usize,
    /// From the change until each partition had come from the member that it went to.
    pub balanced: Duration,
    /// Deliveries of records that somebody had been given before.
    pub redelivered: usize,
}

impl Window<'_> {
    /// Judges it.
    pub fn cost(&self) -> Cost {
        let (before, after) = (self.owners(self.from), self.owners(self.until));
        let moved: BTreeSet<i32> = after
            .iter()
            .filter(|(partition, owner)| before.get(partition) != Some(owner))
            .map(|(p, _)| *p)
            .collect();
        let waits = self.waits();
        let worst = |of_moved: bool| {
            let of = waits.iter().filter(|(mark, _)| moved.contains(&mark.partition) == of_moved);
            of.map(|(_, wait)| *wait).max().unwrap_or_default()
        };
        let arrived = moved.iter().filter_map(|partition| self.arrival(*partition, *after.get(partition)?));
        Cost {
            kept: worst(false),
            moved: worst(true),
            moves: moved.len(),
            balanced: arrived.max().unwrap_or_default(),
            redelivered: self.redelivered(),
        }
    }

    /// Who was given each partition's last record before this time.
    fn owners(&self, at: SystemTime) -> BTreeMap<i32, usize> {
        owners(self.given.iter().filter(|(_, delivered)| delivered.at < at))
    }

    /// From the change to the first record that its new owner was given and nobody else after it.
    fn arrival(&self, partition: i32, owner: usize) -> Option<Duration> {
        let of = |given: &&Given| {
            given.1.mark.partition == partition && given.1.at >= self.from && given.1.at < self.until
        };
        let mut first = None;
        for (member, delivered) in self.given.iter().filter(of) {
            if *member == owner {
                first = first.or(Some(delivered.at));
            } else {
                first = None;
            }
        }
        first?.duration_since(self.from).ok()
    }

    /// How long each record waited after its acknowledgement; one that has not come, until now.
    pub fn waits(&self) -> Vec<(Mark, Duration)> {
        let mut first: BTreeMap<Mark, SystemTime> = BTreeMap::new();
        for (_, delivered) in self.given {
            first.entry(delivered.mark).or_insert(delivered.at);
        }
        let looked_at = |acknowledged: &SystemTime| {
            *acknowledged >= self.from - BEFORE && *acknowledged < self.until - TAIL
        };
        let records = self.acked.iter().filter(|(_, acknowledged)| looked_at(acknowledged));
        records
            .filter_map(|(mark, acknowledged)| {
                let came = first.get(mark).copied().unwrap_or(self.until);
                // What came before the change waited for something else.
                (came >= self.from).then(|| (*mark, came.duration_since(*acknowledged).unwrap_or_default()))
            })
            .collect()
    }

    fn redelivered(&self) -> usize {
        let mut seen = BTreeSet::new();
        let again = self.given.iter().filter(|(_, delivered)| {
            let again = !seen.insert((delivered.mark.partition, delivered.offset));
            again && delivered.at >= self.from && delivered.at < self.until
        });
        again.count()
    }
}

/// Who was given each partition's last record.
pub fn owners<'a>(given: impl Iterator<Item = &'a Given>) -> BTreeMap<i32, usize> {
    given.map(|(member, delivered)| (delivered.mark.partition, *member)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_millis(10_000 + ms)
    }

    fn given(member: usize, partition: i32, sequence: u64, ms: u64) -> Given {
        let mark = Mark { partition, sequence };
        (member, Delivered { mark, offset: i64::try_from(sequence).unwrap(), at: at(ms) })
    }

    fn acked(partition: i32, sequence: u64, ms: u64) -> (Mark, SystemTime) {
        (Mark { partition, sequence }, at(ms))
    }

    #[test]
    fn partitions_that_stay_and_partitions_that_move_are_told_apart() {
        let given = [
            given(0, 0, 0, 10),
            given(0, 1, 0, 20),
            given(0, 0, 1, 110),
            given(1, 1, 1, 450),
            given(1, 1, 2, 460),
        ];
        let acked = [acked(0, 0, 9), acked(1, 0, 19), acked(0, 1, 105), acked(1, 1, 150), acked(1, 2, 459)];
        let cost = Window { from: at(100), until: at(2000), given: &given, acked: &acked }.cost();
        let ms = Duration::from_millis;
        assert_eq!(cost, Cost { kept: ms(5), moved: ms(300), moves: 1, balanced: ms(350), redelivered: 0 });
    }

    #[test]
    fn what_has_not_come_waits_still_and_what_came_twice_is_counted() {
        let given = [given(0, 0, 0, 10), given(1, 0, 0, 200), given(1, 0, 2, 210)];
        let acked = [acked(0, 0, 9), acked(0, 1, 100), acked(0, 2, 205)];
        let cost = Window { from: at(100), until: at(2000), given: &given, acked: &acked }.cost();
        assert_eq!((cost.moved, cost.redelivered), (Duration::from_millis(1900), 1));
    }

    #[test]
    fn a_partition_has_arrived_when_nobody_else_is_given_it_any_more() {
        let given = [given(0, 0, 0, 10), given(1, 0, 1, 120), given(0, 0, 2, 140), given(1, 0, 3, 180)];
        let cost = Window { from: at(100), until: at(2000), given: &given, acked: &[] }.cost();
        assert_eq!(cost.balanced, Duration::from_millis(80));
    }
}
