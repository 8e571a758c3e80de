//! The user's cluster behind the proxy, and the service in front of it, watched while something befalls the endpoints.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::time::Duration;

use kafka_protocol::messages::ApiKey;
use steadfast_core::endpoints::view::Address;
use steadfast_core::ids::Partition;
use steadfast_sim::proxy::{Door, DriftProxy, Ports};
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout};

use super::RealError;
use super::cluster::Upstream;
use super::holes::records_in;
use super::notes::{Notes, Observer, Sink, Written};
use super::played::Played;
use super::row::Evidence;
use super::scenario::Scenario;
use crate::config::{AutoOffsetReset, Config, Sink as SinkSetting};
use crate::drill::policy::Policy;
use crate::exit::Exit;
use crate::service::{Control, Service};

/// For all partitions to be consumed: the group's first round takes 3 s on a broker at its defaults.
const START_LIMIT: Duration = Duration::from_secs(30);
/// Before something befalls: whoever brings a record in this time counts as flowing.
const WATCHED: Duration = Duration::from_secs(2);
/// For all to be back, from when on it is counted: so it is known how late who is late.
const LIMIT: Duration = Duration::from_secs(60);
/// What a policy's limit leaves out: that of machines and brokers that have more to do.
const ALLOWANCE: Duration = Duration::from_secs(1);
/// Connections that are opened one after another, from a suspicion to the first fetch, with one to spare.
const OPENINGS: u32 = 4;
/// A respawn is told when its last partition is back, or after 30 s without; what comes twice may come late.
const TOLD_LIMIT: Duration = Duration::from_secs(32);
const END_LIMIT: Duration = Duration::from_secs(15);
/// Between two looks. What is measured is at most so much too long.
const LOOK: Duration = Duration::from_millis(2);
const FETCH: i16 = ApiKey::Fetch as i16;
const JOIN_GROUP: i16 = ApiKey::JoinGroup as i16;

/// Why a scenario could not be played to its end.
#[derive(Debug, thiserror::Error)]
pub(super) enum StageError {
    #[error("{started} of {partitions} partitions were consumed within {START_LIMIT:?}{}", because(missing))]
    NotReady { started: usize, partitions: usize, missing: Option<String> },
    #[error("of the leaders of its partitions, {} answered no fetch within {START_LIMIT:?}", listed(_0))]
    NotFetched(Vec<i32>),
    #[error("the proxy: {0}")]
    Proxy(#[from] io::Error),
    #[error("interrupted")]
    Interrupted,
    #[error("the service ended by itself, with {} ({_0:?})", _0.code())]
    Ended(Exit),
    #[error("the service's thread panicked")]
    Panicked,
}

impl StageError {
    /// Whether this machine cannot do what the scenario takes, which says nothing about the service.
    pub(super) fn is_no_fault(&self) -> bool {
        matches!(self, StageError::Proxy(error) if error.kind() == io::ErrorKind::Unsupported)
    }
}

fn listed(brokers: &[i32]) -> String {
    let brokers: Vec<String> = brokers.iter().map(|node| format!("broker {node}")).collect();
    brokers.join(", ")
}

fn because(missing: &Option<String>) -> String {
    missing.as_ref().map(|missing| format!(": {missing}")).unwrap_or_default()
}

/// One proxy, one service.
pub(super) struct Stage {
    policy: Policy,
    /// The user's: it leads past the proxy.
    upstream: Config,
    partitions: usize,
    opening: Duration,
    proxy: DriftProxy,
    notes: Notes,
    control: oneshot::Receiver<Control>,
    stop: oneshot::Sender<()>,
    exit: oneshot::Receiver<Exit>,
    /// The service's state, deleted with the stage.
    _directory: tempfile::TempDir,
}

impl Stage {
    /// Starts both.
    pub(super) async fn open(
        config: &Config,
        upstream: &Upstream,
        scenario: Scenario,
    ) -> Result<Stage, RealError> {
        let proxy = DriftProxy::before(upstream.brokers.clone(), Ports::default())?;
        let directory = tempfile::tempdir()?;
        let known = match scenario.knows_old_addresses_only() {
            true => proxy.endpoints().into_values().collect(),
            false => vec![proxy.bootstrap()],
        };
        let mut drilled = drilled(config);
        drilled.kafka.bootstrap_servers =
            known.into_iter().map(|at| Address::new(at.ip().to_string(), at.port())).collect();
        drilled.state.dir = directory.path().to_owned();
        let notes = Notes::default();
        let (stop, stopped) = oneshot::channel();
        let (ended, exit) = oneshot::channel();
        let (running, control) = oneshot::channel();
        let (sink, observer) = (notes.clone(), notes.clone());
        let service = Service::new(drilled.clone())
            .handle_with(move |partition| Sink { notes: sink.clone(), partition: partition.clone() })
            .observe_with(move || Observer(observer.clone()))
            .on_start(move |control| drop(running.send(control)))
            .stop_when(async move { drop(stopped.await) });
        let thread = std::thread::Builder::new().name("service".to_owned());
        thread.spawn(move || ended.send(service.run()))?;
        let Upstream { partitions, opening, .. } = *upstream;
        let (policy, upstream) = (Policy::new(drilled), config.clone());
        Ok(Stage {
            policy,
            upstream,
            partitions,
            opening,
            proxy,
            notes,
            control,
            stop,
            exit,
            _directory: directory,
        })
    }

    /// Plays the scenario; whatever happens, it ends in time.
    pub(super) async fn play(&mut self, scenario: Scenario) -> Result<Played, StageError> {
        let control = self.ready().await?;
        let flowing = self.flowing().await?;
        let brokers: Vec<i32> = self.proxy.endpoints().into_keys().collect();
        let threshold = self.policy.config().drift.threshold;
        let joins = self.proxy.requests_of(JOIN_GROUP);
        let leading = leading(&control);
        let struck: BTreeSet<i32> =
            scenario.struck(&brokers).into_iter().filter(|node| leading.contains_key(node)).collect();
        let began = Instant::now();
        let mut last = began;
        for step in scenario.steps(&brokers) {
            if step.strikes() {
                last = Instant::now();
            }
            step.take(&self.proxy).await?;
        }
        let counted_from = last + scenario.grace();
        let awaited = Awaited { began, counted_from, struck, leading, flowing };
        let recovered = self.recovered(&awaited).await?;
        let expected = scenario.respawns(brokers.len(), threshold);
        self.until(TOLD_LIMIT, |written| written.respawns >= *expected.start()).await?;
        self.pause(scenario.aftermath()).await?;
        let evidence = if awaited.flowing.is_empty() { Evidence::Answers } else { Evidence::Records };
        let holes = self.notes.read(|written| written.holes.clone());
        let (gap, unknown) = match records_in(&self.upstream, &holes).await {
            Ok(records) => (records, None),
            Err(unknown) => (0, Some(unknown.to_string())),
        };
        Ok(self.notes.read(|written| Played {
            recovery: recovered,
            limit: self.limit(scenario, evidence),
            evidence,
            missing: written.missing.clone(),
            gap,
            unknown,
            redelivered: written.redelivered,
            respawns: written.respawns,
            expected,
            rebalances: self.proxy.requests_of(JOIN_GROUP) - joins,
        }))
    }

    /// How long it may take: what the policy says, and what it cannot know.
    fn limit(&self, scenario: Scenario, evidence: Evidence) -> Duration {
        let wait = match evidence {
            Evidence::Records => Duration::ZERO,
            Evidence::Answers => self.policy.fetch_wait(),
        };
        scenario.limit(&self.policy) + wait + ALLOWANCE + self.opening * OPENINGS
    }

    /// Waits until every partition is consumed and every leader has answered a fetch.
    async fn ready(&mut self) -> Result<Control, StageError> {
        let partitions = self.partitions;
        let all = |written: &Written| written.started >= partitions;
        if !self.until(START_LIMIT, all).await? {
            let (started, missing) = self.notes.read(|written| (written.started, written.missing.clone()));
            return Err(StageError::NotReady { started, partitions, missing });
        }
        let control = (&mut self.control).await.map_err(|_| StageError::Interrupted)?;
        let leading = leading(&control);
        let began = Instant::now();
        loop {
            let silent = leading.keys().filter(|node| first_fetch(&self.proxy, **node, None).is_none());
            let silent: Vec<i32> = silent.copied().collect();
            if silent.is_empty() {
                return Ok(control);
            }
            if began.elapsed() > START_LIMIT {
                return Err(StageError::NotFetched(silent));
            }
            self.pause(LOOK).await?;
        }
    }

    /// The partitions in which records flow.
    async fn flowing(&mut self) -> Result<BTreeSet<Partition>, StageError> {
        let since = Instant::now();
        self.pause(WATCHED).await?;
        Ok(self.notes.read(|written| {
            let flowing = written.last.iter().filter(|(_, last)| last.at >= since);
            flowing.map(|(partition, _)| partition.clone()).collect()
        }))
    }

    /// Waits until all that is awaited has come; says how long it took.
    async fn recovered(&mut self, awaited: &Awaited) -> Result<Option<Duration>, StageError> {
        let until = awaited.counted_from + LIMIT;
        loop {
            if let Some(at) = self.notes.read(|written| awaited.came(&self.proxy, written)) {
                return Ok(Some(at.saturating_duration_since(awaited.counted_from)));
            }
            if Instant::now() >= until {
                return Ok(None);
            }
            self.pause(LOOK).await?;
        }
    }

    async fn until(&mut self, limit: Duration, holds: impl Fn(&Written) -> bool) -> Result<bool, StageError> {
        let end = Instant::now() + limit;
        while !self.notes.read(&holds) {
            if Instant::now() >= end {
                return Ok(false);
            }
            self.pause(LOOK).await?;
        }
        Ok(true)
    }

    /// Waits, unless the service ends by itself: it hears the signals that are meant for the drill.
    async fn pause(&mut self, time: Duration) -> Result<(), StageError> {
        match timeout(time, &mut self.exit).await {
            Err(_) => Ok(()),
            Ok(Ok(Exit::Fine | Exit::Interrupted | Exit::Terminated)) => Err(StageError::Interrupted),
            Ok(Ok(exit)) => Err(StageError::Ended(exit)),
            Ok(Err(_)) => Err(StageError::Panicked),
        }
    }

    /// Ends the service, which leaves its group; says what was wrong with that.
    pub(super) async fn end(self) -> Option<String> {
        drop(self.stop);
        match timeout(END_LIMIT, self.exit).await {
            Ok(Ok(Exit::Fine)) => None,
            Ok(Ok(exit)) => Some(format!("the service ended with {} ({exit:?})", exit.code())),
            Ok(Err(_)) => Some("the service's thread panicked".to_owned()),
            Err(_) => Some("the service did not end, and was abandoned".to_owned()),
        }
    }
}

/// The user's configuration, fit for a drill.
fn drilled(config: &Config) -> Config {
    let mut drilled = config.clone();
    drilled.kafka.group_id = format!("steadfast-drill-{:016x}", rand::random::<u64>());
    drilled.kafka.group_instance_id = None;
    // A quota that is set for the user's client id is not for rehearsals.
    drilled.kafka.client_id = "steadfast-drill".to_owned();
    drilled.kafka.auto_offset_reset = AutoOffsetReset::Latest;
    drilled.checkpoint.enabled = false;
    drilled.sink = SinkSetting::Discard;
    drilled.errors.dead_letters = None;
    drilled.http.listen = None;
    drilled
}

/// What has to come before all are back.
struct Awaited {
    began: Instant,
    counted_from: Instant,
    /// Brokers that lead partitions of ours and to which new connections are due.
    struck: BTreeSet<i32>,
    leading: BTreeMap<i32, BTreeSet<Partition>>,
    flowing: BTreeSet<Partition>,
}

impl Awaited {
    /// When the last of it came; none while something is missing.
    fn came(&self, proxy: &DriftProxy, written: &Written) -> Option<Instant> {
        let mut came = self.counted_from;
        for node in &self.struck {
            let answered = first_fetch(proxy, *node, Some(self.began))?;
            came = came.max(answered);
            let led = self.leading.get(node).into_iter().flatten();
            for partition in led.filter(|partition| self.flowing.contains(*partition)) {
                let last = written.last.get(partition).filter(|last| last.at >= answered)?;
                came = came.max(last.at);
            }
        }
        Some(came)
    }
}

/// When a connection to the broker's address of now was first answered a fetch; only of connections whose first answer
/// came after `since`.
fn first_fetch(proxy: &DriftProxy, node: i32, since: Option<Instant>) -> Option<Instant> {
    let connections = proxy.connections();
    let current =
        connections.iter().filter(|open| matches!(open.door, Door::Broker { node: of, .. } if of == node));
    let newest = current.clone().map(|open| open.door).max()?;
    let answered =
        current.filter(|open| open.door == newest).filter_map(|open| open.first_answers.get(&FETCH));
    answered.copied().filter(|at| since.is_none_or(|since| *at >= since)).min()
}

/// Which broker leads which of our partitions.
fn leading(control: &Control) -> BTreeMap<i32, BTreeSet<Partition>> {
    let cluster = control.cluster();
    let mut leading: BTreeMap<i32, BTreeSet<Partition>> = BTreeMap::new();
    for standing in control.progress().standings() {
        if let Some((node, _)) = cluster.leader(&standing.partition) {
            leading.entry(node.0).or_default().insert(standing.partition);
        }
    }
    leading
}
