//! References to an actor that outlive its incarnations.
//!
//! ```text
//!            up                      every Slot dropped
//!   Down ──────────► Up(recipient) ─────────────────────► Retired
//!     ▲               │      ▲ │ up (another incarnation)    ▲
//!     └───────────────┘      └─┘                             │
//!      that incarnation ended                   from Down too
//! ```

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use actix::{Actor, Addr, Context, Handler, Message, Recipient, prelude::SendError};
use steadfast_watch as watch;
use thiserror::Error;
use tokio::time::timeout;

/// Leads to whichever incarnation of an actor is up now. Cheap to clone, and usable from any thread.
///
/// What an incarnation had in its mailbox when it crashed is gone with it: a route tells what can be known
/// (nobody up, mailbox closed) and gives the message back then.
pub struct Route<M>
where
    M: Message + Send + 'static,
    M::Result: Send,
{
    state: watch::Receiver<State<M>>,
}

/// The publishing side of a [`Route`]: given to a child's specification, it survives the child's
/// incarnations. A clone lets a supervisor's setup publish under the same route each time it begins anew.
/// The route retires when the last clone is dropped.
pub struct Slot<M>
where
    M: Message + Send + 'static,
    M::Result: Send,
{
    retire: Arc<RetireOnDrop<M>>,
}

/// Why a route did not take a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Refusal {
    /// No incarnation is up now; one may be again.
    #[error("no incarnation is up")]
    Down,
    /// None will ever be up again.
    #[error("the route is retired")]
    Retired,
    /// The incarnation that was up has just ended.
    #[error("the mailbox is closed")]
    Closed,
    /// The mailbox is full ([`Route::try_send`] only).
    #[error("the mailbox is full")]
    Full,
}

/// A message that was not delivered, and why.
#[derive(Error)]
#[error("message not delivered: {reason}")]
pub struct Undelivered<M> {
    /// The message, unharmed.
    pub message: M,
    /// Why it comes back.
    pub reason: Refusal,
}

/// A call without an answer.
#[derive(Error)]
pub enum CallError<M> {
    /// The message was never sent: here it is.
    #[error("call not sent: {}", .0.reason)]
    NotSent(Undelivered<M>),
    /// The incarnation ended before it answered; whether it acted on the message cannot be known.
    #[error("the actor ended before it answered")]
    Lost,
    /// No answer in time. If the message's turn had not come by then, it is skipped.
    #[error("no answer within {0:?}")]
    TimedOut(Duration),
}

/// Nobody came up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum NotUp {
    /// The route is retired.
    #[error("the route is retired")]
    Retired,
    /// Not within the time given.
    #[error("no incarnation came up within {0:?}")]
    TimedOut(Duration),
}

impl<M> Route<M>
where
    M: Message + Send + 'static,
    M::Result: Send,
{
    /// A route that is down, and the slot through which it will be published.
    #[must_use]
    pub fn channel() -> (Slot<M>, Self) {
        let (sender, state) = watch::channel(State::Down);
        (Slot { retire: Arc::new(RetireOnDrop(sender)) }, Self { state })
    }

    /// Sends a control message: the mailbox's capacity does not apply, so it is never refused because the
    /// actor is busy.
    ///
    /// # Errors
    /// Down, Retired or Closed, with the message.
    pub fn send(&self, message: M) -> Result<(), Undelivered<M>> {
        let to = match self.recipient() {
            Ok(to) => to,
            Err(reason) => return Err(Undelivered { message, reason }),
        };
        // actix gives a message back only from `try_send`, and never blocks a sender's first one: each
        // clone is a sender of its own.
        Recipient::clone(&to).try_send(message).map_err(Undelivered::from)
    }

    /// Sends unless the mailbox is full: for observers, which may miss a message but must not pile them up.
    ///
    /// # Errors
    /// Down, Retired, Closed or Full, with the message.
    pub fn try_send(&self, message: M) -> Result<(), Undelivered<M>> {
        match self.recipient() {
            Ok(to) => to.try_send(message).map_err(Undelivered::from),
            Err(reason) => Err(Undelivered { message, reason }),
        }
    }

    /// Sends a control message and waits for its answer, at most for `within`.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn call(&self, message: M, within: Duration) -> Result<M::Result, CallError<M>> {
        let to = match self.recipient() {
            Ok(to) if to.connected() => to,
            Ok(_) => return Err(CallError::NotSent(Undelivered { message, reason: Refusal::Closed })),
            Err(reason) => return Err(CallError::NotSent(Undelivered { message, reason })),
        };
        // Taken however full the mailbox is: a request that finds its sender blocked goes through a clone.
        let request = to.send(message);
        drop(to);
        match timeout(within, request).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(_)) => Err(CallError::Lost),
            Err(_) => Err(CallError::TimedOut(within)),
        }
    }

    /// Whether an incarnation is up now.
    #[must_use]
    pub fn is_up(&self) -> bool {
        self.recipient().is_ok_and(|to| to.connected())
    }

    /// Whether none will ever be up again.
    #[must_use]
    pub fn is_retired(&self) -> bool {
        matches!(&*self.state.borrow(), State::Retired)
    }

    /// Waits until an incarnation is up, at most for `within`.
    ///
    /// # Errors
    /// [`NotUp`].
    pub async fn wait_up(&self, within: Duration) -> Result<(), NotUp> {
        let mut state = self.state.clone();
        let decided = state.wait_for(|state| !matches!(state, State::Down));
        match timeout(within, decided).await {
            Ok(Ok(state)) if matches!(*state, State::Up { .. }) => Ok(()),
            Ok(_) => Err(NotUp::Retired),
            Err(_) => Err(NotUp::TimedOut(within)),
        }
    }

    fn recipient(&self) -> Result<Arc<Recipient<M>>, Refusal> {
        match &*self.state.borrow() {
            State::Up { to, .. } => Ok(Arc::clone(to)),
            State::Down => Err(Refusal::Down),
            State::Retired => Err(Refusal::Retired),
        }
    }
}

enum State<M>
where
    M: Message + Send + 'static,
    M::Result: Send,
{
    Down,
    /// `life` is the publication that put it up: only that one takes it down.
    Up {
        to: Arc<Recipient<M>>,
        life: Arc<AtomicBool>,
    },
    Retired,
}

struct RetireOnDrop<M>(watch::Sender<State<M>>)
where
    M: Message + Send + 'static,
    M::Result: Send;

impl<M> Drop for RetireOnDrop<M>
where
    M: Message + Send + 'static,
    M::Result: Send,
{
    fn drop(&mut self) {
        self.0.send_replace(State::Retired);
    }
}

/// A slot as an actor of type `A` sees it.
pub(crate) trait Publish<A: Actor>: Send {
    /// The right of one incarnation to be where the route leads.
    fn for_incarnation(&self) -> Box<dyn Publication<A>>;
}

/// One incarnation's side of a slot.
pub(crate) trait Publication<A: Actor>: Send + Sync {
    /// Leads the route to `address`; false if this incarnation has ended or the route is retired.
    fn up(&self, address: &Addr<A>) -> bool;
    /// This incarnation has ended: the route leads to it no longer, and never will again. An abandoned
    /// incarnation that comes to life late thus cannot take a route from its successor.
    fn down(&self);
}

/// All of one incarnation's publications.
pub(crate) struct Publications<A: Actor>(Vec<Box<dyn Publication<A>>>);

impl<A: Actor> Publications<A> {
    pub(crate) fn new(slots: &[Box<dyn Publish<A>>]) -> Arc<Self> {
        Arc::new(Self(slots.iter().map(|slot| slot.for_incarnation()).collect()))
    }

    /// True if every route now leads to `address`.
    pub(crate) fn up(&self, address: &Addr<A>) -> bool {
        self.0.iter().all(|publication| publication.up(address))
    }

    pub(crate) fn down(&self) {
        self.0.iter().for_each(|publication| publication.down());
    }
}

struct SlotPublication<M>
where
    M: Message + Send + 'static,
    M::Result: Send,
{
    state: watch::Sender<State<M>>,
    /// Whether the incarnation has ended; read and written only under the watch's lock.
    ended: Arc<AtomicBool>,
}

impl<A, M> Publish<A> for Slot<M>
where
    A: Actor<Context = Context<A>> + Handler<M>,
    M: Message + Send + 'static,
    M::Result: Send,
{
    fn for_incarnation(&self) -> Box<dyn Publication<A>> {
        Box::new(SlotPublication { state: self.retire.0.clone(), ended: Arc::default() })
    }
}

impl<A, M> Publication<A> for SlotPublication<M>
where
    A: Actor<Context = Context<A>> + Handler<M>,
    M: Message + Send + 'static,
    M::Result: Send,
{
    fn up(&self, address: &Addr<A>) -> bool {
        self.state.send_if_modified(|state| {
            if self.ended.load(Ordering::Relaxed) || matches!(state, State::Retired) {
                return false;
            }
            let to = Arc::new(address.clone().recipient());
            *state = State::Up { to, life: Arc::clone(&self.ended) };
            true
        })
    }

    fn down(&self) {
        self.state.send_if_modified(|state| {
            self.ended.store(true, Ordering::Relaxed);
            let mine = matches!(state, State::Up { life, .. } if Arc::ptr_eq(life, &self.ended));
            if mine {
                *state = State::Down;
            }
            mine
        });
    }
}

impl<M> Clone for Route<M>
where
    M: Message + Send + 'static,
    M::Result: Send,
{
    fn clone(&self) -> Self {
        Self { state: self.state.clone() }
    }
}

impl<M> Clone for Slot<M>
where
    M: Message + Send + 'static,
    M::Result: Send,
{
    fn clone(&self) -> Self {
        Self { retire: Arc::clone(&self.retire) }
    }
}

impl<M> From<SendError<M>> for Undelivered<M> {
    fn from(error: SendError<M>) -> Self {
        match error {
            SendError::Full(message) => Self { message, reason: Refusal::Full },
            SendError::Closed(message) => Self { message, reason: Refusal::Closed },
        }
    }
}

impl<M> fmt::Debug for Route<M>
where
    M: Message + Send + 'static,
    M::Result: Send,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match &*self.state.borrow() {
            State::Down => "Down",
            State::Up { .. } => "Up",
            State::Retired => "Retired",
        };
        write!(f, "Route({state})")
    }
}

impl<M> fmt::Debug for Undelivered<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Undelivered").field("reason", &self.reason).finish_non_exhaustive()
    }
}

impl<M> fmt::Debug for CallError<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotSent(undelivered) => f.debug_tuple("NotSent").field(undelivered).finish(),
            Self::Lost => f.write_str("Lost"),
            Self::TimedOut(within) => f.debug_tuple("TimedOut").field(within).finish(),
        }
    }
}

#[cfg(test)]
mod tests {
    use actix::AsyncContext;

    use super::*;

    struct Idle;

    impl Actor for Idle {
        type Context = Context<Self>;
    }

    #[derive(Message)]
    #[rtype(result = "()")]
    struct Nudge;

    impl Handler<Nudge> for Idle {
        type Result = ();

        fn handle(&mut self, _: Nudge, _: &mut Context<Self>) {}
    }

    #[test]
    fn an_incarnation_that_was_taken_down_never_takes_the_route_back() {
        let context = Context::<Idle>::new();
        let (slot, route) = Route::<Nudge>::channel();
        let slots: [Box<dyn Publish<Idle>>; 1] = [Box::new(slot)];
        let (abandoned, successor) = (Publications::new(&slots), Publications::new(&slots));
        abandoned.down();
        assert!(!abandoned.up(&context.address()) && !route.is_up());
        assert!(successor.up(&context.address()) && route.is_up());
        abandoned.down();
        assert!(route.is_up(), "nor does it take it from its successor");
        successor.down();
        assert_eq!(route.send(Nudge).unwrap_err().reason, Refusal::Down);
    }
}
