//! What the status line says.

use std::collections::VecDeque;
use std::sync::atomic::Ordering;
use std::time::Duration;

use steadfast_core::tick::Tick;

use crate::service::Control;
use crate::vitals::Reading;

/// A rate is that of the last so many looks.
const LOOKS: usize = 8;

/// How fast records come, from look to look.
#[derive(Debug, Default)]
pub(super) struct Pace(VecDeque<Look>);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Look {
    at: Tick,
    records: u64,
    bytes: u64,
}

/// Everything that is said.
#[derive(Debug, Clone, PartialEq)]
struct Said {
    /// None before two looks.
    records_per_second: Option<f64>,
    bytes_per_second: Option<f64>,
    /// None while no end of a log is known.
    lag: Option<i64>,
    partitions: usize,
    incarnation: u64,
    quarantined: usize,
    state: String,
}

impl Pace {
    /// Looks once more, and says it in at most `width` columns.
    pub(super) fn line(&mut self, control: &Control, width: usize) -> String {
        let table = control.progress();
        let counted = |count: &std::sync::atomic::AtomicU64| count.load(Ordering::Relaxed);
        let now = table.now();
        let (records, bytes) = (counted(&table.counts.records), counted(&table.counts.bytes));
        let (records_per_second, bytes_per_second) = self.rates(Look { at: now, records, bytes });
        let standings = table.standings();
        let behind = standings.iter().filter_map(|one| Some((one.end?.0 - one.acked?.0).max(0)));
        let behind: Vec<i64> = behind.collect();
        let reading = control.vitals().read(now);
        let said = Said {
            records_per_second,
            bytes_per_second,
            lag: (!behind.is_empty()).then(|| behind.iter().sum()),
            partitions: reading.partitions,
            incarnation: reading.incarnation.0,
            quarantined: reading.quarantined.len(),
            state: state(&reading),
        };
        said.text(width)
    }

    fn rates(&mut self, look: Look) -> (Option<f64>, Option<f64>) {
        self.0.push_back(look);
        if self.0.len() > LOOKS {
            self.0.pop_front();
        }
        let Some(first) = self.0.front() else { return (None, None) };
        let passed = look.at.since(first.at);
        let rate = |now: u64, then: u64| {
            (passed > Duration::ZERO).then(|| now.saturating_sub(then) as f64 / passed.as_secs_f64())
        };
        (rate(look.records, first.records), rate(look.bytes, first.bytes))
    }
}

/// Ready, or what is not as it should be. A partition in quarantine is counted elsewhere.
fn state(reading: &Reading) -> String {
    if reading.draining {
        return "ending".to_owned();
    }
    let failed: Vec<&str> =
        reading.failed().map(|check| check.name).filter(|name| *name != "quarantine").collect();
    if failed.is_empty() { "ready".to_owned() } else { format!("not ready: {}", failed.join(", ")) }
}

impl Said {
    fn text(&self, width: usize) -> String {
        let rate = |rate: Option<f64>| rate.map_or("-".to_owned(), short);
        let lag = self.lag.map_or("-".to_owned(), |lag| short(lag as f64));
        let mut text = format!(
            "{} records/s  {}B/s  lag {lag}  {} partitions  consumer {}  {}",
            rate(self.records_per_second),
            rate(self.bytes_per_second),
            self.partitions,
            self.incarnation,
            self.state
        );
        if self.quarantined > 0 {
            text += &format!("  quarantined {}", self.quarantined);
        }
        // The last column stays free: some terminals go to the next line there.
        text.chars().take(width.saturating_sub(1)).collect()
    }
}

/// Three digits and a thousand's letter, with a blank before it.
fn short(number: f64) -> String {
    const LETTERS: [(f64, &str); 3] = [(1e9, "G"), (1e6, "M"), (1e3, "k")];
    match LETTERS.iter().find(|(size, _)| number >= *size) {
        Some((size, letter)) if number / size < 100.0 => format!("{:.1} {letter}", number / size),
        Some((size, letter)) => format!("{:.0} {letter}", number / size),
        None => format!("{number:.0} "),
    }
    .trim_end()
    .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said() -> Said {
        Said {
            records_per_second: Some(12_345.0),
            bytes_per_second: Some(4_560_000.0),
            lag: Some(120),
            partitions: 12,
            incarnation: 3,
            quarantined: 0,
            state: "ready".to_owned(),
        }
    }

    #[test]
    fn a_line_says_rate_lag_partitions_incarnation_and_state() {
        assert_eq!(said().text(200), "12.3 k records/s  4.6 MB/s  lag 120  12 partitions  consumer 3  ready");
        let other = Said {
            records_per_second: None,
            bytes_per_second: None,
            lag: None,
            quarantined: 2,
            state: "not ready: cluster, fetch".to_owned(),
            ..said()
        };
        assert_eq!(
            other.text(200),
            "- records/s  -B/s  lag -  12 partitions  consumer 3  not ready: cluster, fetch  quarantined 2"
        );
    }

    #[test]
    fn a_line_is_never_as_wide_as_the_terminal() {
        for width in 0..100 {
            assert!(said().text(width).chars().count() <= width.saturating_sub(1));
        }
    }

    #[test]
    fn numbers_are_short() {
        for (number, expected) in [
            (0.0, "0"),
            (999.0, "999"),
            (1_000.0, "1.0 k"),
            (123_456.0, "123 k"),
            (2.5e6, "2.5 M"),
            (7e9, "7.0 G"),
        ] {
            assert_eq!(short(number), expected);
        }
    }

    #[test]
    fn a_rate_is_that_of_the_last_looks() {
        let mut pace = Pace::default();
        let look = |at_ms, records| Look {
            at: Tick::at(Duration::from_millis(at_ms)),
            records,
            bytes: records * 10,
        };
        assert_eq!(pace.rates(look(0, 0)), (None, None));
        assert_eq!(pace.rates(look(500, 50)), (Some(100.0), Some(1_000.0)));
        for quiet in 1..=8 {
            pace.rates(look(500 + quiet * 250, 50));
        }
        assert_eq!(pace.rates(look(3_000, 50)).0, Some(0.0));
    }
}
