//! Who had which partition when, by what the members themselves say, and whether two ever had the same.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, SystemTime};

use serde_json::Value;

use crate::company::{Ours, partitions};
use crate::java::Line;

/// Times are told in whole milliseconds.
const BLUR: Duration = Duration::from_millis(2);

/// One thing that a member says of its partitions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Turn {
    /// When, by its own clock.
    pub at: SystemTime,
    /// Whether it has them from now on, or has them no more.
    pub has: bool,
    /// Which.
    pub partitions: BTreeSet<i64>,
}

/// All that a member said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Log {
    /// Who.
    pub name: String,
    /// In order.
    pub turns: Vec<Turn>,
    /// When it was killed or frozen: from then on it did nothing with what it had.
    pub stopped: Option<SystemTime>,
}

/// Two members that had one partition.
#[derive(Debug, PartialEq, Eq)]
pub struct Doubled {
    /// Which.
    pub partition: i64,
    /// Who, and for how long.
    pub by: (String, String, Duration),
}

impl Log {
    /// What a member says, until now.
    pub fn of(name: &str, turns: Vec<Turn>) -> Log {
        Log { name: name.to_owned(), turns, stopped: None }
    }

    /// The same of one that was killed or frozen then.
    pub fn stopped(self, at: SystemTime) -> Log {
        Log { stopped: Some(at), ..self }
    }

    /// By partition, from when until when it had it.
    fn held(&self) -> Vec<(i64, SystemTime, SystemTime)> {
        let now = SystemTime::now();
        let mut since: BTreeMap<i64, SystemTime> = BTreeMap::new();
        let mut held = Vec::new();
        for turn in &self.turns {
            for partition in &turn.partitions {
                if turn.has {
                    since.entry(*partition).or_insert(turn.at);
                } else if let Some(from) = since.remove(partition) {
                    held.push((*partition, from, turn.at));
                }
            }
        }
        held.extend(since.into_iter().map(|(partition, from)| (partition, from, now)));
        for (_, from, until) in &mut held {
            if let Some(stopped) = self.stopped.filter(|stopped| (*from..*until).contains(stopped)) {
                *until = stopped;
            }
        }
        held
    }
}

/// The partitions that two had at the same time.
pub fn doubled(logs: &[Log]) -> Vec<Doubled> {
    let held: Vec<_> = logs.iter().map(|log| (&log.name, log.held())).collect();
    let mut doubled = Vec::new();
    for (at, (one, ones)) in held.iter().enumerate() {
        for (other, others) in &held[at + 1..] {
            for (partition, from, until) in ones {
                for (_, start, end) in others.iter().filter(|(same, ..)| same == partition) {
                    let both = until.min(end).duration_since(*from.max(start)).unwrap_or_default();
                    if both > BLUR {
                        let by = ((*one).clone(), (*other).clone(), both);
                        doubled.push(Doubled { partition: *partition, by });
                    }
                }
            }
        }
    }
    doubled
}

/// What one of ours says by its events.
pub fn of_ours(ours: &Ours) -> Vec<Turn> {
    let events = ours.service.events().into_iter();
    let turn = |event: crate::service::Event| {
        let has = match event.name.as_str() {
            "partitions.assigned" => true,
            "partitions.revoked" | "partitions.lost" => false,
            _ => return None,
        };
        Some(Turn { at: written(&event.json)?, has, partitions: partitions(&event.json) })
    };
    events.filter_map(turn).collect()
}

/// What a Java member says by its callbacks.
pub fn of_java(lines: &[Line]) -> Vec<Turn> {
    lines.iter().filter_map(turn_of_java).collect()
}

fn turn_of_java(line: &Line) -> Option<Turn> {
    let has = match line.json["event"].as_str()? {
        "assigned" => true,
        "revoked" | "lost" => false,
        _ => return None,
    };
    let at = SystemTime::UNIX_EPOCH + Duration::from_millis(line.json["at_ms"].as_u64()?);
    let partitions = line.json["partitions"].as_array()?.iter().filter_map(Value::as_i64).collect();
    Some(Turn { at, has, partitions })
}

/// When the service wrote the line.
fn written(event: &Value) -> Option<SystemTime> {
    let time = event["timestamp"].as_str()?.parse::<chrono::DateTime<chrono::Utc>>().ok()?;
    Some(SystemTime::UNIX_EPOCH + Duration::from_millis(u64::try_from(time.timestamp_millis()).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_millis(ms)
    }

    fn turn(ms: u64, has: bool, partitions: &[i64]) -> Turn {
        Turn { at: at(ms), has, partitions: partitions.iter().copied().collect() }
    }

    #[test]
    fn a_partition_that_is_handed_over_is_nobody_s_twice() {
        let first = Log::of("first", vec![turn(0, true, &[0, 1]), turn(100, false, &[1])]);
        let second = Log::of("second", vec![turn(99, true, &[1])]);
        assert_eq!(doubled(&[first, second]), []);
    }

    #[test]
    fn who_takes_what_another_still_has_is_found() {
        let first = Log::of("first", vec![turn(0, true, &[0, 1]), turn(100, false, &[1])]);
        let second = Log::of("second", vec![turn(50, true, &[1]), turn(80, false, &[1])]);
        let by = ("first".to_owned(), "second".to_owned(), Duration::from_millis(30));
        assert_eq!(doubled(&[first, second]), [Doubled { partition: 1, by }]);
    }

    #[test]
    fn who_is_frozen_has_nothing_until_it_takes_something_again() {
        let turns = vec![turn(0, true, &[0]), turn(900, false, &[0]), turn(1000, true, &[0])];
        let frozen = Log::of("frozen", turns).stopped(at(100));
        let other = |until| Log::of("other", vec![turn(500, true, &[0]), turn(until, false, &[0])]);
        assert_eq!(doubled(&[frozen.clone(), other(990)]), []);
        assert_eq!(doubled(&[frozen, other(1010)]).len(), 1);
    }
}
