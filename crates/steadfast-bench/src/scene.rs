//! A service behind the drift proxy, under load.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use steadfast_sim::proxy::{Moved, Nodes, Old};
use steadfast_tests::checker::{Acked, Mark};
use steadfast_tests::kafka::Cluster;
use steadfast_tests::service::{Event, Service, Workplace, usual_config};
use steadfast_tests::within;

use crate::ground::Ground;
use crate::seen::{Seen, first_after, first_written_after};

pub use crate::ground::{PARTITIONS, RATE, whole};

/// How long anything is waited for.
pub const LIMIT: Duration = Duration::from_secs(60);

/// What a scene begins with.
#[derive(Debug, Clone, Copy)]
pub struct Opening<'a> {
    /// Names topic and group.
    pub name: &'a str,
    /// More lines of the configuration; everything else is at its default.
    pub settings: &'a str,
    /// Whether `bootstrap.servers` is the proxy's stable address, or the brokers' first ones.
    pub stable_bootstrap: bool,
}

/// A proxy in front of a cluster, a load, and a service that consumes it through the proxy.
pub struct Scene {
    ground: Ground,
    workplace: Workplace,
    /// The service.
    pub service: Service,
    config: String,
}

/// A move, and how far the service was.
#[derive(Debug, Clone)]
pub struct Shift {
    /// What the proxy says of it.
    pub moved: Moved,
    /// When the old ports were closed or silent; they go on in a time of grace.
    pub closed: SystemTime,
    /// How many records had come out before.
    pub records: usize,
    /// How many events there had been.
    pub events: usize,
}

/// What is counted from outside once the load has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Proof {
    /// Records that the brokers acknowledged.
    pub acknowledged: usize,
    /// Records that came out.
    pub delivered: usize,
    /// Acknowledged, and never delivered.
    pub lost: usize,
    /// Delivered again.
    pub redelivered: usize,
    /// Delivered after a record with a higher offset.
    pub disordered: usize,
    /// After the first join.
    pub rebalances: usize,
    /// Because of drift.
    pub respawns: usize,
    /// Whether the service, asked to end, did so with exit code 0 and had told nothing but events.
    pub ended_well: bool,
}

impl Proof {
    /// Every record came once and in order, the group noticed nothing, and the service ended as it should.
    pub fn holds(&self) -> bool {
        self.lost + self.redelivered + self.disordered + self.rebalances == 0 && self.ended_well
    }
}

impl Scene {
    /// Begins: every partition flows when this returns.
    ///
    /// # Errors
    /// Something does not start, or does not flow within a minute.
    pub fn begin(cluster: &Cluster, opening: Opening<'_>) -> io::Result<Scene> {
        let name = opening.name;
        let ground = Ground::begin(cluster, name)?;
        let bootstrap = match opening.stable_bootstrap {
            true => ground.proxy.bootstrap().to_string(),
            false => ground.listed(),
        };
        let workplace = Workplace::new()?;
        let config = usual_config(&bootstrap, name, name) + opening.settings;
        workplace.configure(&config)?;
        let service = Service::start(&binary()?, &workplace, &[])?;
        let scene = Scene { ground, workplace, service, config };
        scene.until("every partition flows", || {
            whole(&first_after(&scene.seen_from(0), SystemTime::UNIX_EPOCH))
        })?;
        Ok(scene)
    }

    /// The stable bootstrap address.
    pub fn bootstrap(&self) -> SocketAddr {
        self.ground.proxy.bootstrap()
    }

    /// Moves endpoints.
    ///
    /// # Errors
    /// The proxy cannot.
    pub fn shift(&self, nodes: Nodes, old: Old) -> io::Result<Shift> {
        let (records, events) = (self.service.count(), self.service.events().len());
        let (moved, closed) = self.ground.shift(nodes, old)?;
        Ok(Shift { moved, closed, records, events })
    }

    /// Has the configuration file name the brokers' addresses of now; says when the file was renamed.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn reconfigure(&self) -> io::Result<SystemTime> {
        let fresh = format!("\"bootstrap.servers\" = \"{}\"", self.ground.listed());
        let named =
            |line| if str::starts_with(line, "\"bootstrap.servers\"") { fresh.as_str() } else { line };
        let lines: Vec<&str> = self.config.lines().map(named).collect();
        self.workplace.configure(&(lines.join("\n") + "\n"))
    }

    /// The records that came out from the `from`th on.
    pub fn seen_from(&self, from: usize) -> Vec<Seen> {
        let records = self.service.deliveries_from(from);
        records.iter().filter_map(|(delivered, envelope)| Seen::read(delivered, envelope)).collect()
    }

    /// The events from the `from`th on.
    pub fn events_from(&self, from: usize) -> Vec<Event> {
        self.service.events().split_off(from)
    }

    /// The records that the brokers acknowledged between two times, each with when.
    pub fn acked_between(&self, from: SystemTime, until: SystemTime) -> Vec<(Mark, SystemTime)> {
        let acked = self.ground.load.acked_since(from).into_iter();
        acked.take_while(|(_, at)| *at < until).collect()
    }

    /// Waits until every partition has brought a record that was written after the old ports ended.
    ///
    /// # Errors
    /// One has not within a minute.
    pub fn await_flow(&self, shift: &Shift) -> io::Result<()> {
        self.until("every partition goes on", || {
            whole(&first_written_after(&self.seen_from(shift.records), shift.closed, shift.moved.at))
        })
    }

    /// How many respawns because of drift there were.
    pub fn respawns(&self) -> usize {
        let respawned = self.service.events_named("consumer.respawned");
        respawned.iter().filter(|event| event.json["reason"] == "drift").count()
    }

    /// Waits until something holds.
    ///
    /// # Errors
    /// It does not within a minute: the service's events.
    pub fn until(&self, what: &str, holds: impl Fn() -> bool) -> io::Result<()> {
        within(LIMIT, || {
            let story =
                || io::Error::other(format!("not within {LIMIT:?}: {what}\n{}", self.service.story()));
            holds().then_some(()).ok_or_else(story)
        })
    }

    /// Ends the load, waits for its last record, ends the service in order, and counts.
    ///
    /// # Errors
    /// The load or the service does not end within a minute.
    pub fn finish(self) -> io::Result<(Proof, Service)> {
        let Scene { ground: Ground { load, proxy, runtime }, mut service, workplace, .. } = self;
        let respawned = service.events_named("consumer.respawned");
        let acked = load.stop()?;
        // What does not come is lost: that is the verdict's to say.
        let _ = service.verdict_within(LIMIT, &acked);
        let checker = service.checker();
        let verdict = checker.verdict(&acked);
        service.signal("TERM")?;
        let status = service.wait(LIMIT)?;
        drop((proxy, runtime, workplace));
        let proof = Proof {
            acknowledged: count(&acked),
            delivered: checker.delivered().len(),
            lost: verdict.lost.len(),
            redelivered: verdict.redelivered.len(),
            disordered: verdict.disordered.len(),
            rebalances: service.events_named("group.rebalanced").len().saturating_sub(1),
            respawns: respawned.iter().filter(|event| event.json["reason"] == "drift").count(),
            ended_well: status.success() && service.strange_lines().is_empty(),
        };
        Ok((proof, service))
    }
}

pub(crate) fn count(acked: &Acked) -> usize {
    acked.values().map(std::collections::BTreeSet::len).sum()
}

/// `steadfast` beside this program: of the same build.
///
/// # Errors
/// It was not built.
pub fn binary() -> io::Result<PathBuf> {
    let steadfast = std::env::current_exe()?.with_file_name("steadfast");
    if steadfast.exists() {
        return Ok(steadfast);
    }
    let missing = format!("{} is not built: run this by just, or cargo build it", steadfast.display());
    Err(io::Error::new(io::ErrorKind::NotFound, missing))
}
