//! How long to wait before something is tried again.

use std::time::Duration;

/// A share from 0 to 1, drawn by the caller: the machines have no randomness of their own.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd)]
pub struct Jitter(f64);

impl Jitter {
    /// The longest wait.
    pub const FULL: Jitter = Jitter(1.0);

    /// `share`, brought into 0 to 1; what is no number becomes 1.
    pub fn new(share: f64) -> Jitter {
        if share.is_nan() { Jitter::FULL } else { Jitter(share.clamp(0.0, 1.0)) }
    }
}

/// Exponential backoff with full jitter: the n-th wait is drawn between nothing and a ceiling that doubles
/// from `first` to `limit`. A fifth of `first` is always waited, so an unlucky row of draws is no busy loop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backoff {
    /// The ceiling of the first wait.
    pub first: Duration,
    /// The ceiling that no wait passes.
    pub limit: Duration,
}

impl Default for Backoff {
    /// From 50 ms to 5 s.
    fn default() -> Backoff {
        Backoff { first: Duration::from_millis(50), limit: Duration::from_secs(5) }
    }
}

impl Backoff {
    /// How long to wait after `failures` earlier ones (0: this was the first).
    pub fn wait(self, failures: u32, jitter: Jitter) -> Duration {
        let doubled = self.first.saturating_mul(2u32.saturating_pow(failures));
        let ceiling = doubled.min(self.limit);
        ceiling.mul_f64(jitter.0).max(self.first.min(self.limit) / 5)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_ceiling_doubles_up_to_the_limit() {
        let waits = (0..9).map(|n| Backoff::default().wait(n, Jitter::FULL).as_millis());
        assert_eq!(waits.collect::<Vec<_>>(), [50, 100, 200, 400, 800, 1600, 3200, 5000, 5000]);
    }

    #[test]
    fn what_is_no_share_is_brought_into_range() {
        assert_eq!(Jitter::new(f64::NAN), Jitter::FULL);
        assert_eq!(Jitter::new(7.0), Jitter::FULL);
        assert_eq!(Jitter::new(-7.0), Jitter::new(0.0));
    }

    proptest! {
        #[test]
        fn a_wait_is_never_nothing_and_never_past_the_limit(failures: u32, share: f64) {
            let wait = Backoff::default().wait(failures, Jitter::new(share));
            prop_assert!(wait >= Duration::from_millis(10) && wait <= Duration::from_secs(5));
        }
    }
}
