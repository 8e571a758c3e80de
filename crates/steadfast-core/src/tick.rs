//! Time as an input: the machines of this crate own no clock, their callers tell them the time.

use std::fmt;
use std::ops::{Add, Sub};
use std::time::Duration;

/// A moment, as the time since the process began to count. It never goes back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Tick(Duration);

impl Tick {
    /// The moment at which counting began.
    pub const ZERO: Tick = Tick(Duration::ZERO);

    /// The moment `since_start` after counting began.
    pub fn at(since_start: Duration) -> Tick {
        Tick(since_start)
    }

    /// The time since counting began.
    pub fn since_start(self) -> Duration {
        self.0
    }

    /// The time from `earlier` to this moment; zero if `earlier` is in fact later.
    pub fn since(self, earlier: Tick) -> Duration {
        self.0.saturating_sub(earlier.0)
    }
}

impl Add<Duration> for Tick {
    type Output = Tick;

    /// Saturates: a deadline past the end of time is never reached.
    fn add(self, wait: Duration) -> Tick {
        Tick(self.0.saturating_add(wait))
    }
}

impl Sub<Tick> for Tick {
    type Output = Duration;

    fn sub(self, earlier: Tick) -> Duration {
        self.since(earlier)
    }
}

impl fmt::Display for Tick {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.3}s", self.0.as_secs_f64())
    }
}
