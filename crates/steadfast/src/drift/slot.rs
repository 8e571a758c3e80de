//! The consumer's slot: two incarnations may live in it at once, and messages lead to the one in charge.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use futures::future::BoxFuture;
use steadfast_core::endpoints::view::View;
use steadfast_core::ids::{ConsumerIncarnation, NodeId};
use steadfast_supervision::{
    ExitReason, Incarnation, PromoteError, Replaceable, ReplaceableEvent, ReplaceableSpec, Role, Route,
};

use crate::consume::consumer::{Consumer, Seat};
use crate::events::{Event, Failure};
use crate::messages::{Adapt, ConsumerState, Crash, Promote};
use crate::observers::Events;
use crate::post::Post;

/// What became of a promotion.
pub(crate) enum Promotion {
    /// The candidate is in charge, and told to take over.
    Asked,
    /// It has said that it is ready, and its slot has not heard yet that it is up.
    NotYet,
    /// It cannot be.
    Failed(String),
}

/// The slot. It survives crashes of its users.
pub(crate) struct ConsumerSlot {
    seat: Arc<Seat>,
    consumers: Mutex<Replaceable<Consumer>>,
    numbers: Numbers,
    promote: Route<Promote>,
    adapt: Route<Adapt>,
    crash: Route<Crash>,
}

/// The slot numbers the lives it holds, the respawn machine the consumers it asks for.
type Numbers = Arc<Mutex<BTreeMap<Incarnation, ConsumerIncarnation>>>;

impl ConsumerSlot {
    /// An empty slot.
    pub(crate) fn new(seat: Arc<Seat>) -> ConsumerSlot {
        let (promotes, promote) = Route::channel();
        let (adapts, adapt) = Route::channel();
        let (crashes, crash) = Route::channel();
        let numbers = Numbers::default();
        let (of_exits, events, states) = (Arc::clone(&numbers), seat.events.clone(), seat.supervisor.clone());
        let consumers = ReplaceableSpec::new("consumer")
            .publish(promotes)
            .publish(adapts)
            .publish(crashes)
            .start(&seat.env.placement.control, move |event| ended(event, &of_exits, &events, &states));
        ConsumerSlot { seat, consumers: Mutex::new(consumers), numbers, promote, adapt, crash }
    }

    fn consumers(&self) -> std::sync::MutexGuard<'_, Replaceable<Consumer>> {
        self.consumers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn candidate(&self, slot: &Replaceable<Consumer>) -> Option<ConsumerIncarnation> {
        let numbers = self.numbers.lock().unwrap_or_else(PoisonError::into_inner);
        numbers.get(&slot.candidate()?).copied()
    }

    /// Makes a candidate beside the incarnation in charge; it takes the place of any other candidate.
    pub(crate) fn prepare(&self, incarnation: ConsumerIncarnation, view: Arc<View<NodeId>>) {
        let mut consumers = self.consumers();
        consumers.discard(self.seat.drain);
        let seat = Arc::clone(&self.seat);
        let arbiter = self.seat.env.placement.control.clone();
        let made = consumers.prepare(&arbiter, move |_, _| Consumer::new(seat, incarnation, view));
        match made {
            Ok(number) => {
                let mut numbers = self.numbers.lock().unwrap_or_else(PoisonError::into_inner);
                numbers.insert(number, incarnation);
            }
            Err(error) => tracing::error!(%error, "a candidate that was discarded is still there"),
        }
    }

    /// Puts the candidate in charge and asks it to take over; its predecessor is stopped and not waited for.
    pub(crate) fn promote(&self, incarnation: ConsumerIncarnation) -> Promotion {
        let mut consumers = self.consumers();
        if self.candidate(&consumers) != Some(incarnation) {
            return Promotion::Failed(format!("consumer {incarnation} is no candidate"));
        }
        match consumers.promote(self.seat.drain) {
            Ok(_) => match self.promote.send(Promote) {
                Ok(()) => Promotion::Asked,
                Err(undelivered) => Promotion::Failed(undelivered.reason.to_string()),
            },
            Err(PromoteError::NotUp(_)) => Promotion::NotYet,
            Err(error @ (PromoteError::NoCandidate | PromoteError::Gone(_))) => {
                Promotion::Failed(error.to_string())
            }
        }
    }

    /// Drops the candidate.
    pub(crate) fn discard(&self, incarnation: ConsumerIncarnation) {
        let mut consumers = self.consumers();
        if self.candidate(&consumers) == Some(incarnation) {
            consumers.discard(self.seat.drain);
        }
    }

    /// Lets the incarnation in charge take the view over in place.
    pub(crate) fn adapt(&self, view: Arc<View<NodeId>>) {
        // One that has just crashed is made anew from the newest view.
        drop(self.adapt.send(Adapt(view)));
    }

    /// Lets the incarnation in charge panic; says whether there is one.
    pub(crate) fn crash(&self) -> bool {
        self.crash.send(Crash).is_ok()
    }

    /// Ends all incarnations.
    pub(crate) fn stop(&self) -> BoxFuture<'static, ()> {
        self.consumers().stop(self.seat.drain)
    }
}

fn ended(event: &ReplaceableEvent, numbers: &Numbers, events: &Events, states: &Post<ConsumerState>) {
    let ReplaceableEvent::Exited { role, report } = event else { return };
    let number = numbers.lock().unwrap_or_else(PoisonError::into_inner).remove(&report.incarnation);
    let by_itself = match report.reason {
        ExitReason::Panicked { .. } | ExitReason::ArbiterGone | ExitReason::Escalated { .. } => true,
        ExitReason::Stopped | ExitReason::Abandoned => *role != Role::Retiring,
    };
    if let Some(incarnation) = number.filter(|_| by_itself) {
        events.emit(Event::ActorRestarted {
            actor: "consumer".to_owned(),
            incarnation: incarnation.0,
            failure: Failure::from(&report.reason),
        });
        states.send(ConsumerState::Ended(incarnation));
    }
}
