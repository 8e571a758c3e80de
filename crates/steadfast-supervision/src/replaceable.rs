//! A slot for an actor of which two incarnations may live at once: the successor is made ready beside the
//! active one, then takes all its routes, or is discarded.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use actix::{Actor, Addr, ArbiterHandle, Context, Handler, Message};
use futures::{FutureExt, future::BoxFuture};
use steadfast_watch as watch;
use thiserror::Error;
use tokio::{sync::mpsc, time::Instant};

use crate::{
    caught::guarded,
    child::{self, Hooks, Lifeline},
    deadline::{after, reached},
    exit::{ExitReason, ExitReport, Incarnation},
    route::{Publications, Publish, Slot},
};

/// What a [`Replaceable`] is made from.
pub struct ReplaceableSpec<A: Actor<Context = Context<A>>> {
    name: Arc<str>,
    start_within: Duration,
    slots: Vec<Box<dyn Publish<A>>>,
}

/// A slot for an actor that is replaced rather than restarted. Its owner (an actor, say) decides everything;
/// no call blocks or waits. It restarts nothing: what ends is reported, with the part it played.
///
/// Dropped, it cuts its incarnations loose: they end by force, and are not reported.
pub struct Replaceable<A: Actor<Context = Context<A>>> {
    name: Arc<str>,
    start_within: Duration,
    slots: Vec<Box<dyn Publish<A>>>,
    last: Option<Incarnation>,
    lives: Arc<Mutex<Lives<A>>>,
    notes: mpsc::UnboundedSender<Note<A>>,
    /// Changes after each change of `lives`.
    changes: watch::Receiver<()>,
}

/// The part an incarnation plays.
///
/// ```text
///  prepare ──► Candidate ──promote──► Active ──another promoted, stop──► Retiring ──exit or limit──► (gone)
///                  └────────────────discard, stop────────────────────────►┘
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Prepared beside the active one; no route leads to it.
    Candidate,
    /// The routes lead to it.
    Active,
    /// Told to stop: it was replaced or discarded, or the slot is being stopped.
    Retiring,
}

/// What a slot tells its owner.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReplaceableEvent {
    /// The candidate's `started` has returned: it can be promoted.
    Up {
        /// The candidate.
        incarnation: Incarnation,
    },
    /// An incarnation has ended, or was abandoned at its limit. If it was the active one, the routes are
    /// down until another is promoted.
    Exited {
        /// The part it played.
        role: Role,
        /// How it ended.
        report: ExitReport,
    },
}

/// There is a candidate already: promote or discard it first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("incarnation {0} is a candidate already")]
pub struct CandidateExists(pub Incarnation);

/// A candidate that could not be promoted. The active incarnation keeps the routes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum PromoteError {
    /// None was prepared, or it has ended.
    #[error("there is no candidate")]
    NoCandidate,
    /// Its `started` has not returned yet.
    #[error("candidate {0} is not up yet")]
    NotUp(Incarnation),
    /// It has just ended; its exit will be reported.
    #[error("candidate {0} has ended")]
    Gone(Incarnation),
}

impl<A: Actor<Context = Context<A>>> ReplaceableSpec<A> {
    /// An empty slot that publishes nothing; a candidate has 5 s to come up.
    pub fn new(name: impl Into<Arc<str>>) -> Self {
        Self { name: name.into(), start_within: Duration::from_secs(5), slots: Vec::new() }
    }

    /// Leads `slot`'s route to the active incarnation.
    #[must_use]
    pub fn publish<M>(mut self, slot: Slot<M>) -> Self
    where
        A: Handler<M>,
        M: Message + Send + 'static,
        M::Result: Send,
    {
        self.slots.push(Box::new(slot));
        self
    }

    /// How long a candidate may take until its `started` has returned; past that it is abandoned.
    #[must_use]
    pub fn start_within(mut self, limit: Duration) -> Self {
        self.start_within = limit;
        self
    }

    /// Begins to mind the slot on `watcher`: best its owner's arbiter, and none on which an incarnation
    /// could stall. `on_event` is called there; it must not block (an owner sends itself a message), and a
    /// panic in it is logged and changes nothing.
    pub fn start(
        self,
        watcher: &ArbiterHandle,
        on_event: impl Fn(&ReplaceableEvent) + Send + 'static,
    ) -> Replaceable<A> {
        let Self { name, start_within, slots } = self;
        let lives = Arc::new(Mutex::new(Lives(BTreeMap::new())));
        let (notes, incoming) = mpsc::unbounded_channel();
        let (changed, changes) = watch::channel(());
        let minder = Minder { name: Arc::clone(&name), lives: Arc::clone(&lives), changed, on_event };
        watcher.spawn(minder.run(incoming));
        Replaceable { name, start_within, slots, last: None, lives, notes, changes }
    }
}

impl<A: Actor<Context = Context<A>>> Replaceable<A> {
    /// Starts a candidate on `arbiter`, beside the active incarnation. [`ReplaceableEvent::Up`] tells when
    /// it can be promoted, [`ReplaceableEvent::Exited`] that it never can.
    ///
    /// # Errors
    /// If there is a candidate already.
    pub fn prepare<F>(&mut self, arbiter: &ArbiterHandle, make: F) -> Result<Incarnation, CandidateExists>
    where
        F: FnOnce(&mut Context<A>, Incarnation) -> A + Send + 'static,
    {
        if let Some(candidate) = self.candidate() {
            return Err(CandidateExists(candidate));
        }
        let incarnation = self.last.map_or(Incarnation::FIRST, Incarnation::next);
        self.last = Some(incarnation);
        let published = Publications::new(&self.slots);
        let (to_withdraw, to_down) = (Arc::clone(&published), Arc::clone(&published));
        let (lifeline, orders) = Lifeline::new(move || to_withdraw.down());
        let launched = Instant::now();
        let deadline = Some(after(launched, self.start_within));
        let life = Life { role: Role::Candidate, address: None, lifeline, published, launched, deadline };
        // In the list before it begins, so that no news of it can come too early.
        lock(&self.lives).0.insert(incarnation, life);
        child::launch(
            arbiter,
            move |context| make(context, incarnation),
            orders,
            self.hooks(incarnation, to_down),
        );
        self.notes.send(Note::Changed).ok();
        Ok(incarnation)
    }

    fn hooks(&self, incarnation: Incarnation, published: Arc<Publications<A>>) -> Hooks<A> {
        let (to_up, to_exit) = (self.notes.clone(), self.notes.clone());
        // A slot that has ended need not be told.
        let up = move |address: &Addr<A>| drop(to_up.send(Note::Up(incarnation, address.clone())));
        let exit = move |reason| drop(to_exit.send(Note::Exited(incarnation, reason)));
        Hooks { up: Box::new(up), down: Box::new(move || published.down()), exit: Box::new(exit) }
    }

    /// Makes the candidate the active incarnation: all routes lead to it when this returns. The one that was
    /// active handles what is in its mailbox and stops; past `drain` it is abandoned. Its exit is reported.
    ///
    /// The routes are led over one after the other without a pause in between; a sender on another thread
    /// may find one led over and the next not yet.
    ///
    /// # Errors
    /// If there is no candidate that is up: then nothing has changed.
    pub fn promote(&mut self, drain: Duration) -> Result<Incarnation, PromoteError> {
        let promoted = lock(&self.lives).promote(after(Instant::now(), drain));
        self.notes.send(Note::Changed).ok();
        promoted
    }

    /// Tells the candidate to stop; past `drain` it is abandoned. Its exit is reported. None if there is no
    /// candidate.
    pub fn discard(&mut self, drain: Duration) -> Option<Incarnation> {
        let discarded = lock(&self.lives).retire(Role::Candidate, after(Instant::now(), drain));
        self.notes.send(Note::Changed).ok();
        discarded
    }

    /// Tells the candidate and the active incarnation to stop; past `drain` they are abandoned. The future
    /// resolves when no incarnation is left to wait for, those that retired before included.
    pub fn stop(&mut self, drain: Duration) -> BoxFuture<'static, ()> {
        let deadline = after(Instant::now(), drain);
        for role in [Role::Candidate, Role::Active] {
            lock(&self.lives).retire(role, deadline);
        }
        let (lives, mut changes) = (Arc::clone(&self.lives), self.changes.clone());
        self.notes.send(Note::Changed).ok();
        async move {
            while !lock(&lives).0.is_empty() {
                if changes.changed().await.is_err() {
                    return; // The watcher's arbiter is gone: nobody is waited for.
                }
            }
        }
        .boxed()
    }

    /// The incarnation that the routes lead to.
    #[must_use]
    pub fn active(&self) -> Option<Incarnation> {
        lock(&self.lives).find(Role::Active)
    }

    /// The incarnation that is being prepared.
    #[must_use]
    pub fn candidate(&self) -> Option<Incarnation> {
        lock(&self.lives).find(Role::Candidate)
    }
}

impl<A: Actor<Context = Context<A>>> Drop for Replaceable<A> {
    fn drop(&mut self) {
        self.notes.send(Note::Closed).ok();
        let lives = std::mem::take(&mut lock(&self.lives).0);
        drop(lives);
    }
}

impl<A: Actor<Context = Context<A>>> fmt::Debug for Replaceable<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (active, candidate) = (self.active(), self.candidate());
        write!(f, "Replaceable({}, active {active:?}, candidate {candidate:?})", self.name)
    }
}

/// The incarnations that live, or are not yet known to have ended. Shared by the slot and its minder; no
/// user's code runs while it is locked.
struct Lives<A: Actor>(BTreeMap<Incarnation, Life<A>>);

struct Life<A: Actor> {
    role: Role,
    /// Once it is up.
    address: Option<Addr<A>>,
    lifeline: Lifeline,
    published: Arc<Publications<A>>,
    launched: Instant,
    /// When it is abandoned if nothing is heard until then.
    deadline: Option<Instant>,
}

impl<A: Actor> Lives<A> {
    fn find(&self, role: Role) -> Option<Incarnation> {
        self.0.iter().find(|(_, life)| life.role == role).map(|(&incarnation, _)| incarnation)
    }

    fn promote(&mut self, deadline: Instant) -> Result<Incarnation, PromoteError> {
        let incarnation = self.find(Role::Candidate).ok_or(PromoteError::NoCandidate)?;
        let candidate = self.0.get(&incarnation).ok_or(PromoteError::NoCandidate)?;
        let address = candidate.address.as_ref().ok_or(PromoteError::NotUp(incarnation))?;
        if !(address.connected() && candidate.published.up(address)) {
            self.lead_back();
            return Err(PromoteError::Gone(incarnation));
        }
        self.retire(Role::Active, deadline);
        if let Some(candidate) = self.0.get_mut(&incarnation) {
            candidate.role = Role::Active;
        }
        Ok(incarnation)
    }

    /// After a candidate that ended while it was being promoted: its routes, if it got any, are down.
    fn lead_back(&self) {
        let active = self.0.values().find(|life| life.role == Role::Active);
        if let Some(Life { address: Some(address), published, .. }) = active {
            published.up(address);
        }
    }

    fn retire(&mut self, role: Role, deadline: Instant) -> Option<Incarnation> {
        let incarnation = self.find(role)?;
        let life = self.0.get_mut(&incarnation)?;
        life.role = Role::Retiring;
        life.deadline = Some(deadline);
        life.published.down();
        life.lifeline.stop();
        Some(incarnation)
    }

    fn next_deadline(&self) -> Option<Instant> {
        self.0.values().filter_map(|life| life.deadline).min()
    }

    fn overdue(&self, now: Instant) -> Option<Incarnation> {
        let is_overdue = |life: &Life<A>| life.deadline.is_some_and(|deadline| deadline <= now);
        self.0.iter().find(|(_, life)| is_overdue(life)).map(|(&incarnation, _)| incarnation)
    }
}

enum Note<A: Actor> {
    Up(Incarnation, Addr<A>),
    Exited(Incarnation, ExitReason),
    /// The owner has changed something: look at the deadlines again.
    Changed,
    /// The slot was dropped.
    Closed,
}

/// Minds the deadlines and tells the owner what happens.
struct Minder<A: Actor, F> {
    name: Arc<str>,
    lives: Arc<Mutex<Lives<A>>>,
    changed: watch::Sender<()>,
    on_event: F,
}

impl<A: Actor<Context = Context<A>>, F: Fn(&ReplaceableEvent) + Send + 'static> Minder<A, F> {
    async fn run(self, mut notes: mpsc::UnboundedReceiver<Note<A>>) {
        loop {
            let deadline = lock(&self.lives).next_deadline();
            tokio::select! {
                biased;
                note = notes.recv() => match note {
                    Some(Note::Up(incarnation, address)) => self.up(incarnation, address),
                    Some(Note::Exited(incarnation, reason)) => self.exited(incarnation, reason),
                    Some(Note::Changed) => {}
                    Some(Note::Closed) | None => return,
                },
                () = reached(deadline) => self.expire(Instant::now()),
            }
            self.changed.send_replace(());
        }
    }

    fn up(&self, incarnation: Incarnation, address: Addr<A>) {
        {
            let mut lives = lock(&self.lives);
            let Some(life) = lives.0.get_mut(&incarnation) else { return };
            if life.role != Role::Candidate {
                return;
            }
            life.address = Some(address);
            life.deadline = None;
        }
        self.emit(&ReplaceableEvent::Up { incarnation });
    }

    fn exited(&self, incarnation: Incarnation, reason: ExitReason) {
        let Some(life) = lock(&self.lives).0.remove(&incarnation) else { return };
        let lived_for = life.launched.elapsed();
        let report = ExitReport { child: Arc::clone(&self.name), incarnation, reason, lived_for };
        let role = life.role;
        drop(life);
        self.emit(&ReplaceableEvent::Exited { role, report });
    }

    fn expire(&self, now: Instant) {
        while let Some(incarnation) = self.overdue(now) {
            self.exited(incarnation, ExitReason::Abandoned);
        }
    }

    fn overdue(&self, now: Instant) -> Option<Incarnation> {
        lock(&self.lives).overdue(now)
    }

    fn emit(&self, event: &ReplaceableEvent) {
        guarded(&self.name, || (self.on_event)(event));
    }
}

fn lock<A: Actor>(lives: &Mutex<Lives<A>>) -> MutexGuard<'_, Lives<A>> {
    lives.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use actix::AsyncContext;

    use super::*;
    use crate::route::{Publication, Route};

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

    /// A slot of an incarnation that ends just before it is published.
    struct JustEnded;

    impl Publish<Idle> for JustEnded {
        fn for_incarnation(&self) -> Box<dyn Publication<Idle>> {
            Box::new(Self)
        }
    }

    impl Publication<Idle> for JustEnded {
        fn up(&self, _: &Addr<Idle>) -> bool {
            false
        }

        fn down(&self) {}
    }

    fn life(role: Role, address: Addr<Idle>, slots: &[Box<dyn Publish<Idle>>]) -> Life<Idle> {
        let published = Publications::new(slots);
        let to_withdraw = Arc::clone(&published);
        let (lifeline, _) = Lifeline::new(move || to_withdraw.down());
        let launched = Instant::now();
        Life { role, address: Some(address), lifeline, published, launched, deadline: None }
    }

    #[test]
    fn a_candidate_that_ends_between_two_routes_gives_the_first_one_back() {
        let (active, candidate) = (Context::<Idle>::new(), Context::<Idle>::new());
        let (slot, route) = Route::<Nudge>::channel();
        let first = life(Role::Active, active.address(), &[Box::new(slot.clone())]);
        first.published.up(&active.address());
        let second =
            life(Role::Candidate, candidate.address(), &[Box::new(slot.clone()), Box::new(JustEnded)]);
        let numbers = [Incarnation::FIRST, Incarnation::FIRST.next()];
        let mut lives = Lives(numbers.into_iter().zip([first, second]).collect());

        assert_eq!(lives.promote(Instant::now()), Err(PromoteError::Gone(numbers[1])));
        drop(candidate);
        assert!(route.is_up(), "the route leads to the one that is still active");
        assert_eq!(lives.find(Role::Active), Some(numbers[0]));
        drop(slot);
    }
}
