//! A cluster over loopback TCP, a load on it, and the real service with its real wiring; in mid-flow every endpoint
//! moves.

use std::io;
use std::path::Path;
use std::time::Duration;

use serde_json::json;
use steadfast_core::endpoints::view::Address;
use steadfast_core::ids::{ClusterId, Offset, Partition};
use steadfast_sim::embedded::{CommandError, Embedded, Nodes, Old, Spec};
use tokio::sync::oneshot;
use tokio::time::timeout_at;

use super::load::{Load, LoadError};
use super::notes::{Notes, Observer, Sink, Written};
use super::plan::{Mode, Plan};
use super::progress::Progress;
use super::seen::{Move, Seen};
use super::standing::Standing;
use crate::config::{Config, ConfigError};
use crate::env::WallClock;
use crate::exit::Exit;
use crate::service::Service;

const TOPIC: &str = "demo";
const GROUP: &str = "demo";
/// Connections that stand end as soon as the cluster's runtime gets to them, not at once.
const UNTIL_CLOSED: Duration = Duration::from_millis(5);
/// A respawn ends with the first answer for its last partition, which may be an empty one.
const RESPAWN_ENDS: Duration = Duration::from_secs(2);

/// What hindered the play.
#[derive(Debug, thiserror::Error)]
enum PlayError {
    #[error("no runtime, directory or thread: {0}")]
    Io(#[from] io::Error),
    #[error("the embedded cluster: {0}")]
    Cluster(#[from] CommandError),
    #[error("the topic: {0}")]
    Topic(#[from] steadfast_sim::topics::TopicError),
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error(transparent)]
    Load(#[from] LoadError),
    #[error("the service has begun to consume {started} of {partitions} partitions within {limit:?}")]
    NotReady { started: usize, partitions: i32, limit: Duration },
    #[error("the service ended before it was told to ({0:?}): was it interrupted?")]
    Ended(Option<Exit>),
}

/// Plays the plan: what was seen, trouble included. It ends in time whatever happens.
pub(crate) fn play(plan: Plan, wall_clock: WallClock) -> Seen {
    play_knowing(plan, wall_clock, Embedded::bootstrap)
}

/// The same with a service that is told this address only.
fn play_knowing(plan: Plan, wall_clock: WallClock, known: fn(&Embedded) -> Address) -> Seen {
    let mut seen = Seen {
        plan,
        acked: Vec::new(),
        deliveries: Vec::new(),
        told: Vec::new(),
        moved: None,
        rounds: 0,
        trouble: Vec::new(),
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    let (runtime, directory) = match (runtime, tempfile::tempdir()) {
        (Ok(runtime), Ok(directory)) => (runtime, directory),
        (Err(error), _) | (_, Err(error)) => {
            seen.trouble.push(PlayError::Io(error).to_string());
            return seen;
        }
    };
    runtime.block_on(async {
        let notes = Notes::begin();
        let progress = Progress::begin(&notes, plan.records);
        let stage = Stage { plan, known, wall_clock, notes, progress };
        if let Err(error) = stage.play(directory.path(), &mut seen).await {
            seen.trouble.push(error.to_string());
        }
        let Written { acked, deliveries, told, .. } = stage.notes.read(Written::clone);
        (seen.acked, seen.deliveries, seen.told) = (acked, deliveries, told);
    });
    runtime.shutdown_timeout(Duration::from_millis(100));
    seen
}

struct Stage {
    plan: Plan,
    /// The only address that the service is told.
    known: fn(&Embedded) -> Address,
    wall_clock: WallClock,
    notes: Notes,
    progress: Progress,
}

impl Stage {
    async fn play(&self, directory: &Path, seen: &mut Seen) -> Result<(), PlayError> {
        self.progress.step("the cluster starts");
        let brokers = u16::try_from(self.plan.brokers).unwrap_or(u16::MAX);
        let spec = Spec { brokers, cluster: ClusterId::from("steadfast-demo"), seed: self.plan.seed };
        let cluster = Embedded::on_loopback(&spec)?;
        let partitions = usize::try_from(self.plan.partitions).unwrap_or_default();
        cluster.with(|cluster| cluster.create_topic(TOPIC, partitions))?;
        self.progress.step("the service starts");
        let mut service = Running::start(config(&(self.known)(&cluster), directory)?, &self.notes)?;
        let played = tokio::select! {
            biased;
            exit = &mut service.exit => return Err(PlayError::Ended(exit.ok())),
            played = self.flow(&cluster, seen) => played,
        };
        // A group counts its generations from 1.
        let generation = cluster.with(|cluster| cluster.group(GROUP)).map_or(0, |group| group.generation.0);
        seen.rounds = usize::try_from(generation).unwrap_or_default();
        self.progress.step("the service ends");
        seen.trouble.extend(service.end(&self.notes, self.plan.ended_by()).await);
        if played.is_ok() {
            seen.trouble.extend(self.uncommitted(&cluster));
        }
        played
    }

    /// From the first record to the last.
    async fn flow(&self, cluster: &Embedded, seen: &mut Seen) -> Result<(), PlayError> {
        let limit = self.plan.ready_by();
        let partitions = self.plan.partitions;
        let all = |written: &Written| i32::try_from(written.started()) == Ok(partitions);
        if !self.notes.until(limit, all).await {
            let started = self.notes.read(Written::started);
            return Err(PlayError::NotReady { started, partitions, limit });
        }
        let standing = Standing::open(cluster)?;
        let (connected, delivered) = (self.plan.connected_by(), self.plan.delivered_by());
        let (to, clock) = (standing.bootstrap(), self.wall_clock.clone());
        let load = Load::connect(self.plan, to, TOPIC, clock, self.notes.instant(connected)).await?;
        self.progress.step("records flow");
        let writing = load.write(&self.notes, self.notes.instant(delivered));
        let (loaded, moved) = tokio::join!(writing, self.move_in_mid_flow(cluster));
        seen.moved = moved?;
        self.progress.step("the load has ended; the last records are awaited");
        self.notes.until(delivered, Written::is_delivered).await;
        self.notes.until(delivered.min(self.notes.now() + RESPAWN_ENDS), Written::has_respawned).await;
        Ok(loaded?)
    }

    /// Moves every endpoint when about half of the records are written; none if it does not come to that.
    async fn move_in_mid_flow(&self, cluster: &Embedded) -> Result<Option<Move>, PlayError> {
        let half = usize::try_from(self.plan.move_after()).unwrap_or(usize::MAX);
        if !self.notes.until(self.plan.delivered_by(), |written| written.acked.len() >= half).await {
            return Ok(None);
        }
        self.progress.step("EVERY ENDPOINT MOVES");
        let old = match self.plan.mode {
            Mode::Refused => Old::Refuse,
            Mode::Blackhole => Old::BlackHole,
        };
        let at = self.notes.now();
        let moved = cluster.move_endpoints(&Nodes::All, old)?;
        let closed = self.notes.now() + UNTIL_CLOSED;
        Ok(Some(Move { at, closed, from: moved.from, to: moved.to, bootstrap: cluster.bootstrap() }))
    }

    /// What the group has stored has to be what was written.
    fn uncommitted(&self, cluster: &Embedded) -> Option<String> {
        let behind: Vec<String> = cluster.with(|cluster| {
            let committed = cluster.committed(GROUP);
            let partitions = (0..self.plan.partitions).map(|index| Partition::new(TOPIC, index));
            let behind = partitions.filter_map(|partition| {
                let end = cluster.log_end(&partition).ok()?;
                let stored = committed.get(&partition).map_or(Offset(0), |stored| stored.offset);
                (stored != end).then(|| format!("{partition} at {stored} of {end}"))
            });
            behind.collect()
        });
        (!behind.is_empty()).then(|| format!("not everything was committed: {}", behind.join(", ")))
    }
}

/// The service on a thread of its own.
struct Running {
    stop: oneshot::Sender<()>,
    exit: oneshot::Receiver<Exit>,
}

impl Running {
    fn start(config: Config, notes: &Notes) -> io::Result<Running> {
        let (stop, stopped) = oneshot::channel();
        let (ended, exit) = oneshot::channel();
        let (sink, observer) = (notes.clone(), notes.clone());
        let service = Service::new(config)
            .handle_with(move |_| Sink(sink.clone()))
            .observe_with(move || Observer(observer.clone()))
            .stop_when(async move { drop(stopped.await) });
        let thread = std::thread::Builder::new().name("service".to_owned());
        thread.spawn(move || ended.send(service.run()))?;
        Ok(Running { stop, exit })
    }

    /// Ends it in order; says what was wrong with that.
    async fn end(self, notes: &Notes, limit: Duration) -> Option<String> {
        drop(self.stop);
        match timeout_at(notes.instant(limit), self.exit).await {
            Ok(Ok(Exit::Fine)) => None,
            Ok(Ok(exit)) => Some(format!("the service ended with {} ({exit:?})", exit.code())),
            Ok(Err(_)) => Some("the service's thread panicked".to_owned()),
            Err(_) => Some("the service did not end, and was abandoned".to_owned()),
        }
    }
}

/// Everything but this is at its default.
fn config(bootstrap: &Address, directory: &Path) -> Result<Config, ConfigError> {
    Config::from_toml_str(&format!(
        "topics = [\"{TOPIC}\"]\n\
         [kafka]\n\"bootstrap.servers\" = \"{bootstrap}\"\n\"group.id\" = \"{GROUP}\"\n\
         [http]\nlisten = \"off\"\n\
         [state]\ndir = {}\n",
        json!(directory)
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::demo::outcome::Outcome;
    use crate::demo::sample::PLAN;
    use crate::env::real;

    #[test]
    fn a_service_that_cannot_recover_loses_what_it_does_not_get_and_the_demo_ends_in_time() {
        let plan = Plan { brokers: 2, partitions: 3, records: 300, rate: 600, ..PLAN };
        let plan = Plan { limit: Duration::from_secs(8), ..plan };
        // Nobody tells it of the new addresses: one broker's old one is all that it knows.
        let first = |cluster: &Embedded| {
            let endpoints = cluster.endpoints();
            endpoints.into_values().next().unwrap_or_else(|| cluster.bootstrap())
        };
        let began = tokio::time::Instant::now();
        let seen = play_knowing(plan, real::wall_clock(), first);
        let outcome = Outcome::of(&seen);
        assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
        assert!(!outcome.holds() && outcome.recovery.is_none() && outcome.respawns == 0, "{outcome:#?}");
        assert_eq!(outcome.produced, 300);
        assert_eq!(outcome.lost, outcome.produced - outcome.consumed, "{outcome:#?}");
        assert!(outcome.lost > 100, "{outcome:#?}");
    }
}
