//! What a run came to: counted from what was seen, nothing assumed.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::seen::{Delivery, Mark, Seen, Told};
use crate::events::Event;

/// The figures of a run.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Outcome {
    /// Records that the cluster acknowledged to the producer.
    pub(crate) produced: usize,
    /// Records that reached the sink, each counted once.
    pub(crate) consumed: usize,
    /// Acknowledged, and never delivered.
    pub(crate) lost: usize,
    /// Delivered again: once for each time after the first, by offset.
    pub(crate) redelivered: usize,
    /// Delivered for the first time, and after a higher offset of the same partition.
    pub(crate) disordered: usize,
    /// Consumers that were replaced because of drift.
    pub(crate) respawns: usize,
    /// Rounds of the group after the first join.
    pub(crate) rebalances: usize,
    /// By partition, from the move to the first delivery of a record that was written after it.
    pub(crate) resumed: BTreeMap<i32, Duration>,
    /// Partitions that were written to after the move.
    pub(crate) written_after: BTreeSet<i32>,
    /// From the move to the first delivery of the last partition that was written to after it; none when a
    /// partition did not come back.
    pub(crate) recovery: Option<Duration>,
    /// The phases of the first respawn, as the service measured them.
    pub(crate) phases: Option<Phases>,
    /// What did not go as it should, beside that.
    pub(crate) trouble: Vec<String>,
}

/// The phases of a respawn, and when it was over.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Phases {
    /// From the first suspicion to the begin of its discovery.
    pub(crate) detect: Duration,
    /// From there to the agreed view.
    pub(crate) discover: Duration,
    /// From there until the successor was connected and ready to fetch.
    pub(crate) verify: Duration,
    /// From there until every partition was the successor's.
    pub(crate) handover: Duration,
    /// From there to the last partition's first accepted answer; none if that was not seen in time.
    pub(crate) first_record: Option<Duration>,
    /// When all of it was over, from the demo's begin.
    pub(crate) over: Duration,
}

impl Phases {
    /// When the first suspicion was, from the demo's begin.
    pub(crate) fn begin(&self) -> Duration {
        let all =
            self.detect + self.discover + self.verify + self.handover + self.first_record.unwrap_or_default();
        self.over.saturating_sub(all)
    }

    /// Each phase by its name, with its begin from the demo's begin, in order.
    pub(crate) fn named(&self) -> Vec<(&'static str, Duration, Duration)> {
        let phases = [
            ("detect", Some(self.detect)),
            ("discover", Some(self.discover)),
            ("verify", Some(self.verify)),
            ("handover", Some(self.handover)),
            ("first record", self.first_record),
        ];
        let mut begin = self.begin();
        let mut named = Vec::new();
        for (name, length) in phases.into_iter().filter_map(|(name, length)| Some((name, length?))) {
            named.push((name, begin, length));
            begin += length;
        }
        named
    }
}

impl Outcome {
    /// Counts.
    pub(crate) fn of(seen: &Seen) -> Outcome {
        let acked: BTreeSet<Mark> = seen.acked.iter().map(|acked| acked.mark).collect();
        let delivered: BTreeSet<Mark> = seen.deliveries.iter().map(|delivery| delivery.mark).collect();
        let order = Order::of(&seen.deliveries);
        let written_after = written_after(seen);
        let resumed = resumed(seen);
        let whole = !written_after.is_empty() && written_after.iter().all(|one| resumed.contains_key(one));
        let last =
            resumed.iter().filter(|(one, _)| written_after.contains(one)).map(|(_, after)| *after).max();
        Outcome {
            produced: acked.len(),
            consumed: order.consumed,
            lost: acked.difference(&delivered).count(),
            redelivered: order.redelivered,
            disordered: order.disordered,
            respawns: drift_respawns(&seen.told).count(),
            rebalances: rebalances(seen),
            recovery: last.filter(|_| whole),
            resumed,
            written_after,
            phases: drift_respawns(&seen.told).find_map(phases),
            trouble: seen.trouble.clone(),
        }
    }

    /// Every record came once and in order, all partitions came back, and the group noticed nothing.
    pub(crate) fn holds(&self) -> bool {
        let wrong = self.lost + self.redelivered + self.disordered + self.rebalances;
        let came_back = self.recovery.is_some() || self.written_after.is_empty();
        wrong == 0 && came_back && self.trouble.is_empty()
    }
}

/// How the deliveries of each partition follow one another.
#[derive(Default)]
struct Order {
    consumed: usize,
    redelivered: usize,
    disordered: usize,
}

impl Order {
    fn of(deliveries: &[Delivery]) -> Order {
        let mut order = Order::default();
        let mut offsets: BTreeMap<i32, BTreeSet<i64>> = BTreeMap::new();
        for Delivery { mark, offset, .. } in deliveries {
            let seen = offsets.entry(mark.partition).or_default();
            let last = seen.last().copied();
            if !seen.insert(*offset) {
                order.redelivered += 1;
                continue;
            }
            order.consumed += 1;
            order.disordered += usize::from(last.is_some_and(|last| last > *offset));
        }
        order
    }
}

/// The service's word and the coordinator's: the worse of the two.
fn rebalances(seen: &Seen) -> usize {
    let rebalanced = |told: &&Told| matches!(told.event, Event::GroupRebalanced { .. });
    let told = seen.told.iter().filter(rebalanced).count();
    told.max(seen.rounds).saturating_sub(1)
}

fn written_after(seen: &Seen) -> BTreeSet<i32> {
    let Some(moved) = &seen.moved else { return BTreeSet::new() };
    seen.acked.iter().filter(|acked| acked.sent > moved.closed).map(|acked| acked.mark.partition).collect()
}

fn resumed(seen: &Seen) -> BTreeMap<i32, Duration> {
    let Some(moved) = &seen.moved else { return BTreeMap::new() };
    let late: BTreeSet<Mark> =
        seen.acked.iter().filter(|acked| acked.sent > moved.closed).map(|acked| acked.mark).collect();
    let mut first = BTreeMap::new();
    for delivery in seen.deliveries.iter().filter(|delivery| late.contains(&delivery.mark)) {
        first.entry(delivery.mark.partition).or_insert(delivery.at.saturating_sub(moved.at));
    }
    first
}

fn drift_respawns(told: &[Told]) -> impl Iterator<Item = &Told> {
    told.iter().filter(|told| matches!(told.event, Event::ConsumerRespawned { reason: "drift", .. }))
}

fn phases(told: &Told) -> Option<Phases> {
    let Event::ConsumerRespawned { detect_ms, discover_ms, verify_ms, handover_ms, first_record_ms, .. } =
        told.event
    else {
        return None;
    };
    Some(Phases {
        detect: millis(detect_ms),
        discover: millis(discover_ms),
        verify: millis(verify_ms),
        handover: millis(handover_ms),
        first_record: first_record_ms.map(millis),
        over: told.at,
    })
}

fn millis(ms: f64) -> Duration {
    Duration::try_from_secs_f64(ms / 1e3).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::demo::sample::{self, acked, delivery, ms, rebalanced, respawned};

    #[test]
    fn a_clean_run_holds_and_its_recovery_is_the_last_partitions() {
        let outcome = Outcome::of(&sample::clean());
        assert!(outcome.holds(), "{outcome:?}");
        assert_eq!((outcome.produced, outcome.consumed), (8, 8));
        assert_eq!((outcome.lost, outcome.redelivered, outcome.disordered, outcome.rebalances), (0, 0, 0, 0));
        assert_eq!((outcome.respawns, outcome.recovery), (1, Some(ms(52))));
        assert_eq!(outcome.resumed, BTreeMap::from([(0, ms(41)), (1, ms(52))]));
    }

    #[test]
    fn a_record_that_was_under_way_is_no_recovery() {
        let mut seen = sample::clean();
        // Written before the old endpoints were closed, delivered after.
        seen.acked.push(acked(1, 9, 1_000));
        seen.deliveries.insert(4, delivery(1, 9, 1_004));
        assert_eq!(Outcome::of(&seen).resumed[&1], ms(52));
    }

    #[test]
    fn a_partition_that_does_not_come_back_is_no_recovery() {
        let mut seen = sample::clean();
        seen.deliveries.retain(|delivery| delivery.mark.partition == 0 || delivery.at < ms(1_000));
        let outcome = Outcome::of(&seen);
        assert_eq!((outcome.recovery, outcome.lost, outcome.consumed), (None, 2, 6));
        assert!(!outcome.holds());
    }

    #[test]
    fn a_partition_without_records_after_the_move_is_not_waited_for() {
        let mut seen = sample::clean();
        seen.acked.retain(|acked| acked.mark.partition == 0 || acked.sent < ms(1_000));
        seen.deliveries.retain(|delivery| delivery.mark.partition == 0 || delivery.at < ms(1_000));
        assert_eq!(Outcome::of(&seen).recovery, Some(ms(41)));
    }

    #[test]
    fn an_offset_that_came_twice_was_redelivered() {
        let mut seen = sample::clean();
        seen.deliveries.push(delivery(0, 1, 1_900));
        let outcome = Outcome::of(&seen);
        assert_eq!((outcome.redelivered, outcome.consumed, outcome.disordered), (1, 8, 0));
        assert!(!outcome.holds());
    }

    #[test]
    fn a_lower_offset_that_comes_later_is_out_of_order() {
        let mut seen = sample::clean();
        seen.deliveries.swap(0, 2);
        let outcome = Outcome::of(&seen);
        assert_eq!((outcome.disordered, outcome.redelivered, outcome.lost), (1, 0, 0));
        assert!(!outcome.holds());
    }

    #[test]
    fn a_second_round_is_a_rebalance_whoever_tells_of_it() {
        let mut seen = sample::clean();
        seen.rounds = 2;
        assert_eq!(Outcome::of(&seen).rebalances, 1);
        let mut seen = sample::clean();
        seen.told.push(rebalanced(1_500));
        let outcome = Outcome::of(&seen);
        assert_eq!(outcome.rebalances, 1);
        assert!(!outcome.holds());
    }

    #[test]
    fn only_drift_counts_as_a_respawn_and_the_first_ones_phases_are_told() {
        let mut seen = sample::clean();
        seen.told.push(respawned("crash", 1_800));
        seen.told.push(respawned("drift", 1_900));
        let outcome = Outcome::of(&seen);
        assert_eq!(outcome.respawns, 2);
        let phases = outcome.phases.unwrap();
        assert_eq!((phases.over, phases.begin()), (ms(1_050), ms(1_004)));
        let named: Vec<_> = phases.named().into_iter().map(|(name, begin, _)| (name, begin)).collect();
        assert_eq!(named[2], ("verify", ms(1_020)));
        assert_eq!(named[4], ("first record", ms(1_035)));
    }

    #[test]
    fn without_a_move_there_is_no_recovery() {
        let mut seen = sample::clean();
        seen.moved = None;
        seen.trouble.push("it did not come to it".to_owned());
        let outcome = Outcome::of(&seen);
        assert_eq!(outcome.recovery, None);
        assert!(!outcome.holds());
    }
}
