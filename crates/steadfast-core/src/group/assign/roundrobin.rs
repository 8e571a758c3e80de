//! One partition after another to one member after another, across topics: as Java's `RoundRobinAssignor`
//! does it, so that a group of several clients agrees. A member whose turn it is and that does not want the
//! topic is passed over.

use super::{Assignments, Candidate, PartitionCounts, assignments, in_order, wanted};
use crate::ids::Partition;

pub(super) fn assign(members: &[Candidate], counts: &PartitionCounts) -> Assignments {
    let members = in_order(members);
    let mut lists: Vec<Vec<Partition>> = vec![Vec::new(); members.len()];
    let mut next = 0;
    for (topic, wanted) in wanted(&members, counts) {
        let first = wanted.by.partition_point(|place| *place < next);
        let turns = wanted.by.iter().cycle().skip(first % wanted.by.len());
        for (index, place) in (0..wanted.count).zip(turns) {
            lists[*place].push(Partition::new(topic.clone(), index));
            next = place + 1;
        }
    }
    assignments(&members, lists)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::group::MemberId;
    use crate::group::subscription::Subscription;

    fn member(id: &str, instance: Option<&str>, topics: &[&str]) -> Candidate {
        let topics = topics.iter().map(|topic| Arc::from(*topic)).collect();
        let subscription = Subscription { topics, ..Subscription::default() };
        Candidate { id: id.into(), instance: instance.map(Arc::from), subscription }
    }

    fn shown(shares: &Assignments, id: &str) -> Vec<String> {
        shares[&MemberId::from(id)].iter().map(Partition::to_string).collect()
    }

    #[test]
    fn two_members_share_five_partitions_as_in_java() {
        let members = [member("b", None, &["t"]), member("a", None, &["t"])];
        let shares = assign(&members, &[("t".into(), 5)].into());
        assert_eq!(shown(&shares, "a"), ["t-0", "t-2", "t-4"]);
        assert_eq!(shown(&shares, "b"), ["t-1", "t-3"]);
    }

    #[test]
    fn the_next_topic_goes_on_where_the_last_one_ended() {
        let members = [member("a", None, &["t", "u"]), member("b", None, &["t", "u"])];
        let shares = assign(&members, &[("t".into(), 3), ("u".into(), 3)].into());
        assert_eq!(shown(&shares, "a"), ["t-0", "t-2", "u-1"]);
        assert_eq!(shown(&shares, "b"), ["t-1", "u-0", "u-2"]);
    }

    #[test]
    fn who_does_not_want_a_topic_is_passed_over() {
        let members =
            [member("a", None, &["t"]), member("b", None, &["t", "u"]), member("c", None, &["t", "u"])];
        let shares = assign(&members, &[("t".into(), 2), ("u".into(), 3)].into());
        assert_eq!(shown(&shares, "a"), ["t-0"]);
        assert_eq!(shown(&shares, "b"), ["t-1", "u-1"]);
        assert_eq!(shown(&shares, "c"), ["u-0", "u-2"]);
    }

    #[test]
    fn static_members_come_first_by_instance_whatever_their_member_id() {
        let members = [member("a", None, &["t"]), member("z", Some("i-1"), &["t"])];
        let shares = assign(&members, &[("t".into(), 2)].into());
        assert_eq!(shown(&shares, "z"), ["t-0"]);
        assert_eq!(shown(&shares, "a"), ["t-1"]);
    }
}
