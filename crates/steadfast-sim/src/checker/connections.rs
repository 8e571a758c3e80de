//! Connections: what they carry, who still fetches over which, and whether their answers come.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use steadfast_core::endpoints::view::Address;
use steadfast_core::ids::{ConsumerIncarnation, NodeId, Partition};
use steadfast_core::tick::Tick;

use super::Limits;
use super::deliveries::name;
use super::happening::{Api, ConnectionEvent, Service};
use super::violation::{Broken, Invariant, ensure};
use crate::call::{ConnectionId, Ticket};

/// What a JoinGroup or SyncGroup may take on top of the rebalance timeout.
const PARKED_GRACE: Duration = Duration::from_secs(10);
/// What a dial may take on top of its limit.
const DIAL_GRACE: Duration = Duration::from_millis(100);
/// What any other request may take on top of the request timeout.
const ANSWER_GRACE: Duration = Duration::from_secs(5);

/// The connections of all services.
#[derive(Debug, Default)]
pub(super) struct Connections {
    /// Those that are being opened, and since when.
    dialled: BTreeMap<ConnectionId, (Service, Tick)>,
    open: BTreeMap<ConnectionId, Open>,
    fetched: BTreeMap<(Service, Partition), Fetched>,
}

#[derive(Debug)]
struct Open {
    service: Service,
    to: Address,
    carried: BTreeSet<Api>,
    /// What is unanswered, and since when.
    asked: BTreeMap<Ticket, (Api, Tick)>,
}

/// Over which connections a service fetches a partition.
#[derive(Debug, Default)]
struct Fetched {
    /// The newest connection to each broker.
    newest: BTreeMap<NodeId, ConnectionId>,
    /// All others, and when they were replaced by another connection or another incarnation.
    replaced: BTreeMap<ConnectionId, (Tick, String)>,
}

impl Connections {
    /// Takes an event in. Returns who has heard from which address what the cluster is, if it is that.
    pub(super) fn see(
        &mut self,
        connection: ConnectionId,
        event: ConnectionEvent,
        at: Tick,
    ) -> Result<Option<(Service, Address)>, Broken> {
        match event {
            ConnectionEvent::Dialled(service) => {
                self.dialled.insert(connection, (service, at));
            }
            ConnectionEvent::Opened(service, to) => {
                self.dialled.remove(&connection);
                let open = Open { service, to, carried: BTreeSet::new(), asked: BTreeMap::new() };
                self.open.insert(connection, open);
            }
            ConnectionEvent::Closed => self.close(connection),
            ConnectionEvent::Asked(ticket, api) => {
                let Some(open) = self.open.get_mut(&connection) else { return Ok(None) };
                open.asked.insert(ticket, (api, at));
                open.carried.insert(api);
                open.heartbeats_are_apart(connection)?;
            }
            ConnectionEvent::Answered(ticket) => {
                let Some(open) = self.open.get_mut(&connection) else { return Ok(None) };
                let told = open.asked.remove(&ticket).filter(|(api, _)| *api == Api::METADATA);
                return Ok(told.map(|_| (open.service, open.to.clone())));
            }
        }
        Ok(None)
    }

    fn close(&mut self, connection: ConnectionId) {
        self.dialled.remove(&connection);
        let Some(open) = self.open.remove(&connection) else { return };
        let fetched = self.fetched.iter_mut().filter(|((service, _), _)| *service == open.service);
        for (_, fetched) in fetched {
            fetched.replaced.remove(&connection);
            fetched.newest.retain(|_, newest| *newest != connection);
        }
    }

    /// The client still asks for records over a connection that is open at its end.
    pub(super) fn fetched(
        &mut self,
        connection: ConnectionId,
        node: NodeId,
        partitions: &[Partition],
        at: Tick,
        drain: Duration,
    ) -> Result<(), Broken> {
        let Some(open) = self.open.get(&connection) else { return Ok(()) };
        for partition in partitions {
            let fetched = self.fetched.entry((open.service, partition.clone())).or_default();
            if let Some((since, by)) = fetched.replaced.get(&connection) {
                ensure(at <= *since + drain, Invariant::OneFetcher, || {
                    let (service, connection) = (name(open.service), connection.0);
                    format!(
                        "{service} fetches {partition} of broker {node} over connection {connection}, \
                         replaced by {by} at {since}"
                    )
                })?;
                continue;
            }
            let before = fetched.newest.insert(node, connection);
            if let Some(before) = before.filter(|before| *before != connection) {
                fetched.replaced.insert(before, (at, format!("connection {}", connection.0)));
            }
        }
        Ok(())
    }

    /// Another incarnation of the consumer has the partition: what fetched it so far has to end.
    pub(super) fn hand_over(
        &mut self,
        service: Service,
        partition: &Partition,
        to: ConsumerIncarnation,
        at: Tick,
    ) {
        if let Some(fetched) = self.fetched.get_mut(&(service, partition.clone())) {
            fetched.replace_all(at, &format!("incarnation {to}"));
        }
    }

    /// The coordinator gives the partition to `service`: whoever fetched it so far has to end.
    pub(super) fn given(&mut self, service: Service, partition: &Partition, at: Tick) {
        self.fetched.remove(&(service, partition.clone()));
        for (_, fetched) in self.fetched.iter_mut().filter(|((_, fetched), _)| fetched == partition) {
            fetched.replace_all(at, &name(service));
        }
    }

    /// No dial and no request is overdue.
    pub(super) fn nothing_is_overdue(&self, limits: &Limits, at: Tick) -> Result<(), Broken> {
        for (connection, (service, since)) in &self.dialled {
            ensure(at <= *since + limits.connect_timeout + DIAL_GRACE, Invariant::AnswerAwaited, || {
                format!("{} dials since {since} for connection {}", name(*service), connection.0)
            })?;
        }
        for (connection, open) in &self.open {
            for (api, since) in open.asked.values() {
                let limit = match api.is_parked() {
                    true => limits.rebalance_timeout + PARKED_GRACE,
                    false => limits.request_timeout + ANSWER_GRACE,
                };
                ensure(at <= *since + limit, Invariant::AnswerAwaited, || {
                    let (service, connection, api) = (name(open.service), connection.0, api.0);
                    format!("{service} waits since {since} for API {api} on connection {connection}")
                })?;
            }
        }
        Ok(())
    }

    /// The process is gone with its connections.
    pub(super) fn end(&mut self, service: Service) {
        self.dialled.retain(|_, (of, _)| *of != service);
        self.open.retain(|_, open| open.service != service);
        self.fetched.retain(|(of, _), _| *of != service);
    }
}

impl Fetched {
    fn replace_all(&mut self, at: Tick, by: &str) {
        for (_, connection) in std::mem::take(&mut self.newest) {
            self.replaced.insert(connection, (at, by.to_owned()));
        }
    }
}

impl Open {
    fn heartbeats_are_apart(&self, connection: ConnectionId) -> Result<(), Broken> {
        let beats = self.carried.iter().any(|api| api.is_heartbeat());
        let other = self.carried.iter().find(|api| **api == Api::FETCH || api.is_parked());
        let apart = !beats || other.is_none();
        ensure(apart, Invariant::HeartbeatApart, || {
            let (service, connection) = (name(self.service), connection.0);
            format!("{service} sends heartbeats and API {other:?} over connection {connection}")
        })
    }
}
