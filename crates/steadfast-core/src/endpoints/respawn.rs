//! Make, verify, swap: how a client is replaced when the endpoints drift.

use std::time::Duration;

use serde::Serialize;

use super::backoff::{Backoff, Jitter};
use super::budget::OutOfBudget;
use super::drift::{Drift, Threshold};
use super::view::View;
use crate::ids::ConsumerIncarnation;
use crate::tick::Tick;

mod machine;

pub use machine::Respawn;

/// The limits of a respawn.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Settings {
    /// A drift that scores more is a respawn.
    pub threshold: Threshold,
    /// How long a successor may take to get ready.
    pub prepare: Duration,
    /// How long the handover may take.
    pub handover: Duration,
    /// How long the first record is awaited before the respawn is reported without it.
    pub first_record: Duration,
    /// The pause before a successor that failed, or a consumer that crashed again, is made anew.
    pub backoff: Backoff,
    /// A consumer that lived for so long after a crash has got over it.
    pub calm: Duration,
}

impl Default for Settings {
    /// Threshold 0.5, prepare 10 s, handover 5 s, first record 30 s, backoff from 50 ms to 5 s, calm 1 min.
    fn default() -> Settings {
        Settings {
            threshold: Threshold::default(),
            prepare: Duration::from_secs(10),
            handover: Duration::from_secs(5),
            first_record: Duration::from_secs(30),
            backoff: Backoff::default(),
            calm: Duration::from_secs(60),
        }
    }
}

/// Why a consumer was made. Of two reasons the greater is the one that is reported.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// The endpoints drifted by more than the threshold. This alone costs a token of the budget.
    Drift,
    /// Credentials or security settings changed.
    Credentials,
    /// The one before it crashed.
    Crash,
    /// There was none yet.
    Start,
}

impl Reason {
    /// The reason's name, as the metric `consumer_respawns_total{reason}` has it.
    pub fn as_str(self) -> &'static str {
        match self {
            Reason::Drift => "drift",
            Reason::Credentials => "credentials",
            Reason::Crash => "crash",
            Reason::Start => "start",
        }
    }
}

/// How the caller came to know of a view.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeline {
    /// The last sign of life through the endpoints in use; the time of the suspicion, if that is not known.
    pub alive_at: Tick,
    /// The first suspicion.
    pub suspected_at: Tick,
    /// The view was agreed.
    pub discovered_at: Tick,
}

impl Timeline {
    /// All at once: nothing had to be discovered.
    pub fn at(now: Tick) -> Timeline {
        Timeline { alive_at: now, suspected_at: now, discovered_at: now }
    }
}

/// How long each phase of a respawn took.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Phases {
    /// From the last sign of life to the suspicion.
    pub detect: Duration,
    /// From the suspicion to the agreed view.
    pub discover: Duration,
    /// From the agreed view to the successor being ready, failed attempts included.
    pub verify: Duration,
    /// From there to its promotion.
    pub handover: Duration,
    /// From there to its first accepted fetch answer, empty or not; none if that was not seen.
    pub first_record: Option<Duration>,
}

impl Phases {
    /// All of them together.
    pub fn total(&self) -> Duration {
        let known = [self.detect, self.discover, self.verify, self.handover];
        known.iter().sum::<Duration>() + self.first_record.unwrap_or_default()
    }
}

/// One respawn that took place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// The new consumer.
    pub incarnation: ConsumerIncarnation,
    /// The one it replaced; none if there was none, or it had crashed.
    pub replaced: Option<ConsumerIncarnation>,
    /// Why.
    pub reason: Reason,
    /// How long it took.
    pub phases: Phases,
}

/// Why a drift is taken in place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum InPlace {
    /// Its score does not exceed the threshold.
    WithinThreshold,
    /// No token is left for a respawn.
    OutOfBudget,
}

/// What happened.
#[derive(Debug, Clone, PartialEq)]
pub enum Event<N: Ord> {
    /// This view is agreed. Each newly agreed one is told, also one that equals the view in use: it may end
    /// what an earlier one began.
    Drifted {
        /// The agreed view.
        view: View<N>,
        /// How it came to be known.
        timeline: Timeline,
    },
    /// The successor is connected, authenticated, verified, and ready to fetch from its positions.
    Prepared {
        /// Which.
        incarnation: ConsumerIncarnation,
    },
    /// The successor cannot be made ready, or cannot be promoted.
    PrepareFailed {
        /// Which.
        incarnation: ConsumerIncarnation,
        /// What is missing.
        reason: String,
        /// For the pause before the next attempt.
        jitter: Jitter,
    },
    /// The successor took over; its predecessor is being dropped.
    Promoted {
        /// Which.
        incarnation: ConsumerIncarnation,
    },
    /// The first fetch answer was accepted, empty or not.
    FirstRecord {
        /// Whose.
        incarnation: ConsumerIncarnation,
    },
    /// A consumer ended on its own.
    Crashed {
        /// Which.
        incarnation: ConsumerIncarnation,
        /// For the pause before the next attempt.
        jitter: Jitter,
    },
    /// Credentials or security settings changed: no incarnation changes its own.
    CredentialsChanged,
    /// [`Respawn::next_deadline`] has come.
    Elapsed {
        /// For the pause before the next attempt.
        jitter: Jitter,
    },
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq)]
pub enum Action<N: Ord> {
    /// Make a consumer from this view beside the one that runs, and get it ready.
    Prepare {
        /// Its number.
        incarnation: ConsumerIncarnation,
        /// What to make it from.
        view: View<N>,
        /// Why.
        reason: Reason,
    },
    /// Let it take over in one step: either it does, or the one before it goes on.
    Promote {
        /// Which.
        incarnation: ConsumerIncarnation,
    },
    /// Drop a successor that is not needed or not able. It is not promoted any more.
    Discard {
        /// Which.
        incarnation: ConsumerIncarnation,
    },
    /// Let the consumer that runs take the drift in place: route to what was added, reconnect what moved.
    Adapt {
        /// The view in use from now on.
        view: View<N>,
        /// What differs.
        drift: Drift<N>,
        /// Why it is not a respawn.
        because: InPlace,
    },
    /// The drift is worth a respawn, and no token is left.
    OutOfBudget(OutOfBudget),
    /// No new consumer can be had for now; the one that runs, if any, goes on.
    Degraded {
        /// What is missing.
        reason: String,
        /// When the next attempt begins.
        retry_at: Tick,
    },
    /// A respawn is over.
    Report(Report),
}
