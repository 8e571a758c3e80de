//! What stands in the way of partitions: failures, bad records, targets that are away, quarantine.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use steadfast_core::acked::Span;
use steadfast_core::endpoints::backoff::Jitter;
use steadfast_core::ids::{ConsumerIncarnation, LeaderEpoch, Offset, Partition, TopicId};
use steadfast_core::progress::{Ack, Claim, Lease, Position, State};
use steadfast_core::retry::{Fault, Retry, Verdict};
use steadfast_core::tick::Tick;
use steadfast_watch as watch;

use super::{Cell, ProgressTable, Unplaced, locked};
use crate::consume::letter::Letter;

/// What stands in the way of one partition.
#[derive(Default)]
pub(super) struct Trouble {
    retry: Retry,
    /// What is to be set aside once everything before it is acked.
    letter: Option<Arc<Letter>>,
    away: Option<Away>,
    quarantine: Option<(Tick, String, u32)>,
}

/// Something that records are to go to and that is away.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Away {
    /// Since when, on the clock of the process.
    pub since: Tick,
    /// What was said last.
    pub reason: String,
}

/// A partition in quarantine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Quarantined {
    /// The first offset that is not processed.
    pub offset: Offset,
    /// Since when, on the clock of the process.
    pub since: Tick,
    /// Why.
    pub reason: String,
    /// How often in a row its batches had come back.
    pub failures: u32,
}

/// What follows when a batch came back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Returned {
    pub(crate) verdict: Verdict,
    /// How often in a row batches came back.
    pub(crate) failures: u32,
}

/// A record that is to be set aside, and the lease under which it is.
#[derive(Debug, Clone)]
pub(crate) struct Aside {
    pub(crate) lease: Lease,
    pub(crate) letter: Arc<Letter>,
}

impl Trouble {
    /// Whether the partition is not to be fetched yet.
    pub(super) fn rests(&self, now: Tick) -> bool {
        self.retry.rests(now)
    }

    /// What is to be set aside now that everything below `acked` is processed.
    fn due(&self, acked: Offset) -> Option<&Arc<Letter>> {
        let span = self.retry.due(acked)?;
        self.letter.as_ref().filter(|letter| letter.span == span)
    }
}

impl ProgressTable {
    /// Changes whenever a partition may stand before a bad record.
    pub(crate) fn condemned(&self) -> watch::Receiver<u64> {
        self.condemned.subscribe()
    }

    pub(super) fn condemn(&self) {
        self.condemned.send_modify(|version| *version = version.wrapping_add(1));
    }

    /// The compare-and-set of the partition's progress, up to where the partition may be delivered now.
    pub fn claim(
        &self,
        partition: &Partition,
        incarnation: ConsumerIncarnation,
        from: Position,
        next: Offset,
        last_epoch: LeaderEpoch,
    ) -> Claim {
        let cell = self.made(partition);
        self.update(partition, |progress| {
            let limit = locked(&cell.trouble).retry.limit(progress.acked());
            match limit.filter(|limit| *limit < next) {
                Some(limit) if limit <= from.offset => Claim::Paused,
                // The epoch may be that of a record past the limit: a broker takes an epoch that is too new for an
                // offset it has, and would call one that is too old a truncation.
                Some(limit) => progress.claim(incarnation, from, limit, last_epoch),
                None => progress.claim(incarnation, from, next, last_epoch),
            }
        })
    }

    /// Where `incarnation` should fetch now; none when it should not, for instance because the partition rests
    /// after a cause, or stands before a record that is bad.
    pub fn fetch_from(&self, partition: &Partition, incarnation: ConsumerIncarnation) -> Option<Position> {
        let cell = self.cell(partition)?;
        let progress = locked(&cell.progress);
        let position = progress.fetch_from(incarnation)?;
        let mut trouble = locked(&cell.trouble);
        let limited = trouble.retry.limit(progress.acked()).is_some_and(|limit| limit <= position.offset);
        (!limited && !trouble.retry.rests(self.now())).then_some(position)
    }

    /// A batch came back unprocessed: its lease ends, and the partition goes back to acked. Says what follows;
    /// nothing when the lease had ended before. What is bad is to be set aside as `letter` says of it, and both are
    /// known at once: another verdict finds neither alone.
    pub(crate) fn returned(
        &self,
        partition: &Partition,
        lease: Lease,
        fault: Fault,
        reason: &str,
        letter: impl FnOnce(Span) -> Letter,
    ) -> Option<Returned> {
        let (cell, now, luck) = (self.made(partition), self.now(), Jitter::new((self.luck)()));
        let returned = self.update(partition, |progress| {
            if !progress.returned(lease) {
                return None;
            }
            let mut trouble = locked(&cell.trouble);
            let verdict = trouble.retry.returned(self.rule, fault, progress.acked(), now, luck);
            let (failures, since) = trouble.retry.failures();
            let away = || Away { since: since.unwrap_or(now), reason: reason.to_owned() };
            trouble.away = matches!(fault, Fault::Away).then(away);
            if let Verdict::Bad(span) = verdict {
                trouble.letter = Some(Arc::new(letter(span)));
            }
            Some(Returned { verdict, failures })
        });
        if returned.is_some_and(|returned| matches!(returned.verdict, Verdict::Bad(_))) {
            self.condemn();
        }
        returned
    }

    /// The span was processed under the lease. Says also for how long the target had been away before.
    pub(crate) fn done(&self, partition: &Partition, lease: Lease, span: Span) -> (Ack, Option<Duration>) {
        let (cell, now) = (self.made(partition), self.now());
        let (ack, over, due) = self.update(partition, |progress| {
            let ack = progress.ack(lease, span);
            let mut trouble = locked(&cell.trouble);
            let over = trouble.retry.progressed(progress.acked());
            if ack == Ack::Counted {
                cell.signs.worked(now);
            }
            if over.is_some() {
                trouble.away = None;
            }
            (ack, over, trouble.retry.due(progress.acked()).is_some())
        });
        if due {
            self.condemn();
        }
        (ack, over.map(|since| now.since(since)))
    }

    /// What stands at the position and cannot be delivered at all is bad.
    pub(crate) fn reject(&self, letter: Letter) {
        let (Some(cell), now) = (self.cell(&letter.partition), self.now()) else { return };
        let partition = letter.partition.clone();
        let stands = self.update(&partition, |progress| {
            let stands = progress.lease().is_some() && progress.position().offset == letter.span.from;
            if stands {
                let (fault, mut trouble) = (Fault::Rejected(letter.span), locked(&cell.trouble));
                trouble.retry.returned(self.rule, fault, progress.acked(), now, Jitter::FULL);
                trouble.letter = Some(Arc::new(letter));
            }
            stands
        });
        if stands {
            self.condemn();
        }
    }

    /// The partitions that stand before a bad record, everything before it being acked, and what it is.
    pub(crate) fn due(&self) -> BTreeMap<Partition, Arc<Letter>> {
        let due = |cell: &Cell| {
            let progress = locked(&cell.progress);
            let trouble = locked(&cell.trouble);
            let stands = matches!(progress.state(), State::Running | State::Rewinding);
            trouble.due(progress.acked()).filter(|_| stands).cloned()
        };
        self.cells().into_iter().filter_map(|(partition, cell)| Some((partition, due(&cell)?))).collect()
    }

    /// Claims the bad record before which the partition stands, for whoever sets it aside; again if it was claimed
    /// for that before.
    pub(crate) fn set_aside(&self, partition: &Partition) -> Option<Aside> {
        let cell = self.cell(partition)?;
        self.update(partition, |progress| {
            let letter = Arc::clone(locked(&cell.trouble).due(progress.acked())?);
            let position = progress.position();
            if position.offset == letter.span.next {
                return Some(Aside { lease: progress.lease()?, letter });
            }
            match progress.claim(progress.incarnation(), position, letter.span.next, LeaderEpoch::UNKNOWN) {
                Claim::Granted(grant) => Some(Aside { lease: grant.lease, letter }),
                Claim::FetchFrom(_) | Claim::Paused | Claim::Superseded => None,
            }
        })
    }

    /// What was set aside is where it was to go: it counts as processed, if its lease still lives.
    pub(crate) fn absolve(&self, partition: &Partition, aside: &Aside) {
        let cell = self.made(partition);
        self.update(partition, |progress| {
            if progress.ack(aside.lease, aside.letter.span) == Ack::Counted {
                let mut trouble = locked(&cell.trouble);
                trouble.retry.absolve(aside.letter.span);
                (trouble.letter, trouble.away) = (None, None);
            }
        });
        self.changed();
    }

    /// Where the partition's bad record is to go is away.
    pub(crate) fn dead_letters_away(&self, partition: &Partition, since: Tick, reason: String) {
        if let Some(cell) = self.cell(partition) {
            locked(&cell.trouble).away = Some(Away { since, reason });
        }
    }

    /// The partitions whose target is away, be it that of the records or that of the bad ones.
    pub fn away(&self) -> BTreeMap<Partition, Away> {
        let away = |cell: &Cell| {
            let owned = locked(&cell.progress).state() != State::Unowned;
            locked(&cell.trouble).away.clone().filter(|_| owned)
        };
        self.cells().into_iter().filter_map(|(partition, cell)| Some((partition, away(&cell)?))).collect()
    }

    /// Takes note of why the partition is in quarantine.
    pub(crate) fn note_quarantine(&self, partition: &Partition, reason: &str) {
        if let Some(cell) = self.cell(partition) {
            let mut trouble = locked(&cell.trouble);
            let (failures, _) = trouble.retry.failures();
            trouble.away = None;
            trouble.quarantine = Some((self.now(), reason.to_owned(), failures));
        }
    }

    /// The partitions in quarantine.
    pub fn quarantined(&self) -> BTreeMap<Partition, Quarantined> {
        let quarantined = |cell: &Cell| {
            let progress = locked(&cell.progress);
            let (since, reason, failures) = locked(&cell.trouble).quarantine.clone()?;
            let offset = progress.acked();
            let is = progress.state() == State::Quarantined;
            is.then_some(Quarantined { offset, since, reason, failures })
        };
        let cells = self.cells().into_iter();
        cells.filter_map(|(partition, cell)| Some((partition, quarantined(&cell)?))).collect()
    }

    /// The partition leaves quarantine: it is tried again from acked on as if nothing had failed, once its next
    /// handler has begun. Says whether it was in quarantine, and where it goes on: in another `topic` than it was in
    /// that is to be found, as for a partition of which nothing was ever committed.
    pub(crate) fn release_from_quarantine(
        &self,
        partition: &Partition,
        topic: TopicId,
    ) -> Option<Option<Offset>> {
        let cell = self.cell(partition)?;
        self.update(partition, |progress| {
            (progress.state() == State::Quarantined).then(|| {
                let anew = progress.position().topic.differs(topic);
                if anew {
                    *locked(&cell.unplaced) = Unplaced::NeverCommitted;
                    *locked(&cell.end) = None;
                    progress.resume_anew();
                } else {
                    progress.resume();
                }
                *locked(&cell.trouble) = Trouble::default();
                (!anew).then(|| progress.acked())
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use steadfast_core::ids::{HandlerIncarnation, NodeId};
    use steadfast_core::progress::Progress;
    use steadfast_core::retry::Rule;

    use super::*;
    use crate::consume::letter::Cause;

    const FIRST: ConsumerIncarnation = ConsumerIncarnation(0);

    /// A table with one running partition, and the milliseconds that its clock shows.
    fn running() -> (ProgressTable, Partition, Arc<AtomicU64>) {
        let clock = Arc::new(AtomicU64::new(0));
        let shown = Arc::clone(&clock);
        let now = move || Tick::at(Duration::from_millis(shown.load(Ordering::Relaxed)));
        let table = ProgressTable::new(now, Rule::default(), || 1.0);
        let partition = Partition::new("orders", 0);
        table.begin_at(&partition, Offset(5));
        (table, partition, clock)
    }

    fn span(from: i64, next: i64) -> Span {
        Span::new(Offset(from), Offset(next))
    }

    fn failed(from: i64, next: i64) -> Fault {
        let middle = (next - from > 1).then(|| Offset((from + next) / 2));
        Fault::Failed { records: span(from, next), middle }
    }

    /// Claims up to `next`; the lease and what was granted.
    fn claim(table: &ProgressTable, partition: &Partition, next: i64) -> (Lease, Span) {
        let from = table.fetch_from(partition, FIRST).unwrap();
        match table.claim(partition, FIRST, from, Offset(next), LeaderEpoch::UNKNOWN) {
            Claim::Granted(grant) => (grant.lease, Span::new(from.offset, grant.next)),
            refused => panic!("{refused:?}"),
        }
    }

    fn letter(partition: &Partition, span: Span) -> Letter {
        Letter::of_bytes(partition, NodeId(1), span, b"bad", Cause::of(&"no good"))
    }

    fn verdict(table: &ProgressTable, partition: &Partition, lease: Lease, fault: Fault) -> Option<Verdict> {
        let letter = |span| letter(partition, span);
        table.returned(partition, lease, fault, "no good", letter).map(|returned| returned.verdict)
    }

    #[test]
    fn a_partition_whose_batch_failed_is_not_fetched_before_its_rest_is_over() {
        let (table, partition, clock) = running();
        let (lease, _) = claim(&table, &partition, 9);
        let rest = Verdict::Rest(Duration::from_millis(50));
        assert_eq!(verdict(&table, &partition, lease, failed(5, 9)), Some(rest));
        let from = || table.fetch_from(&partition, FIRST).map(|from| from.offset);
        assert_eq!(from(), None);
        clock.store(50, Ordering::Relaxed);
        assert_eq!(from(), Some(Offset(5)));
        assert_eq!(claim(&table, &partition, 9).1, span(5, 7), "half of what failed");
        assert_eq!(from(), None, "and no more before it is acked");
    }

    #[test]
    fn batches_of_a_lease_that_has_ended_are_one_failure() {
        let (table, partition, clock) = running();
        let (lease, _) = claim(&table, &partition, 9);
        claim(&table, &partition, 12);
        assert!(verdict(&table, &partition, lease, failed(5, 9)).is_some());
        assert_eq!(verdict(&table, &partition, lease, failed(9, 12)), None);
        clock.store(50, Ordering::Relaxed);
        let (lease, _) = claim(&table, &partition, 9);
        let rest = Verdict::Rest(Duration::from_millis(100));
        assert_eq!(verdict(&table, &partition, lease, failed(5, 7)), Some(rest));
    }

    #[test]
    fn a_new_assignment_begins_without_failures() {
        let (table, partition, _) = running();
        let (lease, _) = claim(&table, &partition, 9);
        verdict(&table, &partition, lease, failed(5, 9));
        table.update(&partition, Progress::release);
        table.begin_at(&partition, Offset(5));
        assert_eq!(claim(&table, &partition, 9).1, span(5, 9));
    }

    #[test]
    fn a_bad_record_is_set_aside_once_everything_before_it_is_acked_and_what_is_behind_it_waits() {
        let (table, partition, _) = running();
        claim(&table, &partition, 7);
        let (lease, _) = claim(&table, &partition, 12);
        assert_eq!(table.done(&partition, lease, span(7, 9)).0, Ack::Counted);
        verdict(&table, &partition, lease, Fault::Rejected(span(9, 10)));
        assert!(table.due().is_empty() && table.set_aside(&partition).is_none(), "5 and 6 are not acked");
        let (lease, granted) = claim(&table, &partition, 12);
        assert_eq!(granted, span(5, 9));
        table.done(&partition, lease, granted);
        assert_eq!(table.due().len(), 1);
        let aside = table.set_aside(&partition).unwrap();
        let again = table.set_aside(&partition).unwrap();
        assert_eq!(again.lease, aside.lease, "whoever sets it aside may crash");
        assert_eq!(table.fetch_from(&partition, FIRST), None);
        assert_eq!(table.read(&partition, Progress::acked), Some(Offset(9)), "nothing is acked meanwhile");
        table.absolve(&partition, &aside);
        assert_eq!(table.read(&partition, Progress::acked), Some(Offset(10)));
        assert_eq!((table.due().len(), claim(&table, &partition, 12).1), (0, span(10, 12)));
    }

    #[test]
    fn of_two_verdicts_the_later_one_has_its_own_letter() {
        let (table, partition, _) = running();
        let (lease, _) = claim(&table, &partition, 9);
        verdict(&table, &partition, lease, Fault::Rejected(span(7, 8)));
        let (lease, granted) = claim(&table, &partition, 9);
        assert_eq!(granted, span(5, 7));
        verdict(&table, &partition, lease, Fault::Rejected(span(5, 6)));
        assert_eq!(table.due().get(&partition).map(|letter| letter.span), Some(span(5, 6)));
    }

    #[test]
    fn what_was_set_aside_under_a_lease_that_has_ended_is_set_aside_again() {
        let (table, partition, _) = running();
        let (lease, _) = claim(&table, &partition, 9);
        verdict(&table, &partition, lease, Fault::Rejected(span(5, 6)));
        let aside = table.set_aside(&partition).unwrap();
        table.handler_up(&partition, HandlerIncarnation(2));
        table.absolve(&partition, &aside);
        assert_eq!(table.read(&partition, Progress::acked), Some(Offset(5)));
        assert!(table.set_aside(&partition).is_some());
    }

    #[test]
    fn a_partition_released_from_quarantine_begins_anew_from_acked_with_another_handler() {
        let (table, partition, _) = running();
        let (lease, _) = claim(&table, &partition, 9);
        verdict(&table, &partition, lease, failed(5, 9));
        table.update(&partition, Progress::quarantine);
        table.note_quarantine(&partition, "no good");
        let told = table.quarantined();
        assert_eq!((told[&partition].offset, told[&partition].failures), (Offset(5), 1));
        assert_eq!(table.release_from_quarantine(&partition, TopicId::UNKNOWN), Some(Some(Offset(5))));
        assert_eq!(table.release_from_quarantine(&partition, TopicId::UNKNOWN), None);
        assert_eq!(table.fetch_from(&partition, FIRST), None, "it has no handler yet");
        table.handler_up(&partition, HandlerIncarnation(2));
        assert_eq!(claim(&table, &partition, 9).1, span(5, 9));
    }

    #[test]
    fn a_target_is_away_until_something_is_acked() {
        let (table, partition, clock) = running();
        let (lease, _) = claim(&table, &partition, 9);
        verdict(&table, &partition, lease, Fault::Away);
        assert_eq!(table.away()[&partition].reason, "no good");
        clock.store(70, Ordering::Relaxed);
        let (lease, granted) = claim(&table, &partition, 9);
        assert_eq!(granted, span(5, 9), "the records are not to blame");
        assert_eq!(table.done(&partition, lease, granted).1, Some(Duration::from_millis(70)));
        assert!(table.away().is_empty());
    }
}
