//! The doors of a simulated world: a transport in memory, tokio's paused clock, seeded dice, a store in memory, one
//! thread.
//!
//! They stand here and not in `env/` because only the services of a world go through them.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use rand::SeedableRng;
use rand::rngs::StdRng;
use steadfast_kafka::transport::Transport;
use tokio::time::Instant;

use crate::env::{Dice, Env, Store, WallClock};
use crate::placement::Placement;

/// When every simulated world begins, in milliseconds since 1970: 2026-01-01T00:00:00Z.
pub const EPOCH_MS: i64 = 1_767_225_600_000;

/// The doors of one service. What is random in it comes from `seed`, what it stores outlives it in `store`.
pub fn env(
    transport: Arc<dyn Transport>,
    seed: u64,
    store: MemoryStore,
    started: Instant,
    placement: Placement,
) -> Env {
    Env {
        transport,
        wall_clock: wall_clock(started),
        dice: dice(seed),
        store: Arc::new(store),
        placement,
        started,
    }
}

/// The time of day, [`EPOCH_MS`] at `started`; it goes on as tokio's clock does.
pub fn wall_clock(started: Instant) -> WallClock {
    WallClock::new(move || EPOCH_MS + i64::try_from(started.elapsed().as_millis()).unwrap_or(i64::MAX))
}

/// Dice that fall in the same way for the same seed.
pub fn dice(seed: u64) -> Dice {
    Dice::new(StdRng::seed_from_u64(seed))
}

/// What a service stores. A clone is the same store: it outlives the service as a disk does.
#[derive(Debug, Clone, Default)]
pub struct MemoryStore(Arc<Mutex<BTreeMap<String, Vec<u8>>>>);

impl Store for MemoryStore {
    fn load(&self, name: &str) -> io::Result<Option<Vec<u8>>> {
        Ok(self.0.lock().unwrap_or_else(PoisonError::into_inner).get(name).cloned())
    }

    fn save(&self, name: &str, value: &[u8]) -> io::Result<()> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(name.to_owned(), value.to_owned());
        Ok(())
    }
}
