//! Who has which partition, as the coordinator knows it.

use std::collections::{BTreeMap, BTreeSet};

use steadfast_core::ids::{GroupGeneration, Partition};
use steadfast_core::tick::Tick;

use super::deliveries::name;
use super::happening::Service;
use super::violation::{Broken, Invariant, ensure};

/// The newest assignments.
#[derive(Debug, Default)]
pub(super) struct Group {
    pub(super) generation: Option<GroupGeneration>,
    owners: BTreeMap<Partition, (Service, Tick)>,
    /// Of members of the consumer protocol the epoch, and what they have or have not given up yet.
    held: BTreeMap<Service, (GroupGeneration, BTreeSet<Partition>)>,
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

    /// The member epoch that the coordinator knows, if the service is a member of the consumer protocol.
    pub(super) fn epoch(&self, service: Service) -> Option<GroupGeneration> {
        self.held.get(&service).map(|(epoch, _)| *epoch)
    }

    /// A member of the consumer protocol comes to this epoch, with these partitions, of which it is to give up some.
    pub(super) fn hold(
        &mut self,
        service: Service,
        epoch: GroupGeneration,
        partitions: BTreeSet<Partition>,
    ) -> Result<(), Broken> {
        for (other, (_, held)) in self.held.iter().filter(|(other, _)| **other != service) {
            let both = held.intersection(&partitions).next();
            ensure(both.is_none(), Invariant::GivenOnce, || {
                format!("{} is given {both:?}, which {} has not given up", name(service), name(*other))
            })?;
        }
        self.held.insert(service, (epoch, partitions));
        Ok(())
    }

    /// Whether the members that live share all of these partitions evenly.
    pub(super) fn is_balanced<'a>(
        &self,
        alive: &BTreeSet<Service>,
        partitions: impl Iterator<Item = &'a Partition>,
    ) -> Result<(), Broken> {
        let mut shares: BTreeMap<Service, usize> = alive.iter().map(|service| (*service, 0)).collect();
        for partition in partitions {
            let share = self.owner(partition).and_then(|owner| shares.get_mut(&owner));
            ensure(share.is_some() || alive.is_empty(), Invariant::Balanced, || {
                format!("{partition} is given to {:?}, and {alive:?} live", self.owner(partition))
            })?;
            share.into_iter().for_each(|share| *share += 1);
        }
        let (least, most) = (shares.values().min().copied(), shares.values().max().copied());
        ensure(most <= least.map(|least| least + 1), Invariant::Balanced, || {
            let shares: Vec<String> =
                shares.iter().map(|(service, share)| format!("{} {share}", name(*service))).collect();
            format!("the shares are {}", shares.join(", "))
        })
    }

    pub(super) fn remove(&mut self, service: Service) {
        self.held.remove(&service);
        self.owners.retain(|_, (owner, _)| *owner != service);
    }
}
