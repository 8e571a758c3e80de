//! The service as its embedder sees it: a configuration, handlers, observers, and `run`.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use actix::{Actor, Context, Handler};
use futures::FutureExt;
use futures::future::BoxFuture;
use steadfast_core::endpoints::view::Address;
use steadfast_core::ids::Partition;
use steadfast_watch as watch;
use tokio::time::{Instant, sleep, timeout};

use crate::config::watcher::Source;
use crate::config::{Config, Sink};
use crate::consume::batch::Batch;
use crate::consume::handlers::{StartHandler, handlers_of};
use crate::consume::letter::DeadLetters;
use crate::control_socket::ControlSocket;
use crate::env::{Env, real};
use crate::events::{Event, Server};
use crate::exit::Exit;
use crate::http::{Listening, Site, Tally};
use crate::ledger::{self, Ledger};
use crate::observers::{StartObserver, observer_of};
use crate::placement::Placement;
use crate::sinks::dead_letters;
use crate::sinks::discard::Discard;
use crate::sinks::kafka::{Forward, Target, Written};
use crate::sinks::lines::{Lines, Output, Writer};
use crate::sinks::rotation::RotatingFile;
use crate::wiring::{self, Plan};
use life::{Life, STOP_LIMIT};
use manager::Manager;
use orders::Orders;

pub use crate::wiring::Control;

mod end_watch;
mod life;
mod manager;
mod orders;

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
    dead_letters: Option<Arc<dyn DeadLetters>>,
    on_start: Option<Box<dyn FnOnce(Control) + Send>>,
    stop: BoxFuture<'static, ()>,
    http: Option<Listening>,
    ledger: Option<Ledger>,
}

/// How many arbiters run handlers.
const HANDLER_ARBITERS: usize = 2;
/// What the last lines of the history may take at the end.
const HISTORY_LIMIT: Duration = Duration::from_secs(1);

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
            dead_letters: None,
            on_start: None,
            stop: std::future::pending().boxed(),
            http: None,
            ledger: None,
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

    /// Sends bad records to `target` instead of where the configuration says: they are tolerated, whatever
    /// `errors.tolerance` is.
    pub fn dead_letters_to(mut self, target: impl DeadLetters) -> Service {
        self.dead_letters = Some(Arc::new(target));
        self
    }

    /// Calls `on_start` once, when the actors run, with a handle for drills.
    pub fn on_start(mut self, on_start: impl FnOnce(Control) + Send + 'static) -> Service {
        self.on_start = Some(Box::new(on_start));
        self
    }

    /// Ends [`Service::run`] when `stop` resolves, in the same order as a signal does: what is delivered is
    /// processed and committed, and the group is left.
    pub fn stop_when(mut self, stop: impl Future<Output = ()> + Send + 'static) -> Service {
        self.stop = stop.boxed();
        self
    }

    /// Runs until a signal, [`Service::stop_when`], the end (with [`Service::until_end`]) or a
    /// failure. Blocks; not to be called from async code.
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
        if let Some(address) = self.config.http.listen {
            match Listening::on(address).await {
                Ok(listening) => self.http = Some(listening),
                Err(error) => {
                    tracing::error!("{error}");
                    return Exit::Configuration;
                }
            }
        }
        let (placement, threads) = Placement::start(HANDLER_ARBITERS, self.observers.len(), io);
        self.ledger = keep_history(&directory);
        let ledger = self.ledger.clone();
        let env = real::env(directory.clone(), placement);
        let manager = Manager::that_listens();
        let stop = std::mem::replace(&mut self.stop, std::future::pending().boxed());
        let orders = match Orders::listen(stop, manager) {
            Ok(orders) => orders,
            Err(error) => {
                tracing::error!(%error, "signals cannot be received");
                return Exit::Internal;
            }
        };
        let socket = ControlSocket::within(&directory);
        let (open, told) = (socket.opener(env.placement.io.clone()), self.on_start.take());
        self.on_start = Some(Box::new(move |control| {
            open(control.clone());
            if let Some(told) = told {
                told(control);
            }
        }));
        let exit = self.watch_turns(&env).live(env, orders, manager).await;
        drop(socket);
        if matches!(exit, Exit::Interrupted | Exit::Terminated) {
            return exit; // A second signal: nothing is waited for.
        }
        if let Some(ledger) = ledger {
            // A disk that does not answer costs the last lines of the history.
            let _ = timeout(HISTORY_LIMIT, ledger.flush()).await;
        }
        // Joined on a thread of its own: an arbiter that is stalled must not hold the process.
        let joined = std::thread::spawn(move || threads.join());
        let until = Instant::now() + STOP_LIMIT;
        while !joined.is_finished() && Instant::now() < until {
            sleep(Duration::from_millis(1)).await;
        }
        exit
    }

    /// Runs behind the given doors, inside the actix system that it is called in, until `stop` resolves, the end
    /// (with [`Service::until_end`]) or a failure: the same actors, wired in the same way, that [`Service::run`]
    /// runs. It listens to no signals and starts no threads of its own (but the sinks that write to files and to
    /// standard output do); [`Service::stop_when`] and the state directory are not looked at.
    pub async fn run_on(self, env: Env, stop: impl Future<Output = ()> + Send + 'static) -> Exit {
        self.live(env, Orders::only(stop.boxed()), None).await
    }

    /// Has the threads that were started here say that they turn.
    fn watch_turns(mut self, env: &Env) -> Service {
        let (env, limit) = (env.clone(), self.config.kafka.max_poll_interval);
        let on_start = self.on_start.take();
        self.on_start(move |control| {
            control.vitals().watch_turns(&env, limit);
            if let Some(on_start) = on_start {
                on_start(control);
            }
        })
    }

    async fn live(mut self, env: Env, orders: Orders, manager: Option<Manager>) -> Exit {
        let configured = watch::Sender::new(Arc::new(self.config));
        let handlers = match self.handlers.take() {
            Some(handlers) => handlers,
            None => match built_in(&configured, &env) {
                Ok(handlers) => handlers,
                Err(reason) => {
                    tracing::error!(reason, "the sink cannot be used");
                    return Exit::Configuration;
                }
            },
        };
        let instance = configured.borrow().instance().to_owned();
        let noting = self.ledger.take().map(|ledger| ledger.listener(instance));
        let dead_letters = match self.dead_letters.take() {
            Some(target) => Some(target),
            None => dead_letters::configured(&configured, &env),
        };
        let http = self.http.take().map(|listening| (listening, Tally::over(&env)));
        let plan = Plan {
            env: env.clone(),
            configured,
            source: self.source,
            watch: self.watch,
            handlers,
            observers: self.observers,
            dead_letters,
            listeners: http.iter().map(|(_, tally)| tally.listener()).chain(noting).collect(),
        };
        let running = wiring::start(plan).await;
        // Until the last actor has ended.
        let _serving = http.map(|(listening, tally)| {
            let at = Address::new(listening.address.ip().to_string(), listening.address.port());
            running.events.emit(Event::HttpListening { server: Server::from(at) });
            let (control, events) = (running.control.clone(), running.events.clone());
            listening.serve(Arc::new(Site::of(&env, control, events, tally)), &env.placement.io)
        });
        if let Some(manager) = manager {
            manager.ready();
            let vitals = running.control.vitals().clone();
            env.placement.io.spawn(manager.look_on(env.clone(), vitals));
        }
        if let Some(on_start) = self.on_start {
            on_start(running.control.clone());
        }
        Life { running, orders, manager, until_end: self.until_end, started: Instant::now() }.live().await
    }
}

/// Begins to keep the history in the state directory. What hinders that is said; the service does without.
fn keep_history(directory: &Path) -> Option<Ledger> {
    let (ledger, queue) = Ledger::open(real::wall_clock());
    let kept = RotatingFile::open(directory.join(ledger::FILE), ledger::MOST_BYTES, 1)
        .map_err(io::Error::other)
        .and_then(|mut file| {
            let append = move |lines: &[u8]| file.append(lines).map_err(io::Error::other);
            std::thread::Builder::new().name("history".to_owned()).spawn(move || queue.keep(append))
        });
    match kept {
        Ok(_) => Some(ledger),
        Err(error) => {
            tracing::warn!(%error, "no history is kept");
            None
        }
    }
}

/// `state.dir`, and below it group and instance: two services share no file.
pub(crate) fn state_directory(config: &Config) -> PathBuf {
    let mut directory = config.state.dir.join(&config.kafka.group_id);
    if let Some(instance) = &config.kafka.group_instance_id {
        directory.push(instance);
    }
    directory
}

/// The handlers of the sink that the configuration names.
fn built_in(configured: &watch::Sender<Arc<Config>>, env: &Env) -> Result<StartHandler, String> {
    let config = Arc::clone(&configured.borrow());
    Ok(match &config.sink {
        Sink::Discard => handlers_of(|_: &Partition| Discard),
        Sink::Stdout => lines(Output::Stdout(std::io::stdout()))?,
        Sink::File(file) => {
            let file = RotatingFile::open(&file.path, file.max_bytes, file.keep);
            lines(Output::File(Box::new(file.map_err(|error| error.to_string())?)))?
        }
        Sink::Kafka(sink) => {
            let cluster = match &sink.elsewhere {
                Some(elsewhere) => Written::Elsewhere(elsewhere.clone()),
                None => Written::Consumed(configured.subscribe()),
            };
            let target = Target::new(env.placement.io.clone(), &*sink.topic, cluster);
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
