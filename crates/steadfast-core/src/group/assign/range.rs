//! Consecutive partitions of each topic, the first members one more when it does not come out even: as
//! Java's `RangeAssignor` does it, so that a group of several clients agrees. Topics of equal size with
//! the same members are shared alike: partition n of each is read by the same member.
//!
//! Where racks are known on both sides, and make a difference, partitions first go to the first member that
//! has room and a replica in its rack, and only what is left goes by ranges (KIP-881). Topics that are shared
//! alike stay so: there a rack counts that has a replica of partition n of each.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::{Assignments, Candidate, PartitionCounts, PartitionRacks, assignments, in_order, wanted};
use crate::ids::Partition;

pub(super) fn assign(members: &[Candidate], counts: &PartitionCounts, racks: &PartitionRacks) -> Assignments {
    let members = in_order(members);
    let wanted = wanted(&members, counts);
    let mut topics: Vec<Ranges<'_>> = Vec::with_capacity(wanted.len());
    for (topic, wanted) in &wanted {
        let places = racks.get(*topic).map(Vec::as_slice).unwrap_or_default();
        topics.push(Ranges::new(topic, &wanted.by, wanted.count, places, &members));
    }
    if topics.iter().any(Ranges::needs_racks) {
        match_racks(&mut topics);
    }
    let mut lists: Vec<Vec<Partition>> = vec![Vec::new(); members.len()];
    for mut topic in topics {
        topic.give_rest();
        for (seat, indexes) in topic.given.into_iter().enumerate() {
            let partitions = indexes.into_iter().map(|index| Partition::new(topic.name.clone(), index));
            lists[topic.by[seat]].extend(partitions);
        }
    }
    assignments(&members, lists)
}

/// How one topic is shared. A member's index among those that want it is its seat.
struct Ranges<'a> {
    name: &'a Arc<str>,
    /// Who wants it, by place among all members.
    by: &'a [usize],
    /// The rack of each seat; none if no seat has any.
    seats: Vec<Option<&'a str>>,
    /// The racks of each partition, as far as known.
    places: &'a [BTreeSet<Arc<str>>],
    count: i32,
    /// What every seat gets.
    quota: usize,
    /// How many seats still get one more.
    extra: usize,
    given: Vec<Vec<i32>>,
    /// Those that were given because of their rack.
    taken: BTreeSet<i32>,
}

impl<'a> Ranges<'a> {
    fn new(
        name: &'a Arc<str>,
        by: &'a [usize],
        count: i32,
        places: &'a [BTreeSet<Arc<str>>],
        members: &[&'a Candidate],
    ) -> Ranges<'a> {
        let rack =
            |place: &usize| members[*place].subscription.rack.as_deref().filter(|rack| !rack.is_empty());
        let mut seats: Vec<Option<&str>> = by.iter().map(rack).collect();
        if seats.iter().all(Option::is_none) {
            seats.clear();
        }
        let partitions = usize::try_from(count).unwrap_or(0);
        Ranges {
            name,
            by,
            seats,
            places: &places[..places.len().min(partitions)],
            count,
            quota: partitions / by.len(),
            extra: partitions % by.len(),
            given: vec![Vec::new(); by.len()],
            taken: BTreeSet::new(),
        }
    }

    /// Whether it makes a difference which member reads which partition: not if all partitions are in all
    /// racks, nor if members and partitions have no rack in common.
    fn needs_racks(&self) -> bool {
        let all: BTreeSet<&str> = self.places.iter().flatten().map(|rack| &**rack).collect();
        let in_all = |index: i32| self.racks_of(index).is_some_and(|racks| racks.len() == all.len());
        self.seats.iter().flatten().any(|rack| all.contains(rack)) && !(0..self.count).all(in_all)
    }

    fn racks_of(&self, index: i32) -> Option<&'a BTreeSet<Arc<str>>> {
        self.places.get(usize::try_from(index).ok()?)
    }

    /// How many partitions the seat may still get.
    fn room(&self, seat: usize) -> usize {
        (self.quota + usize::from(self.extra > 0)).saturating_sub(self.given[seat].len())
    }

    fn give(&mut self, seat: usize, index: i32) {
        self.given[seat].push(index);
        if self.given[seat].len() > self.quota {
            self.extra -= 1;
        }
    }

    /// The partitions that are left go by ranges.
    fn give_rest(&mut self) {
        let taken = std::mem::take(&mut self.taken);
        let mut left = (0..self.count).filter(|index| !taken.contains(index));
        for seat in 0..self.by.len() {
            for index in left.by_ref().take(self.room(seat)) {
                self.give(seat, index);
            }
        }
    }

    /// Every seat in turn takes what is near to it.
    fn give_near(&mut self) {
        for seat in 0..self.by.len() {
            let near = |index: &i32| {
                let rack = self.seats.get(seat).copied().flatten();
                let has = |rack| self.racks_of(*index).is_some_and(|racks| racks.contains(rack));
                !self.taken.contains(index) && rack.is_none_or(has)
            };
            let chosen: Vec<i32> = (0..self.count).filter(near).take(self.room(seat)).collect();
            for index in chosen {
                self.taken.insert(index);
                self.give(seat, index);
            }
        }
    }
}

/// Shares by racks what can be; what is shared alike is shared by the racks that all of it has.
fn match_racks(topics: &mut [Ranges<'_>]) {
    let mut alike: BTreeMap<(&[usize], i32), Vec<usize>> = BTreeMap::new();
    for (place, topic) in topics.iter().enumerate().filter(|(_, topic)| !topic.seats.is_empty()) {
        alike.entry((topic.by, topic.count)).or_default().push(place);
    }
    for ((_, count), places) in alike {
        match places.as_slice() {
            [only] if topics[*only].needs_racks() => topics[*only].give_near(),
            [_] => {}
            several => give_alike(topics, several, count),
        }
    }
}

fn give_alike(topics: &mut [Ranges<'_>], alike: &[usize], count: i32) {
    // they have the same seats and the same room: the first stands for all
    let first = alike[0];
    let mut open: Vec<usize> = (0..topics[first].by.len()).collect();
    for index in 0..count {
        let near = |seat: &usize| match topics[first].seats.get(*seat).copied().flatten() {
            None => true,
            Some(rack) => alike
                .iter()
                .all(|topic| topics[*topic].racks_of(index).is_some_and(|racks| racks.contains(rack))),
        };
        let chosen = open.iter().copied().find(|seat| topics[first].room(*seat) > 0 && near(seat));
        if let Some(seat) = chosen {
            for topic in alike {
                topics[*topic].taken.insert(index);
                topics[*topic].give(seat, index);
            }
            let had = &topics[first];
            open.retain(|seat| had.room(*seat) > 0);
        }
    }
}

#[cfg(test)]
mod tests {
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

    fn share(members: &[Candidate], counts: &PartitionCounts) -> Assignments {
        assign(members, counts, &PartitionRacks::new())
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
        let shares = share(&members, &counts(&[("t", 5)]));
        assert_eq!(shown(&shares)["a"], ["t-0", "t-1", "t-2"]);
        assert_eq!(shown(&shares)["b"], ["t-3", "t-4"]);
    }

    #[test]
    fn topics_of_equal_size_are_shared_alike() {
        let members = [member("a", None, &["t", "u"]), member("b", None, &["t", "u"])];
        let shares = share(&members, &counts(&[("t", 3), ("u", 3)]));
        assert_eq!(shown(&shares)["a"], ["t-0", "t-1", "u-0", "u-1"]);
        assert_eq!(shown(&shares)["b"], ["t-2", "u-2"]);
    }

    #[test]
    fn static_members_come_first_by_instance_whatever_their_member_id() {
        let members =
            [member("a", None, &["t"]), member("z", Some("i-1"), &["t"]), member("b", Some("i-2"), &["t"])];
        let shares = share(&members, &counts(&[("t", 3)]));
        assert_eq!(shown(&shares)["z"], ["t-0"]);
        assert_eq!(shown(&shares)["b"], ["t-1"]);
        assert_eq!(shown(&shares)["a"], ["t-2"]);
    }

    #[test]
    fn only_who_wants_a_topic_gets_it() {
        let members = [member("a", None, &["t", "u"]), member("b", None, &["u"]), member("c", None, &[])];
        let shares = share(&members, &counts(&[("t", 2), ("u", 3)]));
        assert_eq!(shown(&shares)["a"], ["t-0", "t-1", "u-0", "u-1"]);
        assert_eq!(shown(&shares)["b"], ["u-2"]);
        assert!(shares[&MemberId::from("c")].is_empty());
    }

    #[test]
    fn more_members_than_partitions_leave_the_last_without_any() {
        let members = [member("a", None, &["t"]), member("b", None, &["t"]), member("c", None, &["t"])];
        let shares = share(&members, &counts(&[("t", 2)]));
        assert!(shares[&MemberId::from("c")].is_empty());
    }

    #[test]
    fn a_topic_that_does_not_exist_is_no_reason_to_fail() {
        let members = [member("a", None, &["t", "gone"])];
        let shares = share(&members, &counts(&[("t", 1), ("gone", 0)]));
        assert_eq!(shown(&shares)["a"], ["t-0"]);
        assert!(share(&[], &counts(&[("t", 1)])).is_empty());
    }

    fn in_rack(id: &str, rack: &str, topics: &[&str]) -> Candidate {
        let mut member = member(id, None, topics);
        member.subscription.rack = Some(rack.into());
        member
    }

    fn racks(of: &[(&str, &[&str])]) -> PartitionRacks {
        let of_partition = |racks: &str| racks.split_whitespace().map(Arc::from).collect();
        let of_topic = |of: &[&str]| of.iter().map(|racks| of_partition(racks)).collect();
        of.iter().map(|(topic, racks)| (Arc::from(*topic), of_topic(racks))).collect()
    }

    #[test]
    fn a_partition_goes_to_a_member_in_a_rack_that_has_it() {
        let members = [in_rack("a", "x", &["t"]), in_rack("b", "y", &["t"])];
        let places = racks(&[("t", &["y", "x", "y", "x"])]);
        let shares = assign(&members, &counts(&[("t", 4)]), &places);
        assert_eq!(shown(&shares)["a"], ["t-1", "t-3"]);
        assert_eq!(shown(&shares)["b"], ["t-0", "t-2"]);
    }

    #[test]
    fn the_balance_matters_more_than_the_rack() {
        let members = [in_rack("a", "x", &["t"]), in_rack("b", "y", &["t"])];
        let places = racks(&[("t", &["y", "y", "y", "x y"])]);
        let shares = assign(&members, &counts(&[("t", 4)]), &places);
        assert_eq!(shown(&shares)["a"], ["t-2", "t-3"]);
        assert_eq!(shown(&shares)["b"], ["t-0", "t-1"]);
    }

    #[test]
    fn topics_that_are_shared_alike_stay_so_whatever_their_racks() {
        let members = [in_rack("a", "x", &["t", "u"]), in_rack("b", "y", &["t", "u"])];
        let places = racks(&[("t", &["y", "x"]), ("u", &["y", "y"])]);
        let shares = assign(&members, &counts(&[("t", 2), ("u", 2)]), &places);
        assert_eq!(shown(&shares)["a"], ["t-1", "u-1"]);
        assert_eq!(shown(&shares)["b"], ["t-0", "u-0"]);
    }

    #[test]
    fn racks_make_no_difference_where_every_partition_has_all_of_them() {
        let members = [in_rack("a", "x", &["t"]), in_rack("b", "y", &["t"])];
        let everywhere = racks(&[("t", &["x y", "x y"])]);
        assert_eq!(
            assign(&members, &counts(&[("t", 2)]), &everywhere),
            share(&members, &counts(&[("t", 2)]))
        );
    }
}
