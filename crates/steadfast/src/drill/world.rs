//! A world: a cluster in memory, services that consume from it, a load, faults; one seed, one thread, no real time.

use std::collections::BTreeMap;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;
use std::{fmt, fs, io};

use steadfast_core::acked::Span;
use steadfast_core::ids::{ClusterId, Offset, Partition};
use steadfast_core::tick::Tick;
use steadfast_sim::batch::NewRecord;
use steadfast_sim::checker::LogChange;
use steadfast_sim::embedded::{Embedded, Spec};
use steadfast_sim::group::GroupSettings;
use steadfast_sim::topics::TopicError;
use tokio::runtime::Builder;
use tokio::task::AbortHandle;
use tokio::time::{Instant, sleep, sleep_until};

use super::content::value;
use super::doors::{EPOCH_MS, dice};
use super::failure::Failures;
use super::inhabitant::{self, Inhabitant};
use super::journal::{Happening, Journal, What};
use super::tally::Tally;
use crate::env::Dice;
use crate::exit::Exit;
use crate::locked::locked;
use crate::service::Control;

pub use super::failure::WorldError;
pub use super::inhabitant::name as service_name;
pub use super::plan::{GROUP, Manner, Plan, TOPIC};

/// A handle to a running world. A clone is the same world.
#[derive(Clone)]
pub struct World(Arc<Inner>);

struct Inner {
    plan: Plan,
    started: Instant,
    cluster: Embedded,
    journal: Journal,
    tally: Arc<Mutex<Tally>>,
    dice: Dice,
    inhabitants: Mutex<BTreeMap<usize, Inhabitant>>,
    connections: Arc<AtomicU64>,
    failures: Failures,
}

/// What is left of a world.
#[derive(Debug, Clone)]
pub struct Report {
    /// The event log, byte for byte.
    pub log: Vec<u8>,
    /// What became of the records.
    pub tally: Tally,
    /// How the services ended that ran to the end of the scenario.
    pub exits: BTreeMap<usize, Exit>,
    /// When it was over.
    pub ended: Tick,
}

/// Plays `scenario` in a world that is made for it, then ends the services in order, and the world.
///
/// `check` is called after each happening, before anything else happens. It may look at the world, but not wait.
///
/// # Errors
/// There can be no such world, or something that was to be done in it cannot be: it ends there.
pub fn simulate<T>(
    plan: Plan,
    check: impl FnMut(&World, &Happening) + Send + 'static,
    scenario: impl AsyncFnOnce(&World) -> T,
) -> Result<(T, Report), WorldError> {
    let built = Builder::new_current_thread().enable_time().start_paused(true).build();
    let runtime = built.map_err(WorldError::Runtime)?;
    actix::System::with_tokio_rt(|| runtime).block_on(async move {
        let world = World::begin(plan)?;
        let _log = world.0.journal.log_here(world.0.plan.level);
        world.watch(check);
        let played = world.play(scenario).await;
        world.0.journal.close();
        played
    })
}

impl World {
    fn begin(plan: Plan) -> Result<World, WorldError> {
        let started = Instant::now();
        let seeds = dice(plan.seed);
        let spec = Spec { brokers: plan.brokers, cluster: ClusterId::from("simulated"), seed: seed(&seeds) };
        let cluster = Embedded::in_memory(&spec);
        cluster.with(|cluster| {
            let load_time = plan.load_time;
            cluster.set_group_settings(GroupSettings { load_time, ..GroupSettings::default() });
            cluster.create_topic(TOPIC, plan.partitions)
        })?;
        // Also what a broker that is healed, or added, goes back to.
        let (least, most) = plan.latency;
        cluster.set_latency(least, most.saturating_sub(least));
        Ok(World(Arc::new(Inner {
            journal: Journal::new(started),
            tally: Arc::default(),
            dice: seeds,
            inhabitants: Mutex::default(),
            connections: Arc::default(),
            failures: Failures::default(),
            plan,
            started,
            cluster,
        })))
    }

    async fn play<T>(&self, scenario: impl AsyncFnOnce(&World) -> T) -> Result<(T, Report), WorldError> {
        for number in 1..=self.0.plan.services {
            self.start_service(number);
        }
        let outcome = tokio::select! {
            biased;
            error = self.0.failures.first() => return Err(error),
            outcome = scenario(self) => outcome,
        };
        let report = self.end().await;
        self.0.failures.take().map_or(Ok((outcome, report)), Err)
    }

    /// Ends the world: what was to be done in it cannot be done.
    pub fn fail(&self, error: WorldError) {
        self.0.failures.note(error);
    }

    fn watch(&self, mut check: impl FnMut(&World, &Happening) + Send + 'static) {
        let (tally, world) = (Arc::clone(&self.0.tally), self.clone());
        self.0.journal.tell(Box::new(move |happening| locked(&tally).count(happening)));
        self.0.journal.tell(Box::new(move |happening| check(&world, happening)));
        let journal = self.0.journal.clone();
        self.0.cluster.served().on_notice(move |notice| journal.note(What::Noticed(notice)));
    }

    /// What it was made from.
    pub fn plan(&self) -> &Plan {
        &self.0.plan
    }

    /// The time since it began.
    pub fn now(&self) -> Tick {
        Tick::at(self.0.started.elapsed())
    }

    /// The cluster.
    pub fn cluster(&self) -> &Embedded {
        &self.0.cluster
    }

    /// The journal.
    pub fn journal(&self) -> &Journal {
        &self.0.journal
    }

    /// The partitions of the topic.
    pub fn partitions(&self) -> Vec<Partition> {
        self.0.cluster.with(|cluster| cluster.partitions(TOPIC)).unwrap_or_default()
    }

    /// What became of the records up to now.
    pub fn tally(&self) -> Tally {
        locked(&self.0.tally).clone()
    }

    /// A look at the tally, without a copy.
    pub fn with_tally<T>(&self, look: impl FnOnce(&Tally) -> T) -> T {
        look(&locked(&self.0.tally))
    }

    /// Randomness for a scenario, from the world's seed.
    pub fn dice(&self) -> &Dice {
        &self.0.dice
    }

    /// The services that run, and for each a handle that shows how it stands, once its actors run.
    pub fn services(&self) -> BTreeMap<usize, Option<Control>> {
        self.inhabitants().iter().map(|(number, inhabitant)| (*number, inhabitant.control())).collect()
    }

    /// A handle to the service of this name, once its actors run.
    pub fn control_of(&self, name: &str) -> Option<Control> {
        let inhabitants = self.inhabitants();
        inhabitants.values().find(|inhabitant| &**inhabitant.name() == name)?.control()
    }

    /// Appends one batch of `count` records to a partition.
    pub fn append(&self, partition: &Partition, count: usize) {
        let timestamp_ms = EPOCH_MS + i64::try_from(self.now().since_start().as_millis()).unwrap_or(i64::MAX);
        let appended = self.0.cluster.with(|cluster| {
            let end = cluster.log_end(partition)?;
            let records = (0..).map(|number| Offset(end.0 + number)).take(count);
            let records = records.map(|offset| NewRecord::new(timestamp_ms, value(partition, offset)));
            cluster.append(partition, records.collect())
        });
        // A partition without a leader takes nothing: then nothing was acknowledged either.
        if let Ok(from) = appended {
            let next = Offset(from.0 + i64::try_from(count).unwrap_or(i64::MAX));
            self.0.journal.note(What::Appended(partition.clone(), Span::new(from, next)));
        }
    }

    /// An unclean election loses the partition's records from this offset on.
    ///
    /// # Errors
    /// There is no such partition.
    pub fn lose_tail(&self, partition: &Partition, from: Offset) -> Result<(), TopicError> {
        self.0.journal.note(What::Injected(format!("{partition} loses its records from {from} on")));
        let end = self.0.cluster.with(|cluster| cluster.truncate(partition, from))?;
        self.0.journal.note(What::Rewritten(partition.clone(), LogChange::Truncated(end)));
        Ok(())
    }

    /// Retention deletes the partition's records before this offset.
    ///
    /// # Errors
    /// There is no such partition.
    pub fn lose_head(&self, partition: &Partition, before: Offset) -> Result<(), TopicError> {
        self.0.journal.note(What::Injected(format!("{partition} loses its records before {before}")));
        let start = self.0.cluster.with(|cluster| cluster.delete_before(partition, before))?;
        self.0.journal.note(What::Rewritten(partition.clone(), LogChange::Deleted(start)));
        Ok(())
    }

    /// Appends single records to partitions that the dice choose, `rate` of them a second in the mean, until the
    /// load is dropped.
    pub fn load(&self, rate: f64) -> Load {
        let world = self.clone();
        let task = tokio::spawn(async move {
            let (partitions, mut next) = (world.partitions(), Instant::now());
            let usual = Duration::from_secs_f64(1.0 / rate);
            loop {
                next += world.0.dice.jittered(usual);
                sleep_until(next).await;
                let place = (world.0.dice.fraction() * partitions.len() as f64) as usize;
                world.append(&partitions[place.min(partitions.len() - 1)], 1);
            }
        });
        Load(task.abort_handle())
    }

    /// Does something to the cluster, and notes it in these words.
    pub fn inject<T>(&self, what: impl Into<String>, change: impl FnOnce(&Embedded) -> T) -> T {
        self.0.journal.note(What::Injected(what.into()));
        change(&self.0.cluster)
    }

    /// Lets time pass.
    pub async fn elapse(&self, time: Duration) {
        sleep(time).await;
    }

    /// Waits until it is so, at most for `limit`. Says whether it is.
    pub async fn until(&self, limit: Duration, mut so: impl FnMut(&World) -> bool) -> bool {
        let end = Instant::now() + limit;
        while !so(self) {
            if Instant::now() >= end {
                return false;
            }
            sleep(LOOK).await;
        }
        true
    }

    /// Waits until everything that was appended is processed, at most for `limit`. Says whether it is.
    pub async fn caught_up(&self, limit: Duration) -> bool {
        self.until(limit, |world| world.with_tally(|tally| tally.missing().is_empty())).await
    }

    /// Starts the service of this number, unless it runs. One that ran before finds what it stored.
    pub fn start_service(&self, number: usize) {
        self.start_service_as(number, &Manner::default());
    }

    /// The same in a manner of its own.
    pub fn start_service_as(&self, number: usize, manner: &Manner) {
        let mut inhabitants = self.inhabitants();
        let inhabitant =
            inhabitants.entry(number).or_insert_with(|| Inhabitant::new(number, seed(&self.0.dice)));
        let transport = inhabitant.tapped(&self.0.cluster, &self.0.journal, &self.0.connections);
        let config = self.config(number, manner);
        if let Some(file) = &manner.file
            && let Err(error) = fs::write(file, &config)
        {
            return self.fail(WorldError::File { file: file.clone(), error });
        }
        let begun =
            inhabitant.start(transport, &config, manner, self.0.started, &self.0.plan, &self.0.journal);
        if let Err(error) = begun {
            self.fail(error);
        }
        if self.0.plan.apart {
            locked(&self.0.tally).read_by(inhabitant::name(number).into());
        }
    }

    /// Writes the configuration file of the service of this number, and has it read: says whether the service runs.
    ///
    /// # Errors
    /// There is no such file, or it cannot be written.
    pub fn reconfigure(&self, number: usize, manner: &Manner) -> io::Result<bool> {
        let file = manner.file.as_ref().ok_or(io::ErrorKind::NotFound)?;
        fs::write(file, self.config(number, manner))?;
        let control = self.inhabitants().get(&number).and_then(Inhabitant::control);
        Ok(control.is_some_and(|control| control.reload()))
    }

    fn config(&self, number: usize, manner: &Manner) -> String {
        let stable = || self.0.cluster.bootstrap().to_string();
        let bootstrap = manner.bootstrap.clone().unwrap_or_else(stable);
        let topics = manner.topics.clone().unwrap_or_else(|| format!("topics = [\"{TOPIC}\"]"));
        let settings = format!("{}\n{}", self.0.plan.settings, manner.settings);
        let group = if self.0.plan.apart { format!("{GROUP}-{number}") } else { GROUP.to_owned() };
        format!(
            "{topics}\n\n[state]\ndir = \"/nowhere\"\n\n[kafka]\n\"bootstrap.servers\" = \"{bootstrap}\"\n\
             \"group.id\" = \"{group}\"\n\"client.id\" = \"{}\"\n{settings}",
            inhabitant::name(number),
        )
    }

    /// Ends the service of this number as a failure of its own does: nothing is drained or committed, the group is
    /// not left. None if it does not run.
    pub async fn crash_service(&self, number: usize) -> Option<Exit> {
        let running = self.inhabitants().get_mut(&number).and_then(Inhabitant::crash)?;
        Some(running.await)
    }

    /// Cuts the service of this number off from all brokers, or connects it again. What was under way comes then.
    pub fn cut_off(&self, number: usize, cut: bool) {
        if let Some(inhabitant) = self.inhabitants().get(&number) {
            inhabitant.cable().pull(cut);
        }
    }

    /// Ends the service of this number in order, as a signal does. None if it does not run.
    pub async fn stop_service(&self, number: usize) -> Option<Exit> {
        let running = self.inhabitants().get_mut(&number).and_then(Inhabitant::stop)?;
        let exit = running.await;
        Some(exit)
    }

    async fn end(&self) -> Report {
        let numbers: Vec<usize> = self.inhabitants().keys().copied().collect();
        let mut exits = BTreeMap::new();
        for number in numbers {
            if let Some(exit) = self.stop_service(number).await {
                exits.insert(number, exit);
            }
        }
        Report { log: self.0.journal.log(), tally: self.tally(), exits, ended: self.now() }
    }

    fn inhabitants(&self) -> MutexGuard<'_, BTreeMap<usize, Inhabitant>> {
        locked(&self.0.inhabitants)
    }
}

/// How often a wait looks.
const LOOK: Duration = Duration::from_millis(5);

/// Another seed, from dice.
fn seed(dice: &Dice) -> u64 {
    dice.fraction().to_bits()
}

/// A load: it ends with this value.
#[derive(Debug)]
pub struct Load(AbortHandle);

impl Drop for Load {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl fmt::Debug for World {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "World(seed {}, at {})", self.0.plan.seed, self.now())
    }
}
