//! What must hold whatever breaks, checked from outside after every happening.
//!
//! The checker believes nobody's account where it can count itself: it is told what was appended, what the brokers
//! saw, what crossed the connections, what handlers were given and acked, and how the service's table stands. It is
//! pure: no clock, no service code. [`Invariant::ALL`] is the list.

mod commits;
mod connections;
mod deliveries;
mod excuses;
mod group;
mod happening;
mod history;
mod respawns;
#[cfg(test)]
mod tests;
mod views;
mod violation;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use steadfast_core::ids::Partition;
use steadfast_core::tick::Tick;

use self::commits::{Asks, Commit, Stored};
use self::connections::Connections;
use self::deliveries::{Served, name};
use self::excuses::Excuses;
use self::group::Group;
pub use self::happening::{
    Api, BrokerSide, ConnectionEvent, Content, Delivery, Happening, LogChange, Said, Service, ServiceSide,
    Source, Standing,
};
use self::history::History;
use self::respawns::Respawn;
use self::views::Views;
use self::violation::{Broken, ensure};
pub use self::violation::{Invariant, Violation};

/// The limits that the services were configured with, and how much time healing is given.
#[derive(Debug, Clone)]
pub struct Limits {
    /// How long a connection may take to be opened.
    pub connect_timeout: Duration,
    /// `request.timeout.ms`.
    pub request_timeout: Duration,
    /// `max.poll.interval.ms`: how long a round waits for its members.
    pub rebalance_timeout: Duration,
    /// `respawn.budget`.
    pub respawn_budget: u32,
    /// `respawn.window`.
    pub respawn_window: Duration,
    /// `respawn.drain`.
    pub respawn_drain: Duration,
    /// `drift.settle`.
    pub settle: Duration,
    /// Whether the services commit.
    pub commits: bool,
    /// How long, while nothing is broken, a record may stay unacked.
    pub catch_up: Duration,
    /// How long, while nothing is broken, a stored offset that went back may stay there.
    pub mend: Duration,
}

/// What was counted in a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Summary {
    /// Records in the log at the end.
    pub appended: usize,
    /// Those of them that were acked.
    pub acked: usize,
    /// Deliveries of records.
    pub delivered: u64,
    /// Deliveries after a record's first.
    pub redelivered: u64,
    /// Respawns because of drift.
    pub respawns: u64,
}

/// Watches one run of any number of services in one group.
#[derive(Debug)]
pub struct Checker {
    limits: Limits,
    log: BTreeMap<Partition, History>,
    group: Group,
    asks: Asks,
    stored: BTreeMap<Partition, Stored>,
    served: BTreeMap<(Service, Partition), Served>,
    connections: Connections,
    views: Views,
    excuses: Excuses,
    respawns: BTreeMap<Service, VecDeque<Tick>>,
    quarantined: BTreeSet<Partition>,
    calm: Calm,
    looked: Tick,
    summary: Summary,
}

/// Whether anything is broken, and since when nothing is.
#[derive(Debug, Default)]
struct Calm {
    faults: BTreeMap<String, usize>,
    alive: BTreeSet<Service>,
    since: Tick,
}

/// How closely deadlines are watched.
const LOOK: Duration = Duration::from_millis(100);

impl Checker {
    /// Nothing has happened yet.
    pub fn new(limits: Limits) -> Checker {
        Checker {
            limits,
            log: BTreeMap::new(),
            group: Group::default(),
            asks: Asks::default(),
            stored: BTreeMap::new(),
            served: BTreeMap::new(),
            connections: Connections::default(),
            views: Views::default(),
            excuses: Excuses::default(),
            respawns: BTreeMap::new(),
            quarantined: BTreeSet::new(),
            calm: Calm::default(),
            looked: Tick::ZERO,
            summary: Summary::default(),
        }
    }

    /// Takes a happening in. Happenings come in order; `at` never goes back.
    ///
    /// # Errors
    /// The first invariant that does not hold after it.
    pub fn see(&mut self, at: Tick, happening: Happening) -> Result<(), Violation> {
        self.take(at, happening).and_then(|()| self.look(at)).map_err(|broken| broken.at(at))
    }

    /// The run is over, all is healed, and time enough has passed.
    ///
    /// # Errors
    /// What was lost, or is still to be done.
    pub fn finish(&self, at: Tick) -> Result<Summary, Violation> {
        self.connections
            .nothing_is_overdue(&self.limits, at)
            .and_then(|()| self.nothing_is_lost())
            .and_then(|()| self.redeliveries_are_counted())
            .and_then(|()| self.lowered_are_mended(Tick::ZERO, at))
            .map_err(|broken| broken.at(at))?;
        let counts = self.log.values().map(History::count);
        let (appended, acked) = counts.fold((0, 0), |sum, count| (sum.0 + count.0, sum.1 + count.1));
        Ok(Summary { appended, acked, ..self.summary })
    }

    fn take(&mut self, at: Tick, happening: Happening) -> Result<(), Broken> {
        match happening {
            Happening::Log { partition, change } => {
                if change.rewrites() {
                    self.excuses.log(&partition, at);
                    self.pardon_lowering(&partition);
                }
                self.log.entry(partition).or_default().change(change, at);
                Ok(())
            }
            Happening::Broker(event) => self.at_broker(event, at),
            Happening::Connection { connection, event } => {
                if let Some((service, from)) = self.connections.see(connection, event, at)? {
                    self.views.heard(service, from, at);
                }
                Ok(())
            }
            Happening::Service { service, event } => self.at_service(service, event, at),
            Happening::Told(views) => {
                self.views.told(views, at);
                Ok(())
            }
            Happening::Settled => self.group.is_balanced(&self.calm.alive, self.log.keys()),
            Happening::Injected(fault) => {
                *self.calm.faults.entry(fault).or_default() += 1;
                Ok(())
            }
            Happening::Healed(fault) => {
                self.calm.heal(&fault, at);
                Ok(())
            }
        }
    }

    fn at_broker(&mut self, event: BrokerSide, at: Tick) -> Result<(), Broken> {
        match event {
            BrokerSide::Fetched { connection, node, partitions } => {
                let drain = self.limits.respawn_drain;
                self.connections.fetched(connection, node, &partitions, at, drain)
            }
            BrokerSide::Committed { service, generation, partition, offset, before } => {
                let commit = Commit { service, generation, partition: &partition, offset, before };
                self.committed(&commit, at)
            }
            BrokerSide::CommitRefused { service, partition } => {
                self.excuses.given_up(service, &partition, at);
                Ok(())
            }
            BrokerSide::GenerationBegan(generation) => {
                self.group.generation = Some(generation);
                Ok(())
            }
            BrokerSide::Assigned { service, partitions } => {
                for partition in self.group.assign(service, partitions, at) {
                    self.connections.given(service, &partition, at);
                }
                Ok(())
            }
            BrokerSide::Reconciled { service, epoch, assigned, revoking } => {
                self.group.hold(service, epoch, assigned.union(&revoking).cloned().collect())?;
                for partition in self.group.assign(service, assigned, at) {
                    self.connections.given(service, &partition, at);
                }
                Ok(())
            }
            BrokerSide::Removed { service, left } => {
                self.group.remove(service);
                if !left {
                    self.excuses.service(service, at);
                    self.calm.since = at;
                }
                Ok(())
            }
        }
    }

    fn at_service(&mut self, service: Service, event: ServiceSide, at: Tick) -> Result<(), Broken> {
        match event {
            ServiceSide::Began => {
                self.calm.alive.insert(service);
                self.calm.since = at;
                Ok(())
            }
            ServiceSide::Ended { clean } => {
                self.calm.alive.remove(&service);
                self.calm.since = at;
                self.connections.end(service);
                if !clean {
                    self.excuses.service(service, at);
                }
                Ok(())
            }
            ServiceSide::Delivered(delivery) => self.delivered(service, &delivery, at),
            ServiceSide::Acked { partition, span, lease, live } => {
                self.acked(service, &partition, span, (lease, live));
                Ok(())
            }
            ServiceSide::Returned { partition } => {
                self.excuses.handler(service, &partition, at);
                Ok(())
            }
            ServiceSide::Commits { partition, offset } => {
                self.asks.ask(service, partition, offset);
                Ok(())
            }
            ServiceSide::Progress(standings) => {
                standings.iter().try_for_each(|(partition, now)| self.stands(service, partition, *now, at))
            }
            ServiceSide::Said(said) => self.said(service, said, at),
        }
    }

    fn said(&mut self, service: Service, said: Said, at: Tick) -> Result<(), Broken> {
        match said {
            Said::Respawned { drift, promoted_ago, gap } => {
                let promoted = Tick::at(at.since_start().saturating_sub(promoted_ago));
                self.respawned(&Respawn { service, drift, promoted, gap })
            }
            Said::Agreed { cluster, endpoints } => {
                self.views.is_witnessed(service, &endpoints, self.limits.settle, at)?;
                self.views.agreed(service, cluster, &endpoints, at)
            }
            Said::Started { partition, offset, source } => self.started(service, &partition, offset, source),
            Said::Redelivered { partition, records } => {
                self.counted(service, partition, records);
                Ok(())
            }
            Said::Quarantined { partition } => {
                let earned = self.excuses.ever(service, &partition);
                ensure(earned, Invariant::QuarantineEarned, || {
                    format!("{} quarantines {partition}, and nothing has failed", name(service))
                })?;
                self.quarantined.insert(partition);
                Ok(())
            }
            Said::Released { partition } => {
                self.quarantined.remove(&partition);
                Ok(())
            }
            Said::DeadLettered { partition, span } => self.dead_lettered(service, &partition, span),
            Said::OutOfRange { partition } => {
                let rewritten = self.excuses.log_since(&partition, Tick::ZERO);
                ensure(rewritten, Invariant::NothingSkipped, || {
                    format!("{} says that {partition} is out of range, and its log is whole", name(service))
                })
            }
            Said::GivenUp { partitions } => {
                for partition in &partitions {
                    self.excuses.given_up(service, partition, at);
                }
                Ok(())
            }
            Said::CheckpointFailed => {
                self.excuses.service(service, at);
                Ok(())
            }
            Said::Unfinished { partitions } => {
                self.excuses.unfinished(service, partitions);
                Ok(())
            }
        }
    }

    /// Looks at deadlines.
    fn look(&mut self, at: Tick) -> Result<(), Broken> {
        if at < self.looked + LOOK {
            return Ok(());
        }
        self.looked = at;
        self.connections.nothing_is_overdue(&self.limits, at)?;
        if !self.calm.faults.is_empty() || self.calm.alive.is_empty() {
            return Ok(());
        }
        self.lowered_are_mended(self.calm.since, at)?;
        self.service_catches_up(at)
    }

    fn service_catches_up(&self, at: Tick) -> Result<(), Broken> {
        for (partition, history) in self.served_logs() {
            let Some((offset, entry)) = history.oldest_open() else { continue };
            let due = entry.appended.max(self.calm.since) + self.limits.catch_up;
            ensure(at <= due, Invariant::CatchesUp, || {
                let (since, calm) = (entry.appended, self.calm.since);
                format!("{partition} offset {offset}, there since {since}, is not acked; calm since {calm}")
            })?;
        }
        Ok(())
    }

    fn served_logs(&self) -> impl Iterator<Item = (&Partition, &History)> {
        self.log.iter().filter(|(partition, _)| !self.quarantined.contains(*partition))
    }

    fn nothing_is_lost(&self) -> Result<(), Broken> {
        let mut unfinished = self.excuses.unfinished_at_the_end();
        for (partition, history) in self.served_logs() {
            let open = history.oldest_open();
            ensure(open.is_none(), Invariant::NothingLost, || {
                format!("{partition}: {open:?} was not acked by anybody")
            })?;
            let stored = self.stored.get(partition).map(|stored| stored.now);
            let whole = !self.limits.commits || history.end().is_none_or(|end| stored >= Some(end));
            // Who ends in the midst of a round may find that its generation is over: it says so, and the next
            // owner is given the rest again.
            let mut told = || {
                let Some(acker) = history.last_acker() else { return false };
                let left = unfinished.get_mut(&acker).filter(|left| **left > 0);
                self.excuses.told(acker, partition) || left.map(|left| *left -= 1).is_some()
            };
            let excused = whole || told();
            ensure(excused, Invariant::NothingLost, || {
                format!("{partition} ends at {:?} and is committed up to {stored:?}", history.end())
            })?;
        }
        Ok(())
    }
}

impl Calm {
    fn heal(&mut self, fault: &str, at: Tick) {
        self.since = at;
        if let Some(count) = self.faults.get_mut(fault) {
            *count -= 1;
            if *count == 0 {
                self.faults.remove(fault);
            }
        }
    }
}

impl LogChange {
    fn rewrites(self) -> bool {
        match self {
            LogChange::Appended(..) => false,
            LogChange::Truncated(_) | LogChange::Deleted(_) => true,
        }
    }
}

impl Broken {
    fn at(self, at: Tick) -> Violation {
        Violation { invariant: self.invariant, at, found: self.found }
    }
}
