//! How often to heartbeat. What a member hears of a round it hears by a heartbeat's answer, so the interval
//! is most of what a rebalance costs; a member may heartbeat more often at any time.

use std::time::Duration;

use crate::tick::Tick;

/// How often to heartbeat.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Pace {
    /// `heartbeat.interval.ms`, as it was set.
    Every(Duration),
    /// Slowly while nothing happens, quickly around changes.
    Adaptive {
        /// The interval while nothing happens.
        calm: Duration,
        /// The interval after a sign of change.
        alert: Duration,
        /// How long after the last sign of change.
        lasting: Duration,
    },
}

impl Pace {
    /// Kafka's 3 s, and 200 ms for 10 s after a change: long enough for the members that give partitions up
    /// to drain and to begin the second round of a cooperative rebalance.
    pub const ADAPTIVE: Pace = Pace::Adaptive {
        calm: Duration::from_secs(3),
        alert: Duration::from_millis(200),
        lasting: Duration::from_secs(10),
    };

    /// The interval at `now`, if the last sign of change was at `changed`.
    pub fn interval(self, changed: Option<Tick>, now: Tick) -> Duration {
        match (self, changed) {
            (Pace::Every(interval), _) => interval,
            (Pace::Adaptive { alert, lasting, .. }, Some(changed)) if now.since(changed) < lasting => alert,
            (Pace::Adaptive { calm, .. }, _) => calm,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_quick_for_a_while_after_a_change() {
        let at = |seconds| Tick::at(Duration::from_secs(seconds));
        assert_eq!(Pace::ADAPTIVE.interval(None, at(1)), Duration::from_secs(3));
        assert_eq!(Pace::ADAPTIVE.interval(Some(at(1)), at(10)), Duration::from_millis(200));
        assert_eq!(Pace::ADAPTIVE.interval(Some(at(1)), at(11)), Duration::from_secs(3));
    }

    #[test]
    fn an_explicit_interval_is_kept() {
        let pace = Pace::Every(Duration::from_secs(1));
        assert_eq!(pace.interval(Some(Tick::ZERO), Tick::ZERO), Duration::from_secs(1));
    }
}
