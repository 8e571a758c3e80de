//! A moment that many may write and read at once.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use steadfast_core::tick::Tick;

/// When something happened last: written where it happens, for the cost of one store.
#[derive(Debug, Default)]
pub(crate) struct Moment {
    /// Microseconds since the process began to count, and one; zero says never.
    after: AtomicU64,
}

impl Moment {
    /// It happened now.
    pub(crate) fn mark(&self, now: Tick) {
        self.after.store(written(now), Ordering::Relaxed);
    }

    /// It goes on since now, if not since an earlier moment.
    pub(crate) fn begin(&self, now: Tick) {
        // Who began it earlier is right.
        let _ = self.after.compare_exchange(0, written(now), Ordering::Relaxed, Ordering::Relaxed);
    }

    /// It is as if it had never happened.
    pub(crate) fn clear(&self) {
        self.after.store(0, Ordering::Relaxed);
    }

    /// When it happened last; none if it never did.
    pub(crate) fn last(&self) -> Option<Tick> {
        let micros = self.after.load(Ordering::Relaxed).checked_sub(1)?;
        Some(Tick::at(Duration::from_micros(micros)))
    }
}

fn written(at: Tick) -> u64 {
    u64::try_from(at.since_start().as_micros()).unwrap_or(u64::MAX).saturating_add(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn second(seconds: u64) -> Tick {
        Tick::at(Duration::from_secs(seconds))
    }

    #[test]
    fn the_last_moment_counts_or_the_first_of_what_goes_on() {
        let moment = Moment::default();
        assert_eq!(moment.last(), None);
        moment.mark(Tick::ZERO);
        assert_eq!(moment.last(), Some(Tick::ZERO));
        moment.mark(second(2));
        moment.begin(second(3));
        assert_eq!(moment.last(), Some(second(2)));
        moment.clear();
        assert_eq!(moment.last(), None);
        moment.begin(second(4));
        assert_eq!(moment.last(), Some(second(4)));
    }
}
