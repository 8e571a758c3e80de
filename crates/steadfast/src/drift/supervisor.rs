//! The supervisor of the consumer: core's respawn machine, given a slot in which two incarnations may live.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use actix::{Actor, AsyncContext, Context, Handler, SpawnHandle};
use steadfast_core::checkpoint::Occasion;
use steadfast_core::endpoints::backoff::Jitter;
use steadfast_core::endpoints::drift::{Drift, Threshold, drift};
use steadfast_core::endpoints::respawn::{Action, Event, InPlace, Reason, Report, Respawn};
use steadfast_core::endpoints::view::View;
use steadfast_core::ids::{ConsumerIncarnation, NodeId};
use steadfast_supervision::Route;
use steadfast_watch as watch;

use crate::config::{Config, SecuritySettings};
use crate::consume::progress::ProgressTable;
use crate::drift::slot::{ConsumerSlot, Promotion};
use crate::env::Env;
use crate::events::Event as Told;
use crate::messages::{ConfigChanged, ConsumerState, Crash, Drifted, Flush, InUse, Mail};
use crate::observers::Events;
use crate::post::Post;
use crate::vitals::{Part, Vitals};

/// What a supervisor is given by wiring.
pub(crate) struct Seat {
    pub(crate) env: Env,
    /// What the machine was made with.
    pub(crate) threshold: Threshold,
    /// The machine and the slot survive a crash of the actor: a consumer that runs goes on.
    pub(crate) respawn: Mutex<Respawn<NodeId>>,
    pub(crate) slot: ConsumerSlot,
    /// How the consumers stand. An end that the machine never heard of would leave it without a consumer for
    /// good; a successor that nobody promotes would cost its whole limit.
    pub(crate) consumers: Post<ConsumerState>,
    pub(crate) config: watch::Receiver<Arc<Config>>,
    /// The security settings that the machine knows of.
    pub(crate) secured: Mutex<SecuritySettings>,
    pub(crate) table: Arc<ProgressTable>,
    pub(crate) differ: Route<InUse>,
    pub(crate) checkpointer: Route<Flush>,
    pub(crate) vitals: Vitals,
    pub(crate) events: Events,
    /// What the first record of an incarnation found, until the machine reports it.
    pub(crate) gap: Mutex<i64>,
    /// How many records had been delivered again when the respawn began.
    pub(crate) redelivered: Mutex<u64>,
}

/// The actor.
pub(crate) struct Supervisor {
    seat: Arc<Seat>,
    timer: Option<SpawnHandle>,
    /// When other security settings are told without a new view.
    securing: Option<SpawnHandle>,
}

/// Who changes the security settings often changes the endpoints too: for so long the agreed view is awaited that
/// the new settings lead to, since a successor at the old endpoints would come to nothing.
const NEW_VIEW: Duration = Duration::from_secs(2);

/// How soon a candidate that is ready but not up is looked at again.
const TURN: Duration = Duration::from_millis(1);

impl Supervisor {
    /// A supervisor that goes on from the machine in its seat.
    pub(crate) fn new(seat: Arc<Seat>) -> Supervisor {
        Supervisor { seat, timer: None, securing: None }
    }

    /// Whether other security settings are in force than the machine knows of.
    fn is_to_be_secured(&self) -> bool {
        let secured = self.seat.secured.lock().unwrap_or_else(PoisonError::into_inner);
        *secured != self.seat.config.borrow().kafka.security
    }

    fn secure_soon(&mut self, ctx: &mut Context<Self>) {
        if self.is_to_be_secured() && self.securing.is_none() {
            self.securing = Some(ctx.run_later(NEW_VIEW, Self::secure));
        }
    }

    /// Tells the machine of other security settings, before it is told of a view that was found with them.
    fn secure(&mut self, ctx: &mut Context<Self>) {
        if let Some(securing) = self.securing.take() {
            ctx.cancel_future(securing);
        }
        if self.is_to_be_secured() {
            let security = self.seat.config.borrow().kafka.security.clone();
            *self.seat.secured.lock().unwrap_or_else(PoisonError::into_inner) = security;
            self.tell(Event::CredentialsChanged, ctx);
        }
    }

    fn tell(&mut self, event: Event<NodeId>, ctx: &mut Context<Self>) {
        let actions = self.machine(|machine, seat| machine.handle(event, seat.env.now()));
        for action in actions {
            self.act(action, ctx);
        }
        self.recover();
        self.arm(ctx);
    }

    fn machine<T>(&self, with: impl FnOnce(&mut Respawn<NodeId>, &Seat) -> T) -> T {
        with(&mut self.seat.respawn.lock().unwrap_or_else(PoisonError::into_inner), &self.seat)
    }

    /// Says that a consumer can be had again.
    fn recover(&self) {
        // Nothing is awaited any more: a consumer runs, on the view in use.
        if self.machine(|machine, _| machine.next_deadline().is_some()) {
            return;
        }
        self.seat.vitals.recovered(Part::Consumer, &self.seat.events, self.seat.env.now());
    }

    fn jitter(&self) -> Jitter {
        Jitter::new(self.seat.env.dice.fraction())
    }

    fn arm(&mut self, ctx: &mut Context<Self>) {
        if let Some(timer) = self.timer.take() {
            ctx.cancel_future(timer);
        }
        let Some(deadline) = self.machine(|machine, _| machine.next_deadline()) else { return };
        let wait = deadline.since(self.seat.env.now());
        self.timer = Some(ctx.run_later(wait, |supervisor, ctx| {
            supervisor.timer = None;
            let jitter = supervisor.jitter();
            supervisor.tell(Event::Elapsed { jitter }, ctx);
        }));
    }

    fn act(&self, action: Action<NodeId>, ctx: &mut Context<Self>) {
        match action {
            Action::Prepare { incarnation, view, reason } => self.prepare(incarnation, view, reason),
            Action::Promote { incarnation } => self.promote(incarnation, ctx),
            Action::Discard { incarnation } => self.seat.slot.discard(incarnation),
            Action::Adapt { view, drift, because } => {
                self.tell_drift(&drift, "adapt");
                let view = Arc::new(view);
                self.seat.slot.adapt(view);
                tracing::debug!(
                    ?because,
                    out_of_budget = because == InPlace::OutOfBudget,
                    "drift is taken in place"
                );
            }
            Action::OutOfBudget(spent) => self.seat.events.emit(Told::RespawnBudgetSpent {
                budget: spent.tokens,
                window_ms: spent.window.as_secs_f64() * 1e3,
            }),
            Action::Degraded { reason, .. } => {
                let now = self.seat.env.now();
                self.seat.vitals.degraded(Part::Consumer, vec![reason], false, &self.seat.events, now);
            }
            Action::Report(report) => self.report(&report),
        }
    }

    fn prepare(&self, incarnation: ConsumerIncarnation, view: View<NodeId>, reason: Reason) {
        if let Some(in_use) = self.machine(|machine, _| machine.in_use().cloned())
            && reason == Reason::Drift
        {
            self.tell_drift(&drift(&in_use, &view), "respawn");
            // What is acked is committed meanwhile; nothing waits for it: the successor begins at position.
            drop(self.seat.checkpointer.send(Flush(Occasion::Respawn)));
        }
        let redelivered = self.seat.table.counts.redelivered.load(Ordering::Relaxed);
        *self.seat.redelivered.lock().unwrap_or_else(PoisonError::into_inner) = redelivered;
        self.seat.slot.prepare(incarnation, Arc::new(view));
    }

    fn promote(&self, incarnation: ConsumerIncarnation, ctx: &mut Context<Self>) {
        match self.seat.slot.promote(incarnation) {
            Promotion::Asked => {}
            // Both come from the same thread: it is a matter of one turn. The machine's deadline ends it.
            Promotion::NotYet => {
                ctx.run_later(TURN, move |supervisor, ctx| supervisor.promote(incarnation, ctx));
            }
            Promotion::Failed(reason) => {
                let jitter = self.jitter();
                // Told after the machine has returned, never from within.
                ctx.run_later(Duration::ZERO, move |supervisor, ctx| {
                    supervisor.tell(Event::PrepareFailed { incarnation, reason, jitter }, ctx);
                });
            }
        }
    }

    fn tell_in_use(&self) {
        if let Some(view) = self.machine(|machine, _| machine.in_use().cloned()) {
            drop(self.seat.differ.send(InUse(Arc::new(view))));
        }
    }

    fn tell_drift(&self, drift: &Drift<NodeId>, action: &'static str) {
        if drift.is_empty() {
            return;
        }
        self.seat.events.emit(Told::EndpointDrifted {
            changes: drift.changes.clone(),
            score: drift.score,
            threshold: self.seat.threshold.into(),
            action,
        });
    }

    fn report(&self, report: &Report) {
        let before = *self.seat.redelivered.lock().unwrap_or_else(PoisonError::into_inner);
        let now = self.seat.table.counts.redelivered.load(Ordering::Relaxed);
        let millis = |phase: Duration| phase.as_secs_f64() * 1e3;
        self.seat.events.emit(Told::ConsumerRespawned {
            incarnation: report.incarnation,
            reason: report.reason.as_str(),
            detect_ms: millis(report.phases.detect),
            discover_ms: millis(report.phases.discover),
            verify_ms: millis(report.phases.verify),
            handover_ms: millis(report.phases.handover),
            first_record_ms: report.phases.first_record.map(millis),
            gap: *self.seat.gap.lock().unwrap_or_else(PoisonError::into_inner),
            redelivered: now.saturating_sub(before),
        });
    }
}

impl Actor for Supervisor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        self.open_post(ctx);
        self.arm(ctx);
        self.secure_soon(ctx);
    }
}

impl Handler<ConfigChanged> for Supervisor {
    type Result = ();

    fn handle(&mut self, _: ConfigChanged, ctx: &mut Context<Self>) {
        self.secure_soon(ctx);
    }
}

impl Handler<Drifted> for Supervisor {
    type Result = ();

    fn handle(&mut self, Drifted { view, timeline }: Drifted, ctx: &mut Context<Self>) {
        self.secure(ctx);
        self.tell(Event::Drifted { view: View::clone(&view), timeline }, ctx);
        // Also when nothing follows: the differ repeats what it has no answer to.
        self.tell_in_use();
    }
}

impl Handler<Mail> for Supervisor {
    type Result = ();

    fn handle(&mut self, _: Mail, ctx: &mut Context<Self>) {
        self.open_post(ctx);
    }
}

impl Supervisor {
    fn open_post(&mut self, ctx: &mut Context<Self>) {
        while let Some(state) = self.seat.consumers.take() {
            self.heard(state, ctx);
        }
    }

    fn heard(&mut self, state: ConsumerState, ctx: &mut Context<Self>) {
        let event = match state {
            ConsumerState::Prepared(incarnation) => Event::Prepared { incarnation },
            ConsumerState::PrepareFailed(incarnation, reason) => {
                Event::PrepareFailed { incarnation, reason, jitter: self.jitter() }
            }
            ConsumerState::Promoted(incarnation) => {
                self.tell(Event::Promoted { incarnation }, ctx);
                return self.tell_in_use();
            }
            ConsumerState::FirstRecord { incarnation, gap } => {
                *self.seat.gap.lock().unwrap_or_else(PoisonError::into_inner) = gap;
                Event::FirstRecord { incarnation }
            }
            ConsumerState::Ended(incarnation) => Event::Crashed { incarnation, jitter: self.jitter() },
        };
        self.tell(event, ctx);
    }
}

impl Handler<Crash> for Supervisor {
    type Result = ();

    fn handle(&mut self, _: Crash, _: &mut Context<Self>) {
        panic!("asked to crash");
    }
}
