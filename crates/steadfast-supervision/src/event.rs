//! What a supervisor tells its observer.

use std::{sync::Arc, time::Duration};

use crate::{
    exit::{ExitReport, Incarnation},
    shutdown::Ended,
};

/// Something happened in a supervision tree. The observer of the root hears of its sub-supervisors too.
#[derive(Clone, Debug, PartialEq)]
pub struct SupervisionEvent {
    /// The supervisor that speaks: its name, after its ancestors' (`root/handlers`).
    pub supervisor: Arc<str>,
    /// What happened.
    pub what: Happening,
}

/// What happened under one supervisor.
#[derive(Clone, Debug, PartialEq)]
pub enum Happening {
    /// A child's `started` has returned; its routes lead to it.
    Started {
        /// The child.
        child: Arc<str>,
        /// Which of its lives.
        incarnation: Incarnation,
    },
    /// A child's incarnation has ended.
    Exited {
        /// How.
        report: ExitReport,
    },
    /// It will begin anew.
    Restarting {
        /// The child.
        child: Arc<str>,
        /// The life that will begin.
        incarnation: Incarnation,
        /// After this pause.
        delay: Duration,
    },
    /// It will not: it is removed, its siblings go on.
    GaveUp {
        /// Its last exit.
        report: ExitReport,
    },
    /// It will not, and so the supervisor ends.
    Escalated {
        /// The child's last exit.
        report: ExitReport,
    },
    /// The supervisor has ended.
    Ended {
        /// How.
        ended: Ended,
    },
}
