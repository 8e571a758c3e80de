//! The server's assignors: who is to have which partitions.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use steadfast_core::ids::TopicId;

use super::{ConsumerGroup, Place};

/// An assignor that a coordinator has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum ServerAssignor {
    /// Balanced over all topics together, and everybody keeps what it can.
    Uniform,
    /// Of each topic a run of partitions, the same members first in each.
    Range,
}

impl ServerAssignor {
    /// The one of this name.
    pub(super) fn named(name: &str) -> Option<ServerAssignor> {
        [ServerAssignor::Uniform, ServerAssignor::Range].into_iter().find(|assignor| assignor.name() == name)
    }

    /// Its name.
    pub(super) fn name(self) -> &'static str {
        match self {
            ServerAssignor::Uniform => "uniform",
            ServerAssignor::Range => "range",
        }
    }
}

/// Members with the topics that they may be given, in the order in which they are served.
type Wishes = Vec<(Arc<str>, BTreeSet<TopicId>)>;

impl ConsumerGroup {
    /// The assignor that most members would like; the default if none would like any.
    pub(super) fn assignor(&self) -> ServerAssignor {
        let mut votes: BTreeMap<&str, usize> = BTreeMap::new();
        for wish in self.members.values().filter_map(|member| member.assignor.as_deref()) {
            *votes.entry(wish).or_default() += 1;
        }
        let chosen = votes.into_iter().max_by_key(|(_, votes)| *votes);
        chosen.and_then(|(name, _)| ServerAssignor::named(name)).unwrap_or(ServerAssignor::Uniform)
    }

    /// Computes the target assignment for the group's epoch.
    pub(super) fn retarget(&mut self) {
        let wishes = self.wishes();
        let counts: BTreeMap<TopicId, i32> = self.subscribed.values().copied().collect();
        self.target = match self.assignor() {
            ServerAssignor::Uniform => uniform(&wishes, &counts, &self.target),
            ServerAssignor::Range => range(&wishes, &counts),
        };
        self.target_epoch = self.epoch;
    }

    /// Static members come first, by their instances' names.
    fn wishes(&self) -> Wishes {
        let mut order: Vec<_> = self.members.iter().collect();
        order
            .sort_by_key(|(id, member)| (member.instance.is_none(), member.instance.clone(), Arc::clone(id)));
        let ids = |(id, member): (&Arc<str>, _)| {
            let topics = self.topics_of(member).into_iter();
            let known = topics.filter_map(|name| self.subscribed.get(&name).map(|(topic, _)| *topic));
            (Arc::clone(id), known.collect())
        };
        order.into_iter().map(ids).collect()
    }
}

type Assignment = BTreeMap<Arc<str>, BTreeSet<Place>>;

/// Of each topic a run of partitions to each member that wants it; the first ones get one more if it does not come
/// out even.
fn range(wishes: &Wishes, counts: &BTreeMap<TopicId, i32>) -> Assignment {
    let mut assignment: Assignment = wishes.iter().map(|(id, _)| (Arc::clone(id), BTreeSet::new())).collect();
    for (topic, count) in counts {
        let wanting: Vec<_> = wishes.iter().filter(|(_, topics)| topics.contains(topic)).collect();
        let members = i32::try_from(wanting.len()).unwrap_or(i32::MAX).max(1);
        let (each, mut more) = (count / members, count % members);
        let mut next = 0;
        for (id, _) in wanting {
            let end = next + each + more.signum();
            more = (more - 1).max(0);
            assignment.entry(Arc::clone(id)).or_default().extend((next..end).map(|index| (*topic, index)));
            next = end;
        }
    }
    assignment
}

/// Everybody keeps what it may; what is left goes to whoever has least; then whoever has most gives to whoever has at
/// least two less.
fn uniform(wishes: &Wishes, counts: &BTreeMap<TopicId, i32>, before: &Assignment) -> Assignment {
    let mut free: BTreeSet<Place> =
        counts.iter().flat_map(|(topic, count)| (0..*count).map(|index| (*topic, index))).collect();
    let mut assignment = Assignment::new();
    for (id, topics) in wishes {
        let had = before.get(id).into_iter().flatten();
        let kept: BTreeSet<Place> =
            had.filter(|at| topics.contains(&at.0) && free.contains(*at)).copied().collect();
        free.retain(|at| !kept.contains(at));
        assignment.insert(Arc::clone(id), kept);
    }
    for place in free {
        if let Some(least) = least(wishes, &assignment, place.0) {
            assignment.entry(least).or_default().insert(place);
        }
    }
    while let Some((from, place, to)) = improvement(wishes, &assignment) {
        assignment.entry(from).or_default().remove(&place);
        assignment.entry(to).or_default().insert(place);
    }
    assignment
}

/// Who has least of those that want the topic.
fn least(wishes: &Wishes, assignment: &Assignment, topic: TopicId) -> Option<Arc<str>> {
    let wanting = wishes.iter().filter(|(_, topics)| topics.contains(&topic));
    let least = wanting.min_by_key(|(id, _)| assignment.get(id).map_or(0, BTreeSet::len));
    least.map(|(id, _)| Arc::clone(id))
}

/// A partition that is better with another member: from whom, which, and to whom. Each lets the differences shrink, so
/// there is a last one.
fn improvement(wishes: &Wishes, assignment: &Assignment) -> Option<(Arc<str>, Place, Arc<str>)> {
    let mut richest: Vec<_> = assignment.iter().collect();
    richest.sort_by_key(|(_, places)| std::cmp::Reverse(places.len()));
    richest.into_iter().find_map(|(from, places)| {
        places.iter().rev().find_map(|place| {
            let to = least(wishes, assignment, place.0)?;
            let has = assignment.get(&to).map_or(0, BTreeSet::len);
            (places.len() >= has + 2).then(|| (Arc::clone(from), *place, to))
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const ORDERS: TopicId = TopicId(1);
    const BILLS: TopicId = TopicId(2);

    fn wishes(of: &[(&str, &[TopicId])]) -> Wishes {
        of.iter().map(|(id, topics)| ((*id).into(), topics.iter().copied().collect())).collect()
    }

    fn sizes(assignment: &Assignment) -> Vec<usize> {
        assignment.values().map(BTreeSet::len).collect()
    }

    #[test]
    fn ranges_begin_anew_in_each_topic() {
        let counts = BTreeMap::from([(ORDERS, 3), (BILLS, 5)]);
        let given = range(&wishes(&[("a", &[ORDERS, BILLS]), ("b", &[ORDERS, BILLS])]), &counts);
        assert_eq!(
            given["a"],
            BTreeSet::from([(ORDERS, 0), (ORDERS, 1), (BILLS, 0), (BILLS, 1), (BILLS, 2)])
        );
        assert_eq!(given["b"], BTreeSet::from([(ORDERS, 2), (BILLS, 3), (BILLS, 4)]));
    }

    #[test]
    fn who_comes_gets_its_share_and_nothing_else_moves() {
        let counts = BTreeMap::from([(ORDERS, 6)]);
        let two = uniform(&wishes(&[("a", &[ORDERS]), ("b", &[ORDERS])]), &counts, &Assignment::new());
        assert_eq!(sizes(&two), [3, 3]);
        let three = uniform(&wishes(&[("a", &[ORDERS]), ("b", &[ORDERS]), ("c", &[ORDERS])]), &counts, &two);
        assert_eq!(sizes(&three), [2, 2, 2]);
        assert!(three["a"].is_subset(&two["a"]) && three["b"].is_subset(&two["b"]));
    }

    #[test]
    fn nobody_is_given_what_it_does_not_want() {
        let counts = BTreeMap::from([(ORDERS, 4), (BILLS, 2)]);
        let given =
            uniform(&wishes(&[("a", &[ORDERS, BILLS]), ("b", &[BILLS])]), &counts, &Assignment::new());
        assert_eq!(sizes(&given), [4, 2]);
        assert!(given["b"].iter().all(|place| place.0 == BILLS));
        assert_eq!(sizes(&uniform(&wishes(&[("a", &[])]), &counts, &given)), [0]);
    }
}
