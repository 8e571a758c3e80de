//! Where events go: the log, and the user's observers.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use actix::{Actor, ArbiterHandle, Context, Handler};
use steadfast_supervision::{AnyChildSpec, ChildSpec, OnExhausted, Route};

use crate::events::Event;
use crate::log;

/// Emits events. Cheap to clone.
#[derive(Clone)]
pub struct Events(Arc<Targets>);

struct Targets {
    instance: Arc<str>,
    observers: Vec<Route<Event>>,
    listeners: Vec<Listener>,
    dropped: AtomicU64,
}

/// Is called with every event before anything else happens: it must be quick, and never wait for anybody.
pub(crate) type Listener = Box<dyn Fn(&Event) + Send + Sync>;

impl Events {
    /// Events of the service `instance`, for the log and for these observers.
    pub fn new(instance: impl Into<Arc<str>>, observers: Vec<Route<Event>>) -> Events {
        Events::heard_by(instance, observers, Vec::new())
    }

    /// The same, for these listeners too.
    pub(crate) fn heard_by(
        instance: impl Into<Arc<str>>,
        observers: Vec<Route<Event>>,
        listeners: Vec<Listener>,
    ) -> Events {
        let (instance, dropped) = (instance.into(), AtomicU64::new(0));
        Events(Arc::new(Targets { instance, observers, listeners, dropped }))
    }

    /// Writes the event to the log and gives it to the observers. An observer that is down or behind misses it;
    /// nothing waits for an observer.
    pub fn emit(&self, event: Event) {
        self.0.listeners.iter().for_each(|listener| listener(&event));
        log::write(&self.0.instance, &event);
        for observer in &self.0.observers {
            if observer.try_send(event.clone()).is_err() {
                self.0.dropped.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    /// Events that an observer missed.
    pub fn dropped(&self) -> u64 {
        self.0.dropped.load(Ordering::Relaxed)
    }
}

/// Events that an observer may be behind before it misses some: an assignment of many partitions comes as a
/// burst.
const BACKLOG: usize = 1024;
/// What an observer that blocks may cost the start and the end of the service.
const PATIENCE: Duration = Duration::from_secs(1);

/// What starts one of the user's observers, whatever its type.
pub(crate) type StartObserver = Box<dyn FnOnce(usize, ArbiterHandle) -> (AnyChildSpec, Route<Event>) + Send>;

/// Forgets the type of the observers that `make` makes.
pub(crate) fn observer_of<A, F>(make: F) -> StartObserver
where
    A: Actor<Context = Context<A>> + Handler<Event>,
    F: Fn() -> A + Send + Sync + 'static,
{
    Box::new(move |number, arbiter| {
        let (slot, route) = Route::channel();
        let make = move |ctx: &mut Context<A>, _| {
            ctx.set_mailbox_capacity(BACKLOG);
            make()
        };
        let spec = ChildSpec::new(format!("observer {number}"), arbiter, make)
            .publish(slot)
            .start_within(PATIENCE)
            .shutdown(PATIENCE)
            .on_exhausted(OnExhausted::GiveUp);
        (spec.into(), route)
    })
}

impl fmt::Debug for Events {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Events(to {} observers)", self.0.observers.len())
    }
}
