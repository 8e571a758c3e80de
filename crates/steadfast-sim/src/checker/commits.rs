//! What the coordinator stores.

use std::collections::{BTreeMap, BTreeSet};

use steadfast_core::acked::Span;
use steadfast_core::ids::{GroupGeneration, Offset, Partition};
use steadfast_core::tick::Tick;

use super::Checker;
use super::deliveries::name;
use super::happening::{Service, Source};
use super::violation::{Broken, Invariant, ensure};

/// What was stored for one partition.
#[derive(Debug)]
pub(super) struct Stored {
    pub(super) now: Offset,
    /// Everything that was ever stored.
    ever: BTreeSet<Offset>,
    first: Tick,
    /// When the commit of what is stored was asked for, at the latest; none: nobody knows, or its log is another one.
    asked: Option<Turn>,
    /// Where it stood before it was lowered, and since when it is.
    lowered: Option<(Offset, Tick)>,
}

/// The place of a question among all questions.
type Turn = u64;

/// The commits that were asked for and not seen to be stored, each with its turn.
#[derive(Debug, Default)]
pub(super) struct Asks {
    turns: Turn,
    open: BTreeMap<(Service, Partition), Vec<(Offset, Turn)>>,
}

impl Asks {
    pub(super) fn ask(&mut self, service: Service, partition: Partition, offset: Offset) {
        self.turns += 1;
        self.open.entry((service, partition)).or_default().push((offset, self.turns));
    }

    /// The first and the last question that may be the one that is answered now: each is answered once at most, but
    /// some are never. The present turn if there is none.
    fn answer(&mut self, commit: &Commit<'_>) -> (Turn, Turn) {
        let open = self.open.entry((commit.service, commit.partition.clone())).or_default();
        let same = |(offset, _): &(Offset, Turn)| *offset == commit.offset;
        let last = open.iter().rev().find(|ask| same(ask)).map_or(self.turns, |(_, turn)| *turn);
        let first = open.iter().position(same).map_or(self.turns, |place| open.remove(place).1);
        (first, last)
    }
}

/// One commit of one partition.
pub(super) struct Commit<'a> {
    pub(super) service: Service,
    pub(super) generation: GroupGeneration,
    pub(super) partition: &'a Partition,
    pub(super) offset: Offset,
    pub(super) before: Option<Offset>,
}

impl Checker {
    pub(super) fn committed(&mut self, commit: &Commit<'_>, at: Tick) -> Result<(), Broken> {
        let Commit { service, generation, partition, offset, .. } = *commit;
        let live = self.group.epoch(service).or(self.group.generation);
        ensure(live.is_none_or(|live| live == generation), Invariant::CommitInGeneration, || {
            format!("{} commits {partition} in generation {generation} of {live:?}", name(service))
        })?;
        let owner = self.group.owner(partition).filter(|owner| *owner != service);
        ensure(owner.is_none(), Invariant::CommitOfOwner, || {
            format!("{} commits {offset} for {partition}, which {owner:?} was given", name(service))
        })?;
        // Once a partition is stopped because its log lost records, a commit speaks of the log as it was: the leader
        // epoch in it says so to whoever begins there (KIP-320).
        let stopped = self.quarantined.contains(partition) && self.excuses.log_since(partition, Tick::ZERO);
        let open = self
            .log
            .get(partition)
            .filter(|_| !stopped)
            .and_then(|history| history.first_open(Span::new(Offset(0), offset), |_, _| false));
        ensure(open.is_none(), Invariant::CommitOfAcked, || {
            format!("{} commits {offset} for {partition} though {open:?} is not acked", name(service))
        })?;
        self.store(commit, at)
    }

    /// A lower offset is a late arrival: it was asked for before the one that it lowers.
    fn store(&mut self, commit: &Commit<'_>, at: Tick) -> Result<(), Broken> {
        let Commit { service, partition, offset, before, .. } = *commit;
        let (first, last) = self.asks.answer(commit);
        let stored = self.stored.entry(partition.clone()).or_insert_with(|| Stored {
            now: offset,
            ever: before.into_iter().collect(),
            first: at,
            asked: None,
            lowered: None,
        });
        let asked = stored.asked.replace(last);
        stored.now = offset;
        stored.ever.insert(offset);
        if let Some(before) = before.filter(|before| offset < *before) {
            let (height, since) = stored.lowered.unwrap_or((before, at));
            stored.lowered = Some((height.max(before), since));
            self.excuses.lowered(partition, at);
        }
        if stored.lowered.is_some_and(|(height, _)| offset >= height) {
            stored.lowered = None;
        }
        let late = before.is_none_or(|before| before <= offset) || asked.is_none_or(|asked| first < asked);
        ensure(late, Invariant::CommitMended, || {
            format!("{} asked for {offset} of {partition} after {before:?} was asked for", name(service))
        })
    }

    /// The log is another one from here on: a lower offset is right.
    pub(super) fn pardon_lowering(&mut self, partition: &Partition) {
        if let Some(stored) = self.stored.get_mut(partition) {
            (stored.lowered, stored.asked) = (None, None);
        }
    }

    /// What was lowered while nothing is broken is raised again in time.
    pub(super) fn lowered_are_mended(&self, calm: Tick, at: Tick) -> Result<(), Broken> {
        for (partition, stored) in &self.stored {
            let Some((height, since)) = stored.lowered else { continue };
            ensure(at <= since.max(calm) + self.limits.mend, Invariant::CommitMended, || {
                format!("{partition} was lowered from {height} at {since} and is at {}", stored.now)
            })?;
        }
        Ok(())
    }

    pub(super) fn claims_are_stored(
        &self,
        service: Service,
        partition: &Partition,
        claimed: Option<Offset>,
    ) -> Result<(), Broken> {
        let Some(claimed) = claimed else { return Ok(()) };
        let highest = self.stored.get(partition).and_then(|stored| stored.ever.last().copied());
        ensure(highest.is_some_and(|highest| claimed <= highest), Invariant::CommitClaimed, || {
            format!("{} takes {claimed} of {partition} for committed, stored was {highest:?}", name(service))
        })
    }

    pub(super) fn started(
        &mut self,
        service: Service,
        partition: &Partition,
        offset: Offset,
        source: Source,
    ) -> Result<(), Broken> {
        self.quarantined.remove(partition);
        let stored = self.stored.get(partition);
        let fine = match source {
            Source::Committed => stored.is_some_and(|stored| stored.ever.contains(&offset)),
            Source::Earliest | Source::Latest => {
                let since = self.group.owned_since(service, partition);
                stored.zip(since).is_none_or(|(stored, since)| stored.first >= since)
            }
        };
        ensure(fine, Invariant::StartsAtCommitted, || {
            let ever = stored.map(|stored| &stored.ever);
            format!("{} begins {partition} at {offset} ({source:?}), stored was {ever:?}", name(service))
        })?;
        if source == Source::Latest
            && let Some(history) = self.log.get_mut(partition)
        {
            history.forgo(offset);
        }
        Ok(())
    }
}
