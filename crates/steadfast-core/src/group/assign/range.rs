//! Consecutive partitions of each topic, the first members one more when it does not come out even: as
//! Java's `RangeAssignor` does it, so that a group of several clients agrees. Topics of equal size with
//! the same members are shared alike: partition n of each is read by the same member.

use super::{Assignments, Candidate, PartitionCounts, in_order, wanted};
use crate::ids::Partition;

pub(super) fn assign(members: &[Candidate], counts: &PartitionCounts) -> Assignments {
    let members = in_order(members);
    let mut shares: Assignments =
        members.iter().map(|member| (member.id.clone(), Default::default())).collect();
    for (topic, wanted) in wanted(&members, counts) {
        let mut next = 0;
        for (place, member) in wanted.by.iter().enumerate() {
            let end = next + share(wanted.count, wanted.by.len(), place);
            if let Some(partitions) = shares.get_mut(&members[*member].id) {
                partitions.extend((next..end).map(|index| Partition::new(topic.clone(), index)));
            }
            next = end;
        }
    }
    shares
}

/// How many of `count` partitions the member at `place` of `members` gets.
fn share(count: i32, members: usize, place: usize) -> i32 {
    let members = i32::try_from(members).unwrap_or(i32::MAX);
    let extra = usize::try_from(count % members).unwrap_or(0);
    count / members + i32::from(place < extra)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::Arc;

    use super::*;
    use crate::group::MemberId;
    use crate::group::subscription::Subscription;

    fn member(id: &str, instance: Option<&str>, topics: &[&str]) -> Candidate {
        let topics = topics.iter().map(|topic| Arc::from(*topic)).collect();
        Candidate {
            id: id.into(),
            instance: instance.map(Arc::from),
            subscription: Subscription { topics, ..Subscription::default() },
        }
    }

    fn counts(of: &[(&str, i32)]) -> PartitionCounts {
        of.iter().map(|(topic, count)| (Arc::from(*topic), *count)).collect()
    }

    fn shown(shares: &Assignments) -> BTreeMap<&str, Vec<String>> {
        let names = |id: &MemberId| -> Vec<String> { shares[id].iter().map(Partition::to_string).collect() };
        shares.keys().map(|id| (&*id.0, names(id))).collect()
    }

    #[test]
    fn two_members_share_five_partitions_as_in_java() {
        let members = [member("b", None, &["t"]), member("a", None, &["t"])];
        let shares = assign(&members, &counts(&[("t", 5)]));
        assert_eq!(shown(&shares)["a"], ["t-0", "t-1", "t-2"]);
        assert_eq!(shown(&shares)["b"], ["t-3", "t-4"]);
    }

    #[test]
    fn topics_of_equal_size_are_shared_alike() {
        let members = [member("a", None, &["t", "u"]), member("b", None, &["t", "u"])];
        let shares = assign(&members, &counts(&[("t", 3), ("u", 3)]));
        assert_eq!(shown(&shares)["a"], ["t-0", "t-1", "u-0", "u-1"]);
        assert_eq!(shown(&shares)["b"], ["t-2", "u-2"]);
    }

    #[test]
    fn static_members_come_first_by_instance_whatever_their_member_id() {
        let members =
            [member("a", None, &["t"]), member("z", Some("i-1"), &["t"]), member("b", Some("i-2"), &["t"])];
        let shares = assign(&members, &counts(&[("t", 3)]));
        assert_eq!(shown(&shares)["z"], ["t-0"]);
        assert_eq!(shown(&shares)["b"], ["t-1"]);
        assert_eq!(shown(&shares)["a"], ["t-2"]);
    }

    #[test]
    fn only_who_wants_a_topic_gets_it() {
        let members = [member("a", None, &["t", "u"]), member("b", None, &["u"]), member("c", None, &[])];
        let shares = assign(&members, &counts(&[("t", 2), ("u", 3)]));
        assert_eq!(shown(&shares)["a"], ["t-0", "t-1", "u-0", "u-1"]);
        assert_eq!(shown(&shares)["b"], ["u-2"]);
        assert!(shares[&MemberId::from("c")].is_empty());
    }

    #[test]
    fn more_members_than_partitions_leave_the_last_without_any() {
        let members = [member("a", None, &["t"]), member("b", None, &["t"]), member("c", None, &["t"])];
        let shares = assign(&members, &counts(&[("t", 2)]));
        assert!(shares[&MemberId::from("c")].is_empty());
    }

    #[test]
    fn a_topic_that_does_not_exist_is_no_reason_to_fail() {
        let members = [member("a", None, &["t", "gone"])];
        let shares = assign(&members, &counts(&[("t", 1), ("gone", 0)]));
        assert_eq!(shown(&shares)["a"], ["t-0"]);
        assert!(assign(&[], &counts(&[("t", 1)])).is_empty());
    }
}
