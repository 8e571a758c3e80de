//! The user's cluster behind the proxy, and the service in front of it, watched while something befalls the endpoints.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::time::Duration;

use steadfast_core::endpoints::view::Address;
use steadfast_core::ids::Partition;
use steadfast_sim::proxy::{Door, DriftProxy, Ports};
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout};

use super::RealError;
use super::cluster::Upstream;
use super::notes::{Notes, Observer, Sink, Written};
use super::played::Played;
use super::row::Evidence;
use super::scenario::Scenario;
use crate::config::{AutoOffsetReset, Config, Sink as SinkSetting};
use crate::exit::Exit;
use crate::service::{Control, Service};

/// For all partitions to be consumed: the group's first round takes 3 s on a broker at its defaults.
const START_LIMIT: Duration = Duration::from_secs(30);
/// Before something befalls: whoever brings a record in this time counts as flowing.
const WATCHED: Duration = Duration::from_secs(2);
/// For all to be back, from when on it is counted.
const LIMIT: Duration = Duration::from_secs(60);
/// A respawn is told when its last partition is back, or after 30 s without; what comes twice may come late.
const TOLD_LIMIT: Duration = Duration::from_secs(32);
const AFTERMATH: Duration = Duration::from_secs(1);
const END_LIMIT: Duration = Duration::from_secs(15);
/// Between two looks. What is measured is at most so much too long.
const LOOK: Duration = Duration::from_millis(2);
/// Fetch.
const FETCH: i16 = 1;

/// Why a scenario could not be played to its end.
#[derive(Debug, thiserror::Error)]
pub(super) enum StageError {
    #[error("{started} of {partitions} partitions were consumed within {START_LIMIT:?}{}", because(missing))]
    NotReady { started: usize, partitions: usize, missing: Option<String> },
    #[error("the proxy: {0}")]
    Proxy(#[from] io::Error),
    #[error("interrupted")]
    Interrupted,
    #[error("the service ended by itself, with {} ({_0:?})", _0.code())]
    Ended(Exit),
    #[error("the service's thread panicked")]
    Panicked,
}

fn because(missing: &Option<String>) -> String {
    missing.as_ref().map(|missing| format!(": {missing}")).unwrap_or_default()
}

/// One proxy, one service.
pub(super) struct Stage {
    config: Config,
    partitions: usize,
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
        let mut config = drilled(config);
        config.kafka.bootstrap_servers =
            known.into_iter().map(|at| Address::new(at.ip().to_string(), at.port())).collect();
        config.state.dir = directory.path().to_owned();
        let notes = Notes::default();
        let (stop, stopped) = oneshot::channel();
        let (ended, exit) = oneshot::channel();
        let (running, control) = oneshot::channel();
        let (sink, observer) = (notes.clone(), notes.clone());
        let service = Service::new(config.clone())
            .handle_with(move |partition| Sink { notes: sink.clone(), partition: partition.clone() })
            .observe_with(move || Observer(observer.clone()))
            .on_start(move |control| drop(running.send(control)))
            .stop_when(async move { drop(stopped.await) });
        let thread = std::thread::Builder::new().name("service".to_owned());
        thread.spawn(move || ended.send(service.run()))?;
        let partitions = upstream.partitions;
        Ok(Stage { config, partitions, proxy, notes, control, stop, exit, _directory: directory })
    }

    /// Plays the scenario; whatever happens, it ends in time.
    pub(super) async fn play(&mut self, scenario: Scenario) -> Result<Played, StageError> {
        let control = self.ready().await?;
        let flowing = self.flowing().await?;
        let brokers: Vec<i32> = self.proxy.endpoints().into_keys().collect();
        let threshold = self.config.drift.threshold;
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
        self.pause(AFTERMATH).await?;
        let evidence = if awaited.flowing.is_empty() { Evidence::Answers } else { Evidence::Records };
        Ok(self.notes.read(|written| Played {
            recovery: recovered,
            evidence,
            missing: written.missing.clone(),
            gap: written.gap,
            redelivered: written.redelivered,
            respawns: written.respawns,
            expected,
            rebalances: written.rebalances.saturating_sub(1),
        }))
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
        let fetched =
            |proxy: &DriftProxy| leading.keys().all(|node| first_fetch(proxy, *node, None).is_some());
        while !fetched(&self.proxy) {
            if began.elapsed() > START_LIMIT {
                return Err(StageError::NotReady { started: 0, partitions, missing: None });
            }
            self.pause(LOOK).await?;
        }
        Ok(control)
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
