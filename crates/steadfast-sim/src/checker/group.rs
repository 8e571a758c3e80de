//! Who has which partition, as the coordinator knows it.

use std::collections::{BTreeMap, BTreeSet};

use steadfast_core::ids::{GroupGeneration, Partition};
use steadfast_core::tick::Tick;

use super::happening::Service;

/// The newest assignments.
#[derive(Debug, Default)]
pub(super) struct Group {
    pub(super) generation: Option<GroupGeneration>,
    owners: BTreeMap<Partition, (Service, Tick)>,
}

impl Group {
    /// To whom the coordinator gave the partition.
    pub(super) fn owner(&self, partition: &Partition) -> Option<Service> {
        self.owners.get(partition).map(|(service, _)| *service)
    }

    /// Since when `service` has the partition, if it has.
    pub(super) fn owned_since(&self, service: Service, partition: &Partition) -> Option<Tick> {
        self.owners.get(partition).filter(|(owner, _)| *owner == service).map(|(_, since)| *since)
    }

    /// The coordinator gives `service` these partitions and no others. Returns those that it did not have.
    pub(super) fn assign(
        &mut self,
        service: Service,
        partitions: BTreeSet<Partition>,
        at: Tick,
    ) -> BTreeSet<Partition> {
        let fresh = |partition: &Partition| self.owner(partition) != Some(service);
        let fresh: BTreeSet<Partition> = partitions.iter().filter(|at| fresh(at)).cloned().collect();
        self.owners.retain(|partition, (owner, _)| *owner != service || partitions.contains(partition));
        self.owners.extend(fresh.iter().map(|partition| (partition.clone(), (service, at))));
        fresh
    }

    pub(super) fn remove(&mut self, service: Service) {
        self.owners.retain(|_, (owner, _)| *owner != service);
    }
}
