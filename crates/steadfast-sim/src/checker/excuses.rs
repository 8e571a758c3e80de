//! Why a record may be delivered again: whatever is no excuse here is none.

use std::collections::BTreeMap;

use steadfast_core::ids::{AssignmentEpoch, Partition};
use steadfast_core::tick::Tick;

use super::happening::Service;
use super::history::Handed;

/// The newest excuse of each kind.
#[derive(Debug, Default)]
pub(super) struct Excuses {
    /// A handler failed or dropped a batch, or crashed.
    handlers: BTreeMap<(Service, Partition), Tick>,
    /// A partition was lost, or given up before it was drained and committed.
    given_up: BTreeMap<(Service, Partition), Tick>,
    /// A process ended, a member was removed, commits failed: all of its partitions.
    services: BTreeMap<Service, Tick>,
    /// The log was truncated or deleted.
    logs: BTreeMap<Partition, Tick>,
    /// What is stored was lowered by a late arrival.
    lowered: BTreeMap<Partition, Tick>,
    /// How many partitions a process left undrained or uncommitted at its end, by its own account.
    unfinished: BTreeMap<Service, u64>,
}

impl Excuses {
    pub(super) fn handler(&mut self, service: Service, partition: &Partition, at: Tick) {
        self.handlers.insert((service, partition.clone()), at);
    }

    pub(super) fn given_up(&mut self, service: Service, partition: &Partition, at: Tick) {
        self.given_up.insert((service, partition.clone()), at);
    }

    pub(super) fn service(&mut self, service: Service, at: Tick) {
        self.services.insert(service, at);
    }

    pub(super) fn unfinished(&mut self, service: Service, partitions: u64) {
        self.unfinished.insert(service, partitions);
    }

    /// How many partitions each process that ended said to leave uncommitted.
    pub(super) fn unfinished_at_the_end(&self) -> BTreeMap<Service, u64> {
        self.unfinished.clone()
    }

    pub(super) fn log(&mut self, partition: &Partition, at: Tick) {
        self.logs.insert(partition.clone(), at);
    }

    pub(super) fn lowered(&mut self, partition: &Partition, at: Tick) {
        self.lowered.insert(partition.clone(), at);
    }

    /// Whether what was handed out before may be delivered again by `service` under `assignment`. Within one
    /// assignment only its handler or its log can be the reason.
    pub(super) fn allow(
        &self,
        partition: &Partition,
        before: Handed,
        service: Service,
        assignment: AssignmentEpoch,
    ) -> bool {
        let of_former = (before.service, partition.clone());
        let within = [self.handlers.get(&of_former), self.logs.get(partition)];
        let across =
            [self.given_up.get(&of_former), self.services.get(&before.service), self.lowered.get(partition)];
        let same = (before.service, before.assignment) == (service, assignment);
        let since = |excuse: &Tick| *excuse >= before.at;
        within.into_iter().flatten().any(since) || (!same && across.into_iter().flatten().any(since))
    }

    /// Whether the log itself was changed at `since` or later.
    pub(super) fn log_since(&self, partition: &Partition, since: Tick) -> bool {
        self.logs.get(partition).is_some_and(|at| *at >= since)
    }

    /// Whether the partition was given up, by the service's own account, before all of it was committed.
    pub(super) fn told(&self, service: Service, partition: &Partition) -> bool {
        self.given_up.contains_key(&(service, partition.clone()))
    }

    /// Whether the partition's handler, or its log, has ever failed here.
    pub(super) fn ever(&self, service: Service, partition: &Partition) -> bool {
        self.logs.contains_key(partition) || self.handlers.contains_key(&(service, partition.clone()))
    }
}
