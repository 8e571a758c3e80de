//! The watchdog of positions: records wait, nothing holds the partition back, and its position does not move.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::ids::Partition;
use crate::progress::Position;
use crate::tick::Tick;

/// Notices positions that stand still although they should not (a leader that answers and gives nothing, a
/// connection that is half dead).
#[derive(Debug, Clone)]
pub struct Watchdog {
    limit: Duration,
    still: BTreeMap<Partition, (Position, Tick)>,
}

impl Watchdog {
    /// A position may stand still for `limit`.
    pub fn new(limit: Duration) -> Watchdog {
        Watchdog { limit, still: BTreeMap::new() }
    }

    /// Looks at one partition: `waiting` is its position if records wait for it and it is neither paused nor full.
    /// Says for how long it has stood still once that is the limit or more, and then begins to count anew.
    pub fn look(&mut self, partition: &Partition, waiting: Option<Position>, now: Tick) -> Option<Duration> {
        let Some(position) = waiting else {
            self.still.remove(partition);
            return None;
        };
        let seen = self.still.entry(partition.clone()).or_insert((position, now));
        if seen.0 != position {
            *seen = (position, now);
        }
        let stood = now.since(seen.1);
        if stood < self.limit {
            return None;
        }
        *seen = (position, now);
        Some(stood)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::{FetchGeneration, LeaderEpoch, Offset, TopicId};

    fn at(offset: i64) -> Option<Position> {
        let (generation, leader_epoch) = (FetchGeneration(1), LeaderEpoch(0));
        Some(Position { topic: TopicId(1), generation, offset: Offset(offset), leader_epoch })
    }

    fn seconds(seconds: u64) -> Tick {
        Tick::at(Duration::from_secs(seconds))
    }

    #[test]
    fn a_position_that_stands_still_is_told_once_per_limit() {
        let mut watchdog = Watchdog::new(Duration::from_secs(30));
        let orders = Partition::new("orders", 0);
        let told: Vec<u64> =
            (0..=70).filter(|now| watchdog.look(&orders, at(5), seconds(*now)).is_some()).collect();
        assert_eq!(told, [30, 60]);
    }

    #[test]
    fn one_that_moves_or_waits_for_nothing_is_not() {
        let mut watchdog = Watchdog::new(Duration::from_secs(30));
        let orders = Partition::new("orders", 0);
        for now in 0..100 {
            assert_eq!(watchdog.look(&orders, at((now / 20) as i64), seconds(now)), None);
        }
        for now in 100..200 {
            let waiting = if now % 20 == 0 { None } else { at(9) };
            assert_eq!(watchdog.look(&orders, waiting, seconds(now)), None);
        }
    }
}
