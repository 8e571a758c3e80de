//! The demonstration: a cluster, a load and the real service in one process; every endpoint moves in mid-flow, and
//! what happened is told.
//!
//! [`plan`] says what is played and [`scene`] plays it; [`seen`] is what was seen of it from outside, [`outcome`] what
//! that comes to. These two and the three ways to tell them ([`story`], [`report`], [`picture`]) are pure.

mod load;
mod notes;
mod outcome;
mod picture;
mod plan;
mod progress;
mod report;
mod scene;
mod seen;
mod standing;
mod story;
mod timeline;

#[cfg(test)]
mod sample;

pub use plan::Mode;
pub(crate) use plan::{LIMIT, Plan};

use crate::env::WallClock;
use outcome::Outcome;
use report::Report;
use seen::Seen;

/// A run that is over.
#[derive(Debug)]
pub(crate) struct Played {
    seen: Seen,
    outcome: Outcome,
}

/// Plays the plan. Blocks until it is over, which is within 15 s if the load takes 4 s at most, and later by as much
/// as it takes longer. Not to be called from async code.
pub(crate) fn play(plan: Plan, wall_clock: WallClock) -> Played {
    let seen = scene::play(plan, wall_clock);
    let outcome = Outcome::of(&seen);
    Played { seen, outcome }
}

impl Played {
    /// Whether nothing was lost, redelivered, out of order or rebalanced, and every partition came back.
    pub(crate) fn holds(&self) -> bool {
        self.outcome.holds()
    }

    /// What happened, for people.
    pub(crate) fn story(&self) -> String {
        story::lines(&self.seen, &self.outcome).join("\n")
    }

    /// What happened, as one JSON object.
    pub(crate) fn json(&self) -> String {
        let report = Report::of(&self.seen, &self.outcome);
        serde_json::to_string_pretty(&report).unwrap_or_default()
    }

    /// What happened, as SVG; none if nothing moved.
    pub(crate) fn picture(&self) -> Option<String> {
        picture::svg(&self.seen, &self.outcome)
    }
}
