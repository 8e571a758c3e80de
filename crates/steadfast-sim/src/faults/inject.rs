//! What carries faults out.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use steadfast_core::ids::{ClusterId, NodeId, Partition};
use tokio::time::Instant;

use super::{Fault, Nodes, Way};
use crate::batch::NewRecord;
use crate::cluster::Cluster;
use crate::embedded::{CommandError, Embedded};
use crate::groups::HungCommits;
use crate::guise::Guise;
use crate::network::{Damage, Door, Machine};

/// How many records each partition of the other cluster has.
const OTHER_RECORDS: usize = 10;

impl Embedded {
    /// Has a fault happen, now. Those that last for a time end by themselves; [`Fault::Heal`], [`Fault::Restart`] and
    /// [`Fault::RestoreDns`] end the others.
    ///
    /// # Errors
    /// It cannot happen here, or now; nothing has changed then.
    pub fn inject(&self, fault: &Fault) -> Result<(), CommandError> {
        tracing::debug!(%fault, "a fault is injected");
        match fault {
            Fault::MoveEndpoints { nodes, old } => self.move_endpoints(nodes, *old).map(drop),
            Fault::SwapAddresses { a, b } => self.swap(*a, *b),
            Fault::Kill { node } => self.kill(*node),
            Fault::Restart { node } => self.restart(*node),
            Fault::Isolate { node, way } => self.isolate(*node, *way),
            Fault::SilenceConnections { nodes } => self.silence(nodes),
            Fault::Pause { node, during } => self.pause(*node, *during),
            Fault::Throttle { nodes, by } => self.throttle(nodes, *by),
            Fault::LimitConnections { nodes, per_second } => self.limit_connections(nodes, *per_second),
            Fault::Slow { node, by } => self.slow(*node, *by),
            Fault::Heal { nodes } => self.heal(nodes),
            Fault::MoveLeaders { from } => self.move_leaders(*from),
            Fault::AddBroker { node } => self.add_broker(*node),
            Fault::RemoveBroker { node } => self.remove_broker(*node),
            Fault::AnswerAsOtherCluster { node } => {
                let other = Guise::OtherCluster(ClusterId::from("another-cluster"));
                self.disguise(&Nodes::one(*node), other)
            }
            Fault::AnswerWithNoBrokers { nodes } => self.disguise(nodes, Guise::Only(BTreeSet::new())),
            Fault::AnswerWithHalfOfTheBrokers { nodes } => self.disguise(nodes, self.half()),
            Fault::LagMetadata { during } => {
                self.lag(*during);
                Ok(())
            }
            Fault::CoordinatorUnavailable { during } => {
                self.with(|cluster| cluster.coordinator_unavailable_until(Some(cluster.now() + *during)));
                Ok(())
            }
            Fault::MoveCoordinator => {
                self.with(move_coordinators);
                Ok(())
            }
            Fault::HangCommits { during, stored } => {
                let fate = if *stored { HungCommits::Stored } else { HungCommits::Lost };
                self.with(|cluster| cluster.hang_commits(Some(cluster.now() + *during), fate));
                Ok(())
            }
            Fault::ResetMidFrame { node, api } => {
                self.machine(*node).map(|at| at.damage_next(*api, Damage::ResetMidFrame))
            }
            Fault::TruncateFrame { node, api } => {
                self.machine(*node).map(|at| at.damage_next(*api, Damage::Truncated))
            }
            Fault::CorruptFrame { node, api } => {
                self.machine(*node).map(|at| at.damage_next(*api, Damage::Corrupt))
            }
            Fault::WithholdAnswer { node, api } => {
                self.machine(*node).map(|at| at.damage_next(*api, Damage::Withheld))
            }
            Fault::ChangeDns { name, hosts } => self.rename(fault, name, Some(hosts)),
            Fault::RestoreDns { name } => self.rename(fault, name, None),
            Fault::AddressTakenByOtherCluster { node } => self.give_away(*node),
        }
    }

    fn swap(&self, a: NodeId, b: NodeId) -> Result<(), CommandError> {
        let (machine_a, machine_b) = (self.machine(a)?, self.machine(b)?);
        let endpoints = self.endpoints();
        let at = |node| endpoints.get(&node).cloned().ok_or(CommandError::NoSuchBroker { node });
        let (at_a, at_b) = (at(a)?, at(b)?);
        self.0.medium.lead(&at_a, Door::Open(machine_b, None))?;
        self.0.medium.lead(&at_b, Door::Open(machine_a, None))?;
        self.advertise(&BTreeMap::from([(a, at_b), (b, at_a)]));
        Ok(())
    }

    fn kill(&self, node: NodeId) -> Result<(), CommandError> {
        self.machine(node)?.stop();
        self.with(|cluster| cluster.stop_broker(node));
        Ok(())
    }

    fn restart(&self, node: NodeId) -> Result<(), CommandError> {
        self.with(|cluster| cluster.start_broker(node));
        self.machine(node)?.start();
        Ok(())
    }

    fn isolate(&self, node: NodeId, way: Way) -> Result<(), CommandError> {
        self.machine(node)?.change_link(|link| {
            link.requests = way == Way::Answers;
            link.answers = way == Way::Requests;
        });
        Ok(())
    }

    fn silence(&self, nodes: &Nodes) -> Result<(), CommandError> {
        self.meant(nodes)?.iter().for_each(|machine| machine.silence());
        Ok(())
    }

    fn pause(&self, node: NodeId, during: Duration) -> Result<(), CommandError> {
        let until = Instant::now() + during;
        self.machine(node)?.change_link(|link| link.paused_until = Some(until));
        Ok(())
    }

    fn throttle(&self, nodes: &Nodes, by: Duration) -> Result<(), CommandError> {
        for machine in self.meant(nodes)? {
            machine.change_link(|link| link.throttle = by);
        }
        Ok(())
    }

    fn limit_connections(&self, nodes: &Nodes, per_second: u32) -> Result<(), CommandError> {
        for machine in self.meant(nodes)? {
            machine.change_link(|link| link.new_connections = Some(per_second));
        }
        Ok(())
    }

    fn slow(&self, node: NodeId, by: Duration) -> Result<(), CommandError> {
        self.machine(node)?.change_link(|link| link.latency = by);
        Ok(())
    }

    fn heal(&self, nodes: &Nodes) -> Result<(), CommandError> {
        let (latency, jitter) = self.0.latency();
        for machine in self.meant(nodes)? {
            machine.forget_damages();
            machine.change_link(|link| {
                (link.requests, link.answers, link.guise) = (true, true, None);
                (link.latency, link.jitter) = (latency, jitter);
                (link.paused_until, link.throttle, link.new_connections) = (None, Duration::ZERO, None);
            });
        }
        Ok(())
    }

    fn disguise(&self, nodes: &Nodes, guise: Guise) -> Result<(), CommandError> {
        let guise = Arc::new(guise);
        for machine in self.meant(nodes)? {
            machine.change_link(|link| link.guise = Some(guise.clone()));
        }
        Ok(())
    }

    /// Each broker wears the present endpoints as a guise, until it is over or it has another one.
    fn lag(&self, during: Duration) {
        let (machines, present) = (self.0.machines.all(), Arc::new(Guise::Stale(self.endpoints())));
        for machine in &machines {
            machine.change_link(|link| link.guise = Some(present.clone()));
        }
        tokio::spawn(async move {
            tokio::time::sleep(during).await;
            for machine in machines {
                machine.change_link(|link| {
                    link.guise.take_if(|guise| Arc::ptr_eq(guise, &present));
                });
            }
        });
    }

    /// The lower half of the brokers; one at least.
    fn half(&self) -> Guise {
        let nodes = self.endpoints().into_keys();
        let half = (nodes.len() / 2).max(1);
        Guise::Only(nodes.take(half).collect())
    }

    fn meant(&self, nodes: &Nodes) -> Result<Vec<Arc<Machine>>, CommandError> {
        match nodes {
            Nodes::All => Ok(self.0.machines.all()),
            Nodes::Some(nodes) => nodes.iter().map(|node| self.machine(*node)).collect(),
        }
    }

    fn move_leaders(&self, from: NodeId) -> Result<(), CommandError> {
        self.machine(from)?;
        self.with(|cluster| {
            for (partition, to) in successors(cluster, from) {
                if let Err(error) = cluster.move_leader(&partition, to) {
                    tracing::error!(%partition, %error, "a leader did not move");
                }
            }
        });
        Ok(())
    }

    fn remove_broker(&self, node: NodeId) -> Result<(), CommandError> {
        let machine = self.machine(node)?;
        if self.0.machines.all().len() == 1 {
            return Err(CommandError::LastBroker { node });
        }
        let address = self.endpoints().remove(&node).ok_or(CommandError::NoSuchBroker { node })?;
        self.0.machines.remove(node);
        machine.stop();
        self.with(|cluster| cluster.remove_broker(node));
        Ok(self.0.medium.lead(&address, Door::Refuse)?)
    }

    fn rename(&self, fault: &Fault, name: &str, hosts: Option<&Vec<String>>) -> Result<(), CommandError> {
        let not_over_tcp = || CommandError::NotOverTcp { fault: fault.to_string() };
        self.network().ok_or_else(not_over_tcp)?.with_names(|names| match hosts {
            Some(hosts) => names.set(name, hosts.iter().cloned()),
            None => names.forget(name),
        });
        Ok(())
    }

    fn give_away(&self, node: NodeId) -> Result<(), CommandError> {
        let address = self.former_address(node).ok_or(CommandError::NeverMoved { node })?;
        let other = self.other()?;
        for broker in self.endpoints().into_keys() {
            match other.add_broker(broker) {
                Ok(()) | Err(CommandError::KnownBroker { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        let topics = self.with(|cluster| sizes(cluster));
        other.with(|other| fill(other, &topics));
        self.0.medium.lead(&address, Door::Open(other.machine(node)?, None))?;
        other.advertise(&BTreeMap::from([(node, address)]));
        Ok(())
    }
}

/// Who can lead each partition that `from` leads now, by turns.
fn successors(cluster: &Cluster, from: NodeId) -> Vec<(Partition, NodeId)> {
    let mut successors = Vec::new();
    for (name, topic) in cluster.topics.iter() {
        for (index, replicas) in (0..).zip(&topic.partitions).filter(|(_, at)| at.leader == Some(from)) {
            let able = |node: &NodeId| *node != from && cluster.is_alive(*node);
            let others: Vec<NodeId> = replicas.in_sync.iter().copied().filter(able).collect();
            let turn = usize::try_from(index).unwrap_or_default().checked_rem(others.len());
            let to = turn.and_then(|turn| others.get(turn));
            successors.extend(to.map(|to| (Partition::new(name.clone(), index), *to)));
        }
    }
    successors
}

/// Gives every group to the broker after the one that coordinates it, of those that are alive. As in Kafka groups of
/// one partition of `__consumer_offsets` move together: once.
fn move_coordinators(cluster: &mut Cluster) {
    let alive: Vec<NodeId> = cluster.alive().map(|(node, _)| node).collect();
    let coordinated: Vec<(Arc<str>, NodeId)> = alive
        .iter()
        .flat_map(|node| cluster.groups.on(*node).map(|(name, _)| (name.clone(), *node)))
        .collect();
    for (group, before) in coordinated {
        let next = alive.iter().find(|node| **node > before).or(alive.first());
        if let Some(next) = next
            && cluster.coordinator(&group) == Some(before)
        {
            cluster.move_coordinator(&group, *next);
        }
    }
}

/// The topics and how many partitions they have.
fn sizes(cluster: &Cluster) -> BTreeMap<Arc<str>, usize> {
    cluster.topics.iter().map(|(name, topic)| (name.clone(), topic.partitions.len())).collect()
}

/// Gives the other cluster topics of these names, with content of its own.
fn fill(other: &mut Cluster, topics: &BTreeMap<Arc<str>, usize>) {
    for (name, partitions) in topics {
        // A topic that is there already was filled before.
        if other.create_topic(name, *partitions).is_err() {
            continue;
        }
        for partition in other.partitions(name).unwrap_or_default() {
            let record = NewRecord::new(0, Bytes::from_static(b"of another cluster"));
            if let Err(error) = other.append(&partition, vec![record; OTHER_RECORDS]) {
                tracing::error!(%partition, %error, "the other cluster stays empty");
            }
        }
    }
}
