//! A group whose members come and go, and who has what in it.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::time::{Duration, Instant, SystemTime};

use super::client::Client;
use super::member::{Member, Place, Rounds};
use super::window::{Given, owners};
use crate::ground::PARTITIONS;

/// Between two looks. Times are taken when a record comes, not when it is looked at.
const LOOK: Duration = Duration::from_millis(50);
/// For so long everybody has what it has before that is believed.
pub const STEADY: Duration = Duration::from_secs(2);
/// A partition from which nothing came for so long is nobody's.
const FRESH: Duration = Duration::from_secs(1);

/// The members of one group.
pub struct Group {
    client: Client,
    place: Place,
    /// Those that are in it, by the order in which they came.
    here: BTreeMap<usize, Box<dyn Member>>,
    next: usize,
    given: Vec<Given>,
    /// What those said of rebalances who are gone.
    gone: Vec<Rounds>,
}

impl Group {
    /// An empty one.
    pub fn new(client: Client, place: Place) -> Group {
        Group { client, place, here: BTreeMap::new(), next: 0, given: Vec::new(), gone: Vec::new() }
    }

    /// Somebody who can join.
    ///
    /// # Errors
    /// It cannot be made ready.
    pub fn prepare(&self) -> io::Result<Box<dyn Member>> {
        self.client.prepare(&self.place)
    }

    /// Somebody joins: when it was told to.
    ///
    /// # Errors
    /// It cannot.
    pub fn join(&mut self, mut member: Box<dyn Member>) -> io::Result<SystemTime> {
        let at = SystemTime::now();
        member.join()?;
        self.here.insert(self.next, member);
        self.next += 1;
        Ok(at)
    }

    /// The oldest member is told to leave: when it was, and itself.
    ///
    /// # Errors
    /// It cannot, or there is none.
    pub fn leave(&mut self) -> io::Result<(SystemTime, Leaver)> {
        let (number, mut member) =
            self.here.pop_first().ok_or_else(|| io::Error::other("nobody is there who could leave"))?;
        let at = SystemTime::now();
        member.leave()?;
        Ok((at, Leaver { number, member }))
    }

    /// How many are there.
    pub fn count(&self) -> usize {
        self.here.len()
    }

    /// All that was given so far, in the order of its time.
    pub fn given(&mut self) -> &[Given] {
        self.look();
        self.given.sort_by_key(|(_, delivered)| delivered.at);
        &self.given
    }

    /// Takes in what was given to one that has left.
    ///
    /// # Errors
    /// It does not end in order.
    pub fn dismiss(&mut self, leaver: Leaver) -> io::Result<()> {
        let number = leaver.number;
        self.gone.push(leaver.member.rounds());
        self.given.extend(leaver.member.end()?.into_iter().map(|delivered| (number, delivered)));
        Ok(())
    }

    /// The group's generation and, of all members, the rounds that they went through.
    pub fn rounds(&self) -> Rounds {
        let here = self.here.values().map(|member| member.rounds());
        here.chain(self.gone.iter().copied()).fold(Rounds::default(), |all, one| Rounds {
            generation: all.generation.max(one.generation),
            count: all.count + one.count,
            took_ms: all.took_ms + one.took_ms,
        })
    }

    /// Waits until all partitions have been shared evenly by all who are there, for a while.
    ///
    /// # Errors
    /// They have not within `limit`.
    pub fn await_balance(&mut self, limit: Duration) -> io::Result<()> {
        let end = Instant::now() + limit;
        let mut since = Instant::now();
        while since.elapsed() < STEADY {
            std::thread::sleep(LOOK);
            self.look();
            if !self.is_balanced() {
                since = Instant::now();
            }
            if Instant::now() > end {
                return Err(self.unbalanced(limit));
            }
        }
        Ok(())
    }

    fn unbalanced(&self, limit: Duration) -> io::Error {
        let stories: Vec<String> = self.here.values().map(|member| member.story()).collect();
        let (title, shares, stories) = (self.client.title(), self.shares(), stories.join("\n--\n"));
        io::Error::other(format!("{title}: not balanced within {limit:?}: {shares:?}\n{stories}"))
    }

    /// Ends everybody, in order.
    ///
    /// # Errors
    /// Somebody does not end in order.
    pub fn disband(mut self) -> io::Result<Vec<Given>> {
        while self.count() > 0 {
            let (_, leaver) = self.leave()?;
            self.dismiss(leaver)?;
        }
        self.given.sort_by_key(|(_, delivered)| delivered.at);
        Ok(self.given)
    }

    fn look(&mut self) {
        for (number, member) in &mut self.here {
            self.given.extend(member.fresh().into_iter().map(|delivered| (*number, delivered)));
        }
    }

    /// The partitions from which each was given something lately, if nobody else was after that.
    fn shares(&self) -> BTreeMap<usize, BTreeSet<i32>> {
        let since = SystemTime::now() - FRESH;
        let mut lately: Vec<&Given> =
            self.given.iter().rev().take(8192).filter(|(_, delivered)| delivered.at > since).collect();
        lately.sort_by_key(|(_, delivered)| delivered.at);
        let mut shares: BTreeMap<usize, BTreeSet<i32>> = BTreeMap::new();
        for (partition, owner) in owners(lately.into_iter()) {
            shares.entry(owner).or_default().insert(partition);
        }
        shares
    }

    fn is_balanced(&self) -> bool {
        let shares = self.shares();
        let fair = PARTITIONS.unsigned_abs() as usize / self.count().max(1);
        let even = shares.values().all(|share| share.len() == fair || share.len() == fair + 1);
        let whole = shares.values().map(BTreeSet::len).sum::<usize>() == PARTITIONS.unsigned_abs() as usize;
        even && whole && shares.keys().eq(self.here.keys())
    }
}

/// A member that was told to leave.
pub struct Leaver {
    number: usize,
    member: Box<dyn Member>,
}
