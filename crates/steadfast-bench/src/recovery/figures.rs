//! The figures of one case, and what they are held against.

use std::time::Duration;

use crate::scene::Proof;

/// What the times of a case are held against.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Target {
    /// The median has to be under it.
    pub median: Duration,
    /// Every single time has to be under it.
    pub all: Duration,
}

impl Target {
    /// Median and all under the same.
    pub const fn all(limit: Duration) -> Target {
        Target { median: limit, all: limit }
    }
}

/// One kind of time, one for each move.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Figures {
    /// What was measured.
    pub what: &'static str,
    /// By move.
    pub times: Vec<Duration>,
    /// What it has to hold; a figure without is told for comparison.
    pub target: Option<Target>,
}

impl Figures {
    /// The middle one; of an even number the mean of the two in the middle.
    pub fn median(&self) -> Duration {
        let mut times = self.times.clone();
        times.sort();
        let half = times.len() / 2;
        match times.len() {
            0 => Duration::ZERO,
            even if even % 2 == 0 => (times[half - 1] + times[half]) / 2,
            _ => times[half],
        }
    }

    /// The longest one.
    pub fn worst(&self) -> Duration {
        self.times.iter().max().copied().unwrap_or_default()
    }

    /// What the target misses, in words.
    pub fn missed(&self) -> Vec<String> {
        let Some(target) = self.target else { return Vec::new() };
        let held = [("median", self.median(), target.median), ("worst", self.worst(), target.all)];
        let missed = held.into_iter().filter(|(_, found, limit)| found >= limit);
        missed
            .map(|(name, found, limit)| {
                format!("{}: {name} expected under {limit:?}, found {found:.1?}", self.what)
            })
            .collect()
    }
}

/// What one case came to.
#[derive(Debug, Clone, PartialEq)]
pub struct Outcome {
    /// The case's name.
    pub case: &'static str,
    /// How many moves were made.
    pub moves: usize,
    /// How many respawns they have to cost: exactly so many.
    pub respawns: usize,
    /// Its figures.
    pub figures: Vec<Figures>,
    /// What was counted.
    pub proof: Proof,
    /// The machine's load average over the minute before, and at the end.
    pub load: (f64, f64),
}

impl Outcome {
    /// What is not as it should be, in words.
    pub fn missed(&self) -> Vec<String> {
        let mut missed: Vec<String> = self.figures.iter().flat_map(Figures::missed).collect();
        if !self.proof.holds() {
            missed.push(format!(
                "expected nothing lost, redelivered or rebalanced, and an end in order; found {:?}",
                self.proof
            ));
        }
        if self.proof.respawns != self.respawns {
            missed.push(format!("expected {} respawns, found {}", self.respawns, self.proof.respawns));
        }
        missed.into_iter().map(|missed| format!("{}: {missed}", self.case)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figures(ms: &[u64], target: Target) -> Figures {
        let times = ms.iter().copied().map(Duration::from_millis).collect();
        Figures { what: "a pause", times, target: Some(target) }
    }

    fn target(median: u64, all: u64) -> Target {
        Target { median: Duration::from_millis(median), all: Duration::from_millis(all) }
    }

    #[test]
    fn the_median_of_an_even_number_lies_between() {
        let figures = figures(&[40, 10, 30, 90], target(1, 1));
        assert_eq!((figures.median().as_millis(), figures.worst().as_millis()), (35, 90));
    }

    #[test]
    fn a_limit_that_is_reached_is_missed() {
        assert!(figures(&[10, 20, 30], target(21, 31)).missed().is_empty());
        let missed = figures(&[10, 20, 30], target(20, 30)).missed();
        assert_eq!(missed.len(), 2, "{missed:?}");
    }

    #[test]
    fn a_respawn_too_many_is_missed() {
        let proof = Proof {
            acknowledged: 9,
            delivered: 9,
            lost: 0,
            redelivered: 0,
            disordered: 0,
            rebalances: 0,
            respawns: 2,
            ended_well: true,
        };
        let mut outcome = Outcome {
            case: "refuse",
            moves: 2,
            respawns: 2,
            figures: vec![figures(&[10], target(20, 20))],
            proof,
            load: (0.0, 0.0),
        };
        assert!(outcome.missed().is_empty());
        outcome.proof.respawns = 3;
        assert_eq!(outcome.missed(), ["refuse: expected 2 respawns, found 3"]);
        outcome.proof = Proof { lost: 1, ..proof };
        assert_eq!(outcome.missed().len(), 1);
    }
}
