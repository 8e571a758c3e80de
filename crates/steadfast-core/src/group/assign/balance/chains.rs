//! Evening out where no single move helps: one member gives to a second, which gives to a third. As long as
//! there is a chain from a member to one that has two less, some assignment is more even; once there is none,
//! there is no other (semi-matchings: Harvey, Ladner, Lovasz and Tamir).

use std::collections::VecDeque;

use super::{Claims, Moving, Pools, Shares};

/// How much may be looked at for each partition and seat there is, before the balance is taken as it is:
/// members may ask for what makes it long.
const EFFORT: usize = 16;

/// Follows chains until none helps.
pub(super) fn even_out(shares: &mut Shares, pools: &mut Pools<'_>, claims: &Claims, moving: Moving) {
    let seats: usize = pools.pools.iter().map(|pool| pool.members.len()).sum();
    let mut effort = EFFORT * (pools.slots + seats);
    if pools.pools.len() < 2 {
        return; // without a second pool all moves are single
    }
    let seats = Seats::new(pools, shares.load.len());
    while let Some(chain) = Search::new(shares, pools, &seats, moving).chain(&mut effort) {
        for link in chain {
            let pool = &mut pools.pools[link.pool];
            let seat = |member| pool.members.binary_search(&member);
            let (Ok(from), Ok(to)) = (seat(link.from), seat(link.to)) else { return };
            if !pool.pass(from, to, claims, moving) {
                return;
            }
            shares.load[link.from] -= 1;
            shares.load[link.to] += 1;
        }
    }
}

/// In which pools each member sits, and where there.
struct Seats(Vec<Vec<(usize, usize)>>);

impl Seats {
    fn new(pools: &Pools<'_>, members: usize) -> Seats {
        let mut seats = vec![Vec::new(); members];
        for (number, pool) in pools.pools.iter().enumerate() {
            for (seat, member) in pool.members.iter().enumerate() {
                seats[*member].push((number, seat));
            }
        }
        Seats(seats)
    }
}

/// One partition of the pool goes from one member to another.
#[derive(Clone, Copy)]
struct Link {
    pool: usize,
    from: usize,
    to: usize,
    /// Whether `from` holds it since before.
    kept: bool,
}

/// How a member was reached: without and with something kept in the chain.
type Reached = [Option<Link>; 2];

struct Search<'a> {
    shares: &'a Shares,
    pools: &'a Pools<'a>,
    seats: &'a Seats,
    moving: Moving,
    reached: Vec<Reached>,
    begun: Vec<bool>,
    /// The pools of which all members are reached, likewise.
    spread: [Vec<bool>; 2],
}

impl<'a> Search<'a> {
    fn new(shares: &'a Shares, pools: &'a Pools<'a>, seats: &'a Seats, moving: Moving) -> Search<'a> {
        let members = shares.load.len();
        let spread = [vec![false; pools.pools.len()], vec![false; pools.pools.len()]];
        let (reached, begun) = (vec![[None; 2]; members], vec![false; members]);
        Search { shares, pools, seats, moving, reached, begun, spread }
    }

    /// A chain that helps, its last link first. What was reached in vain from a fuller member leads no
    /// emptier one anywhere, so all of it is looked at once.
    fn chain(mut self, effort: &mut usize) -> Option<Vec<Link>> {
        let mut fullest: Vec<usize> = (0..self.shares.load.len()).collect();
        fullest.sort_by_key(|member| std::cmp::Reverse(self.shares.load[*member]));
        let least = self.shares.load.iter().min()?;
        for first in fullest {
            if self.shares.load[first] < least + 2 {
                return None;
            }
            if let Some((last, kept)) = self.follow(first, effort) {
                return Some(self.links(last, kept));
            }
        }
        None
    }

    fn follow(&mut self, first: usize, effort: &mut usize) -> Option<(usize, usize)> {
        self.begun[first] = true;
        let mut next = VecDeque::from([(first, 0)]);
        while let Some((member, kept)) = next.pop_front() {
            for (number, seat) in &self.seats.0[member] {
                let pool = &self.pools.pools[*number];
                *effort = effort.checked_sub(1)?;
                let from_kept = pool.held[*seat].free.is_empty();
                let then = kept + usize::from(from_kept);
                if !pool.held[*seat].may_give(self.moving) || then > 1 || self.spread[then][*number] {
                    continue;
                }
                self.spread[then][*number] = true;
                *effort = effort.checked_sub(pool.members.len())?;
                for to in &pool.members {
                    if self.begun[*to] || self.reached[*to][then].is_some() {
                        continue;
                    }
                    self.reached[*to][then] =
                        Some(Link { pool: *number, from: member, to: *to, kept: from_kept });
                    if self.shares.load[*to] + 2 <= self.shares.load[first] {
                        return Some((*to, then));
                    }
                    next.push_back((*to, then));
                }
            }
        }
        None
    }

    fn links(&self, last: usize, kept: usize) -> Vec<Link> {
        let (mut links, mut member, mut kept) = (Vec::new(), last, kept);
        while let Some(link) = self.reached[member][kept] {
            links.push(link);
            (member, kept) = (link.from, kept - usize::from(link.kept));
        }
        links
    }
}
