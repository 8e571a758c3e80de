//! What is played, and how long each part of it may take.

use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

/// What becomes of the old endpoints.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Mode {
    /// They refuse, and standing connections are reset.
    Refused,
    /// They accept and stay silent, standing connections too.
    Blackhole,
}

impl Mode {
    /// As the command line names it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Mode::Refused => "refused",
            Mode::Blackhole => "blackhole",
        }
    }
}

/// What is played.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Plan {
    /// Brokers of the cluster, at least 1.
    pub(crate) brokers: i32,
    /// Partitions of the topic, at least 1.
    pub(crate) partitions: i32,
    /// Records that are written in all.
    pub(crate) records: u64,
    /// Records per second, over all partitions; at least 1.
    pub(crate) rate: u32,
    /// What becomes of the old endpoints.
    pub(crate) mode: Mode,
    /// Decides when exactly the endpoints move, and the partitions' rhythm.
    pub(crate) seed: u64,
    /// How long all of it may take: [`LIMIT`] but in tests. A load of more than [`USUAL_LOAD`] may make it longer by
    /// what is over.
    pub(crate) limit: Duration,
}

/// How long a demo may take.
pub(crate) const LIMIT: Duration = Duration::from_secs(15);
/// A load that fits in.
const USUAL_LOAD: Duration = Duration::from_secs(4);
/// For cluster and service to be ready, and for the producer to be connected.
const READY: Duration = Duration::from_secs(4);
const CONNECTED: Duration = Duration::from_secs(6);
/// Of the limit, what is kept to end the service and to tell the story.
const KEPT_FOR_THE_END: Duration = Duration::from_millis(3_500);
const KEPT_FOR_THE_STORY: Duration = Duration::from_millis(300);

impl Plan {
    /// How long the load takes if nothing holds it up.
    pub(crate) fn load(&self) -> Duration {
        Duration::from_secs_f64(self.records as f64 / f64::from(self.rate))
    }

    /// Since the demo's begin: when cluster and service have to be ready.
    pub(crate) fn ready_by(&self) -> Duration {
        READY
    }

    /// Since the demo's begin: when the producer has to be connected to every partition's leader.
    pub(crate) fn connected_by(&self) -> Duration {
        CONNECTED
    }

    /// Since the demo's begin: what is not delivered by then is lost.
    pub(crate) fn delivered_by(&self) -> Duration {
        self.limit() - KEPT_FOR_THE_END
    }

    /// Since the demo's begin: a service that has not ended by then is abandoned.
    pub(crate) fn ended_by(&self) -> Duration {
        self.limit() - KEPT_FOR_THE_STORY
    }

    fn limit(&self) -> Duration {
        self.limit + self.load().saturating_sub(USUAL_LOAD)
    }

    /// How many records are written to a partition.
    pub(crate) fn records_of(&self, partition: i32) -> u64 {
        let (partition, partitions) =
            (u64::from(partition.unsigned_abs()), u64::from(self.partitions.unsigned_abs()));
        self.records / partitions + u64::from(partition < self.records % partitions)
    }

    /// Between two records of a partition.
    pub(crate) fn beat(&self) -> Duration {
        Duration::from_secs(1) * self.partitions.unsigned_abs() / self.rate.max(1)
    }

    /// After how many acknowledged records the endpoints move: about half of them.
    pub(crate) fn move_after(&self) -> u64 {
        let share = StdRng::seed_from_u64(self.seed).random_range(0.45..0.55);
        (self.records as f64 * share) as u64
    }

    /// When a partition's first record is written, from the load's begin: within one beat.
    pub(crate) fn offset_of(&self, partition: i32) -> Duration {
        let seed = self.seed ^ (u64::from(partition.unsigned_abs()) + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        self.beat().mul_f64(StdRng::seed_from_u64(seed).random_range(0.0..1.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::demo::sample::PLAN;

    #[test]
    fn every_record_has_a_partition() {
        for (records, partitions) in [(0, 1), (3, 12), (3000, 12), (3001, 7)] {
            let plan = Plan { records, partitions, ..PLAN };
            assert_eq!((0..partitions).map(|partition| plan.records_of(partition)).sum::<u64>(), records);
        }
    }

    #[test]
    fn the_endpoints_move_in_the_middle_and_a_seed_decides_when() {
        let moves: Vec<u64> = (0..20).map(|seed| Plan { seed, records: 1000, ..PLAN }.move_after()).collect();
        assert!(moves.iter().all(|after| (450..550).contains(after)), "{moves:?}");
        assert!(moves.iter().any(|after| *after != moves[0]));
        assert_eq!(moves[7], Plan { seed: 7, records: 1000, ..PLAN }.move_after());
    }

    #[test]
    fn a_partitions_first_record_is_written_within_one_beat() {
        let offsets: Vec<Duration> = (0..12).map(|partition| PLAN.offset_of(partition)).collect();
        assert!(
            offsets.iter().all(|offset| *offset < PLAN.beat()) && offsets[0] != offsets[1],
            "{offsets:?}"
        );
    }

    #[test]
    fn the_demo_ends_within_15_s_or_by_as_much_later_as_its_load_is_longer() {
        let usual = Plan { records: 4000, rate: 1000, ..PLAN };
        assert!(usual.ready_by() + usual.load() < usual.delivered_by());
        assert!(usual.delivered_by() < usual.ended_by() && usual.ended_by() < Duration::from_secs(15));
        let long = Plan { records: 60_000, ..usual };
        assert_eq!(long.ended_by() - usual.ended_by(), Duration::from_secs(56));
    }
}
