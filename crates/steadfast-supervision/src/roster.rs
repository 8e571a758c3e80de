//! One child as its supervisor sees it.

use std::sync::Arc;

use tokio::{sync::oneshot, time::Instant};

use crate::{
    child::Lifeline,
    deadline::after,
    exit::{ExitReason, ExitReport, Incarnation},
    handle::{ChildId, StartError, StopError},
    intensity::{ExitHistory, Verdict},
    spec::{AnyChildSpec, Restart},
};

pub(crate) struct Child {
    pub(crate) spec: AnyChildSpec,
    pub(crate) incarnation: Incarnation,
    pub(crate) state: State,
    /// Who waits for its first coming up; none once it has been up.
    pub(crate) starter: Option<Starter>,
    pub(crate) stoppers: Vec<oneshot::Sender<Result<ExitReport, StopError>>>,
    pub(crate) last: Option<ExitReport>,
    launched: Instant,
    history: ExitHistory,
}

/// ```text
///             started returned            told to stop
///  Starting ──────────────────► Up ──────────────────────► Stopping ──exit or limit──► (removed)
///   ▲    │ exit or limit        │ exit                         ▲
///   │    ▼                      ▼                              │
///   └─ Waiting ◄────────────────┘        Starting, told to stop, too
///   pause over │
///              └── told to stop, or exhausted ──► (removed)
/// ```
pub(crate) enum State {
    /// An incarnation was launched; it is abandoned at `deadline`.
    Starting { life: Lifeline, deadline: Instant },
    /// Its `started` has returned.
    Up { life: Lifeline },
    /// No incarnation lives; the next one is launched at `until`.
    Waiting { until: Instant },
    /// It was told to stop; it is abandoned at `deadline`.
    Stopping { _life: Lifeline, deadline: Instant },
}

pub(crate) struct Starter {
    pub(crate) whom: Whom,
    pub(crate) deadline: Instant,
}

/// Who started a child, and thus whom its failure to come up concerns.
pub(crate) enum Whom {
    /// Somebody with a handle.
    Caller(oneshot::Sender<Result<ChildId, StartError>>),
    /// The supervisor's own setup.
    Setup,
}

/// What follows an exit that nobody asked for.
pub(crate) enum Sequel {
    Forget,
    Restart { until: Instant },
    Exhausted,
}

impl Child {
    pub(crate) fn new(spec: AnyChildSpec, whom: Whom, life: Lifeline, now: Instant) -> Self {
        let deadline = after(now, spec.policy.start_within);
        Self {
            spec,
            incarnation: Incarnation::FIRST,
            state: State::Starting { life, deadline },
            starter: Some(Starter { whom, deadline }),
            stoppers: Vec::new(),
            last: None,
            launched: now,
            history: ExitHistory::default(),
        }
    }

    pub(crate) fn relaunched(&mut self, life: Lifeline, now: Instant) {
        self.launched = now;
        self.state = State::Starting { life, deadline: after(now, self.spec.policy.start_within) };
    }

    pub(crate) fn is_stopping(&self) -> bool {
        matches!(self.state, State::Stopping { .. })
    }

    /// When something is due if nothing is heard until then.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        let starter = self.starter.as_ref().map(|starter| starter.deadline);
        match self.state {
            State::Starting { deadline, .. } => Some(starter.map_or(deadline, |first| first.min(deadline))),
            State::Up { .. } => None,
            State::Waiting { until } => Some(starter.map_or(until, |first| first.min(until))),
            State::Stopping { deadline, .. } => Some(deadline),
        }
    }

    /// Whether its first coming up has taken too long.
    pub(crate) fn start_overdue(&self, now: Instant) -> bool {
        !self.is_stopping() && self.starter.as_ref().is_some_and(|starter| starter.deadline <= now)
    }

    /// Whether `incarnation` is the one that is coming up.
    pub(crate) fn comes_up(&mut self, incarnation: Incarnation, now: Instant) -> bool {
        if incarnation != self.incarnation || !matches!(self.state, State::Starting { .. }) {
            return false;
        }
        self.state = match std::mem::replace(&mut self.state, State::Waiting { until: now }) {
            State::Starting { life, .. } => State::Up { life },
            other => other,
        };
        true
    }

    /// Tells a living incarnation to stop; false if none lives.
    pub(crate) fn order_stop(&mut self, now: Instant) -> bool {
        let deadline = after(now, self.spec.policy.shutdown);
        match std::mem::replace(&mut self.state, State::Waiting { until: now }) {
            State::Waiting { until } => {
                self.state = State::Waiting { until };
                return false;
            }
            State::Starting { life, .. } | State::Up { life } => {
                life.stop();
                self.state = State::Stopping { _life: life, deadline };
            }
            stopping @ State::Stopping { .. } => self.state = stopping,
        }
        true
    }

    /// The end of `incarnation`, unless another one lives by now or this one's end was told before (it was
    /// abandoned and has ended after all).
    pub(crate) fn ends(
        &mut self,
        incarnation: Incarnation,
        reason: ExitReason,
        now: Instant,
    ) -> Option<ExitReport> {
        if incarnation != self.incarnation || matches!(self.state, State::Waiting { .. }) {
            return None;
        }
        self.state = State::Waiting { until: now };
        let child = Arc::clone(&self.spec.name);
        let report = ExitReport { child, incarnation, reason, lived_for: now - self.launched };
        self.last = Some(report.clone());
        Some(report)
    }

    /// What its policy says to that end. A restart on an arbiter that is gone would only fail again.
    pub(crate) fn sequel(&mut self, reason: &ExitReason, now: Instant, luck: f64) -> Sequel {
        let policy = &self.spec.policy;
        let wanted = match policy.restart {
            Restart::Permanent => true,
            Restart::Transient => *reason != ExitReason::Stopped,
            Restart::Temporary => false,
        };
        if !wanted {
            return Sequel::Forget;
        }
        if *reason == ExitReason::ArbiterGone {
            return Sequel::Exhausted;
        }
        match self.history.record(&policy.intensity, now, luck) {
            Verdict::RestartAfter(delay) => Sequel::Restart { until: after(now, delay) },
            Verdict::Exhausted => Sequel::Exhausted,
        }
    }
}
