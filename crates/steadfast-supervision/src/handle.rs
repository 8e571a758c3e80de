//! How others talk to a supervisor.

use std::sync::Arc;

use futures::{FutureExt, future::BoxFuture};
use steadfast_watch as watch;
use thiserror::Error;
use tokio::sync::{mpsc, oneshot};

use crate::{
    exit::{ExitReason, ExitReport, Incarnation},
    shutdown::{EndReason, Ended},
    spec::AnyChildSpec,
};

/// One child of one supervisor, numbered in the order in which they were started.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ChildId(pub(crate) u64);

/// A child by its number or by its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Which {
    /// By its number: never another child of the same name.
    Id(ChildId),
    /// By its name: whichever child bears it now.
    Name(Arc<str>),
}

/// A child that did not start. It is not kept.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum StartError {
    /// Two living children of a supervisor never share a name.
    #[error("{supervisor} has a child named {child} already")]
    NameTaken {
        /// The supervisor asked.
        supervisor: Arc<str>,
        /// The name.
        child: Arc<str>,
    },
    /// It did not come up: this was its last exit. `Abandoned` if it was not up within `start_within`.
    #[error("it did not come up: {0}")]
    NotUp(ExitReport),
    /// The supervisor is ending or has ended.
    #[error("supervisor {supervisor} is ending or has ended")]
    Ending {
        /// The supervisor asked.
        supervisor: Arc<str>,
    },
}

/// A child that could not be stopped.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum StopError {
    /// No such child (any longer).
    #[error("{supervisor} has no child {which:?}")]
    Unknown {
        /// The supervisor asked.
        supervisor: Arc<str>,
        /// Whom it was asked for.
        which: Which,
    },
    /// The supervisor has ended, and its children with it.
    #[error("supervisor {supervisor} has ended")]
    Ended {
        /// The supervisor asked.
        supervisor: Arc<str>,
    },
}

/// A supervisor, for those who add and remove children and end it. Dropping it ends nothing.
///
/// Each request is made at once, in order, and carried out whether or not its future is awaited. The futures
/// are bounded by the child's own limits as long as the supervisor's arbiter runs, and resolve to an error
/// when it ends: so keep what can stall off that arbiter.
#[derive(Clone, Debug)]
pub struct SupervisorHandle {
    pub(crate) name: Arc<str>,
    pub(crate) notes: mpsc::UnboundedSender<Note>,
    pub(crate) ended: watch::Receiver<Option<Ended>>,
}

impl SupervisorHandle {
    /// The supervisor's name, after its ancestors' (`root/handlers`).
    #[must_use]
    pub fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// Adds a child and starts it. The future resolves when it is up: its `started` has returned and its
    /// routes lead to it. Crashes until then are handled by its policy, except that they never escalate.
    pub fn start_child(
        &self,
        spec: impl Into<AnyChildSpec>,
    ) -> BoxFuture<'static, Result<ChildId, StartError>> {
        let (reply, answer) = oneshot::channel();
        let gone = StartError::Ending { supervisor: Arc::clone(&self.name) };
        // If the supervisor has ended, the note is dropped, and the answer's sender with it.
        self.notes.send(Note::Start { spec: Box::new(spec.into()), reply }).ok();
        answer.map(|answer| answer.unwrap_or(Err(gone))).boxed()
    }

    /// Stops a child in order and removes it; its routes retire (unless its slots have clones elsewhere).
    /// The future resolves to its last exit: `Abandoned` if it did not stop within its limit.
    pub fn stop_child(&self, which: impl Into<Which>) -> BoxFuture<'static, Result<ExitReport, StopError>> {
        let (reply, answer) = oneshot::channel();
        let gone = StopError::Ended { supervisor: Arc::clone(&self.name) };
        self.notes.send(Note::Stop { which: which.into(), reply }).ok();
        answer.map(|answer| answer.unwrap_or(Err(gone))).boxed()
    }

    /// Stops all children, the youngest first, each within its own limit, and ends the supervisor. The
    /// future resolves as [`Self::ended`].
    pub fn shut_down(&self) -> BoxFuture<'static, Ended> {
        self.notes.send(Note::ShutDown).ok();
        self.ended()
    }

    /// Resolves when the supervisor has ended. This is how a root's escalation is learnt of.
    pub fn ended(&self) -> BoxFuture<'static, Ended> {
        let mut ended = self.ended.clone();
        async move {
            let ended = ended.wait_for(Option::is_some).await.ok().and_then(|ended| ended.clone());
            // The task was dropped unfinished.
            ended.unwrap_or(Ended { reason: EndReason::ArbiterGone, exits: Vec::new() })
        }
        .boxed()
    }
}

impl From<ChildId> for Which {
    fn from(id: ChildId) -> Self {
        Self::Id(id)
    }
}

impl From<&str> for Which {
    fn from(name: &str) -> Self {
        Self::Name(name.into())
    }
}

/// What reaches a supervisor: requests from handles, news from its children.
pub(crate) enum Note {
    Start { spec: Box<AnyChildSpec>, reply: oneshot::Sender<Result<ChildId, StartError>> },
    Stop { which: Which, reply: oneshot::Sender<Result<ExitReport, StopError>> },
    ShutDown,
    Up { id: ChildId, incarnation: Incarnation },
    Exited { id: ChildId, incarnation: Incarnation, reason: ExitReason },
}
