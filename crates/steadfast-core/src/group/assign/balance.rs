//! Balanced, moving as little as can be: what both sticky assignors do.
//!
//! Claims: the highest generation wins, equal generations annul all claimants (KAFKA-14016), since both may
//! hold the partition.
//!
//! Members are served in the order of their loads, per set of topics that the same members want, so the cost
//! grows with partitions and not with members times partitions. Where members want different topics, loads
//! are evened out by single moves until none helps, then by chains of them. What nobody held before moves
//! first, since that costs nobody anything; of what somebody holds, one partition at most goes into a chain.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::Arc;

use super::{Assignments, Candidate, PartitionCounts, assignments, in_order, wanted};
use crate::group::subscription::Subscription;
use crate::ids::{GroupGeneration, Partition};

mod chains;

/// Passes over all pools before the balance is taken as it is. Every move lowers the sum of squared loads,
/// so passes end by themselves; real groups need two or three.
const MOST_PASSES: usize = 64;

/// Where a subscription says what its member holds, and since which generation.
pub(super) type Held = fn(&Subscription) -> (&BTreeSet<Partition>, Option<GroupGeneration>);

/// Who is to have what in the end.
pub(super) struct Balance<'a> {
    members: Vec<&'a Candidate>,
    pools: Pools<'a>,
    claims: Claims,
}

impl<'a> Balance<'a> {
    /// Shares what there is, beginning with what everybody holds.
    pub(super) fn of(members: &'a [Candidate], counts: &PartitionCounts, held: Held) -> Balance<'a> {
        let members = in_order(members);
        let mut pools = Pools::new(&members, counts);
        let claims = Claims::read(&members, &pools, held);
        let mut shares = Shares { load: vec![0; members.len()] };
        shares.keep(&mut pools, &claims);
        shares.deal(&mut pools);
        for moving in [Moving::Free, Moving::Any] {
            shares.even_out(&mut pools, &claims, moving);
            chains::even_out(&mut shares, &mut pools, &claims, moving);
        }
        Balance { members, pools, claims }
    }

    /// All of it.
    pub(super) fn whole(&self) -> Assignments {
        self.given(|_slot, _member| true)
    }

    /// All but what somebody else may still hold.
    pub(super) fn unclaimed(&self) -> Assignments {
        self.given(|slot, member| self.claims.may_go_to(slot, member))
    }

    fn given(&self, may_go_to: impl Fn(Slot, usize) -> bool) -> Assignments {
        let mut owners = vec![None; self.pools.slots];
        for pool in &self.pools.pools {
            for (held, member) in pool.held.iter().zip(&pool.members) {
                for slot in held.kept.iter().chain(&held.free).filter(|slot| may_go_to(**slot, *member)) {
                    owners[*slot] = Some(*member);
                }
            }
        }
        let mut lists: Vec<Vec<Partition>> = vec![Vec::new(); self.members.len()];
        for place in 0..self.pools.topics.len() {
            let slots = self.pools.slots_of(place);
            for (index, owner) in (0..).zip(&owners[slots]) {
                if let Some(owner) = owner {
                    lists[*owner].push(Partition::new(self.pools.topics[place].0.clone(), index));
                }
            }
        }
        assignments(&self.members, lists)
    }
}

/// What may be moved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Moving {
    /// What its holder did not hold before.
    Free,
    /// Everything.
    Any,
}

/// A partition's place in the row of all wanted partitions, topics in order.
type Slot = usize;

/// All wanted partitions, by the set of members that want them.
struct Pools<'a> {
    /// The topics in order, with the first slot of each.
    topics: Vec<(&'a Arc<str>, Slot)>,
    slots: usize,
    /// Which pool each topic belongs to.
    pool_of_topic: Vec<usize>,
    pools: Vec<Pool>,
}

/// Topics that the same members want: any of these members may have any of their partitions.
struct Pool {
    /// The members, by their place; a member's index here is its seat.
    members: Vec<usize>,
    /// What each seat has by now.
    held: Vec<Slots>,
    /// What nobody has yet.
    open: Vec<Slot>,
}

/// What a seat has.
#[derive(Default, Clone)]
struct Slots {
    /// It had these before.
    kept: Vec<Slot>,
    /// These it did not have: they may as well go elsewhere.
    free: Vec<Slot>,
}

impl Slots {
    fn may_give(&self, moving: Moving) -> bool {
        !self.free.is_empty() || (moving == Moving::Any && !self.kept.is_empty())
    }

    fn take(&mut self, moving: Moving) -> Option<Slot> {
        let kept = |slots: &mut Slots| (moving == Moving::Any).then(|| slots.kept.pop()).flatten();
        self.free.pop().or_else(|| kept(self))
    }
}

impl Pool {
    /// Lets a seat give one of what it has to another.
    fn pass(&mut self, from: usize, to: usize, claims: &Claims, moving: Moving) -> bool {
        let Some(slot) = self.held[from].take(moving) else { return false };
        match claims.owner(slot) == Some(self.members[to]) {
            true => self.held[to].kept.push(slot),
            false => self.held[to].free.push(slot),
        }
        true
    }
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
        let mut pool_of_topic = vec![0; topics.len()];
        // those that few members want are dealt first: the others have more ways to even things out
        let mut sorted: Vec<_> = by_members.into_iter().collect();
        sorted.sort_by_key(|(by, _)| by.len());
        let mut pools = Vec::with_capacity(sorted.len());
        for (by, of_pool) in sorted {
            for topic in of_pool {
                pool_of_topic[topic] = pools.len();
            }
            pools.push(Pool { held: vec![Slots::default(); by.len()], members: by, open: Vec::new() });
        }
        Pools { topics, slots, pool_of_topic, pools }
    }

    /// The slots of the topic at this place.
    fn slots_of(&self, place: usize) -> Range<Slot> {
        let end = self.topics.get(place + 1).map_or(self.slots, |(_, next)| *next);
        self.topics[place].1..end
    }

    /// The slots of those of `partitions` that exist and that somebody wants.
    fn slots(&self, partitions: &'a BTreeSet<Partition>) -> impl Iterator<Item = Slot> {
        // both are in the order of topics
        let mut place = 0;
        partitions.iter().filter_map(move |partition| {
            while self.topics.get(place).is_some_and(|(topic, _)| ***topic < *partition.topic) {
                place += 1;
            }
            self.topics.get(place).filter(|(topic, _)| ***topic == *partition.topic)?;
            let slots = self.slots_of(place);
            let slot = slots.start.checked_add(usize::try_from(partition.index).ok()?)?;
            slots.contains(&slot).then_some(slot)
        })
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
    fn read(members: &[&Candidate], pools: &Pools<'_>, held: Held) -> Claims {
        let mut claims = vec![Claim::Nobody; pools.slots];
        for (member, candidate) in members.iter().enumerate() {
            let (owned, generation) = held(&candidate.subscription);
            let generation = generation.map_or(-1, |generation| generation.0);
            for slot in pools.slots(owned) {
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
            let slots = pools.slots_of(topic);
            let pool = pools.pool_of(topic);
            for slot in slots {
                let seat = claims.owner(slot).and_then(|owner| pool.members.binary_search(&owner).ok());
                match seat {
                    Some(seat) => {
                        pool.held[seat].kept.push(slot);
                        self.load[pool.members[seat]] += 1;
                    }
                    None => pool.open.push(slot),
                }
            }
        }
    }

    /// Gives what nobody holds to whoever has least, the first of several.
    fn deal(&mut self, pools: &mut Pools<'_>) {
        for pool in &mut pools.pools {
            let mut open = std::mem::take(&mut pool.open).into_iter().peekable();
            let mut waiting: Vec<(usize, usize)> =
                pool.members.iter().enumerate().map(|(seat, member)| (self.load[*member], seat)).collect();
            waiting.sort_unstable_by(|one, other| other.cmp(one));
            // those that have least by now, all of them equally much
            let mut least: Vec<usize> = Vec::new();
            let mut level = waiting.last().map_or(0, |(load, _)| *load);
            while open.peek().is_some() && !pool.members.is_empty() {
                let before = least.len();
                while let Some((_, seat)) = waiting.pop_if(|(load, _)| *load == level) {
                    least.push(seat);
                }
                if least.len() > before {
                    least.sort_unstable();
                }
                for (seat, slot) in least.iter().zip(open.by_ref()) {
                    pool.held[*seat].free.push(slot);
                    self.load[pool.members[*seat]] += 1;
                }
                level += 1;
            }
        }
    }

    /// Moves partitions, pool by pool, from whoever has most to whoever has least.
    fn even_out(&mut self, pools: &mut Pools<'_>, claims: &Claims, moving: Moving) {
        for _pass in 0..MOST_PASSES {
            let mut moved = false;
            for pool in &mut pools.pools {
                moved |= self.even_out_pool(pool, claims, moving);
            }
            if !moved {
                return;
            }
        }
    }

    fn even_out_pool(&mut self, pool: &mut Pool, claims: &Claims, moving: Moving) -> bool {
        let seats = || pool.members.iter().enumerate().map(|(seat, member)| (self.load[*member], seat));
        let (low, high) = (seats().min().unwrap_or_default().0, seats().max().unwrap_or_default().0);
        if high < low + 2 {
            return false;
        }
        let mut least: BTreeSet<(usize, usize)> = seats().collect();
        let mut givers: BTreeSet<(usize, usize)> =
            seats().filter(|(_, seat)| pool.held[*seat].may_give(moving)).collect();
        let mut moved = false;
        while let (Some(&(low, to)), Some(&(high, from))) = (least.first(), givers.last())
            && high >= low + 2
            && pool.pass(from, to, claims, moving)
        {
            for (seat, before, after) in [(to, low, low + 1), (from, high, high - 1)] {
                least.remove(&(before, seat));
                givers.remove(&(before, seat));
                least.insert((after, seat));
                if pool.held[seat].may_give(moving) {
                    givers.insert((after, seat));
                }
                self.load[pool.members[seat]] = after;
            }
            moved = true;
        }
        moved
    }
}
