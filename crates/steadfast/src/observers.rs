//! Where events go: the log, and the user's observers.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use steadfast_supervision::route::Route;

use crate::events::Event;
use crate::log;

/// Emits events. Cheap to clone.
#[derive(Clone, Default)]
pub struct Events(Arc<Targets>);

#[derive(Default)]
struct Targets {
    observers: Vec<Route<Event>>,
    dropped: AtomicU64,
}

impl Events {
    /// Events for the log and for these observers.
    pub fn new(observers: Vec<Route<Event>>) -> Events {
        Events(Arc::new(Targets { observers, dropped: AtomicU64::new(0) }))
    }

    /// Writes the event to the log and gives it to the observers. An observer that is down or behind misses it;
    /// nothing waits for an observer.
    pub fn emit(&self, event: Event) {
        log::write(&event);
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

impl fmt::Debug for Events {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Events(to {} observers)", self.0.observers.len())
    }
}
