//! How often a child may crash, and how long to wait before it begins anew. Pure: time and luck come in.

use std::{collections::VecDeque, time::Duration};

use tokio::time::Instant;

/// The restarts a child may have within a window, and the pauses before them.
///
/// A pause is time that passes in the window too: if `restarts` pauses at the backoff's limit add up to
/// more than `window`, the child is restarted for ever, slowly.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Intensity {
    /// Restarts allowed within `window`; one more exit than that and the child is exhausted.
    pub restarts: u32,
    /// How far back exits are counted.
    pub window: Duration,
    /// The pause before each restart.
    pub backoff: Backoff,
}

impl Default for Intensity {
    /// 10 restarts in 60 s, after 10 ms to 5 s, half of each pause random.
    fn default() -> Self {
        let backoff =
            Backoff { first: Duration::from_millis(10), limit: Duration::from_secs(5), jitter: 0.5 };
        Self { restarts: 10, window: Duration::from_secs(60), backoff }
    }
}

/// Pauses that double.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Backoff {
    /// The pause before the first restart in a window.
    pub first: Duration,
    /// No pause is longer.
    pub limit: Duration,
    /// The share of a pause that is left to luck: 0 for none, 1 for "full jitter".
    pub jitter: f64,
}

impl Backoff {
    /// No pause at all.
    pub const NONE: Self = Self { first: Duration::ZERO, limit: Duration::ZERO, jitter: 0.0 };

    /// The pause before a restart that has `earlier` restarts before it in the window.
    /// `luck` is between 0 (the whole pause) and 1 (shortened by the whole jitter).
    #[must_use]
    pub fn delay(&self, earlier: u32, luck: f64) -> Duration {
        let factor = 1_u32.checked_shl(earlier).unwrap_or(u32::MAX);
        let whole = self.first.saturating_mul(factor).min(self.limit);
        whole.mul_f64(1.0 - share(self.jitter) * share(luck)).min(whole)
    }
}

/// A number from 0 to 1, whatever was given.
fn share(number: f64) -> f64 {
    if number.is_nan() { 0.0 } else { number.clamp(0.0, 1.0) }
}

/// What follows an exit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Begin anew after this pause.
    RestartAfter(Duration),
    /// That was one exit too many.
    Exhausted,
}

/// The exits of one child that still count.
#[derive(Clone, Debug, Default)]
pub struct ExitHistory {
    exits: VecDeque<Instant>,
}

impl ExitHistory {
    /// Counts an exit at `now` and says what follows. `now` never goes backwards; `luck` as in
    /// [`Backoff::delay`].
    pub fn record(&mut self, intensity: &Intensity, now: Instant, luck: f64) -> Verdict {
        while self.exits.front().is_some_and(|&exit| now.duration_since(exit) > intensity.window) {
            self.exits.pop_front();
        }
        let earlier = u32::try_from(self.exits.len()).unwrap_or(u32::MAX);
        if earlier >= intensity.restarts {
            return Verdict::Exhausted;
        }
        self.exits.push_back(now);
        Verdict::RestartAfter(intensity.backoff.delay(earlier, luck))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn backoff() -> impl Strategy<Value = Backoff> {
        (0..5_000_u64, 0..60_000_u64, 0.0..=1.0).prop_map(|(first, limit, jitter)| Backoff {
            first: Duration::from_millis(first),
            limit: Duration::from_millis(limit),
            jitter,
        })
    }

    #[test]
    fn pauses_double_up_to_the_limit() {
        let backoff =
            Backoff { first: Duration::from_millis(10), limit: Duration::from_millis(50), jitter: 0.0 };
        let pauses: Vec<_> = (0..5).map(|earlier| backoff.delay(earlier, 0.7).as_millis()).collect();
        assert_eq!(pauses, [10, 20, 40, 50, 50]);
    }

    #[test]
    fn full_jitter_reaches_from_nothing_to_the_whole_pause() {
        let backoff = Backoff { first: Duration::from_secs(1), limit: Duration::from_secs(1), jitter: 1.0 };
        assert_eq!(backoff.delay(0, 0.0), Duration::from_secs(1));
        assert_eq!(backoff.delay(0, 0.25), Duration::from_millis(750));
        assert_eq!(backoff.delay(0, 1.0), Duration::ZERO);
    }

    #[test]
    fn an_exit_leaves_the_count_when_the_window_has_passed_it() {
        let start = Instant::now();
        let second = Duration::from_secs(1);
        let intensity = Intensity { restarts: 1, window: second, backoff: Backoff::NONE };
        let mut history = ExitHistory::default();
        assert_eq!(history.record(&intensity, start, 0.0), Verdict::RestartAfter(Duration::ZERO));
        assert_eq!(history.record(&intensity, start + second, 0.0), Verdict::Exhausted);
        let later = start + second + Duration::from_nanos(1);
        assert_eq!(history.record(&intensity, later, 0.0), Verdict::RestartAfter(Duration::ZERO));
    }

    proptest! {
        #[test]
        fn no_pause_exceeds_the_limit_or_falls_below_the_jitters_share(
            backoff in backoff(), earlier in 0..200_u32, luck in proptest::num::f64::ANY,
        ) {
            let delay = backoff.delay(earlier, luck);
            let whole = backoff.delay(earlier, 0.0);
            prop_assert!(delay <= whole && whole <= backoff.limit);
            prop_assert!(delay + Duration::from_nanos(2) >= whole.mul_f64(1.0 - backoff.jitter));
        }

        #[test]
        fn without_luck_pauses_never_shrink_within_a_window(backoff in backoff(), earlier in 0..200_u32) {
            prop_assert!(backoff.delay(earlier, 0.0) <= backoff.delay(earlier + 1, 0.0));
        }

        #[test]
        fn no_window_ever_holds_more_restarts_than_allowed(
            restarts in 0..6_u32,
            window in 1..2_000_u64,
            gaps in proptest::collection::vec(0..1_000_u64, 1..80),
        ) {
            let window = Duration::from_millis(window);
            let intensity = Intensity { restarts, window, backoff: Backoff::NONE };
            let (mut history, mut now, mut restarted) = (ExitHistory::default(), Instant::now(), Vec::new());
            for gap in gaps {
                now += Duration::from_millis(gap);
                let within = restarted.iter().filter(|&&at| now - at <= window).count();
                let verdict = history.record(&intensity, now, 0.0);
                prop_assert_eq!(verdict == Verdict::Exhausted, within >= restarts as usize);
                if verdict != Verdict::Exhausted {
                    restarted.push(now);
                }
            }
        }
    }
}
