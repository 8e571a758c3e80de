//! What is counted while a scenario is played: from outside, by what reaches handlers, brokers and the wire.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use kafka_protocol::messages::ApiKey;
use steadfast_core::endpoints::view::Address;
use steadfast_core::ids::{Offset, Partition};
use steadfast_core::tick::Tick;
use steadfast_sim::call::ConnectionId;
use steadfast_sim::notice::Notice;

use super::journal::{Answer, Happening, What};
use super::tap::{Wire, WireEvent};

/// Everything that was counted, from the moment at which the scenario began.
#[derive(Debug, Clone, Default)]
pub struct Figures {
    /// The moments from which recovery counts, in order.
    pub marks: Vec<Mark>,
    /// The longest that a record waited from its append until it was processed.
    pub longest_wait: Duration,
    /// Consumers that were replaced because of drift.
    pub respawns: u32,
    /// Drifts that a consumer took in place.
    pub adaptations: u32,
    /// Generations that the group's coordinator began.
    pub rebalances: u32,
    /// When somebody asked everybody who may know better: a discovery, or its next round.
    pub discoveries: BTreeSet<Tick>,
    /// Connections that brokers accepted.
    pub connections: BySecond,
    /// Metadata requests that were written.
    pub metadata: BySecond,
    /// Commits that were asked for.
    pub commits: u32,
    /// Actors that were begun anew.
    pub restarts: u32,
    /// Services that were begun.
    pub starts: u32,
    /// Commits that are not answered, by connection and correlation id.
    hanging: BTreeSet<(ConnectionId, i32)>,
    waiting: BTreeMap<(Partition, Offset), Tick>,
}

/// What services did, by second and service.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BySecond(BTreeMap<u64, BTreeMap<Arc<str>, u32>>);

impl BySecond {
    fn count(&mut self, second: u64, service: &Arc<str>) {
        *self.0.entry(second).or_default().entry(Arc::clone(service)).or_default() += 1;
    }

    /// The most in a second, by all services together.
    pub fn most(&self) -> u32 {
        self.0.values().map(|services| services.values().sum()).max().unwrap_or(0)
    }

    /// The most in a second, by any one service.
    pub fn most_of_one(&self) -> u32 {
        self.0.values().flat_map(BTreeMap::values).copied().max().unwrap_or(0)
    }
}

/// A moment from which recovery counts: at it a record is appended to every partition.
#[derive(Debug, Clone)]
pub struct Mark {
    /// When.
    pub at: Tick,
    /// The partitions whose record is not processed yet: where it is, and by how many it still has to be.
    pub open: BTreeMap<Partition, (Offset, u32)>,
    /// When the last of them was.
    pub done: Option<Tick>,
}

impl Mark {
    /// From the moment to the first record on every partition; none if one is still waited for.
    pub fn recovery(&self) -> Option<Duration> {
        self.done.map(|done| done.since(self.at))
    }
}

impl Figures {
    /// Counts what happened.
    pub(super) fn count(&mut self, happening: &Happening, bootstrap: &BTreeSet<Address>) {
        let Happening { at, what } = happening;
        match what {
            What::Appended(partition, span) => {
                let offsets = (span.from.0..span.next.0).map(Offset);
                self.waiting.extend(offsets.map(|offset| ((partition.clone(), offset), *at)));
            }
            What::Answered(batch, Answer::Done) => {
                for offset in &*batch.offsets {
                    self.processed(&batch.partition, *offset, *at);
                }
            }
            What::Logged(line) => self.said(line.name(), line.text()),
            What::Noticed(Notice::RoundCompleted { .. }) => self.rebalances += 1,
            What::Wire(wire) => self.crossed(wire, *at, bootstrap),
            What::Started(_) => self.starts += 1,
            What::Answered(..) | What::Delivered(_) | What::Ended(..) => {}
            What::Rewritten(..) | What::Injected(_) | What::Noticed(_) => {}
        }
    }

    /// From now on recovery counts, until each of these records is processed.
    pub(super) fn mark(&mut self, at: Tick, open: BTreeMap<Partition, (Offset, u32)>) {
        self.marks.push(Mark { at, open, done: None });
    }

    fn processed(&mut self, partition: &Partition, offset: Offset, at: Tick) {
        if let Some(since) = self.waiting.remove(&(partition.clone(), offset)) {
            self.longest_wait = self.longest_wait.max(at.since(since));
        }
        for mark in self.marks.iter_mut().filter(|mark| mark.done.is_none()) {
            let Some((first, left)) = mark.open.get_mut(partition) else { continue };
            if *first == offset {
                *left = left.saturating_sub(1);
            }
            if *left == 0 {
                mark.open.remove(partition);
            }
            if mark.open.is_empty() {
                mark.done = Some(at);
            }
        }
    }

    fn said(&mut self, name: &str, text: &str) {
        match name {
            "consumer.respawned" if text.contains("\"reason\":\"drift\"") => self.respawns += 1,
            "endpoint.drifted" if text.contains("\"action\":\"adapt\"") => self.adaptations += 1,
            "actor.restarted" => self.restarts += 1,
            _ => {}
        }
    }

    fn crossed(&mut self, wire: &Wire, at: Tick, bootstrap: &BTreeSet<Address>) {
        let second = at.since_start().as_secs();
        match &wire.event {
            WireEvent::Dialled if bootstrap.contains(&wire.to) => drop(self.discoveries.insert(at)),
            WireEvent::Opened => self.connections.count(second, &wire.service),
            WireEvent::Asked { api, .. } if *api == ApiKey::Metadata as i16 => {
                self.metadata.count(second, &wire.service);
            }
            WireEvent::Asked { correlation, commits, .. } if !commits.is_empty() => {
                self.commits += 1;
                self.hanging.insert((wire.connection, *correlation));
            }
            WireEvent::Answered { correlation } => {
                self.hanging.remove(&(wire.connection, *correlation));
            }
            WireEvent::Dialled | WireEvent::Asked { .. } | WireEvent::Closed => {}
        }
    }

    /// The longest recovery; none if nothing was marked, or one was not seen to end.
    pub fn recovery(&self) -> Option<Duration> {
        self.marks.iter().map(Mark::recovery).collect::<Option<Vec<_>>>()?.into_iter().max()
    }

    /// How many commits were asked for and not answered, up to now.
    pub fn hanging_commits(&self) -> usize {
        self.hanging.len()
    }

    /// The most discoveries within any `window`.
    pub fn most_discoveries(&self, window: Duration) -> usize {
        let within = |from: &Tick| self.discoveries.range(*from..*from + window).count();
        self.discoveries.iter().map(within).max().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Tick {
        Tick::at(Duration::from_millis(millis))
    }

    #[test]
    fn a_recovery_ends_with_the_first_record_of_the_last_partition() {
        let mut figures = Figures::default();
        let [a, b] = [0, 1].map(|index| Partition::new("orders", index));
        figures.mark(at(100), [(a.clone(), (Offset(5), 1)), (b.clone(), (Offset(7), 2))].into());
        figures.processed(&a, Offset(4), at(110));
        figures.processed(&a, Offset(5), at(120));
        figures.processed(&b, Offset(7), at(130));
        assert_eq!(figures.recovery(), None, "one more is to process it");
        figures.processed(&b, Offset(7), at(150));
        assert_eq!(figures.recovery(), Some(Duration::from_millis(50)));
    }

    #[test]
    fn the_worst_second_of_all_need_not_be_that_of_any_one() {
        let mut counted = BySecond::default();
        for (second, service) in [(1, "a"), (1, "a"), (1, "a"), (2, "a"), (2, "a"), (2, "b"), (2, "b")] {
            counted.count(second, &service.into());
        }
        assert_eq!((counted.most(), counted.most_of_one()), (4, 3));
    }

    #[test]
    fn discoveries_are_counted_by_window() {
        let figures = Figures { discoveries: [0, 4_000, 6_000, 20_000].map(at).into(), ..Figures::default() };
        assert_eq!(figures.most_discoveries(Duration::from_secs(5)), 2);
        assert_eq!(figures.most_discoveries(Duration::from_secs(1)), 1);
    }
}
