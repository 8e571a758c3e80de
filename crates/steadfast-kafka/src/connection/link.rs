//! What a connection's handles and its two tasks share: who waits for which answer, and whether it is closed.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use steadfast_watch as watch;
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::CallFailure;
use super::arrival::{Arrival, Arrived};
use crate::frame::FrameError;
use crate::security::TlsFailure;

/// A broker's word must not let us wait without end.
const MOST_HELD_BACK: Duration = Duration::from_secs(30);

/// Why a connection is closed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CloseReason {
    /// Nobody held it any more.
    #[error("nobody used it any more")]
    Dropped,
    /// Its owner closed it, and says why.
    #[error("closed by its owner: {0}")]
    Requested(&'static str),
    /// The peer closed it between two answers.
    #[error("the peer closed the connection")]
    ByPeer,
    /// Reading or writing failed: a reset for instance.
    #[error("{text}")]
    Io {
        /// The kind of the failure.
        kind: io::ErrorKind,
        /// Its text.
        text: String,
    },
    /// TLS broke, or the broker ended it: it refuses our certificate for instance.
    #[error("TLS: {0}")]
    Tls(TlsFailure),
    /// The peer answered in TLS what was said in plain text.
    #[error("the listener speaks TLS, and was spoken to in plain text")]
    SpeaksTls,
    /// The broker, or the source of tokens, did not let us authenticate again.
    #[error("authenticating again failed: {0}")]
    Reauthentication(String),
    /// A request could not be written whole by its deadline.
    #[error("a request could not be written by its deadline")]
    WriteStalled,
    /// What arrived is no frame, or too large a one.
    #[error("{0}")]
    BadFrame(String),
    /// An answer arrived that nobody had asked for.
    #[error("an answer arrived with correlation id {found}, which was not asked for")]
    Unasked {
        /// The correlation id of the answer.
        found: i32,
    },
    /// One of its tasks ended: the runtime is shutting down.
    #[error("its task ended")]
    Abandoned,
}

impl From<FrameError> for CloseReason {
    fn from(error: FrameError) -> CloseReason {
        match error {
            FrameError::Ended => CloseReason::ByPeer,
            FrameError::Tls => CloseReason::SpeaksTls,
            FrameError::Io(error) => error.into(),
            other => CloseReason::BadFrame(other.to_string()),
        }
    }
}

impl From<io::Error> for CloseReason {
    fn from(error: io::Error) -> CloseReason {
        match TlsFailure::within(&error) {
            Some(failure) => CloseReason::Tls(failure),
            // A TLS stream that ends without the goodbye of TLS: a broker that was killed gives none. Frames
            // have a length, so nothing is mistaken for whole.
            None if error.kind() == io::ErrorKind::UnexpectedEof => CloseReason::ByPeer,
            None => CloseReason::Io { kind: error.kind(), text: error.to_string() },
        }
    }
}

/// The shared state.
#[derive(Debug)]
pub(super) struct Link {
    state: Mutex<State>,
    closed: watch::Sender<Option<CloseReason>>,
}

#[derive(Debug)]
struct State {
    next: i32,
    /// Who waits for each answer. One who gave up stays until it arrives: it still is to be recognised.
    waiting: BTreeMap<i32, oneshot::Sender<Arrived>>,
    closed: bool,
    last_activity: Instant,
    /// The answer of which a part has arrived.
    arriving: Option<Arrival>,
    held_back_until: Instant,
}

impl Link {
    pub(super) fn new() -> Link {
        let now = Instant::now();
        let state = State {
            next: 0,
            waiting: BTreeMap::new(),
            closed: false,
            last_activity: now,
            arriving: None,
            held_back_until: now,
        };
        Link { state: Mutex::new(state), closed: watch::Sender::new(None) }
    }

    /// A new correlation id, and where its answer will arrive, if fewer than `most` answers are expected.
    pub(super) fn expect_answer(
        &self,
        most: usize,
    ) -> Result<(i32, oneshot::Receiver<Arrived>), CallFailure> {
        let mut state = self.state();
        if state.closed {
            drop(state);
            return Err(CallFailure::Closed(self.close_reason().unwrap_or(CloseReason::Abandoned)));
        }
        if state.waiting.len() >= most {
            return Err(CallFailure::Busy { found: state.waiting.len() });
        }
        let id = state.next;
        state.next = id.wrapping_add(1) & i32::MAX;
        let (answer, arrives) = oneshot::channel();
        state.waiting.insert(id, answer);
        Ok((id, arrives))
    }

    /// Whether somebody still waits for this answer. If not, its request need not be sent and is forgotten.
    pub(super) fn still_wanted(&self, id: i32) -> bool {
        let mut state = self.state();
        let wanted = state.waiting.get(&id).is_some_and(|waiter| !waiter.is_closed());
        if !wanted {
            state.waiting.remove(&id);
        }
        wanted
    }

    /// The requests without an answer that somebody waits for.
    pub(super) fn unanswered(&self) -> Vec<i32> {
        let awaited = |(id, waiter): (&i32, &oneshot::Sender<Arrived>)| (!waiter.is_closed()).then_some(*id);
        self.state().waiting.iter().filter_map(awaited).collect()
    }

    /// Whether somebody still waits for an answer to one of these.
    pub(super) fn awaits_any(&self, ids: &[i32]) -> bool {
        let state = self.state();
        ids.iter().any(|id| state.waiting.get(id).is_some_and(|waiter| !waiter.is_closed()))
    }

    /// Hands an answer to who waits for it; false if it was never asked for.
    pub(super) fn answered(&self, id: i32, body: Bytes) -> bool {
        let mut state = self.state();
        let arrival = state.arriving.take().unwrap_or_else(|| Arrival::begun(Instant::now()));
        let Some(waiter) = state.waiting.remove(&id) else { return false };
        // Whoever gave up meanwhile does not want the late answer.
        let _ = waiter.send(Arrived { body, arrival });
        true
    }

    /// Something arrived: the begin of an answer, or more of it.
    pub(super) fn heard(&self) {
        let now = Instant::now();
        let mut state = self.state();
        let pause = now.saturating_duration_since(state.last_activity);
        state.last_activity = now;
        match &mut state.arriving {
            Some(arriving) => arriving.went_on(pause),
            none => *none = Some(Arrival::begun(now)),
        }
    }

    /// Forgets a request that was never handed to the writer.
    pub(super) fn forget(&self, id: i32) {
        self.state().waiting.remove(&id);
    }

    pub(super) fn last_activity(&self) -> Instant {
        self.state().last_activity
    }

    /// The broker says that it holds back its next answers for so long.
    pub(super) fn throttled(&self, by: Duration) {
        let until = Instant::now() + by.min(MOST_HELD_BACK);
        let mut state = self.state();
        state.held_back_until = state.held_back_until.max(until);
    }

    /// For how long yet the broker holds back its answers.
    pub(super) fn held_back(&self) -> Duration {
        self.state().held_back_until.saturating_duration_since(Instant::now())
    }

    /// Closes it, unless it is closed already: the first reason stands.
    pub(super) fn close(&self, reason: CloseReason) {
        let waiting = {
            let mut state = self.state();
            if state.closed {
                return;
            }
            state.closed = true;
            // Before the waiters learn of it, so that they find the reason.
            self.closed.send_replace(Some(reason));
            std::mem::take(&mut state.waiting)
        };
        drop(waiting);
    }

    pub(super) fn close_reason(&self) -> Option<CloseReason> {
        self.closed.borrow().clone()
    }

    pub(super) async fn closed(&self) -> CloseReason {
        let mut closed = self.closed.subscribe();
        let reason = closed.wait_for(Option::is_some).await;
        reason.ok().and_then(|reason| reason.clone()).unwrap_or(CloseReason::Abandoned)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
