//! A supervisor's end: its children are stopped one after the other, the youngest first, each within its own
//! limit.

use std::fmt;

use crate::exit::ExitReport;

/// Why a supervisor ended.
#[derive(Clone, Debug, PartialEq)]
pub enum EndReason {
    /// It was told to.
    ShutDown,
    /// A child could not be kept alive.
    Escalated {
        /// The exit that was one too many.
        cause: Box<ExitReport>,
    },
    /// The supervisor's own arbiter has ended; its children were cut loose and end by force.
    ArbiterGone,
    /// Its parent would not wait for it any longer, or has ended itself.
    Abandoned,
}

impl fmt::Display for EndReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ShutDown => f.write_str("shut down"),
            Self::Escalated { cause } => write!(f, "escalated: {cause}"),
            Self::ArbiterGone => f.write_str("its arbiter is gone"),
            Self::Abandoned => f.write_str("abandoned by its parent"),
        }
    }
}

/// How a supervisor ended.
#[derive(Clone, Debug, PartialEq)]
pub struct Ended {
    /// Why.
    pub reason: EndReason,
    /// The exits during the shutdown, in the order in which they happened: those that did not stop in time
    /// are `Abandoned`.
    pub exits: Vec<ExitReport>,
}

/// A shutdown on its way.
///
/// ```text
///   (none) ──begin──► stopping the youngest ──its exit or limit──► the next ... ──none left──► over
/// ```
#[derive(Debug)]
pub(crate) struct Shutdown {
    reason: EndReason,
    exits: Vec<ExitReport>,
}

impl Shutdown {
    pub(crate) fn begin(reason: EndReason) -> Self {
        Self { reason, exits: Vec::new() }
    }

    pub(crate) fn record(&mut self, report: ExitReport) {
        self.exits.push(report);
    }

    pub(crate) fn over(self) -> Ended {
        Ended { reason: self.reason, exits: self.exits }
    }
}

/// Whom to stop next, if anyone: the youngest, unless it is being stopped already.
/// `children` are (who, being stopped), in the order in which they were started.
pub(crate) fn next_to_stop<K>(mut children: impl DoubleEndedIterator<Item = (K, bool)>) -> Option<K> {
    children.next_back().and_then(|(child, stopping)| (!stopping).then_some(child))
}
