//! The consumer's slot: two incarnations may live in it at once, and messages lead to the one in charge.

use std::sync::{Arc, Mutex, PoisonError};

use actix::Message;
use steadfast_core::endpoints::view::View;
use steadfast_core::ids::{ConsumerIncarnation, NodeId};
use steadfast_supervision::{ChildSpec, ExitReason, Restart, Route, SupervisorHandle};

use crate::consume::consumer::{Consumer, Seat};
use crate::messages::{Adapt, Crash, Promote};

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
    crash: Route<Crash>,
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
        let (crashes, crash) = Route::channel();
        let seat = Arc::clone(&self.seat);
        let exits = self.exits.clone();
        let make = move |_: &mut actix::Context<Consumer>, _| {
            Consumer::new(Arc::clone(&seat), incarnation, Arc::clone(&view))
        };
        let arbiter = self.seat.env.placement.control.clone();
        let spec = ChildSpec::new(name_of(incarnation), arbiter, make)
            .publish(promotes)
            .publish(adapts)
            .publish(crashes)
            .restart(Restart::Temporary)
            .shutdown(self.seat.drain)
            .on_exit(move |exit| match exit.reason {
                ExitReason::Stopped | ExitReason::Abandoned => {}
                ExitReason::Panicked { .. } | ExitReason::ArbiterGone | ExitReason::Escalated { .. } => {
                    // Without a supervisor to tell, the service is about to end.
                    drop(exits.send(ConsumerExit { incarnation }));
                }
            });
        let replaced = self.lives().candidate.replace(Life { incarnation, promote, adapt, crash });
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

    /// Lets the incarnation in charge panic.
    pub(crate) fn crash(&self) {
        if let Some(active) = &self.lives().active {
            drop(active.crash.send(Crash));
        }
    }
}

fn name_of(incarnation: ConsumerIncarnation) -> String {
    format!("consumer {incarnation}")
}
