//! What would move.

use std::fmt;
use std::sync::Arc;

use serde::Serialize;

use crate::group::assign::{Assignor, Candidate};

use super::stage::{Stage, made_id};
use super::{Balance, Group};

/// Which member leaves, and where in the order a new one comes to stand, is chance: so many are tried, evenly over
/// the order, or fewer in a large group.
const MOST_TRIED: usize = 16;
/// Members times members and partitions, up to which each of a large group's members is restarted here.
const MOST_RESTARTED: usize = 2_000_000;

/// How many partitions move, at least and at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Moved {
    /// In the best case that was tried.
    pub least: usize,
    /// In the worst.
    pub most: usize,
}

impl Moved {
    fn among(tried: impl IntoIterator<Item = usize>) -> Option<Moved> {
        tried.into_iter().fold(None, |seen: Option<Moved>, moved| {
            let seen = seen.unwrap_or(Moved { least: moved, most: moved });
            Some(Moved { least: seen.least.min(moved), most: seen.most.max(moved) })
        })
    }
}

impl fmt::Display for Moved {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.least == self.most {
            true => f.pad(&self.most.to_string()),
            false => f.pad(&format!("{}-{}", self.least, self.most)),
        }
    }
}

/// All members restarted, one after another, each when the group is settled again; moves summed up. None for groups
/// that are too large to try.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Restarts {
    /// As dynamic members: each leaves, and joins under another id.
    pub dynamic: Option<usize>,
    /// As static members (KIP-345): at least, where each is back within its session timeout with the subscription
    /// it had, for which there is no round; at most, where there is a round whenever one is back.
    #[serde(rename = "static")]
    pub fixed: Option<Moved>,
}

/// What new partitions change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Grown {
    /// Old partitions that move.
    pub moved: usize,
    /// How all are shared then.
    pub balance: Balance,
}

/// What moves if a member joins, at any place in the order.
pub(super) fn join(stage: &Stage<'_>) -> Moved {
    let group = stage.group;
    let places = tried(group, group.members().len() + 1);
    let moved = places.into_iter().map(|place| stage.clone().join(group.newcomer(place.checked_sub(1))));
    Moved::among(moved).unwrap_or(Moved { least: 0, most: 0 })
}

/// What moves if one of the members leaves; none if it is the last.
pub(super) fn leave(stage: &Stage<'_>) -> Option<Moved> {
    let members = stage.group.members();
    let places = tried(stage.group, members.len()).into_iter().filter(|_| members.len() > 1);
    Moved::among(places.map(|place| stage.clone().leave(&members[place].id)))
}

/// What moves if all are restarted.
pub(super) fn restart(assignor: Assignor, group: &Group) -> Restarts {
    if size(group) > MOST_RESTARTED {
        return Restarts { dynamic: None, fixed: None };
    }
    let most = restart_static(assignor, group);
    Restarts { dynamic: Some(restart_dynamic(assignor, group)), fixed: Some(Moved { least: 0, most }) }
}

/// What moves of what there was when there is more.
pub(super) fn grow(stage: &Stage<'_>, grown: &Group) -> Grown {
    let mut stage = stage.clone();
    Grown { moved: stage.grow(grown.topics()), balance: stage.balance() }
}

fn restart_dynamic(assignor: Assignor, group: &Group) -> usize {
    let group = group.with_instances(|_| None);
    let (mut stage, _) = Stage::settled(assignor, &group);
    let members = group.members();
    let restarted = members.iter().enumerate().map(|(number, member)| {
        let id = made_id(&member.id.0, members.len() + number);
        stage.leave(&member.id) + stage.join(Candidate { id, ..member.clone() })
    });
    restarted.sum()
}

fn restart_static(assignor: Assignor, group: &Group) -> usize {
    let instance = |member: &Candidate| member.instance.clone().or_else(|| Some(Arc::clone(&member.id.0)));
    let group = group.with_instances(instance);
    let (mut stage, _) = Stage::settled(assignor, &group);
    group.members().iter().map(|member| stage.come_back(&member.id)).sum()
}

fn size(group: &Group) -> usize {
    let members = group.members().len();
    members.saturating_mul(members + group.partitions())
}

/// Some of `places`, the first and the last among them.
fn tried(group: &Group, places: usize) -> Vec<usize> {
    let affordable = MOST_RESTARTED / (group.members().len() + group.partitions());
    let number = affordable.clamp(3, MOST_TRIED).min(places);
    (0..number).map(|one| one * (places - 1) / (number - 1).max(1)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_the_same_in_every_case_is_one_number() {
        assert_eq!(Moved::among([3, 3]).unwrap().to_string(), "3");
        assert_eq!(Moved::among([5, 3, 4]).unwrap().to_string(), "3-5");
        assert_eq!(Moved::among([]), None);
    }

    #[test]
    fn the_first_and_the_last_are_among_those_that_are_tried() {
        let group = Group::of(100, &[("t".into(), 100)].into()).unwrap();
        assert_eq!(tried(&group, 1), [0]);
        assert_eq!(tried(&group, 3), [0, 1, 2]);
        let some = tried(&group, 100);
        assert_eq!((some.len(), some[0], some[15]), (16, 0, 99));
        let large = Group::of(10, &[("t".into(), 1_000_000)].into()).unwrap();
        assert_eq!(tried(&large, 10), [0, 4, 9]);
    }
}
