//! Balanced, moving as little as can be, in two rounds: a partition that goes from one member to another is
//! withheld from both in the first, and given in the second, when its owner has let go of it (KIP-429).
//!
//! Claims: the highest generation wins, equal generations annul all claimants (KAFKA-14016), since both may
//! hold the partition; it then goes through a round in which nobody has it.
//!
//! Members are served by heaps of (load, member) per set of topics that the same members want, so the cost
//! grows with partitions and not with members times partitions. Where members want different topics, loads
//! are evened out by single moves until none helps.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};
use std::sync::Arc;

use super::{Assignments, Candidate, PartitionCounts, in_order, wanted};
use crate::ids::Partition;

/// Passes over all pools before the balance is taken as it is. Every move lowers the sum of squared loads,
/// so passes end by themselves; real groups need two or three.
const MOST_PASSES: usize = 64;

pub(super) fn assign(members: &[Candidate], counts: &PartitionCounts) -> Assignments {
    let members = in_order(members);
    let mut pools = Pools::new(&members, counts);
    let claims = Claims::read(&members, &pools);
    let mut shares = Shares { load: vec![0; members.len()] };
    shares.keep(&mut pools, &claims);
    shares.deal(&mut pools);
    for _pass in 0..MOST_PASSES {
        if !shares.even_out(&mut pools) {
            break;
        }
    }
    let mut assigned: Assignments =
        members.iter().map(|member| (member.id.clone(), BTreeSet::new())).collect();
    let mut lists: Vec<Vec<Partition>> = vec![Vec::new(); members.len()];
    for pool in &pools.pools {
        for (seat, slots) in pool.held.iter().enumerate() {
            let member = pool.members[seat];
            let given = slots.iter().filter(|slot| claims.may_go_to(**slot, member));
            lists[member].extend(given.map(|slot| pools.partition(*slot)));
        }
    }
    for (member, list) in members.iter().zip(lists) {
        assigned.insert(member.id.clone(), list.into_iter().collect());
    }
    assigned
}

/// A partition's place in the row of all wanted partitions, topics in order.
type Slot = usize;

/// All wanted partitions, by the set of members that want them.
struct Pools<'a> {
    /// The topics in order, with the first slot of each.
    topics: Vec<(&'a Arc<str>, Slot)>,
    places: BTreeMap<&'a str, usize>,
    slots: usize,
    /// Which pool each topic belongs to.
    pool_of_topic: Vec<usize>,
    pools: Vec<Pool>,
}

/// Topics that the same members want: any of these members may have any of their partitions.
struct Pool {
    /// The members, by their place; a member's index here is its seat.
    members: Vec<usize>,
    /// What each seat holds, kept partitions first.
    held: Vec<Vec<Slot>>,
    /// What nobody holds yet.
    free: Vec<Slot>,
}

impl<'a> Pools<'a> {
    fn new(members: &[&'a Candidate], counts: &PartitionCounts) -> Pools<'a> {
        let mut by_members: BTreeMap<Vec<usize>, Vec<usize>> = BTreeMap::new();
        let mut topics = Vec::new();
        let mut slots = 0;
        for (topic, wanted) in wanted(members, counts) {
            by_members.entry(wanted.by).or_default().push(topics.len());
            topics.push((topic, slots));
            slots += usize::try_from(wanted.count).unwrap_or(0);
        }
        let places = topics.iter().enumerate().map(|(place, (topic, _))| (&***topic, place)).collect();
        let mut pool_of_topic = vec![0; topics.len()];
        // those that few members want are dealt first: the others have more ways to even things out
        let mut sorted: Vec<_> = by_members.into_iter().collect();
        sorted.sort_by_key(|(by, _)| by.len());
        let mut pools = Vec::with_capacity(sorted.len());
        for (by, of_pool) in sorted {
            for topic in of_pool {
                pool_of_topic[topic] = pools.len();
            }
            pools.push(Pool { held: vec![Vec::new(); by.len()], members: by, free: Vec::new() });
        }
        Pools { topics, places, slots, pool_of_topic, pools }
    }

    /// The slot of `partition`, if somebody wants it and it exists.
    fn slot(&self, partition: &Partition) -> Option<Slot> {
        let place = *self.places.get(&*partition.topic)?;
        let first = self.topics[place].1;
        let end = self.topics.get(place + 1).map_or(self.slots, |(_, next)| *next);
        let slot = first.checked_add(usize::try_from(partition.index).ok()?)?;
        (slot < end).then_some(slot)
    }

    fn partition(&self, slot: Slot) -> Partition {
        let (topic, first) = self.topics[self.topic(slot)];
        // a slot lies within its topic's count, which is an i32
        Partition::new(topic.clone(), i32::try_from(slot - first).unwrap_or(i32::MAX))
    }

    fn topic(&self, slot: Slot) -> usize {
        self.topics.partition_point(|(_, first)| *first <= slot).saturating_sub(1)
    }

    fn pool_of(&mut self, topic: usize) -> &mut Pool {
        &mut self.pools[self.pool_of_topic[topic]]
    }
}

/// Who says to hold a partition.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Claim {
    Nobody,
    One { member: usize, generation: i32 },
    Several { generation: i32 },
}

struct Claims(Vec<Claim>);

impl Claims {
    fn read(members: &[&Candidate], pools: &Pools<'_>) -> Claims {
        let mut claims = vec![Claim::Nobody; pools.slots];
        for (member, candidate) in members.iter().enumerate() {
            let generation = candidate.subscription.generation.map_or(-1, |generation| generation.0);
            for slot in candidate.subscription.owned.iter().filter_map(|partition| pools.slot(partition)) {
                claims[slot] = match claims[slot] {
                    Claim::One { generation: other, .. } | Claim::Several { generation: other }
                        if other > generation =>
                    {
                        claims[slot]
                    }
                    Claim::One { generation: other, .. } | Claim::Several { generation: other }
                        if other == generation =>
                    {
                        Claim::Several { generation }
                    }
                    Claim::Nobody | Claim::One { .. } | Claim::Several { .. } => {
                        Claim::One { member, generation }
                    }
                };
            }
        }
        Claims(claims)
    }

    /// The one member whose claim stands.
    fn owner(&self, slot: Slot) -> Option<usize> {
        match self.0[slot] {
            Claim::One { member, .. } => Some(member),
            Claim::Nobody | Claim::Several { .. } => None,
        }
    }

    /// Whether nobody else may still hold it.
    fn may_go_to(&self, slot: Slot, member: usize) -> bool {
        match self.0[slot] {
            Claim::Nobody => true,
            Claim::One { member: owner, .. } => owner == member,
            Claim::Several { .. } => false,
        }
    }
}

/// How many partitions each member has by now.
struct Shares {
    load: Vec<usize>,
}

impl Shares {
    /// Leaves each partition where it is, if its owner still wants it.
    fn keep(&mut self, pools: &mut Pools<'_>, claims: &Claims) {
        for topic in 0..pools.topics.len() {
            let first = pools.topics[topic].1;
            let end = pools.topics.get(topic + 1).map_or(pools.slots, |(_, next)| *next);
            let pool = pools.pool_of(topic);
            for slot in first..end {
                let seat = claims.owner(slot).and_then(|owner| pool.members.binary_search(&owner).ok());
                match seat {
                    Some(seat) => {
                        pool.held[seat].push(slot);
                        self.load[pool.members[seat]] += 1;
                    }
                    None => pool.free.push(slot),
                }
            }
        }
    }

    /// Gives what nobody holds to whoever has least.
    fn deal(&mut self, pools: &mut Pools<'_>) {
        for pool in &mut pools.pools {
            let mut least: BinaryHeap<Reverse<(usize, usize)>> = pool
                .members
                .iter()
                .enumerate()
                .map(|(seat, member)| Reverse((self.load[*member], seat)))
                .collect();
            for slot in std::mem::take(&mut pool.free) {
                if let Some(Reverse((load, seat))) = least.pop() {
                    pool.held[seat].push(slot);
                    self.load[pool.members[seat]] = load + 1;
                    least.push(Reverse((load + 1, seat)));
                }
            }
        }
    }

    /// Moves partitions, pool by pool, from whoever has most to whoever has least; whether any was moved.
    fn even_out(&mut self, pools: &mut Pools<'_>) -> bool {
        let mut moved = false;
        for pool in &mut pools.pools {
            moved |= self.even_out_pool(pool);
        }
        moved
    }

    fn even_out_pool(&mut self, pool: &mut Pool) -> bool {
        let seats = || pool.members.iter().enumerate().map(|(seat, member)| (self.load[*member], seat));
        let mut least: BTreeSet<(usize, usize)> = seats().collect();
        let mut givers: BTreeSet<(usize, usize)> =
            seats().filter(|(_, seat)| !pool.held[*seat].is_empty()).collect();
        let mut moved = false;
        while let (Some(&(low, to)), Some(&(high, from))) = (least.first(), givers.last())
            && high >= low + 2
            && let Some(slot) = pool.held[from].pop()
        {
            pool.held[to].push(slot);
            least.remove(&(low, to));
            least.remove(&(high, from));
            givers.remove(&(low, to));
            givers.remove(&(high, from));
            least.insert((low + 1, to));
            least.insert((high - 1, from));
            givers.insert((low + 1, to));
            if !pool.held[from].is_empty() {
                givers.insert((high - 1, from));
            }
            self.load[pool.members[to]] += 1;
            self.load[pool.members[from]] -= 1;
            moved = true;
        }
        moved
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::group::MemberId;
    use crate::group::subscription::Subscription;
    use crate::ids::GroupGeneration;

    fn member(id: &str, generation: i32, owned: &[i32]) -> Candidate {
        let subscription = Subscription {
            topics: [Arc::from("t")].into(),
            owned: owned.iter().map(|index| Partition::new("t", *index)).collect(),
            generation: Some(GroupGeneration(generation)),
            ..Subscription::default()
        };
        Candidate { id: id.into(), instance: None, subscription }
    }

    fn indexes(shares: &Assignments, id: &str) -> Vec<i32> {
        shares[&MemberId::from(id)].iter().map(|partition| partition.index).collect()
    }

    fn of_t(count: i32) -> PartitionCounts {
        [(Arc::from("t"), count)].into()
    }

    #[test]
    fn what_moves_is_withheld_until_its_owner_has_let_go() {
        let first = assign(&[member("a", 1, &[0, 1, 2, 3]), member("b", -1, &[])], &of_t(4));
        assert_eq!(indexes(&first, "a").len(), 2);
        assert_eq!(indexes(&first, "b"), Vec::<i32>::new());
        let kept = indexes(&first, "a");
        let second = assign(&[member("a", 2, &kept), member("b", 2, &[])], &of_t(4));
        assert_eq!(indexes(&second, "a"), kept);
        assert_eq!(indexes(&second, "b").len(), 2);
    }

    #[test]
    fn the_highest_generation_wins_a_claim() {
        let shares = assign(&[member("a", 4, &[0]), member("b", 5, &[0, 1])], &of_t(3));
        assert!(indexes(&shares, "b").contains(&0));
        assert!(!indexes(&shares, "a").contains(&0));
    }

    #[test]
    fn equal_generations_annul_all_claimants() {
        let shares = assign(&[member("a", 5, &[0]), member("b", 5, &[0])], &of_t(2));
        let given: Vec<i32> = [indexes(&shares, "a"), indexes(&shares, "b")].concat();
        assert_eq!(given, [1], "nobody may have 0 while both may hold it");
    }

    #[test]
    fn a_claim_from_an_older_generation_stands_if_nobody_else_claims() {
        let shares = assign(&[member("a", 4, &[0, 1]), member("b", 5, &[2, 3])], &of_t(4));
        assert_eq!(indexes(&shares, "a"), [0, 1]);
        assert_eq!(indexes(&shares, "b"), [2, 3]);
    }

    #[test]
    fn what_its_owner_no_longer_wants_is_withheld_once_too() {
        let mut leaving = member("a", 5, &[0]);
        leaving.subscription.topics = [Arc::from("u")].into();
        let shares = assign(&[leaving, member("b", 5, &[1])], &of_t(2));
        assert_eq!(indexes(&shares, "b"), [1]);
    }

    #[test]
    fn claims_on_what_does_not_exist_are_ignored() {
        let shares = assign(&[member("a", 5, &[-1, 7, i32::MAX])], &of_t(2));
        assert_eq!(indexes(&shares, "a"), [0, 1]);
    }
}
