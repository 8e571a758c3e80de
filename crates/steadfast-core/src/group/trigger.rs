//! What set a round off, as far as the group's leader can tell: it alone is shown who is in the group.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use super::assign::Candidate;

/// Who was in the group in the last round that we led, and what each of them wanted.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Roster(BTreeMap<Arc<str>, Seen>);

/// One member, as its leader saw it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Seen {
    member: Arc<str>,
    topics: BTreeSet<Arc<str>>,
}

/// What the leader found changed since the last round that it led.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Trigger {
    /// Who was not there: instance names, or member ids of those without one.
    pub joined: Vec<Arc<str>>,
    /// Who is there no more.
    pub left: Vec<Arc<str>>,
    /// Static members that came back with another member id.
    pub returned: Vec<Arc<str>>,
    /// Who wants other topics.
    pub resubscribed: Vec<Arc<str>>,
    /// Whether topics have other partition counts.
    pub recounted: bool,
}

impl Roster {
    /// All members, by their instance names, or their ids without one.
    pub fn of(members: &[Candidate]) -> Roster {
        let seen = |member: &Candidate| {
            let name = member.instance.clone().unwrap_or_else(|| Arc::clone(&member.id.0));
            let topics = member.subscription.topics.iter().cloned().collect();
            (name, Seen { member: Arc::clone(&member.id.0), topics })
        };
        Roster(members.iter().map(seen).collect())
    }

    /// What is so now and was not in this one.
    pub fn changed_to(&self, now: &Roster, recounted: bool) -> Trigger {
        let beyond = |one: &Roster, other: &Roster| {
            one.0.keys().filter(|name| !other.0.contains_key(*name)).cloned().collect()
        };
        let both = || now.0.iter().filter_map(|(name, seen)| Some((name, self.0.get(name)?, seen)));
        let returned = both().filter(|(_, before, after)| before.member != after.member);
        let resubscribed = both().filter(|(_, before, after)| before.topics != after.topics);
        Trigger {
            joined: beyond(now, self),
            left: beyond(self, now),
            returned: returned.map(|(name, ..)| Arc::clone(name)).collect(),
            resubscribed: resubscribed.map(|(name, ..)| Arc::clone(name)).collect(),
            recounted,
        }
    }
}

/// So many members are named; of the others the number is said.
const NAMED: usize = 3;

impl fmt::Display for Trigger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let groups = [
            (&self.joined, "joined"),
            (&self.left, "left"),
            (&self.returned, "came back"),
            (&self.resubscribed, "wants other topics"),
        ];
        let said = groups.into_iter().filter(|(who, _)| !who.is_empty());
        let mut said: Vec<String> = said.map(|(who, what)| format!("{} {what}", named(who))).collect();
        if self.recounted {
            said.push("partition counts changed".to_owned());
        }
        if said.is_empty() {
            // A member that gave partitions up, that lost its place for a moment, or whose leader wanted a round.
            said.push("a member joined again".to_owned());
        }
        f.write_str(&said.join(", "))
    }
}

fn named(who: &[Arc<str>]) -> String {
    let names = who.iter().take(NAMED).map(AsRef::as_ref).collect::<Vec<&str>>().join(", ");
    match who.len().saturating_sub(NAMED) {
        0 => names,
        more => format!("{names} and {more} more"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::group::MemberId;
    use crate::group::subscription::Subscription;

    fn member(id: &str, instance: Option<&str>, topic: &str) -> Candidate {
        let topics = [Arc::from(topic)].into();
        let subscription = Subscription { topics, ..Subscription::default() };
        Candidate { id: MemberId::from(id), instance: instance.map(Arc::from), subscription }
    }

    fn said(before: &[Candidate], after: &[Candidate]) -> String {
        Roster::of(before).changed_to(&Roster::of(after), false).to_string()
    }

    #[test]
    fn who_came_and_who_went_is_named() {
        let (one, two, three) = (member("a", None, "t"), member("b", None, "t"), member("c", None, "t"));
        assert_eq!(said(&[one.clone(), two.clone()], &[one.clone(), two.clone(), three.clone()]), "c joined");
        assert_eq!(said(&[one.clone(), two], &[one, three]), "c joined, b left");
    }

    #[test]
    fn an_instance_that_came_back_neither_joined_nor_left() {
        assert_eq!(said(&[member("a-1", Some("a"), "t")], &[member("a-2", Some("a"), "t")]), "a came back");
    }

    #[test]
    fn other_topics_and_other_counts_are_told_apart() {
        assert_eq!(said(&[member("a", None, "t")], &[member("a", None, "u")]), "a wants other topics");
        let roster = Roster::of(&[member("a", None, "t")]);
        assert_eq!(roster.changed_to(&roster, true).to_string(), "partition counts changed");
        assert_eq!(roster.changed_to(&roster, false).to_string(), "a member joined again");
    }

    #[test]
    fn of_many_only_the_first_are_named() {
        let many: Vec<Candidate> = (0..9).map(|n| member(&format!("m{n}"), None, "t")).collect();
        assert_eq!(said(&[], &many), "m0, m1, m2 and 6 more joined");
    }
}
