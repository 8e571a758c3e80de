//! The consumer's slot: two incarnations may live in it at once, and messages lead to the one in charge.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use actix::Message;
use steadfast_core::endpoints::view::View;
use steadfast_core::ids::{ConsumerIncarnation, NodeId};
use steadfast_supervision::{ChildSpec, ExitReason, Restart, Route, SupervisorHandle};

use crate::consume::consumer::{Consumer, Seat};
use crate::messages::{Adapt, Crash, Promote, Report};

/// An incarnation of the consumer ended without being asked to.
#[derive(Debug, Clone, Message)]
#[rtype(result = "()")]
pub(crate) struct ConsumerExit {
    pub(crate) incarnation: ConsumerIncarnation,
}

/// The slot. It survives crashes of its users.
pub(crate) struct ConsumerSlot {
    /// The supervisor that the incarnations are children of. It begins none anew: the respawn machine decides.
    supervisor: SupervisorHandle,
    seat: Arc<Seat>,
    exits: Route<ConsumerExit>,
    lives: Mutex<Lives>,
}

#[derive(Default)]
struct Lives {
    active: Option<Life>,
    candidate: Option<Life>,
}

struct Life {
    incarnation: ConsumerIncarnation,
    promote: Route<Promote>,
    adapt: Route<Adapt>,
    report: Route<Report>,
    crash: Route<Crash>,
    /// It ended without being asked to.
    ended: Arc<AtomicBool>,
}

impl ConsumerSlot {
    /// An empty slot. An incarnation that ends by itself is told to `exits`.
    pub(crate) fn new(
        supervisor: SupervisorHandle,
        seat: Arc<Seat>,
        exits: Route<ConsumerExit>,
    ) -> ConsumerSlot {
        ConsumerSlot { supervisor, seat, exits, lives: Mutex::default() }
    }

    fn lives(&self) -> std::sync::MutexGuard<'_, Lives> {
        self.lives.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes a candidate beside the incarnation in charge; it takes the place of any other candidate.
    pub(crate) fn prepare(&self, incarnation: ConsumerIncarnation, view: Arc<View<NodeId>>) {
        let ((promotes, promote), (adapts, adapt)) = (Route::channel(), Route::channel());
        let ((crashes, crash), (reports, report)) = (Route::channel(), Route::channel());
        let ended = Arc::new(AtomicBool::new(false));
        let seat = Arc::clone(&self.seat);
        let (exits, has_ended) = (self.exits.clone(), Arc::clone(&ended));
        let make = move |_: &mut actix::Context<Consumer>, _| {
            Consumer::new(Arc::clone(&seat), incarnation, Arc::clone(&view))
        };
        let arbiter = self.seat.env.placement.control.clone();
        let spec = ChildSpec::new(name_of(incarnation), arbiter, make)
            .publish(promotes)
            .publish(adapts)
            .publish(reports)
            .publish(crashes)
            .restart(Restart::Temporary)
            .shutdown(self.seat.drain)
            .on_exit(move |exit| match exit.reason {
                ExitReason::Stopped | ExitReason::Abandoned => {}
                ExitReason::Panicked { .. } | ExitReason::ArbiterGone | ExitReason::Escalated { .. } => {
                    has_ended.store(true, Ordering::Relaxed);
                    // A supervisor that is down asks for it when it is begun anew.
                    drop(exits.send(ConsumerExit { incarnation }));
                }
            });
        let life = Life { incarnation, promote, adapt, report, crash, ended };
        let replaced = self.lives().candidate.replace(life);
        self.stop(replaced);
        // A candidate that does not come up is told by its exit.
        drop(self.supervisor.start_child(spec));
    }

    fn stop(&self, life: Option<Life>) {
        if let Some(life) = life {
            drop(self.supervisor.stop_child(name_of(life.incarnation).as_str()));
        }
    }

    /// Asks the candidate to take over.
    pub(crate) fn promote(&self, incarnation: ConsumerIncarnation) {
        let lives = self.lives();
        if let Some(candidate) = lives.candidate.as_ref().filter(|life| life.incarnation == incarnation) {
            // If it has just crashed, its exit says so.
            drop(candidate.promote.send(Promote));
        }
    }

    /// The candidate has taken over: messages lead to it, and its predecessor is stopped and not waited for.
    pub(crate) fn promoted(&self, incarnation: ConsumerIncarnation) {
        let mut lives = self.lives();
        if lives.candidate.as_ref().is_some_and(|life| life.incarnation == incarnation) {
            let candidate = lives.candidate.take();
            let replaced = std::mem::replace(&mut lives.active, candidate);
            drop(lives);
            self.stop(replaced);
        }
    }

    /// Drops the candidate.
    pub(crate) fn discard(&self, incarnation: ConsumerIncarnation) {
        let discarded = self.lives().candidate.take_if(|life| life.incarnation == incarnation);
        self.stop(discarded);
    }

    /// Lets the incarnation in charge take the view over in place.
    pub(crate) fn adapt(&self, view: Arc<View<NodeId>>) {
        if let Some(active) = &self.lives().active {
            // One that has just crashed is made anew from the newest view.
            drop(active.adapt.send(Adapt(view)));
        }
    }

    /// The incarnations that ended without being asked to, as far as they were not replaced since.
    pub(crate) fn ended(&self) -> Vec<ConsumerIncarnation> {
        let lives = self.lives();
        let ended = |life: &&Life| life.ended.load(Ordering::Relaxed);
        lives.active.iter().chain(&lives.candidate).filter(ended).map(|life| life.incarnation).collect()
    }

    /// Lets the incarnations say again how they stand.
    pub(crate) fn report(&self) {
        let lives = self.lives();
        for life in lives.active.iter().chain(&lives.candidate) {
            // One that is not up yet has not said anything that could be lost.
            drop(life.report.send(Report));
        }
    }

    /// Lets the incarnation in charge panic; says whether there is one that is up.
    pub(crate) fn crash(&self) -> bool {
        self.lives().active.as_ref().is_some_and(|active| active.crash.send(Crash).is_ok())
    }
}

fn name_of(incarnation: ConsumerIncarnation) -> String {
    format!("consumer {incarnation}")
}
