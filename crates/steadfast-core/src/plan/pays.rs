//! How many members pay.

use serde::Serialize;

use crate::group::assign::{Assignor, PartitionCounts};

use super::Group;

/// How many members pay, where all want the same topics; none where they do not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Pays {
    /// The most that have something to do. Under range that is the partitions of the largest topic, since each
    /// topic's go to the first members; else all partitions.
    pub useful: Option<u64>,
    /// The fewest under which the fullest member has no more than now.
    pub enough: Option<u64>,
}

impl Pays {
    pub(super) fn of(assignor: Assignor, group: &Group) -> Pays {
        if !group.is_equal() {
            return Pays { useful: None, enough: None };
        }
        let counts = numbers(group.topics());
        let members = u64::try_from(group.members().len()).unwrap_or(u64::MAX);
        let enough = fewest(assignor, &counts, most(assignor, &counts, members));
        Pays { useful: Some(useful(assignor, &counts)), enough }
    }
}

/// The counts of partitions alone.
pub(super) fn numbers(topics: &PartitionCounts) -> Vec<u64> {
    topics.values().map(|count| u64::try_from(*count).unwrap_or_default()).collect()
}

/// The most members that have something to do.
pub(super) fn useful(assignor: Assignor, counts: &[u64]) -> u64 {
    match assignor {
        Assignor::Range => counts.iter().copied().max().unwrap_or_default(),
        Assignor::RoundRobin | Assignor::Sticky | Assignor::CooperativeSticky => sum(counts),
    }
}

/// The partitions of the fullest of so many members that all want all topics.
pub(super) fn most(assignor: Assignor, counts: &[u64], members: u64) -> u64 {
    let members = members.max(1);
    match assignor {
        // the first member is given one more of each topic that does not come out even
        Assignor::Range => sum(&counts.iter().map(|count| count.div_ceil(members)).collect::<Vec<_>>()),
        Assignor::RoundRobin | Assignor::Sticky | Assignor::CooperativeSticky => {
            sum(counts).div_ceil(members)
        }
    }
}

/// The fewest members of which none has more than `bound` partitions; none if no number of them is enough.
pub(super) fn fewest(assignor: Assignor, counts: &[u64], bound: u64) -> Option<u64> {
    let (mut low, mut high) = (1, useful(assignor, counts).max(1));
    if most(assignor, counts, high) > bound {
        return None;
    }
    while low < high {
        let middle = low + (high - low) / 2;
        match most(assignor, counts, middle) <= bound {
            true => high = middle,
            false => low = middle + 1,
        }
    }
    Some(low)
}

fn sum(counts: &[u64]) -> u64 {
    counts.iter().fold(0, |sum, count| sum.saturating_add(*count))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_members_pay_only_where_the_fullest_has_less_for_it() {
        for assignor in [Assignor::RoundRobin, Assignor::Sticky, Assignor::CooperativeSticky] {
            assert_eq!(fewest(assignor, &[12], most(assignor, &[12], 11)), Some(6));
            assert_eq!(fewest(assignor, &[12], most(assignor, &[12], 40)), Some(12));
            assert_eq!(useful(assignor, &[12, 3]), 15);
        }
    }

    #[test]
    fn under_range_members_beyond_the_largest_topic_idle_and_the_first_have_one_of_each() {
        assert_eq!(useful(Assignor::Range, &[3, 3, 3]), 3);
        assert_eq!(most(Assignor::Range, &[3, 3, 3], 9), 3);
        assert_eq!(fewest(Assignor::Range, &[3, 3, 3], 2), None);
        assert_eq!(fewest(Assignor::Range, &[3, 3, 3], 3), Some(3));
    }
}
