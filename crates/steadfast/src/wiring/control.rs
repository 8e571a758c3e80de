//! A handle to what runs, for drills and for whoever looks on.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use steadfast_core::endpoints::view::Address;
use steadfast_core::group::standing::Standing;
use steadfast_core::ids::Partition;
use steadfast_core::progress::{Progress, State};
use steadfast_supervision::{Route, SupervisorHandle};
use steadfast_watch as watch;

use crate::config::watcher::Reload;
use crate::consume::progress::{Away, ProgressTable, Quarantined};
use crate::drift::fed::{Fed, FeedError, feed};
use crate::drift::published::Cluster;
use crate::drift::supervisor;
use crate::env::Env;
use crate::messages::{Crash, Release};
use crate::vitals::Vitals;

/// A handle for drills and for whoever looks on: shows how a running service stands, and lets parts of it fail on
/// command.
#[derive(Clone)]
pub struct Control {
    pub(super) table: Arc<ProgressTable>,
    pub(super) standing: Arc<Mutex<Standing>>,
    pub(super) cluster: watch::Receiver<Arc<Cluster>>,
    pub(super) actors: Arc<BTreeMap<&'static str, Route<Crash>>>,
    pub(super) consumer: Arc<supervisor::Seat>,
    pub(super) supervisors: [SupervisorHandle; 2],
    pub(super) reload: Route<Reload>,
    pub(super) release: Route<Release>,
    pub(super) fed: watch::Sender<Fed>,
    pub(crate) env: Env,
    pub(super) vitals: Vitals,
}

impl Control {
    /// The names of the actors that can be made to panic.
    pub fn actors(&self) -> Vec<&'static str> {
        self.actors.keys().copied().chain(["consumer"]).collect()
    }

    /// Whether the actor of this name is up, of those that have one life after another at the root.
    pub(crate) fn is_up(&self, actor: &str) -> bool {
        self.actors.get(actor).is_some_and(Route::is_up)
    }

    /// The progress of all partitions. To be read: who changes it takes the place of the actors.
    pub fn progress(&self) -> &ProgressTable {
        &self.table
    }

    /// The service's signs of life.
    pub fn vitals(&self) -> &Vitals {
        &self.vitals
    }

    /// How the member stands in its group.
    pub fn standing(&self) -> Standing {
        self.standing.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What is known of the cluster.
    pub fn cluster(&self) -> Arc<Cluster> {
        Arc::clone(&self.cluster.borrow())
    }

    /// Has the configuration file read again, as SIGHUP does; says whether somebody will.
    pub fn reload(&self) -> bool {
        self.reload.send(Reload).is_ok()
    }

    /// The partitions in quarantine.
    pub fn quarantined(&self) -> BTreeMap<Partition, Quarantined> {
        self.table.quarantined()
    }

    /// Releases a partition from quarantine: it is tried again from where it stands, with a new handler, as if nothing
    /// had failed. Says whether somebody will.
    pub fn release(&self, partition: &Partition) -> bool {
        let quarantined = self.table.read(partition, Progress::state) == Some(State::Quarantined);
        quarantined && self.release.send(Release(partition.clone())).is_ok()
    }

    /// The partitions whose target is away, be it that of the records or that of the bad ones.
    pub fn away(&self) -> BTreeMap<Partition, Away> {
        self.table.away()
    }

    /// What a source of endpoints of your own says: a service registry, an operator's note, another zone. The addresses
    /// are asked in every discovery from now on, beside those that steadfast knows; they propose, and what they say
    /// counts as little as a bootstrap address's word. What `source` said before is replaced; an empty list withdraws it.
    /// Something new begins a discovery; says whether it was new.
    ///
    /// # Errors
    /// There are too many sources, or this one names too many addresses.
    pub fn propose_endpoints(
        &self,
        source: &str,
        addresses: impl IntoIterator<Item = Address>,
    ) -> Result<bool, FeedError> {
        feed(&self.fed, source, addresses)
    }

    /// Ends the consumer and its successor, if there is one.
    pub(crate) async fn stop_consumer(&self) {
        self.consumer.slot.stop().await;
    }

    /// Makes the actor of this name panic; says whether there is one that is up.
    pub fn crash(&self, actor: &str) -> bool {
        if actor == "consumer" {
            return self.consumer.slot.crash();
        }
        self.actors.get(actor).is_some_and(|route| route.send(Crash).is_ok())
    }

    /// The names of the root supervisors.
    pub fn supervisors(&self) -> Vec<Arc<str>> {
        self.supervisors.iter().map(|supervisor| Arc::clone(supervisor.name())).collect()
    }

    /// Ends the root supervisor of this name, which ends the service; says whether there is one.
    pub fn end(&self, supervisor: &str) -> bool {
        let found = self.supervisors.iter().find(|root| **root.name() == *supervisor);
        if let Some(found) = found {
            drop(found.shut_down());
        }
        found.is_some()
    }
}
