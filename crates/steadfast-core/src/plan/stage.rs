//! A group under one assignor, while members come and go.

use std::collections::BTreeSet;

use crate::group::MemberId;
use crate::group::assign::{Assignments, Assignor, Candidate, PartitionCounts};
use crate::group::subscription::Held;
use crate::ids::{GroupGeneration, Partition};

use super::{Balance, Group};

/// Rounds of a cooperative group until it is settled: what moves is let go in one and given in the next. What two
/// members said to hold takes no more.
const MOST_ROUNDS: usize = 3;

/// Members under one assignor, and what each has.
#[derive(Debug, Clone)]
pub(super) struct Stage<'a> {
    assignor: Assignor,
    pub(super) group: &'a Group,
    members: Vec<Candidate>,
    held: Assignments,
}

impl<'a> Stage<'a> {
    /// The group when the assignor has shared, from what members hold now; and how many partitions moved for it.
    pub(super) fn settled(assignor: Assignor, group: &'a Group) -> (Stage<'a>, usize) {
        let held = group.held().cloned().unwrap_or_default();
        let mut stage = Stage { assignor, group, members: group.members().to_vec(), held };
        let moved = stage.round(group.topics());
        (stage, moved)
    }

    pub(super) fn assignor(&self) -> Assignor {
        self.assignor
    }

    pub(super) fn balance(&self) -> Balance {
        Balance::of(&self.held, &self.members)
    }

    /// A member joins; what moves.
    pub(super) fn join(&mut self, member: Candidate) -> usize {
        self.members.push(member);
        self.round(self.group.topics())
    }

    /// A member leaves; what moves.
    pub(super) fn leave(&mut self, id: &MemberId) -> usize {
        self.members.retain(|member| member.id != *id);
        self.round(self.group.topics())
    }

    /// A static member comes back, knowing nothing of what it had, and takes the group into a round; what moves.
    pub(super) fn come_back(&mut self, id: &MemberId) -> usize {
        let before = self.held.clone();
        self.held.remove(id);
        self.round(self.group.topics());
        moved(&before, &self.held)
    }

    /// There are other counts of partitions; what moves.
    pub(super) fn grow(&mut self, counts: &PartitionCounts) -> usize {
        self.round(counts)
    }

    /// Shares anew until all is shared; how many partitions moved.
    fn round(&mut self, counts: &PartitionCounts) -> usize {
        let before = std::mem::take(&mut self.held);
        let wanted: usize = self.wanted(counts);
        let mut after = self.shared(&before, 0, counts);
        for generation in 1..MOST_ROUNDS {
            if after.values().map(BTreeSet::len).sum::<usize>() == wanted {
                break;
            }
            after = self.shared(&after, generation, counts);
        }
        self.held = after;
        moved(&before, &self.held)
    }

    /// How many partitions there are that somebody wants.
    fn wanted(&self, counts: &PartitionCounts) -> usize {
        let topics: BTreeSet<_> =
            self.members.iter().flat_map(|member| &member.subscription.topics).collect();
        let counts = topics.into_iter().filter_map(|topic| counts.get(topic));
        counts.map(|count| usize::try_from(*count).unwrap_or_default()).sum()
    }

    /// One round, by members that hold `held`.
    fn shared(&self, held: &Assignments, generation: usize, counts: &PartitionCounts) -> Assignments {
        let generation = i32::try_from(generation).ok().map(GroupGeneration);
        let members: Vec<Candidate> = self
            .members
            .iter()
            .map(|member| {
                let mut member = member.clone();
                let Some(partitions) = held.get(&member.id).cloned() else { return member };
                match self.assignor {
                    Assignor::Sticky => member.subscription.previous = Held { partitions, generation },
                    Assignor::CooperativeSticky => {
                        member.subscription.owned = partitions;
                        member.subscription.generation = generation;
                    }
                    Assignor::Range | Assignor::RoundRobin => {}
                }
                member
            })
            .collect();
        self.assignor.assign(&members, counts)
    }
}

/// Partitions that have another owner in `after` than in `before`.
pub(super) fn moved(before: &Assignments, after: &Assignments) -> usize {
    let none = BTreeSet::new();
    let gone_to_others: BTreeSet<&Partition> =
        after.iter().flat_map(|(id, share)| share.difference(before.get(id).unwrap_or(&none))).collect();
    let left = before.iter().flat_map(|(id, share)| share.difference(after.get(id).unwrap_or(&none)));
    left.filter(|partition| gone_to_others.contains(partition)).collect::<BTreeSet<_>>().len()
}

/// How long the part of an id is that the coordinator makes: a UUID.
const MADE: usize = 36;

/// An id as a coordinator makes it of a client's id and something random, of which there is none here: the same
/// `number` makes the same id. `like` is the id that the member had before.
pub(super) fn made_id(like: &str, number: usize) -> MemberId {
    let client = like.len().checked_sub(MADE).and_then(|end| like.get(..end)).unwrap_or_default();
    let number = u64::try_from(number).unwrap_or(u64::MAX);
    let (high, low) = (mixed(number.wrapping_mul(2)), mixed(number.wrapping_mul(2).wrapping_add(1)));
    let made = format!(
        "{:08x}-{:04x}-{:04x}-{:04x}-{:012x}",
        high >> 32,
        (high >> 16) & 0xffff,
        high & 0xffff,
        low >> 48,
        low & 0xffff_ffff_ffff
    );
    MemberId(format!("{client}{made}").into())
}

/// Splitmix64: numbers that follow one another come out in any order, and none twice.
fn mixed(number: u64) -> u64 {
    let mut mixed = number.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shares(of: &[(&str, &[i32])]) -> Assignments {
        let share = |indexes: &[i32]| indexes.iter().map(|index| Partition::new("t", *index)).collect();
        of.iter().map(|(id, indexes)| (MemberId::from(*id), share(indexes))).collect()
    }

    #[test]
    fn moved_is_what_has_another_owner_not_what_nobody_has_or_had() {
        let before = shares(&[("a", &[0, 1]), ("b", &[2, 3])]);
        assert_eq!(moved(&before, &before), 0);
        assert_eq!(moved(&before, &shares(&[("a", &[0, 1, 4]), ("b", &[2, 3, 5])])), 0);
        assert_eq!(moved(&before, &shares(&[("a", &[0]), ("b", &[2])])), 0);
        assert_eq!(moved(&before, &shares(&[("b", &[0, 1, 2, 3])])), 2);
        assert_eq!(moved(&before, &shares(&[("a", &[2, 3]), ("b", &[0, 1])])), 4);
    }

    #[test]
    fn a_made_id_keeps_the_client_s_and_looks_like_a_coordinator_s() {
        let first = made_id("", 0);
        assert_eq!((first.0.len(), first.0.matches('-').count()), (MADE, 4));
        let of_client = made_id("till-3f2504e0-4f89-11d3-9a0c-0305e82c3301", 7);
        assert!(of_client.0.starts_with("till-") && of_client.0.len() == MADE + 5, "{of_client}");
        let ids: BTreeSet<MemberId> = (0..1000).map(|number| made_id("", number)).collect();
        assert_eq!(ids.len(), 1000);
    }
}
