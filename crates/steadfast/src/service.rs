//! The service as its embedder sees it: a configuration, handlers, observers, and `run`.

use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use actix::{Actor, Context, Handler};
use futures::FutureExt;
use steadfast_core::group::standing::{Membership, Standing};
use steadfast_core::ids::Partition;
use steadfast_core::progress::{Progress, State};
use steadfast_supervision::Route;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout, timeout_at};

use crate::config::watcher::{Reload, Source};
use crate::config::{Config, Sink};
use crate::consume::batch::Batch;
use crate::consume::handlers::{StartHandler, handlers_of};
use crate::consume::progress::ProgressTable;
use crate::drift::published::Cluster;
use crate::env::{Env, real};
use crate::events::Event;
use crate::exit::Exit;
use crate::messages::{End, Leave};
use crate::observers::{StartObserver, observer_of};
use crate::placement::{Placement, Threads};
use crate::sinks::discard::Discard;
use crate::sinks::kafka::{Forward, Target};
use crate::sinks::lines::{Lines, Output, Writer};
use crate::sinks::rotation::RotatingFile;
use crate::wiring::{self, Plan, Running};

pub use crate::wiring::Control;

/// A consumer service: configuration in, an exit code out.
///
/// ```no_run
/// use actix::{Actor, Context, Handler};
/// use steadfast::config::Config;
/// use steadfast::consume::batch::Batch;
/// use steadfast::service::Service;
///
/// struct Count(u64);
/// impl Actor for Count {
///     type Context = Context<Self>;
/// }
/// impl Handler<Batch> for Count {
///     type Result = ();
///     fn handle(&mut self, batch: Batch, _: &mut Context<Self>) {
///         self.0 += batch.records().count() as u64;
///         batch.done();
///     }
/// }
///
/// # fn main() -> Result<(), steadfast::config::ConfigError> {
/// let config = Config::load("steadfast.toml", std::env::vars(), &[])?;
/// let exit = Service::new(config).handle_with(|_partition| Count(0)).run();
/// # let _ = exit;
/// # Ok(())
/// # }
/// ```
pub struct Service {
    config: Config,
    source: Source,
    watch: bool,
    until_end: Option<Duration>,
    handlers: Option<StartHandler>,
    observers: Vec<StartObserver>,
    on_start: Option<Box<dyn FnOnce(Control) + Send>>,
}

/// How many arbiters run handlers.
const HANDLER_ARBITERS: usize = 2;
/// What leaving the group may take on top of `checkpoint.drain`.
const LEAVE_GRACE: Duration = Duration::from_secs(10);
/// After so long without an answer the member is asked again to leave.
const LEAVE_AGAIN: Duration = Duration::from_millis(200);
/// What the end of each supervisor and its actors may take.
const STOP_LIMIT: Duration = Duration::from_secs(5);
/// How often `until_end` looks whether the end is reached.
const LOOK: Duration = Duration::from_millis(20);

impl Service {
    /// A service with this configuration and the sink that it names.
    pub fn new(config: Config) -> Service {
        Service {
            config,
            source: Source::default(),
            watch: false,
            until_end: None,
            handlers: None,
            observers: Vec::new(),
            on_start: None,
        }
    }

    /// Lets SIGHUP, and if `watch` every change of the file, read the configuration again.
    pub fn reload_from(mut self, source: Source, watch: bool) -> Service {
        self.source = source;
        self.watch = watch;
        self
    }

    /// Ends when everything that was there at the start is processed; gives up if no cluster is found within
    /// `start_timeout`.
    pub fn until_end(mut self, start_timeout: Duration) -> Service {
        self.until_end = Some(start_timeout);
        self
    }

    /// Hands the records to your own actors instead of the configured sink: one per partition, made by `make`
    /// when the partition is assigned, and made anew after a crash. The actor need not be `Send`.
    pub fn handle_with<A, F>(mut self, make: F) -> Service
    where
        A: Actor<Context = Context<A>> + Handler<Batch>,
        F: Fn(&Partition) -> A + Send + Sync + 'static,
    {
        self.handlers = Some(handlers_of(make));
        self
    }

    /// Gives every event to your own actor too, made by `make` and made anew after a crash, on a thread of its
    /// own. What it is too slow for it misses.
    pub fn observe_with<A, F>(mut self, make: F) -> Service
    where
        A: Actor<Context = Context<A>> + Handler<Event>,
        F: Fn() -> A + Send + Sync + 'static,
    {
        self.observers.push(observer_of(make));
        self
    }

    /// Calls `on_start` once, when the actors run, with a handle for drills.
    pub fn on_start(mut self, on_start: impl FnOnce(Control) + Send + 'static) -> Service {
        self.on_start = Some(Box::new(on_start));
        self
    }

    /// Runs until a signal, the end (with [`Service::until_end`]) or a failure. Blocks; not to be called from
    /// async code.
    pub fn run(self) -> Exit {
        let io = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .thread_name("io")
            .enable_all()
            .build();
        let io = match io {
            Ok(io) => io,
            Err(error) => {
                tracing::error!(%error, "no threads for connections");
                return Exit::Internal;
            }
        };
        let system = actix::System::new();
        let handle = io.handle().clone();
        let exit = system.block_on(self.serve(handle));
        io.shutdown_timeout(Duration::from_secs(1));
        exit
    }

    async fn serve(mut self, io: tokio::runtime::Handle) -> Exit {
        let directory = state_directory(&self.config);
        if let Err(error) = real::check_directory(&directory) {
            tracing::error!(%error, ?directory, "the state directory cannot be written to: set state.dir");
            return Exit::StateDirectory;
        }
        let (placement, threads) = Placement::start(HANDLER_ARBITERS, self.observers.len(), io);
        let env = real::env(directory, placement);
        let handlers = match self.handlers.take() {
            Some(handlers) => handlers,
            None => match built_in(&self.config, &env) {
                Ok(handlers) => handlers,
                Err(reason) => {
                    tracing::error!(reason, "the sink cannot be used");
                    return Exit::Configuration;
                }
            },
        };
        let signals = Signals::listen();
        let signals = match signals {
            Ok(signals) => signals,
            Err(error) => {
                tracing::error!(%error, "signals cannot be received");
                return Exit::Internal;
            }
        };
        let plan = Plan {
            env: env.clone(),
            config: Arc::new(self.config),
            source: self.source,
            watch: self.watch,
            handlers,
            observers: self.observers,
        };
        let running = wiring::start(plan).await;
        if let Some(on_start) = self.on_start {
            on_start(running.control.clone());
        }
        let started = Instant::now();
        Life { running, signals, until_end: self.until_end, started }.live(threads).await
    }
}

/// `state.dir`, and below it group and instance: two services share no file.
fn state_directory(config: &Config) -> PathBuf {
    let mut directory = config.state.dir.join(&config.kafka.group_id);
    if let Some(instance) = &config.kafka.group_instance_id {
        directory.push(instance);
    }
    directory
}

/// The handlers of the sink that the configuration names.
fn built_in(config: &Config, env: &Env) -> Result<StartHandler, String> {
    Ok(match &config.sink {
        Sink::Discard => handlers_of(|_: &Partition| Discard),
        Sink::Stdout => lines(Output::Stdout(std::io::stdout()))?,
        Sink::File(file) => {
            let file = RotatingFile::open(&file.path, file.max_bytes, file.keep);
            lines(Output::File(Box::new(file.map_err(|error| error.to_string())?)))?
        }
        Sink::Kafka(sink) => {
            let bootstrap = sink.bootstrap_servers.clone();
            let bootstrap = bootstrap.unwrap_or_else(|| config.kafka.bootstrap_servers.clone());
            let target = Target::new(env.placement.io.clone(), &*sink.topic, bootstrap);
            handlers_of(move |partition: &Partition| Forward::new(target.clone(), partition.clone()))
        }
    })
}

fn lines(output: Output) -> Result<StartHandler, String> {
    let writer = Mutex::new(Writer::start(output).map_err(|error| error.to_string())?);
    Ok(handlers_of(move |_: &Partition| {
        Lines::new(writer.lock().unwrap_or_else(PoisonError::into_inner).clone())
    }))
}

struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hang_up: Signal,
}

impl Signals {
    fn listen() -> std::io::Result<Signals> {
        Ok(Signals {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hang_up: signal(SignalKind::hangup())?,
        })
    }

    /// The next signal to end; one to reload is passed on meanwhile.
    async fn next_end(&mut self, reload: &Route<Reload>) -> Exit {
        loop {
            tokio::select! {
                biased;
                _ = self.terminate.recv() => return Exit::Terminated,
                _ = self.interrupt.recv() => return Exit::Interrupted,
                _ = self.hang_up.recv() => drop(reload.send(Reload)),
            }
        }
    }
}

/// One run, from the first actor to the last.
struct Life {
    running: Running,
    signals: Signals,
    until_end: Option<Duration>,
    started: Instant,
}

/// Why the run ends.
enum Reason {
    Signal,
    UntilEnd,
    /// The end cannot be reached.
    Quarantined(Partition),
    NoCluster,
    Refused(String),
    Failed(String),
}

impl Life {
    async fn live(mut self, threads: Threads) -> Exit {
        let reason = self.until_it_ends().await;
        let exit = self.end(&reason).await;
        if matches!(exit, Exit::Interrupted | Exit::Terminated) {
            return exit; // A second signal: nothing is waited for.
        }
        // Joined on a thread of its own: an arbiter that is stalled must not hold the process.
        let joined = std::thread::spawn(move || threads.join());
        let until = Instant::now() + STOP_LIMIT;
        while !joined.is_finished() && Instant::now() < until {
            sleep(Duration::from_millis(1)).await;
        }
        exit
    }

    async fn until_it_ends(&mut self) -> Reason {
        let wait = EndWatch::over(&self.running).wait(self.until_end);
        let reload = self.running.reload.clone();
        let Running { ends, supervisors, .. } = &mut self.running;
        let ended = supervisors.iter().map(|root| async { (root.name(), root.ended().await) }.boxed());
        let ended = futures::future::select_all(ended);
        let end = async {
            match ends.recv().await {
                Some(End::Refused(reason)) => Reason::Refused(reason),
                Some(End::Left) => Reason::Failed("the member left the group unasked".to_owned()),
                // The member is gone with its supervisor, who says why.
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            _ = self.signals.next_end(&reload) => Reason::Signal,
            ((name, ended), _, _) = ended => Reason::Failed(format!("{name}: {}", ended.reason)),
            reason = end => reason,
            reason = wait => reason,
        }
    }

    /// Each step with a deadline: leave the group (which drains and commits), then end the actors.
    async fn end(&mut self, reason: &Reason) -> Exit {
        let mut exit = match reason {
            Reason::Signal | Reason::UntilEnd => Exit::Fine,
            Reason::NoCluster => Exit::Unreachable,
            Reason::Refused(_) => Exit::Denied,
            Reason::Failed(_) | Reason::Quarantined(_) => Exit::Internal,
        };
        let earlier = self.running.table.counts.unfinished.load(Ordering::Relaxed);
        if exit == Exit::Fine || matches!(reason, Reason::Quarantined(_)) {
            let reload = self.running.reload.clone();
            let leaving = leave(&mut self.running);
            tokio::select! {
                biased;
                second = self.signals.next_end(&reload) => return second,
                left = leaving => if !left && exit == Exit::Fine { exit = Exit::DrainExceeded },
            }
        }
        let unfinished = self.running.table.counts.unfinished.load(Ordering::Relaxed) - earlier;
        if exit == Exit::Fine && unfinished > 0 {
            exit = Exit::DrainExceeded;
        }
        let counts = &self.running.table.counts;
        self.running.events.emit(Event::ServiceStopped {
            reason: reason.to_string(),
            records: counts.records.load(Ordering::Relaxed),
            bytes: counts.bytes.load(Ordering::Relaxed),
            redelivered: counts.redelivered.load(Ordering::Relaxed),
            elapsed_ms: self.started.elapsed().as_secs_f64() * 1e3,
            unfinished,
        });
        let reload = self.running.reload.clone();
        let Life { running, signals, .. } = self;
        tokio::select! {
            biased;
            second = signals.next_end(&reload) => second,
            () = stop_actors(running) => exit,
        }
    }
}

/// Ends the actors. What does not end in time is abandoned with the process.
async fn stop_actors(running: &Running) {
    let _ = timeout(STOP_LIMIT, running.control.stop_consumer()).await;
    for supervisor in &running.supervisors {
        let _ = timeout(STOP_LIMIT, supervisor.shut_down()).await;
    }
}

/// Leaves the group: everything is drained, committed and given up first. Says whether that was done in time.
async fn leave(running: &mut Running) -> bool {
    let until = Instant::now() + running.drain + LEAVE_GRACE;
    while Instant::now() < until {
        // A member that is just being begun anew is asked again; one that was asked already does not mind.
        drop(running.member.send(Leave { reason: Arc::from("the service is stopping") }));
        let again = until.min(Instant::now() + LEAVE_AGAIN);
        if let Ok(end) = timeout_at(again, running.ends.recv()).await {
            return matches!(end, Some(End::Left));
        }
    }
    false
}

/// What tells whether everything that was there at the start is processed.
struct EndWatch {
    cluster: watch::Receiver<Arc<Cluster>>,
    membership: watch::Receiver<Option<Membership>>,
    standing: Arc<Mutex<Standing>>,
    table: Arc<ProgressTable>,
}

impl EndWatch {
    fn over(running: &Running) -> EndWatch {
        EndWatch {
            cluster: running.cluster.clone(),
            membership: running.membership.clone(),
            standing: Arc::clone(&running.standing),
            table: Arc::clone(&running.table),
        }
    }

    async fn wait(mut self, until_end: Option<Duration>) -> Reason {
        let Some(start_timeout) = until_end else { return std::future::pending().await };
        let found = self.cluster.wait_for(|cluster| cluster.view.is_some());
        match timeout(start_timeout, found).await.map(|found| found.is_ok()) {
            Ok(true) => {}
            Ok(false) | Err(_) => return Reason::NoCluster,
        }
        loop {
            if let Some(reason) = self.reached() {
                return reason;
            }
            sleep(LOOK).await;
        }
    }

    /// Once this member has its partitions, and each is processed up to the end that its log had first, or is
    /// quarantined and never will be.
    fn reached(&self) -> Option<Reason> {
        let settled = self.membership.borrow().as_ref().is_some_and(|membership| membership.settled);
        let owned = self.standing.lock().unwrap_or_else(PoisonError::into_inner).owned.clone();
        let mut unended = owned.into_iter().filter(|partition| !self.is_processed(partition)).peekable();
        let is_quarantined =
            |partition: &Partition| self.table.read(partition, Progress::state) == Some(State::Quarantined);
        let first = unended.peek().cloned();
        (settled && unended.all(|partition| is_quarantined(&partition)))
            .then(|| first.map_or(Reason::UntilEnd, Reason::Quarantined))
    }

    fn is_processed(&self, partition: &Partition) -> bool {
        let acked = self.table.read(partition, |progress| progress.is_placed().then(|| progress.acked()));
        match (acked.flatten(), self.table.first_end(partition)) {
            (Some(acked), Some(end)) => acked >= end,
            (Some(_), None) | (None, _) => false,
        }
    }
}

impl std::fmt::Display for Reason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Reason::Signal => f.write_str("signal"),
            Reason::UntilEnd => f.write_str("until_end"),
            Reason::Quarantined(partition) => write!(f, "{partition} is quarantined before its end"),
            Reason::NoCluster => f.write_str("no cluster was found within --start-timeout"),
            Reason::Refused(reason) | Reason::Failed(reason) => f.write_str(reason),
        }
    }
}
