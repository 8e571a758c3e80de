//! Tells the checker what happens in a world.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use kafka_protocol::messages::ApiKey;
use steadfast_core::acked::Span;
use steadfast_core::ids::{GroupGeneration, Partition};
use steadfast_core::progress::Progress;
use steadfast_core::tick::Tick;
use steadfast_sim::call::Ticket;
use steadfast_sim::checker::{
    Api, BrokerSide, Checker, ConnectionEvent, Content, Delivery, Happening, Limits, LogChange, Service,
    ServiceSide, Standing, Summary, Violation,
};
use steadfast_sim::notice::{Notice, Removal};
use tokio::sync::Notify;

use super::content::{content, value};
use super::journal::{Answer, Delivered, What};
use super::said::said;
use super::tap::{Addresses, Wire, WireEvent};
use super::world::World;
use super::{journal, world};
use crate::exit::Exit;
use crate::service::Control;

/// The checker of one world. A clone is the same one.
#[derive(Debug, Clone)]
pub struct Judge(Arc<Bench>);

#[derive(Debug)]
struct Bench {
    case: Mutex<Case>,
    violated: Notify,
}

struct Case {
    checker: Checker,
    lives: BTreeMap<Arc<str>, Life>,
    /// Whose member ids these are.
    members: BTreeMap<Arc<str>, Service>,
    addresses: Addresses,
    generation: Option<GroupGeneration>,
    violation: Option<Violation>,
}

/// The present or the next life of a service.
struct Life {
    service: Service,
    control: Option<Control>,
    stood: BTreeMap<Partition, Standing>,
}

impl Judge {
    /// A judge by these limits.
    pub fn new(limits: Limits) -> Judge {
        let case = Case {
            checker: Checker::new(limits),
            lives: BTreeMap::new(),
            members: BTreeMap::new(),
            addresses: Addresses::default(),
            generation: None,
            violation: None,
        };
        Judge(Arc::new(Bench { case: Mutex::new(case), violated: Notify::new() }))
    }

    /// Takes in what the world's journal tells.
    pub fn see(&self, world: &World, happening: &journal::Happening) {
        self.hear(|case| case.see(world, happening));
    }

    /// Takes in what the scenario does.
    pub fn tell(&self, at: Tick, happening: Happening) {
        self.hear(|case| case.tell(at, happening));
    }

    /// Returns once something is violated.
    pub async fn violation(&self) -> Violation {
        loop {
            if let Some(violation) = self.case().violation.clone() {
                return violation;
            }
            self.0.violated.notified().await;
        }
    }

    /// Judges what is left, when all is over.
    ///
    /// # Errors
    /// The first violation.
    pub fn finish(&self, at: Tick) -> Result<Summary, Violation> {
        let case = self.case();
        match &case.violation {
            Some(violation) => Err(violation.clone()),
            None => case.checker.finish(at),
        }
    }

    fn hear(&self, hear: impl FnOnce(&mut Case)) {
        let mut case = self.case();
        if case.violation.is_some() {
            return;
        }
        hear(&mut case);
        if case.violation.is_some() {
            self.0.violated.notify_one();
        }
    }

    fn case(&self) -> MutexGuard<'_, Case> {
        self.0.case.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Case {
    fn tell(&mut self, at: Tick, happening: Happening) {
        if self.violation.is_none() {
            self.violation = self.checker.see(at, happening).err();
        }
    }

    fn of(&mut self, at: Tick, service: Service, event: ServiceSide) {
        self.tell(at, Happening::Service { service, event });
    }

    fn see(&mut self, world: &World, happening: &journal::Happening) {
        self.look_at_tables(happening.at);
        self.what(world, happening.at, &happening.what);
    }

    fn life(&mut self, name: &Arc<str>) -> &mut Life {
        self.lives.entry(Arc::clone(name)).or_insert_with(|| {
            let number: u32 = name.rsplit_once('-').and_then(|(_, number)| number.parse().ok()).unwrap_or(0);
            let service = Service(number * LIVES + 1);
            Life { service, control: None, stood: BTreeMap::new() }
        })
    }

    fn look_at_tables(&mut self, at: Tick) {
        let mut told = Vec::new();
        for life in self.lives.values_mut() {
            let Some(control) = &life.control else { continue };
            let now = standings(control);
            if now != life.stood {
                life.stood.clone_from(&now);
                told.push((life.service, now));
            }
        }
        for (service, standings) in told {
            self.of(at, service, ServiceSide::Progress(standings));
        }
    }

    /// A coordinator that takes a group over knows only the generations that were written down.
    fn look_at_group(&mut self, world: &World, at: Tick) {
        let group = world.cluster().with(|cluster| cluster.group(world::GROUP));
        let generation = group.map(|group| group.generation);
        if let Some(now) = generation.filter(|_| generation != self.generation) {
            self.generation = generation;
            self.tell(at, Happening::Broker(BrokerSide::GenerationBegan(now)));
        }
    }

    fn what(&mut self, world: &World, at: Tick, what: &What) {
        match what {
            What::Started(name) => {
                let control = world.control_of(name);
                let life = self.life(name);
                life.control = control;
                let service = life.service;
                self.of(at, service, ServiceSide::Began);
            }
            What::Ended(name, exit) => {
                let life = self.life(name);
                let service = life.service;
                *life = Life { service: Service(service.0 + 1), control: None, stood: BTreeMap::new() };
                self.of(at, service, ServiceSide::Ended { clean: *exit == Exit::Fine });
            }
            What::Logged(line) => {
                if let Some((name, said)) = said(line) {
                    let Some(service) = self.known(&name) else { return };
                    self.of(at, service, ServiceSide::Said(said));
                }
            }
            What::Appended(partition, span) => {
                for offset in (span.from.0..span.next.0).map(steadfast_core::ids::Offset) {
                    let content = Content(content(value(partition, offset).as_bytes()));
                    let (partition, change) = (partition.clone(), LogChange::Appended(offset, content));
                    self.tell(at, Happening::Log { partition, change });
                }
            }
            What::Rewritten(partition, change) => {
                self.tell(at, Happening::Log { partition: partition.clone(), change: *change });
            }
            What::Delivered(batch) => self.delivered(at, batch),
            What::Answered(batch, answer) => self.answered(at, batch, *answer),
            What::Wire(wire) => self.wire(world, at, wire),
            What::Noticed(notice) => self.notice(at, notice.clone()),
            What::Injected(_) => {}
        }
    }

    fn live(&mut self, batch: &Delivered) -> (Service, Option<steadfast_core::progress::Lease>) {
        let life = self.life(&batch.service);
        let read = |control: &Control| control.progress().read(&batch.partition, Progress::lease);
        (life.service, life.control.as_ref().and_then(read).flatten())
    }

    fn delivered(&mut self, at: Tick, batch: &Delivered) {
        let (service, live) = self.live(batch);
        let records = batch.offsets.iter().copied().zip(batch.contents.iter().copied().map(Content));
        let delivery = Delivery {
            partition: batch.partition.clone(),
            span: batch.span,
            lease: batch.lease,
            live,
            records: records.collect(),
        };
        self.of(at, service, ServiceSide::Delivered(delivery));
    }

    fn answered(&mut self, at: Tick, batch: &Delivered, answer: Answer) {
        let (service, live) = self.live(batch);
        let (partition, span, lease) = (batch.partition.clone(), batch.span, batch.lease);
        let event = match answer {
            Answer::Done => ServiceSide::Acked { partition, span, lease, live },
            Answer::Rejected(bad) => {
                // What is before it is acked.
                let acked = ServiceSide::Acked {
                    partition: partition.clone(),
                    span: Span { next: bad, ..span },
                    lease,
                    live,
                };
                self.of(at, service, acked);
                ServiceSide::Returned { partition }
            }
            Answer::Failed | Answer::Unavailable | Answer::Dropped | Answer::Panicked => {
                ServiceSide::Returned { partition }
            }
        };
        self.of(at, service, event);
    }

    fn wire(&mut self, world: &World, at: Tick, wire: &Wire) {
        let connection = wire.connection;
        let event = match &wire.event {
            WireEvent::Dialled => ConnectionEvent::Dialled(self.life(&wire.service).service),
            WireEvent::Opened => ConnectionEvent::Opened(self.life(&wire.service).service, wire.to.clone()),
            WireEvent::Closed => ConnectionEvent::Closed,
            WireEvent::Answered { correlation } => ConnectionEvent::Answered(ticket(*correlation)),
            WireEvent::Asked { correlation, api, fetched, commits } => {
                if *api == ApiKey::OffsetCommit as i16 || *api == ApiKey::Heartbeat as i16 {
                    self.look_at_group(world, at);
                }
                if let Some(partitions) = fetched.clone()
                    && let Some(node) = self.addresses.node(&wire.to, || world.cluster().endpoints())
                {
                    self.tell(at, Happening::Broker(BrokerSide::Fetched { connection, node, partitions }));
                }
                let service = self.life(&wire.service).service;
                for (partition, offset) in commits.iter().cloned() {
                    self.of(at, service, ServiceSide::Commits { partition, offset });
                }
                ConnectionEvent::Asked(ticket(*correlation), Api(*api))
            }
        };
        self.tell(at, Happening::Connection { connection, event });
    }

    fn known(&self, name: &Arc<str>) -> Option<Service> {
        self.lives.get(name).map(|life| life.service).or_else(|| self.only())
    }

    /// Where there is one service, it is meant whatever its instance id is.
    fn only(&self) -> Option<Service> {
        let life = self.lives.values().next().filter(|_| self.lives.len() == 1);
        life.map(|life| life.service)
    }

    fn member(&mut self, member: &Arc<str>) -> Option<Service> {
        if let Some(service) = self.members.get(member) {
            return Some(*service);
        }
        let own = |(name, _): &(&Arc<str>, &Life)| {
            member.strip_prefix(&***name).is_some_and(|rest| rest.starts_with('-'))
        };
        let service = self.lives.iter().find(own).map(|(_, life)| life.service).or_else(|| self.only())?;
        self.members.insert(Arc::clone(member), service);
        Some(service)
    }

    /// The same for a member that makes its id itself.
    fn member_of(&mut self, client: &Arc<str>, member: Arc<str>) -> Option<Service> {
        let service = self.lives.get(client).map(|life| life.service).or_else(|| self.only())?;
        Some(*self.members.entry(member).or_insert(service))
    }

    fn notice(&mut self, at: Tick, notice: Notice) {
        let event = match notice {
            Notice::Committed { member, generation, partition, offset, before, .. } => {
                let Some(service) = self.member(&member) else { return };
                BrokerSide::Committed { service, generation, partition, offset, before }
            }
            Notice::CommitRefused { member, partition, .. } => {
                let Some(service) = self.member(&member) else { return };
                BrokerSide::CommitRefused { service, partition }
            }
            Notice::RoundCompleted { generation, .. } => {
                self.generation = Some(generation);
                BrokerSide::GenerationBegan(generation)
            }
            Notice::AssignmentGiven { member, partitions, .. } => {
                let Some(service) = self.member(&member) else { return };
                BrokerSide::Assigned { service, partitions }
            }
            Notice::Reconciled { member, client, epoch, assigned, revoking, .. } => {
                let Some(service) = self.member_of(&client, member) else { return };
                let epoch = GroupGeneration(epoch);
                BrokerSide::Reconciled { service, epoch, assigned, revoking }
            }
            Notice::MemberRemoved { member, reason, .. } => {
                let Some(service) = self.member(&member) else { return };
                BrokerSide::Removed { service, left: matches!(reason, Removal::Left(_)) }
            }
            // The connections are listened to at the service's end.
            Notice::Fetched { .. } => return,
        };
        self.tell(at, Happening::Broker(event));
    }
}

/// How many lives a service may have.
const LIVES: u32 = 1000;

fn ticket(correlation: i32) -> Ticket {
    Ticket(u64::from(correlation.cast_unsigned()))
}

fn standings(control: &Control) -> BTreeMap<Partition, Standing> {
    let table = control.progress();
    let stand = |progress: &Progress| Standing {
        assignment: progress.assignment(),
        incarnation: progress.incarnation(),
        generation: progress.position().generation,
        position: progress.position().offset,
        acked: progress.acked(),
        committed: progress.committed(),
        state: progress.state(),
        lease: progress.lease(),
    };
    let known: BTreeSet<Partition> = table.partitions();
    known.into_iter().filter_map(|at| table.read(&at, stand).map(|standing| (at, standing))).collect()
}

impl std::fmt::Debug for Case {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Case({} in {})", self.lives.len(), world::GROUP)
    }
}
