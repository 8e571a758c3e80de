//! What a group's lag says: Burrow's verdicts on a partition, over a sliding window of samples.
//!
//! Burrow (its wiki, "Consumer Lag Evaluation Rules") judges the commits in a window and not a threshold: a lag of a
//! million records is fine while it shrinks, and one of ten is not while nobody commits. In this order:
//!
//! 1. The lag is zero now, or was in the window: [`Verdict::Ok`].
//! 2. A commit is below the one before: [`Verdict::Rewind`].
//! 3. The last commit is longer ago than the commits in the window are apart: [`Verdict::Stop`].
//! 4. The committed offset is the same throughout: [`Verdict::Stall`].
//! 5. The lag is at no commit smaller than at the commit before: [`Verdict::Warn`].
//! 6. Otherwise: [`Verdict::Ok`].
//!
//! Burrow reads the commits themselves. Whoever asks brokers sees only what is committed at the moment, so here a
//! commit is a sample whose offset differs from the one before, and the first sample; an offset that is committed
//! again unchanged cannot be seen. What tells a consumer that hangs from one that is gone is then whether a member
//! holds the partition: held, and nothing moves, is a stall; not held, and nothing moves any more, is a stop.

use std::collections::VecDeque;
use std::fmt;
use std::time::Duration;

use serde::Serialize;

use crate::ids::Offset;
use crate::tick::Tick;

/// What a partition's lag says, from best to worst. A group is as well as its worst partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Verdict {
    /// It keeps up, or catches up.
    Ok,
    /// It commits, and falls behind.
    Warn,
    /// Commits have ceased, there is lag, and nobody holds the partition.
    Stop,
    /// A member holds the partition, there is lag, and the committed offset does not move.
    Stall,
    /// The committed offset went back.
    Rewind,
}

impl Verdict {
    /// Whether somebody has to act: Burrow's ERR.
    pub fn is_error(self) -> bool {
        self > Verdict::Warn
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Verdict::Ok => "OK",
            Verdict::Warn => "WARN",
            Verdict::Stop => "STOP",
            Verdict::Stall => "STALL",
            Verdict::Rewind => "REWIND",
        })
    }
}

/// A partition at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sample {
    /// When it was taken; not before the sample before.
    pub at: Tick,
    /// What the group has committed.
    pub committed: Offset,
    /// The offset after the last record.
    pub end: Offset,
    /// Whether a member of the group holds the partition.
    pub held: bool,
}

impl Sample {
    /// How many records are not processed. What is committed past the end (a log that was truncated) is no lag.
    pub fn lag(&self) -> u64 {
        u64::try_from(self.end.0.saturating_sub(self.committed.0)).unwrap_or(0)
    }
}

/// The samples of one partition, the last `span` of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Window {
    span: Duration,
    samples: VecDeque<Sample>,
}

/// However short the interval, so many samples say enough.
const MOST_SAMPLES: usize = 1_000;

impl Window {
    /// An empty window over `span`.
    pub fn new(span: Duration) -> Window {
        Window { span, samples: VecDeque::new() }
    }

    /// Adds a sample, and forgets what is older than the span before it.
    pub fn push(&mut self, sample: Sample) {
        self.samples.push_back(sample);
        let is_old = |oldest: &Sample| sample.at.since(oldest.at) > self.span;
        while self.samples.len() > MOST_SAMPLES || self.samples.front().is_some_and(is_old) {
            self.samples.pop_front();
        }
    }

    /// From the first sample to the last.
    pub fn covered(&self) -> Duration {
        match (self.samples.front(), self.samples.back()) {
            (Some(first), Some(last)) => last.at.since(first.at),
            _ => Duration::ZERO,
        }
    }

    /// What the samples say. A single one says something only if there is no lag.
    pub fn verdict(&self) -> Option<Verdict> {
        let now = self.samples.back()?;
        if self.samples.iter().any(|sample| sample.lag() == 0) {
            return Some(Verdict::Ok);
        }
        if self.samples.len() < 2 {
            return None;
        }
        let commits = self.commits();
        let oldest = commits.first().map_or(now.at, |commit| commit.at);
        let newest = commits.last().map_or(now.at, |commit| commit.at);
        Some(if commits.windows(2).any(|pair| pair[1].committed < pair[0].committed) {
            Verdict::Rewind
        } else if !now.held && now.at.since(newest) > newest.since(oldest) {
            Verdict::Stop
        } else if commits.len() < 2 {
            Verdict::Stall
        } else if falls_behind(&commits) {
            Verdict::Warn
        } else {
            Verdict::Ok
        })
    }

    /// The first sample, and each that shows another committed offset than the one before.
    fn commits(&self) -> Vec<&Sample> {
        let mut commits: Vec<&Sample> = Vec::new();
        for sample in &self.samples {
            if commits.last().is_none_or(|last| last.committed != sample.committed) {
                commits.push(sample);
            }
        }
        commits
    }
}

/// Whether the lag is at no commit smaller than at the one before. The first sample is later than its commit by an
/// unknown time, in which its lag grew, so it is compared with only where there are no two others.
fn falls_behind(commits: &[&Sample]) -> bool {
    let seen = if commits.len() > 2 { &commits[1..] } else { commits };
    seen.windows(2).all(|pair| pair[1].lag() >= pair[0].lag())
}

/// The worst of some verdicts; none of none.
pub fn worst(verdicts: impl IntoIterator<Item = Verdict>) -> Option<Verdict> {
    verdicts.into_iter().max()
}

#[cfg(test)]
mod tests;
