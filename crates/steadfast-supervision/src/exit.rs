//! How an incarnation ended.

use std::{fmt, sync::Arc, time::Duration};

/// One life of a supervised actor, numbered from 1 in the order in which they were begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Incarnation(u64);

impl Incarnation {
    /// The first life of a child.
    pub const FIRST: Self = Self(1);

    /// The life after this one.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0 + 1)
    }

    /// The number, counted from 1.
    #[must_use]
    pub const fn number(self) -> u64 {
        self.0
    }
}

impl fmt::Display for Incarnation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Why an incarnation ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ExitReason {
    /// It stopped in order: by itself, or because it was told to.
    Stopped,
    /// Its factory, `started`, a handler, one of its futures, `stopping`, `stopped` or its `Drop`
    /// panicked. Panics while cleaning up after a panic are appended to the first message.
    Panicked {
        /// What the panic said.
        message: String,
    },
    /// The arbiter it ran on, or was to run on, has ended. A restart there is futile, so none is tried.
    ArbiterGone,
    /// It did not start, or did not stop, within its limit: nobody waits for it any longer, its routes
    /// lead elsewhere, and it ends by force as soon as its thread runs again.
    Abandoned,
    /// It was a supervisor, and one of its own children could not be kept alive.
    Escalated {
        /// The exit that was one too many.
        cause: Box<ExitReport>,
    },
}

impl fmt::Display for ExitReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stopped => f.write_str("stopped"),
            Self::Panicked { message } => write!(f, "panicked: {message}"),
            Self::ArbiterGone => f.write_str("its arbiter is gone"),
            Self::Abandoned => f.write_str("abandoned: it did not start or stop in time"),
            Self::Escalated { cause } => write!(f, "gave up on a child: {cause}"),
        }
    }
}

/// One incarnation's end, as its supervisor saw it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExitReport {
    /// The child's name.
    pub child: Arc<str>,
    /// Which of its lives ended.
    pub incarnation: Incarnation,
    /// Why.
    pub reason: ExitReason,
    /// From its launch until its supervisor learnt of its end.
    pub lived_for: Duration,
}

impl fmt::Display for ExitReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { child, incarnation, reason, lived_for } = self;
        write!(f, "{child} (incarnation {incarnation}) after {lived_for:?}: {reason}")
    }
}
