//! How long things took, counted in buckets.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Upper bounds in seconds; what takes longer is in a last bucket without one.
const BOUNDS: [f64; 14] =
    [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0, 60.0];
const BUCKETS: usize = BOUNDS.len() + 1;

/// A histogram that is written from any thread for the cost of two additions.
#[derive(Debug, Default)]
pub(crate) struct Durations {
    counts: [AtomicU64; BUCKETS],
    micros: AtomicU64,
}

/// What a histogram has counted so far.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Counted {
    counts: [u64; BUCKETS],
    micros: u64,
}

impl Durations {
    /// Something took so long.
    pub(crate) fn add(&self, took: Duration) {
        let seconds = took.as_secs_f64();
        let bucket = BOUNDS.partition_point(|bound| *bound < seconds);
        if let Some(count) = self.counts.get(bucket) {
            count.fetch_add(1, Ordering::Relaxed);
        }
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        self.micros.fetch_add(micros, Ordering::Relaxed);
    }

    /// What was counted so far.
    pub(crate) fn counted(&self) -> Counted {
        let counts = std::array::from_fn(|bucket| self.counts[bucket].load(Ordering::Relaxed));
        Counted { counts, micros: self.micros.load(Ordering::Relaxed) }
    }
}

impl Counted {
    /// How many.
    pub(crate) fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// How long all of them took together.
    pub(crate) fn seconds(&self) -> f64 {
        Duration::from_micros(self.micros).as_secs_f64()
    }

    /// How many took up to each bound and longer than the one before; the last bound is infinite.
    pub(crate) fn buckets(&self) -> Vec<(f64, u64)> {
        let bounds = BOUNDS.iter().copied().chain([f64::INFINITY]);
        bounds.zip(self.counts).collect()
    }

    /// Both together.
    pub(crate) fn and(mut self, other: &Counted) -> Counted {
        for (count, more) in self.counts.iter_mut().zip(other.counts) {
            *count += more;
        }
        self.micros += other.micros;
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_takes_as_long_as_a_bound_is_within_it() {
        let durations = Durations::default();
        for millis in [0, 1, 2, 250, 60_000, 60_001] {
            durations.add(Duration::from_millis(millis));
        }
        let counted = durations.counted();
        let filled: Vec<(f64, u64)> = counted.buckets().into_iter().filter(|(_, count)| *count > 0).collect();
        assert_eq!(filled, [(0.001, 2), (0.0025, 1), (0.25, 1), (60.0, 1), (f64::INFINITY, 1)]);
        assert_eq!((counted.count(), counted.seconds()), (6, 120.254));
        assert_eq!(counted.clone().and(&counted).count(), 12);
    }
}
