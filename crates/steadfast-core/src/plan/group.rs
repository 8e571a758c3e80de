//! The group that is planned for, within bounds.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::group::MemberId;
use crate::group::assign::{Assignments, Candidate, PartitionCounts, in_order};
use crate::group::subscription::Subscription;

use super::stage::made_id;

/// More members are not planned for.
pub const MOST_MEMBERS: usize = 10_000;
/// More partitions are not planned for.
pub const MOST_PARTITIONS: usize = 1_000_000;
/// More subscriptions, summed over members, are not planned for.
pub const MOST_SUBSCRIPTIONS: usize = 1_000_000;

/// Why there is no plan.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// There is nothing to share among.
    #[error("expected at least one member, found none")]
    NoMembers,
    /// There is nothing to share.
    #[error("expected at least one partition, found none in the topics that members want")]
    NoPartitions,
    /// Too many members.
    #[error("expected at most {MOST_MEMBERS} members, found {0}")]
    Members(usize),
    /// Too many partitions.
    #[error("expected at most {MOST_PARTITIONS} partitions, found {0}")]
    Partitions(usize),
    /// Too many subscriptions.
    #[error("expected at most {MOST_SUBSCRIPTIONS} subscriptions, members times topics, found {0}")]
    Subscriptions(usize),
    /// Partitions shall be added to what is not there.
    #[error("no member reads topic {0}, to which partitions shall be added")]
    NoTopic(Arc<str>),
}

/// Members, what they want, and what there is of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// In the order in which assignors serve them, holding nothing.
    members: Vec<Candidate>,
    /// Topics that a member wants and that exist.
    topics: PartitionCounts,
    held: Option<Assignments>,
}

impl Group {
    /// So many members that all want all of `topics`.
    ///
    /// # Errors
    /// If there are none, or too many.
    pub fn of(members: usize, topics: &PartitionCounts) -> Result<Group, Refused> {
        if members > MOST_MEMBERS {
            return Err(Refused::Members(members));
        }
        subscriptions(members.saturating_mul(topics.len()))?;
        let wanted: BTreeSet<Arc<str>> = topics.keys().cloned().collect();
        let member = |number| Candidate {
            id: made_id("", number),
            instance: None,
            subscription: Subscription { topics: wanted.clone(), ..Subscription::default() },
        };
        Group::new((0..members).map(member).collect(), topics, None)
    }

    /// These members, which hold `held`. Of their subscriptions only the topics count.
    ///
    /// # Errors
    /// If there are none, or too many.
    pub fn live(
        members: Vec<Candidate>,
        topics: &PartitionCounts,
        held: Assignments,
    ) -> Result<Group, Refused> {
        Group::new(members, topics, Some(held))
    }

    fn new(
        members: Vec<Candidate>,
        topics: &PartitionCounts,
        held: Option<Assignments>,
    ) -> Result<Group, Refused> {
        match members.len() {
            0 => return Err(Refused::NoMembers),
            found if found > MOST_MEMBERS => return Err(Refused::Members(found)),
            _ => {}
        }
        subscriptions(members.iter().map(|member| member.subscription.topics.len()).sum())?;
        let wanted: BTreeSet<&Arc<str>> =
            members.iter().flat_map(|member| &member.subscription.topics).collect();
        let exists = |(topic, count): &(&Arc<str>, &i32)| **count > 0 && wanted.contains(*topic);
        let topics: PartitionCounts =
            topics.iter().filter(exists).map(|(topic, count)| (Arc::clone(topic), *count)).collect();
        let only_topics = |member: &Candidate| Candidate {
            subscription: Subscription {
                topics: member.subscription.topics.clone(),
                ..Subscription::default()
            },
            ..member.clone()
        };
        let members = in_order(&members).into_iter().map(only_topics).collect();
        Group { members, topics, held }.bounded()
    }

    fn bounded(self) -> Result<Group, Refused> {
        match self.partitions() {
            0 => Err(Refused::NoPartitions),
            found if found > MOST_PARTITIONS => Err(Refused::Partitions(found)),
            _ => Ok(self),
        }
    }

    /// The same with so many more partitions.
    pub(super) fn grown(&self, by: &PartitionCounts) -> Result<Group, Refused> {
        let mut topics = self.topics.clone();
        for (topic, more) in by {
            let count = topics.get_mut(topic).ok_or_else(|| Refused::NoTopic(Arc::clone(topic)))?;
            *count = count.saturating_add((*more).max(0));
        }
        Group { topics, ..self.clone() }.bounded()
    }

    /// The same with other instance ids.
    pub(super) fn with_instances(&self, instance: impl Fn(&Candidate) -> Option<Arc<str>>) -> Group {
        let member = |member: &Candidate| Candidate { instance: instance(member), ..member.clone() };
        let members: Vec<Candidate> = self.members.iter().map(member).collect();
        let members = in_order(&members).into_iter().cloned().collect();
        Group { members, ..self.clone() }
    }

    /// The members, in the order in which assignors serve them.
    pub fn members(&self) -> &[Candidate] {
        &self.members
    }

    /// The topics that a member wants and that exist.
    pub fn topics(&self) -> &PartitionCounts {
        &self.topics
    }

    /// What members hold, where that is known.
    pub fn held(&self) -> Option<&Assignments> {
        self.held.as_ref()
    }

    /// How many partitions there are.
    pub fn partitions(&self) -> usize {
        let counts = self.topics.values().map(|count| usize::try_from(*count).unwrap_or_default());
        counts.fold(0, usize::saturating_add)
    }

    /// Whether all members want the same.
    pub(super) fn is_equal(&self) -> bool {
        let exist = |member: &Candidate| {
            member.subscription.topics.iter().filter(|topic| self.topics.contains_key(*topic)).count()
        };
        self.members.iter().all(|member| exist(member) == self.topics.len())
    }

    /// A member that wants all topics, and is served first, or right after member `after`. Where all are static, it
    /// is too.
    pub(super) fn newcomer(&self, after: Option<usize>) -> Candidate {
        let is_static = self.members.iter().all(|member| member.instance.is_some());
        let key = |member: &Candidate| format!("{} ", member.instance.as_ref().unwrap_or(&member.id.0));
        let key: Arc<str> =
            after.and_then(|after| self.members.get(after)).map(key).unwrap_or_default().into();
        let topics = self.topics.keys().cloned().collect();
        Candidate {
            instance: is_static.then(|| Arc::clone(&key)),
            id: MemberId(key),
            subscription: Subscription { topics, ..Subscription::default() },
        }
    }
}

fn subscriptions(found: usize) -> Result<(), Refused> {
    if found > MOST_SUBSCRIPTIONS { Err(Refused::Subscriptions(found)) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(of: &[(&str, i32)]) -> PartitionCounts {
        of.iter().map(|(topic, count)| (Arc::from(*topic), *count)).collect()
    }

    #[test]
    fn absurd_sizes_are_refused_before_anything_is_made_of_them() {
        let one = counts(&[("t", 1)]);
        assert_eq!(Group::of(0, &one), Err(Refused::NoMembers));
        assert_eq!(Group::of(usize::MAX, &one), Err(Refused::Members(usize::MAX)));
        assert_eq!(Group::of(1, &counts(&[("t", 0)])), Err(Refused::NoPartitions));
        let huge = counts(&[("t", i32::MAX), ("u", i32::MAX)]);
        assert_eq!(Group::of(1, &huge), Err(Refused::Partitions(4_294_967_294)));
        let many: PartitionCounts = (0..101).map(|topic| (format!("t{topic}").into(), 1)).collect();
        assert_eq!(Group::of(10_000, &many), Err(Refused::Subscriptions(1_010_000)));
        assert!(Group::of(MOST_MEMBERS, &one).is_ok());
    }

    #[test]
    fn what_is_added_counts_for_the_bounds_and_has_to_be_read_by_somebody() {
        let group = Group::of(1, &counts(&[("t", 2)])).unwrap();
        assert_eq!(group.grown(&counts(&[("t", 3)])).unwrap().partitions(), 5);
        assert_eq!(group.grown(&counts(&[("u", 3)])), Err(Refused::NoTopic("u".into())));
        assert_eq!(group.grown(&counts(&[("t", i32::MAX)])), Err(Refused::Partitions(2_147_483_647)));
    }

    #[test]
    fn only_topics_that_exist_and_are_wanted_count() {
        let member = |id: &str, topics: &[&str]| Candidate {
            id: id.into(),
            instance: None,
            subscription: Subscription {
                topics: topics.iter().map(|topic| Arc::from(*topic)).collect(),
                ..Subscription::default()
            },
        };
        let members = vec![member("b", &["t", "gone"]), member("a", &["t"])];
        let group = Group::live(members, &counts(&[("t", 2), ("other", 5)]), Assignments::new()).unwrap();
        assert_eq!((group.partitions(), group.is_equal()), (2, true));
        assert_eq!(group.members()[0].id, "a".into());
    }
}
