//! What the endpoints read: shared values only, nobody is asked.

use std::sync::Arc;
use std::time::Duration;

use steadfast_core::tick::Tick;

use super::tally::{Counts, Tally};
use crate::config::Config;
use crate::consume::progress::{Processing, Standing};
use crate::env::{Env, WallClock};
use crate::observers::Events;
use crate::vitals::{Reading, Turning, Vitals};
use crate::wiring::Control;

/// Everything that the endpoints are answered from.
pub(crate) struct Site {
    clock: Box<dyn Fn() -> Tick + Send + Sync>,
    pub(super) wall_clock: WallClock,
    pub(super) config: Arc<Config>,
    pub(super) vitals: Vitals,
    pub(super) tally: Arc<Tally>,
    pub(super) events: Events,
    /// Whether an actor is up; none of what is asked here needs it to be.
    pub(super) is_up: Box<dyn Fn(&str) -> bool + Send + Sync>,
}

/// Everything at one moment.
pub(super) struct Scrape<'a> {
    pub(super) site: &'a Site,
    pub(super) now: Tick,
    pub(super) reading: Reading,
    pub(super) counts: Counts,
    pub(super) partitions: Vec<Standing>,
    pub(super) processing: Vec<Processing>,
}

impl Site {
    /// The site of a running service.
    pub(crate) fn of(env: &Env, control: Control, events: Events, tally: Arc<Tally>) -> Site {
        let (clock, vitals) = (env.clone(), control.vitals().clone());
        Site {
            clock: Box::new(move || clock.now()),
            wall_clock: env.wall_clock.clone(),
            config: Arc::clone(&vitals.sources().started_with),
            vitals,
            tally,
            events,
            is_up: Box::new(move |actor| control.is_up(actor)),
        }
    }

    #[cfg(test)]
    pub(super) fn sample(sample: &crate::vitals::sample::Sample, tally: Arc<Tally>) -> Site {
        let table = Arc::clone(&sample.table);
        Site {
            clock: Box::new(move || table.now()),
            wall_clock: WallClock::fixed(1_763_755_200_000),
            config: Arc::clone(&sample.vitals.sources().started_with),
            vitals: sample.vitals.clone(),
            tally,
            events: Events::new("steadfast-1", Vec::new()),
            is_up: Box::new(|_| true),
        }
    }

    pub(super) fn read(&self) -> Reading {
        self.vitals.read((self.clock)())
    }

    pub(super) fn turning(&self) -> Vec<Turning> {
        self.vitals.turning((self.clock)())
    }

    pub(super) fn scrape(&self) -> Scrape<'_> {
        let now = (self.clock)();
        let table = &self.vitals.sources().table;
        Scrape {
            site: self,
            now,
            reading: self.vitals.read(now),
            counts: self.tally.counts(),
            partitions: table.standings(),
            processing: table.processing(),
        }
    }
}

impl Scrape<'_> {
    /// How long ago it was.
    pub(super) fn ago(&self, at: Tick) -> Duration {
        self.now.since(at)
    }
}

impl std::fmt::Debug for Site {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Site")
    }
}
