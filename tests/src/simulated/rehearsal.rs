//! A rehearsal in a simulated world.

use std::time::Duration;

use serde_json::Value;
use steadfast::exit::Exit;
use steadfast_core::endpoints::view::Address;
use steadfast_sim::faults::{Nodes, Old};
use tempfile::TempDir;

use super::ear::Ear;
use super::stage::{LIMIT, Processed, RATE, Simulated, shift};
use super::world::{Load, Manner, World};
use crate::scenarios::{PARTITIONS, Rehearsal, Shifted};

/// The service of this number is rehearsed.
const SERVICE: usize = 1;

/// A service under load in a simulated world.
#[derive(Debug)]
pub struct Rehearsed {
    world: World,
    processed: Processed,
    load: Load,
    ear: Ear,
    manner: Manner,
    /// Where its configuration file is.
    _place: TempDir,
}

impl Rehearsed {
    pub(super) async fn begin(stage: &Simulated, manner: Manner, place: TempDir) -> Rehearsed {
        let (world, processed) = (stage.world.clone(), stage.processed.clone());
        let load = world.load(RATE);
        world.start_service_as(SERVICE, &manner);
        let Some(ear) = manner.ear.clone() else { panic!("its events are not heard") };
        let rehearsed = Rehearsed { world, processed, load, ear, manner, _place: place };
        let consumes =
            |rehearsed: &Rehearsed| (rehearsed.flowing_since(Duration::ZERO) == PARTITIONS).then_some(());
        rehearsed.until("records of every partition", consumes).await;
        rehearsed
    }
}

impl Rehearsal for Rehearsed {
    fn now(&self) -> Duration {
        self.world.now().since_start()
    }

    async fn shift(&mut self, nodes: &Nodes, old: Old) -> Shifted {
        shift(&self.world, nodes, old)
    }

    async fn reconfigure(&mut self, bootstrap: &[Address]) -> Duration {
        let bootstrap: Vec<String> = bootstrap.iter().map(ToString::to_string).collect();
        self.manner.bootstrap = Some(bootstrap.join(","));
        match self.world.reconfigure(SERVICE, &self.manner) {
            Ok(read) => assert!(read, "nobody reads the configuration"),
            Err(error) => panic!("{error}"),
        }
        self.now()
    }

    async fn until<T>(&self, wanted: &str, mut answer: impl FnMut(&Self) -> Option<T>) -> T {
        let mut found = None;
        let look = |_: &World| {
            found = answer(self);
            found.is_some()
        };
        self.world.until(LIMIT, look).await;
        found.unwrap_or_else(|| panic!("no {wanted} within {LIMIT:?}"))
    }

    fn flowing_since(&self, since: Duration) -> usize {
        self.processed.since(since, None).len()
    }

    fn events(&self) -> Vec<Value> {
        self.ear.events().into_iter().map(|(_, event)| event).collect()
    }

    async fn finish(self) {
        drop(self.load);
        let caught_up = self.world.caught_up(LIMIT).await;
        assert!(caught_up, "lost: {:?}", self.world.tally().missing());
        assert_eq!(self.world.stop_service(SERVICE).await, Some(Exit::Fine));
        assert_eq!(self.world.tally().redelivered(), Default::default(), "redelivered");
        assert!(self.processed.all().iter().all(|record| record.current), "processed under an ended lease");
        let events: Vec<Value> = self.ear.events().into_iter().map(|(_, event)| event).collect();
        let of = |name: &str| events.iter().filter(|event| event["event.name"] == name).collect::<Vec<_>>();
        assert_eq!(of("service.stopped").len(), 1, "{events:#?}");
        assert_eq!(of("service.stopped")[0]["redelivered"], 0);
        for respawned in of("consumer.respawned") {
            assert_eq!((&respawned["gap"], &respawned["redelivered"]), (&0.into(), &0.into()));
        }
    }
}
