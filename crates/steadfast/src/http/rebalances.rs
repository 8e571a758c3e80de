//! What finished rebalances add up to.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use steadfast_core::tick::Tick;

use crate::events::Rebalance;
use crate::vitals::{Counted, Durations};

/// Counts rebalances as they end.
#[derive(Default)]
pub(super) struct Rebalances {
    sums: Mutex<Sums>,
    phases: [Durations; PHASES.len()],
}

/// What was counted so far.
#[derive(Debug, Clone, Default)]
pub(super) struct Sums {
    /// The last ones, the latest last.
    pub(super) last: VecDeque<(Tick, Rebalance)>,
    /// Partitions by what became of them.
    pub(super) partitions: BTreeMap<&'static str, u64>,
    /// Offsets that came again, by how well that is known.
    pub(super) handed_again: BTreeMap<&'static str, u64>,
    pub(super) unavailable_partition_seconds: f64,
    pub(super) phases: BTreeMap<&'static str, Counted>,
}

/// The phases of a rebalance.
pub(super) const PHASES: [&str; 7] =
    ["drain", "join", "sync", "revoke", "commit", "handlers", "first_record"];
/// What becomes of partitions.
const FATES: [&str; 5] = ["taken_up", "given_up", "kept", "lost", "undrained"];
const CERTAINTIES: [&str; 3] = ["exact", "at_least", "unknown"];
/// So many are remembered.
const REMEMBERED: usize = 5;

impl Rebalances {
    /// One is over.
    pub(super) fn count(&self, rebalance: &Rebalance, now: Tick) {
        for (durations, took_ms) in self.phases.iter().zip(phases(rebalance)) {
            let took = took_ms.map(|took_ms| Duration::try_from_secs_f64(took_ms / 1e3).unwrap_or_default());
            took.into_iter().for_each(|took| durations.add(took));
        }
        let mut sums = self.sums.lock().unwrap_or_else(PoisonError::into_inner);
        let fates =
            [rebalance.taken_up, rebalance.given_up, rebalance.kept, rebalance.lost, rebalance.undrained];
        for (fate, partitions) in FATES.into_iter().zip(fates) {
            *sums.partitions.entry(fate).or_default() += partitions as u64;
        }
        let certainty = CERTAINTIES.into_iter().find(|known| *known == rebalance.handed_again_certainty);
        *sums.handed_again.entry(certainty.unwrap_or("unknown")).or_default() += rebalance.handed_again;
        sums.unavailable_partition_seconds += rebalance.unavailable_partition_seconds;
        sums.last.push_back((now, rebalance.clone()));
        if sums.last.len() > REMEMBERED {
            sums.last.pop_front();
        }
    }

    /// What was counted so far.
    pub(super) fn sums(&self) -> Sums {
        let mut sums = self.sums.lock().unwrap_or_else(PoisonError::into_inner).clone();
        for fate in FATES {
            sums.partitions.entry(fate).or_default();
        }
        for certainty in CERTAINTIES {
            sums.handed_again.entry(certainty).or_default();
        }
        sums.phases = PHASES.into_iter().zip(self.phases.iter().map(Durations::counted)).collect();
        sums
    }
}

fn phases(of: &Rebalance) -> [Option<f64>; PHASES.len()] {
    // Who is not eager drains nothing before it joins.
    let drain = Some(of.drain_ms).filter(|_| of.protocol == "eager");
    [
        drain,
        Some(of.join_ms),
        Some(of.sync_ms),
        of.revoke_ms,
        of.commit_ms,
        of.handlers_ms,
        of.first_record_ms,
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn phases_that_were_not_gone_through_do_not_count_and_the_last_ones_are_remembered() {
        let rebalances = Rebalances::default();
        for generation in 1..=7 {
            let rebalance = Rebalance {
                generation,
                protocol: "cooperative".to_owned(),
                join_ms: 20.0,
                taken_up: 2,
                handed_again: 3,
                handed_again_certainty: "at_least".to_owned(),
                unavailable_partition_seconds: 0.5,
                ..Rebalance::default()
            };
            rebalances.count(&rebalance, Tick::ZERO);
        }
        let sums = rebalances.sums();
        assert_eq!((sums.phases["join"].count(), sums.phases["drain"].count()), (7, 0));
        assert_eq!((sums.partitions["taken_up"], sums.partitions["kept"]), (14, 0));
        assert_eq!((sums.handed_again["at_least"], sums.handed_again["exact"]), (21, 0));
        assert_eq!(sums.unavailable_partition_seconds, 3.5);
        let last: Vec<i32> = sums.last.iter().map(|(_, rebalance)| rebalance.generation).collect();
        assert_eq!(last, [3, 4, 5, 6, 7]);
    }
}
