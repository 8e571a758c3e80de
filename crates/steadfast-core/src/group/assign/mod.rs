//! Who reads what: the assignors, which the group's leader runs for all members.

mod balance;
mod cooperative_sticky;
mod range;
mod roundrobin;
mod sticky;

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use super::MemberId;
use super::subscription::Subscription;
use crate::ids::Partition;

/// How many partitions each topic has. A topic that does not exist is absent, or has none.
pub type PartitionCounts = BTreeMap<Arc<str>, i32>;

/// The racks in which each partition has replicas: by topic, in the order of its partitions. Topics and
/// partitions of which nothing is known may be absent.
pub type PartitionRacks = BTreeMap<Arc<str>, Vec<BTreeSet<Arc<str>>>>;

/// What each member is to read. Every member has an entry, if only an empty one.
pub type Assignments = BTreeMap<MemberId, BTreeSet<Partition>>;

/// One member, as the leader sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// Its id.
    pub id: MemberId,
    /// Its `group.instance.id`, if it is a static member (KIP-345).
    pub instance: Option<Arc<str>>,
    /// What it wants and holds.
    pub subscription: Subscription,
}

/// How members go through a round.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Protocol {
    /// Give up everything, then join.
    Eager,
    /// Join while going on, then give up only what goes to others (KIP-429).
    Cooperative,
}

/// A way to share partitions, by the name that all clients know it by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Assignor {
    /// Consecutive partitions of each topic, as Java's `RangeAssignor`.
    Range,
    /// One partition after another to one member after another, as Java's `RoundRobinAssignor`.
    RoundRobin,
    /// Balanced, moving as little as can be, after everybody let go of everything, as Java's
    /// `StickyAssignor`.
    Sticky,
    /// Balanced, moving as little as can be and pausing only what moves, as Java's
    /// `CooperativeStickyAssignor`.
    CooperativeSticky,
}

impl Assignor {
    /// Every assignor there is.
    pub const ALL: [Assignor; 4] =
        [Assignor::Range, Assignor::RoundRobin, Assignor::Sticky, Assignor::CooperativeSticky];

    /// Its name on the wire.
    pub fn name(self) -> &'static str {
        match self {
            Assignor::Range => "range",
            Assignor::RoundRobin => "roundrobin",
            Assignor::Sticky => "sticky",
            Assignor::CooperativeSticky => "cooperative-sticky",
        }
    }

    /// The assignor of this name, if we have it.
    pub fn named(name: &str) -> Option<Assignor> {
        Assignor::ALL.into_iter().find(|assignor| assignor.name() == name)
    }

    /// The most cooperative protocol that it supports.
    pub fn protocol(self) -> Protocol {
        match self {
            Assignor::Range | Assignor::RoundRobin | Assignor::Sticky => Protocol::Eager,
            Assignor::CooperativeSticky => Protocol::Cooperative,
        }
    }

    /// Shares the partitions of `counts` among `members`, each according to the topics it wants.
    ///
    /// The order of `members` has no influence. The racks of members have none either, as in Java as long
    /// as nothing is known of the partitions' racks.
    pub fn assign(self, members: &[Candidate], counts: &PartitionCounts) -> Assignments {
        self.assign_near(members, counts, &PartitionRacks::new())
    }

    /// The same where the racks of partitions are known: then `range` gives partitions, as far as the balance
    /// allows it, to members in a rack that has a replica (KIP-881).
    pub fn assign_near(
        self,
        members: &[Candidate],
        counts: &PartitionCounts,
        racks: &PartitionRacks,
    ) -> Assignments {
        match self {
            Assignor::Range => range::assign(members, counts, racks),
            Assignor::RoundRobin => roundrobin::assign(members, counts),
            Assignor::Sticky => sticky::assign(members, counts),
            Assignor::CooperativeSticky => cooperative_sticky::assign(members, counts),
        }
    }
}

impl fmt::Display for Assignor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The members in the order in which assignors serve them: static ones by instance id, then the others by
/// member id, so that a static member keeps its place when it comes back under another member id.
fn in_order(members: &[Candidate]) -> Vec<&Candidate> {
    let mut ordered: Vec<&Candidate> = members.iter().collect();
    ordered.sort_by(|one, other| match (&one.instance, &other.instance) {
        (Some(a), Some(b)) => a.cmp(b).then_with(|| one.id.cmp(&other.id)),
        (Some(_), None) => Ordering::Less,
        (None, Some(_)) => Ordering::Greater,
        (None, None) => one.id.cmp(&other.id),
    });
    ordered
}

/// What each of `members` has by `lists`, which are in the same order.
fn assignments(members: &[&Candidate], lists: Vec<Vec<Partition>>) -> Assignments {
    members.iter().zip(lists).map(|(member, list)| (member.id.clone(), list.into_iter().collect())).collect()
}

/// The topics that somebody wants and that exist, with the members (by their place in `members`) that want
/// each.
fn wanted<'a>(members: &[&'a Candidate], counts: &PartitionCounts) -> BTreeMap<&'a Arc<str>, Wanted> {
    // few members want what no other wants: each wish is looked at once
    let mut wishes: BTreeMap<&BTreeSet<Arc<str>>, Vec<usize>> = BTreeMap::new();
    for (place, member) in members.iter().enumerate() {
        wishes.entry(&member.subscription.topics).or_default().push(place);
    }
    let mut topics: BTreeMap<&Arc<str>, Wanted> = BTreeMap::new();
    for (wish, by) in wishes {
        for topic in wish {
            let count = counts.get(topic).copied().unwrap_or(0);
            if count > 0 {
                topics.entry(topic).or_insert(Wanted { count, by: Vec::new() }).by.extend(&by);
            }
        }
    }
    topics.values_mut().for_each(|wanted| wanted.by.sort_unstable());
    topics
}

/// A topic that exists, and who wants it.
struct Wanted {
    count: i32,
    by: Vec<usize>,
}
