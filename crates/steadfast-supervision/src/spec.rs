//! What a child is: how it is made, where it runs, and what follows when it ends.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use actix::{Actor, ArbiterHandle, Context, Handler, Message};

use crate::{
    child::{self, Hooks, Lifeline},
    exit::{ExitReason, ExitReport, Incarnation},
    intensity::Intensity,
    route::{Publications, Publish, Slot},
    supervisor::Surroundings,
    tree::Tree,
};

/// Which exits a child is begun anew after.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Restart {
    /// After every exit.
    Permanent,
    /// After every exit but an orderly stop.
    Transient,
    /// Never.
    Temporary,
}

/// What happens when a child may not be begun anew any more: its intensity is exceeded, or its arbiter gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnExhausted {
    /// Its supervisor stops the other children and ends, telling its own parent why.
    Escalate,
    /// The child is removed, its routes retire, and its siblings go on.
    GiveUp,
}

/// A child of a supervisor: built by [`ChildSpec::new`] (an actor) or [`ChildSpec::supervisor`] (a tree).
///
/// Defaults: `Permanent`, [`Intensity::default`], `Escalate`, 5 s to start, 5 s to stop.
pub struct ChildSpec<K> {
    pub(crate) name: Arc<str>,
    pub(crate) arbiter: ArbiterHandle,
    pub(crate) policy: Policy,
    pub(crate) kind: K,
}

/// A child whose kind is forgotten, so that specifications of different actors fit one list.
pub struct AnyChildSpec {
    pub(crate) name: Arc<str>,
    pub(crate) policy: Policy,
    arbiter: ArbiterHandle,
    kind: Box<dyn Launch>,
}

/// The kind of a child that is one actor.
pub struct Worker<A: Actor<Context = Context<A>>> {
    make: SharedMake<A>,
    slots: Vec<Box<dyn Publish<A>>>,
}

type Make<A> = dyn FnMut(&mut Context<A>, Incarnation) -> A + Send;
type SharedMake<A> = Arc<Mutex<Box<Make<A>>>>;
type ExitCallback = Box<dyn Fn(&ExitReport) + Send>;

pub(crate) struct Policy {
    pub(crate) restart: Restart,
    pub(crate) intensity: Intensity,
    pub(crate) on_exhausted: OnExhausted,
    pub(crate) start_within: Duration,
    pub(crate) shutdown: Duration,
    pub(crate) on_exit: Option<ExitCallback>,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            restart: Restart::Permanent,
            intensity: Intensity::default(),
            on_exhausted: OnExhausted::Escalate,
            start_within: Duration::from_secs(5),
            shutdown: Duration::from_secs(5),
            on_exit: None,
        }
    }
}

impl<A: Actor<Context = Context<A>>> ChildSpec<Worker<A>> {
    /// An actor that lives on `arbiter`. `make` runs there, once per incarnation: each gets a fresh value
    /// and a fresh mailbox. The actor itself need not be `Send`. It lives until it stops or is stopped,
    /// even if no address leads to it.
    ///
    /// `make` may panic: that is a crash like any other.
    pub fn new<F>(name: impl Into<Arc<str>>, arbiter: ArbiterHandle, make: F) -> Self
    where
        F: FnMut(&mut Context<A>, Incarnation) -> A + Send + 'static,
    {
        let kind = Worker { make: Arc::new(Mutex::new(Box::new(make))), slots: Vec::new() };
        Self { name: name.into(), arbiter, policy: Policy::default(), kind }
    }

    /// Leads `slot`'s route to each incarnation whose `started` has returned, for as long as it lives.
    #[must_use]
    pub fn publish<M>(mut self, slot: Slot<M>) -> Self
    where
        A: Handler<M>,
        M: Message + Send + 'static,
        M::Result: Send,
    {
        self.kind.slots.push(Box::new(slot));
        self
    }
}

impl<K> ChildSpec<K> {
    /// Which exits it is begun anew after.
    #[must_use]
    pub fn restart(mut self, restart: Restart) -> Self {
        self.policy.restart = restart;
        self
    }

    /// How often it may be begun anew, and after what pauses.
    #[must_use]
    pub fn intensity(mut self, intensity: Intensity) -> Self {
        self.policy.intensity = intensity;
        self
    }

    /// What happens when that is exceeded.
    #[must_use]
    pub fn on_exhausted(mut self, on_exhausted: OnExhausted) -> Self {
        self.policy.on_exhausted = on_exhausted;
        self
    }

    /// How long an incarnation may take until its `started` has returned; past that it is abandoned, which
    /// counts as a crash. The child's first coming up, restarts included, has the same limit.
    #[must_use]
    pub fn start_within(mut self, limit: Duration) -> Self {
        self.policy.start_within = limit;
        self
    }

    /// How long an orderly stop may take; past that the incarnation is abandoned.
    ///
    /// A stop takes its routes down, lets it handle what is in its mailbox (unless it is held up by a
    /// `ctx.wait`), and then is `ctx.stop()`. An actor that needs longer returns `Running::Continue` from
    /// `stopping` and stops itself when it is done; it is not asked twice.
    #[must_use]
    pub fn shutdown(mut self, limit: Duration) -> Self {
        self.policy.shutdown = limit;
        self
    }

    /// Called by the supervisor on its own arbiter, after each exit and before any restart is scheduled.
    /// It must not block; a panic in it is logged and changes nothing.
    #[must_use]
    pub fn on_exit(mut self, callback: impl Fn(&ExitReport) + Send + 'static) -> Self {
        self.policy.on_exit = Some(Box::new(callback));
        self
    }
}

impl AnyChildSpec {
    /// Begins an incarnation.
    pub(crate) fn launch(
        &mut self,
        incarnation: Incarnation,
        surroundings: &Surroundings,
        notice: Notice,
    ) -> Lifeline {
        let place = Place { name: &self.name, arbiter: &self.arbiter, surroundings };
        self.kind.launch(incarnation, &place, notice)
    }
}

impl<A: Actor<Context = Context<A>>> From<ChildSpec<Worker<A>>> for AnyChildSpec {
    fn from(spec: ChildSpec<Worker<A>>) -> Self {
        let ChildSpec { name, arbiter, policy, kind } = spec;
        Self { name, policy, arbiter, kind: Box::new(kind) }
    }
}

impl From<ChildSpec<Tree>> for AnyChildSpec {
    fn from(spec: ChildSpec<Tree>) -> Self {
        let ChildSpec { name, arbiter, policy, kind } = spec;
        Self { name, policy, arbiter, kind: Box::new(kind) }
    }
}

/// What a supervisor wants to hear of an incarnation: at most one `up`, then exactly one `exit`.
pub(crate) struct Notice {
    pub(crate) up: Box<dyn FnOnce() + Send>,
    pub(crate) exit: Box<dyn FnOnce(ExitReason) + Send>,
}

/// Where an incarnation begins.
pub(crate) struct Place<'a> {
    pub(crate) name: &'a Arc<str>,
    pub(crate) arbiter: &'a ArbiterHandle,
    pub(crate) surroundings: &'a Surroundings,
}

/// A kind of child: an actor or a supervisor.
pub(crate) trait Launch: Send {
    fn launch(&mut self, incarnation: Incarnation, place: &Place<'_>, notice: Notice) -> Lifeline;
}

impl<A: Actor<Context = Context<A>>> Launch for Worker<A> {
    fn launch(&mut self, incarnation: Incarnation, place: &Place<'_>, notice: Notice) -> Lifeline {
        let published = Publications::new(&self.slots);
        let (to_lead, to_withdraw) = (Arc::clone(&published), Arc::clone(&published));
        let (lifeline, orders) = Lifeline::new(move || to_withdraw.down());
        let hooks = Hooks {
            up: Box::new(move |address| {
                to_lead.up(address);
                (notice.up)();
            }),
            down: Box::new(move || published.down()),
            exit: notice.exit,
        };
        let make = Arc::clone(&self.make);
        // One arbiter, one thread: no two incarnations are ever in here at once. A poisoned lock means that
        // an earlier `make` panicked, which is what we are here for.
        let make = move |context: &mut Context<A>| {
            (make.lock().unwrap_or_else(PoisonError::into_inner))(context, incarnation)
        };
        child::launch(place.arbiter, make, orders, hooks);
        lifeline
    }
}
