//! What is needed for a rate: members allocated before the traffic comes (S1.12).

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Serialize;

use crate::group::assign::{Assignor, PartitionCounts};

use super::pays::{fewest, numbers};

/// What shall be processed, and what can be. In records per second, each at least 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Target {
    /// What shall be processed, over all partitions.
    pub rate: u64,
    /// What one partition was seen to do; a partition's records go one after another.
    pub per_partition: Option<u64>,
    /// What one member was seen to do.
    pub per_member: Option<u64>,
}

/// What has to be there for a [`Target`]. Records are taken to be spread evenly over partitions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Capacity {
    /// The target.
    pub rate: u64,
    /// What one partition does.
    pub per_partition: u64,
    /// What one member does. Where that was not said: what its fullest one does with the partitions it has.
    pub per_member: u64,
    /// How many partitions there have to be in all.
    pub partitions: u64,
    /// How many each topic then has: what is missing is added in proportion.
    pub topics: BTreeMap<Arc<str>, u64>,
    /// How many of them one member can do.
    pub partitions_per_member: u64,
}

impl Target {
    /// What is needed for it; none if nothing can be processed at all. `most` is how many partitions the fullest
    /// member has now.
    pub(super) fn sized(self, topics: &PartitionCounts, most: usize) -> Option<Capacity> {
        let most = u64::try_from(most).unwrap_or(u64::MAX);
        let per_member = self.per_member.or_else(|| Some(self.per_partition?.saturating_mul(most)))?;
        let per_partition = self.per_partition.unwrap_or(per_member).min(per_member);
        let counts = numbers(topics);
        let there: u64 = counts.iter().sum();
        if self.rate == 0 || per_partition == 0 || there == 0 {
            return None;
        }
        let needed = self.rate.div_ceil(per_partition).max(there);
        let scaled = counts.iter().map(|count| share(*count, needed, there));
        let topics: BTreeMap<Arc<str>, u64> = topics.keys().cloned().zip(scaled).collect();
        let partitions = topics.values().fold(0u64, |sum, count| sum.saturating_add(*count));
        let possible = u128::from(per_member) * u128::from(partitions) / u128::from(self.rate);
        let partitions_per_member = u64::try_from(possible).unwrap_or(u64::MAX).min(partitions);
        Some(Capacity {
            rate: self.rate,
            per_partition,
            per_member,
            partitions,
            topics,
            partitions_per_member,
        })
    }
}

impl Capacity {
    /// The fewest members that are enough under this assignor; none if no number is.
    pub fn members(&self, assignor: Assignor) -> Option<u64> {
        let counts: Vec<u64> = self.topics.values().copied().collect();
        fewest(assignor, &counts, self.partitions_per_member)
    }
}

/// `count` times `needed` by `there`, rounded up.
fn share(count: u64, needed: u64, there: u64) -> u64 {
    let share = (u128::from(count) * u128::from(needed)).div_ceil(u128::from(there));
    u64::try_from(share).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(of: &[(&str, i32)]) -> PartitionCounts {
        of.iter().map(|(topic, count)| (Arc::from(*topic), *count)).collect()
    }

    fn target(rate: u64, per_partition: Option<u64>, per_member: Option<u64>) -> Target {
        Target { rate, per_partition, per_member }
    }

    #[test]
    fn too_few_partitions_are_told_and_members_counted_with_those_that_are_missing() {
        let sized = target(9000, Some(500), None).sized(&counts(&[("t", 12)]), 3).unwrap();
        assert_eq!((sized.partitions, sized.per_member, sized.partitions_per_member), (18, 1500, 3));
        assert_eq!(sized.members(Assignor::CooperativeSticky), Some(6));
    }

    #[test]
    fn where_partitions_are_enough_members_follow_from_what_one_can_do() {
        let sized = target(3000, None, Some(1000)).sized(&counts(&[("t", 12)]), 3).unwrap();
        assert_eq!((sized.partitions, sized.partitions_per_member), (12, 4));
        assert_eq!(sized.members(Assignor::Sticky), Some(3));
        let sized = target(3100, None, Some(1000)).sized(&counts(&[("t", 12)]), 3).unwrap();
        assert_eq!(sized.members(Assignor::Sticky), Some(4), "three would have to do 1033 each");
    }

    #[test]
    fn under_range_no_number_of_members_is_enough_where_the_first_has_one_of_each_topic() {
        let sized = target(600, Some(100), Some(200)).sized(&counts(&[("t", 2), ("u", 2), ("v", 2)]), 2);
        let sized = sized.unwrap();
        assert_eq!(sized.members(Assignor::RoundRobin), Some(3));
        assert_eq!(sized.members(Assignor::Range), None);
    }

    #[test]
    fn missing_partitions_are_added_in_proportion() {
        let sized = target(90, Some(10), None).sized(&counts(&[("t", 4), ("u", 2)]), 2).unwrap();
        assert_eq!(sized.topics, [("t".into(), 6), ("u".into(), 3)].into());
    }

    #[test]
    fn absurd_rates_neither_overflow_nor_divide_by_nothing() {
        let sized = target(u64::MAX, Some(1), Some(u64::MAX)).sized(&counts(&[("t", 3), ("u", 1)]), 1);
        assert!(sized.unwrap().partitions >= u64::MAX / 2);
        assert_eq!(target(1, Some(1), None).sized(&counts(&[("t", 3)]), 0), None);
        assert_eq!(target(1, None, None).sized(&counts(&[("t", 3)]), 1), None);
    }
}
