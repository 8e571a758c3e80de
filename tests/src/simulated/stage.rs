//! The embedded cluster as a stage for the scenarios that are played on a real Kafka too.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use steadfast_core::ids::{NodeId, Offset, Partition};
use steadfast_sim::faults::{Fault, Nodes, Old};

use super::company::Members;
use super::ear::Ear;
use super::journal::{Answer, Happening, What};
use super::rehearsal::Rehearsed;
use super::world::{Manner, Plan, TOPIC, World, simulate};
use crate::scenarios::{Endpoints, Gathering, Opening, PARTITIONS, Shifted, Stage};

/// A scenario's longest wait: as on a real Kafka, though nothing is slow here.
pub(super) const LIMIT: Duration = Duration::from_secs(60);
/// Records a second, over all partitions.
pub(super) const RATE: f64 = 120.0;
/// What a message between a service and a broker takes, at least and at most.
const LATENCY: (Duration, Duration) = (Duration::from_millis(1), Duration::from_millis(3));

/// The embedded cluster, in a world of its own.
#[derive(Debug)]
pub struct Simulated {
    pub(super) world: World,
    pub(super) processed: Processed,
}

/// Plays a scenario from this seed.
pub fn rehearse(seed: u64, scenario: impl AsyncFnOnce(&mut Simulated)) {
    let plan = Plan { services: 0, partitions: PARTITIONS, latency: LATENCY, ..Plan::new(seed) };
    let processed = Processed::default();
    let noting = processed.clone();
    let check = move |_: &World, happening: &Happening| noting.note(happening);
    simulate(plan, check, async |world| {
        scenario(&mut Simulated { world: world.clone(), processed }).await;
    });
}

/// What handlers processed, in order. A clone is the same list.
#[derive(Debug, Clone, Default)]
pub(super) struct Processed(Arc<Mutex<Vec<Record>>>);

/// A record that was processed.
#[derive(Debug, Clone)]
pub(super) struct Record {
    pub(super) at: Duration,
    pub(super) service: Arc<str>,
    pub(super) partition: Partition,
    pub(super) offset: Offset,
    /// Whether the service still had the right to it.
    pub(super) current: bool,
}

impl Processed {
    fn note(&self, happening: &Happening) {
        let What::Answered(batch, Answer::Done) = &happening.what else { return };
        let record = |offset: &Offset| Record {
            at: happening.at.since_start(),
            service: Arc::clone(&batch.service),
            partition: batch.partition.clone(),
            offset: *offset,
            current: batch.current,
        };
        self.all().extend(batch.offsets.iter().map(record));
    }

    pub(super) fn all(&self) -> MutexGuard<'_, Vec<Record>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The partitions of which records were processed from `since` on, by this service or by any.
    pub(super) fn since(&self, since: Duration, service: Option<&str>) -> BTreeSet<i32> {
        let all = self.all();
        let late = all.iter().rev().take_while(|record| record.at >= since);
        let of = late.filter(|record| service.is_none_or(|service| *record.service == *service));
        of.map(|record| record.partition.index).collect()
    }
}

impl Simulated {
    fn befall(&self, fault: &Fault) {
        let injected = self.world.inject(fault.to_string(), |cluster| cluster.inject(fault));
        injected.unwrap_or_else(|error| panic!("{fault}: {error}"));
    }
}

/// Moves endpoints of the world's cluster.
pub(super) fn shift(world: &World, nodes: &Nodes, old: Old) -> Shifted {
    let what = format!("move {nodes} {old}");
    let at = world.now().since_start();
    let moved = world.inject(what, |cluster| cluster.move_endpoints(nodes, old));
    let moved = moved.unwrap_or_else(|error| panic!("{error}"));
    Shifted { at, from: moved.from, to: moved.to }
}

/// Addresses as the configuration names them.
pub(super) fn listed(addresses: BTreeMap<NodeId, steadfast_core::endpoints::view::Address>) -> String {
    addresses.into_values().map(|address| address.to_string()).collect::<Vec<_>>().join(",")
}

impl Stage for Simulated {
    type Rehearsal = Rehearsed;

    async fn open(&mut self, opening: Opening<'_>) -> Rehearsed {
        let place = tempfile::tempdir().unwrap_or_else(|error| panic!("{error}"));
        let only_old = || listed(self.world.cluster().endpoints());
        let manner = Manner {
            bootstrap: (!opening.stable_bootstrap).then(only_old),
            file: Some(place.path().join("steadfast.toml")),
            ear: Some(Ear::new(self.world.now().since_start())),
            ..Manner::default()
        };
        Rehearsed::begin(self, manner, place).await
    }

    async fn stop_broker(&mut self, node: NodeId) {
        self.befall(&Fault::Kill { node });
    }

    async fn restart_broker(&mut self, node: NodeId) {
        self.befall(&Fault::Restart { node });
    }
}

impl Gathering for Simulated {
    type Company = Members;

    async fn gather(&mut self, _: &str, _: Endpoints) -> Members {
        Members::gather(self)
    }

    async fn add_partitions(&mut self, _: &str, total: usize) {
        let added = self.world.cluster().with(|cluster| cluster.add_partitions(TOPIC, total));
        added.unwrap_or_else(|error| panic!("{error}"));
    }
}
