//! How often to heartbeat. What a member hears of a round it hears by a heartbeat's answer, so the interval
//! is most of what a rebalance costs; a member may heartbeat more often at any time.

use std::time::Duration;

use crate::tick::Tick;

/// How often to heartbeat.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Pace {
    /// `heartbeat.interval.ms`, as it was set.
    Every(Duration),
    /// Slowly while nothing happens, quickly around changes, and in step with the group's other members.
    Adaptive {
        /// The interval while nothing happens: a multiple of `alert`, so that who is calm is in step with who is not.
        calm: Duration,
        /// The interval after a sign of change.
        alert: Duration,
        /// How long after the last sign of change.
        lasting: Duration,
    },
}

/// What the pace goes by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Signs {
    /// The last sign of change.
    pub changed: Option<Tick>,
    /// When the last round was complete: all of its members are told in the same moment.
    pub settled: Option<Tick>,
    /// Whether a second round may follow at once, as in the cooperative protocol.
    pub unfinished: bool,
}

/// After a cooperative round, until when the second one is looked for: those who give partitions up join within
/// milliseconds, and nothing of what they gave up is fetched before everybody has heard of it.
const LOOKS: [Duration; 9] = [
    Duration::from_millis(8),
    Duration::from_millis(16),
    Duration::from_millis(24),
    Duration::from_millis(32),
    Duration::from_millis(40),
    Duration::from_millis(50),
    Duration::from_millis(65),
    Duration::from_millis(90),
    Duration::from_millis(120),
];

impl Pace {
    /// Every 300 ms, so that members hear within that of one that joined or left, where Java's clients take 3 s; and
    /// every 150 ms for 10 s after a change: long enough for the members that give partitions up to drain.
    pub const ADAPTIVE: Pace = Pace::Adaptive {
        calm: Duration::from_millis(300),
        alert: Duration::from_millis(150),
        lasting: Duration::from_secs(10),
    };

    /// The interval at `now`.
    pub fn interval(self, signs: Signs, now: Tick) -> Duration {
        match (self, signs.changed) {
            (Pace::Every(interval), _) => interval,
            (Pace::Adaptive { alert, lasting, .. }, Some(changed)) if now.since(changed) < lasting => alert,
            (Pace::Adaptive { calm, .. }, _) => calm,
        }
    }

    /// When the next heartbeat is due after one at `now`. Counted from the end of the last round, so that all members
    /// heartbeat at the same moments, and hear of the next round at the same moment: an eager group stands still
    /// from the first of them until the last.
    pub fn next(self, signs: Signs, now: Tick) -> Tick {
        let interval = self.interval(signs, now);
        let (Pace::Adaptive { .. }, Some(settled)) = (self, signs.settled) else { return now + interval };
        let look = LOOKS.into_iter().filter(|_| signs.unfinished).map(|look| settled + look);
        look.into_iter()
            .find(|look| *look > now)
            .unwrap_or_else(|| settled + past(now.since(settled), interval))
    }
}

/// The first multiple of `interval` that is longer than `time`.
fn past(time: Duration, interval: Duration) -> Duration {
    let whole = time.as_nanos() / interval.as_nanos().max(1) + 1;
    interval.saturating_mul(u32::try_from(whole).unwrap_or(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Tick {
        Tick::at(Duration::from_millis(millis))
    }

    fn signs(changed: u64, settled: u64) -> Signs {
        Signs { changed: Some(at(changed)), settled: Some(at(settled)), unfinished: false }
    }

    #[test]
    fn it_is_quick_for_a_while_after_a_change() {
        let interval = |now| Pace::ADAPTIVE.interval(signs(1000, 1000), at(now));
        assert_eq!(Pace::ADAPTIVE.interval(Signs::default(), at(1)), Duration::from_millis(300));
        assert_eq!(interval(10_999), Duration::from_millis(150));
        assert_eq!(interval(11_000), Duration::from_millis(300));
    }

    #[test]
    fn members_of_one_round_are_in_step_however_late_each_was_last_time_and_whoever_is_calm() {
        for late in [0, 1, 17, 140] {
            assert_eq!(Pace::ADAPTIVE.next(signs(1000, 1000), at(1600 + late)), at(1750));
            assert_eq!(Pace::ADAPTIVE.next(signs(0, 1000), at(11_200 + late)), at(11_500));
        }
        assert_eq!(Pace::ADAPTIVE.next(signs(11_200, 1000), at(11_201)), at(11_350));
        assert_eq!(Pace::ADAPTIVE.next(Signs::default(), at(7)), at(307));
    }

    #[test]
    fn the_second_round_of_a_cooperative_group_is_looked_for_at_once() {
        let signs = Signs { unfinished: true, ..signs(1000, 1000) };
        let mut now = at(1000);
        let mut beats = Vec::new();
        while now < at(1450) {
            now = Pace::ADAPTIVE.next(signs, now);
            beats.push(now.since(at(1000)).as_millis());
        }
        assert_eq!(beats, [8, 16, 24, 32, 40, 50, 65, 90, 120, 150, 300, 450]);
    }

    #[test]
    fn an_explicit_interval_is_kept() {
        let pace = Pace::Every(Duration::from_secs(1));
        assert_eq!(pace.interval(signs(0, 0), Tick::ZERO), Duration::from_secs(1));
        assert_eq!(pace.next(Signs { unfinished: true, ..signs(0, 0) }, at(300)), at(1300));
    }
}
