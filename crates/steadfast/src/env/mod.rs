//! The only door to the world: connections, names, the wall clock, randomness, stored state, threads.
//!
//! Nothing outside this room opens a socket, reads a clock or rolls dice, so that the whole service can run
//! under virtual time with another set of doors.

pub mod real;

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use chrono::{DateTime, Utc};
use rand::{Rng, RngCore};
use steadfast_core::tick::Tick;
use steadfast_kafka::transport::Transport;

use crate::placement::Placement;

/// The doors. Cheap to clone.
#[derive(Clone)]
pub struct Env {
    /// Opens connections, resolving names anew each time.
    pub transport: Arc<dyn Transport>,
    /// The time of day: for people and for Kafka's timestamps, never for deadlines.
    pub wall_clock: WallClock,
    /// Randomness: jitter and nothing else.
    pub dice: Dice,
    /// Where what must survive the process is kept.
    pub store: Arc<dyn Store>,
    /// Which actor runs on which thread.
    pub placement: Placement,
    /// When the process began to count.
    pub started: tokio::time::Instant,
}

impl Env {
    /// The time since the process began to count.
    pub fn now(&self) -> Tick {
        Tick::at(self.started.elapsed())
    }

    /// The instant of a tick, for timers.
    pub fn instant(&self, at: Tick) -> tokio::time::Instant {
        self.started + at.since_start()
    }
}

/// The time of day.
#[derive(Clone)]
pub struct WallClock(Arc<dyn Fn() -> i64 + Send + Sync>);

impl WallClock {
    /// A clock that asks `millis` for the milliseconds since 1970.
    pub fn new(millis: impl Fn() -> i64 + Send + Sync + 'static) -> WallClock {
        WallClock(Arc::new(millis))
    }

    /// A clock that stands still.
    pub fn fixed(millis: i64) -> WallClock {
        WallClock::new(move || millis)
    }

    /// Milliseconds since 1970.
    pub fn millis(&self) -> i64 {
        (self.0)()
    }

    /// The time in UTC as RFC 3339 writes it, with milliseconds.
    pub fn rfc3339(&self) -> String {
        let time = DateTime::<Utc>::from_timestamp_millis(self.millis()).unwrap_or_default();
        time.format("%Y-%m-%dT%H:%M:%S%.3fZ").to_string()
    }
}

impl fmt::Debug for WallClock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("WallClock")
    }
}

/// Randomness.
#[derive(Clone)]
pub struct Dice(Arc<Mutex<dyn RngCore + Send>>);

impl Dice {
    /// Dice over this source.
    pub fn new(source: impl RngCore + Send + 'static) -> Dice {
        Dice(Arc::new(Mutex::new(source)))
    }

    /// A number from 0 to 1, without 1.
    pub fn fraction(&self) -> f64 {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).random()
    }

    /// Sixteen of them.
    pub fn bytes(&self) -> [u8; 16] {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).random()
    }

    /// A wait from half to one and a half times `usual`, so that many instances do not ask in step.
    pub fn jittered(&self, usual: Duration) -> Duration {
        usual.mul_f64(0.5 + self.fraction())
    }
}

/// A few named values that survive the process.
pub trait Store: Send + Sync {
    /// What is stored under this name, if anything.
    fn load(&self, name: &str) -> std::io::Result<Option<Vec<u8>>>;

    /// Stores a value under this name in one step: a crash leaves the old one or the new one.
    fn save(&self, name: &str, value: &[u8]) -> std::io::Result<()>;
}
