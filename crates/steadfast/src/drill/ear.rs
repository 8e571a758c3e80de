//! An observer that notes the events of one life of a service: log lines do not tell two processes of one name apart.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use actix::{Actor, Context, Handler};
use serde_json::Value;
use tokio::time::Instant;

use crate::events::Event;

/// What was heard. A clone hears and knows the same.
#[derive(Clone)]
pub struct Ear {
    started: Instant,
    heard: Arc<Mutex<Vec<(Duration, Value)>>>,
}

impl Ear {
    /// One that has heard nothing, in a world that began `now` ago.
    pub fn new(now: Duration) -> Ear {
        Ear { started: Instant::now() - now, heard: Arc::default() }
    }

    /// The events, each with its time since the world began.
    pub fn events(&self) -> Vec<(Duration, Value)> {
        self.heard().clone()
    }

    fn heard(&self) -> MutexGuard<'_, Vec<(Duration, Value)>> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Actor for Ear {
    type Context = Context<Self>;
}

impl Handler<Event> for Ear {
    type Result = ();

    fn handle(&mut self, event: Event, _: &mut Context<Self>) {
        let at = self.started.elapsed();
        self.heard().push((at, serde_json::to_value(event).unwrap_or_default()));
    }
}

impl fmt::Debug for Ear {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Ear({} events)", self.heard().len())
    }
}
