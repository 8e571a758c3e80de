//! Everything that runs, and who talks to whom. Only this file names two actor types.
//!
//! All routes are made first; then the children are started, the ones that others talk to before the ones that
//! talk. What must survive the crash of an actor is a value here that is handed to the actor's factory:
//! progress, the member's standing, the published cluster, the respawn machine, revocations.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use actix::{Actor, ArbiterHandle, Context, Handler};
use steadfast_core::cluster::Rules as LeaderRules;
use steadfast_core::endpoints::backoff::Backoff;
use steadfast_core::endpoints::budget::Budget;
use steadfast_core::endpoints::respawn::{Respawn, Settings as RespawnSettings};
use steadfast_core::endpoints::view::Address;
use steadfast_core::group::standing::{Membership, Standing};
use steadfast_core::retry::Rule;
use steadfast_kafka::api::Isolation;
use steadfast_kafka::fetch::memory::Memory;
use steadfast_supervision::{
    AnyChildSpec, ChildSpec, Intensity, Route, Slot, Supervisor as Root, SupervisorHandle, Worker,
};
use steadfast_watch as watch;
use tokio::sync::mpsc;

use crate::config::watcher::{self, ConfigWatcher, Reload, Source};
use crate::config::{Config, IsolationLevel};
use crate::consume::bad_records::{self, BadRecords};
use crate::consume::checkpointer::{self, Checkpointer};
use crate::consume::consumer;
use crate::consume::handlers::{self, HandlerRoutes, Handlers, StartHandler};
use crate::consume::letter::DeadLetters;
use crate::consume::progress::ProgressTable;
use crate::dialler::{Dialler, Peers, Refusals};
use crate::drift::endpoint_differ::{self, EndpointDiffer};
use crate::drift::fed::Fed;
use crate::drift::last_known_good::LastKnownGood;
use crate::drift::metadata_poller::{self, MetadataPoller};
use crate::drift::published::Cluster;
use crate::drift::slot::ConsumerSlot;
use crate::drift::subscribed;
use crate::drift::supervisor::{self, Supervisor};
use crate::env::Env;
use crate::events::Event;
use crate::group::accounts::Accounts;
use crate::group::member::{self, Member};
use crate::messages::{Crash, End, Leave};
use crate::observers::{Events, Listener, StartObserver};
use crate::post::Post;
use crate::vitals::{self, Vitals};

pub use control::Control;
use settings::{consumed, fetch_settings, member_settings};
use told::Told;

mod control;
mod settings;
mod told;

/// What the service is to run.
pub(crate) struct Plan {
    pub(crate) env: Env,
    pub(crate) configured: watch::Sender<Arc<Config>>,
    pub(crate) source: Source,
    pub(crate) watch: bool,
    pub(crate) handlers: StartHandler,
    pub(crate) observers: Vec<StartObserver>,
    /// Where bad records go; none if they are not tolerated.
    pub(crate) dead_letters: Option<Arc<dyn DeadLetters>>,
    pub(crate) listeners: Vec<Listener>,
}

/// What runs.
pub(crate) struct Running {
    /// That of all actors but the handlers and the consumer, and that of the handlers. The end of either is the
    /// end of the service.
    pub(crate) supervisors: [SupervisorHandle; 2],
    pub(crate) member: Route<Leave>,
    pub(crate) reload: Route<Reload>,
    pub(crate) ends: mpsc::UnboundedReceiver<End>,
    pub(crate) table: Arc<ProgressTable>,
    pub(crate) standing: Arc<Mutex<Standing>>,
    pub(crate) membership: watch::Receiver<Option<Membership>>,
    pub(crate) cluster: watch::Receiver<Arc<Cluster>>,
    pub(crate) refusals: Arc<Refusals>,
    pub(crate) events: Events,
    pub(crate) drain: Duration,
    pub(crate) control: Control,
}

/// Starts everything.
pub(crate) async fn start(plan: Plan) -> Running {
    let Plan { env, configured, source, watch, handlers, observers, listeners, dead_letters } = plan;
    let config = Arc::clone(&configured.borrow());
    let control = env.placement.control.clone();
    let (observers, observed): (Vec<_>, Vec<_>) = observers
        .into_iter()
        .enumerate()
        .map(|(number, start)| start(number + 1, env.placement.observer(number).clone()))
        .unzip();
    let events = Events::heard_by(config.instance(), observed, listeners);

    // Routes: who is talked to. A slot is where its actor will be published.
    let (suspect_slot, suspect) = Route::channel();
    let (settled_slot, settled) = Route::channel();
    let (count_slot, count_topics) = Route::channel();
    let (observed_slot, observed) = Route::channel();
    let (in_use_slot, in_use) = Route::channel();
    let (drifted_slot, drifted) = Route::channel();
    let (mail_slot, mail) = Route::channel();
    let (ownership_slot, ownership) = Route::channel();
    let (flush_slot, flush) = Route::channel();
    let (released_slot, released) = Route::channel();
    let (leave_slot, leave) = Route::channel();
    let (changed_slot, ownership_changed) = Route::channel();
    let (release_slot, release) = Route::channel();
    let (reload_slot, reload) = Route::channel();
    let (poller_config_slot, poller_config) = Route::channel();
    let (checkpointer_config_slot, checkpointer_config) = Route::channel();
    let (supervisor_config_slot, supervisor_config) = Route::channel();

    // Values that survive the crash of an actor.
    let (clock, dice) = (env.clone(), env.dice.clone());
    let rule = retries(&config);
    let accounts = Accounts::new(&env, configured.subscribe(), events.clone());
    let table = ProgressTable::new(move || clock.now(), rule, move || dice.fraction());
    let table = Arc::new(table.noting(accounts.clone()));
    let routes = HandlerRoutes::default();
    let standing = Arc::new(Mutex::new(Standing::default()));
    let stored = stored(&env);
    let pin = config.drift.cluster_id.clone().or(stored.as_ref().and_then(|good| good.cluster.clone()));
    let leader_rules = LeaderRules { settle: config.drift.settle, ..LeaderRules::default() };
    let (cluster, cluster_view) = watch::channel(Arc::new(Cluster::unknown(pin, leader_rules)));
    let (subscribed, subscribed_view) = subscribed::at_start(&config.topics);
    let (membership, membership_view) = watch::channel(None);
    let config_view = configured.subscribe();
    let (end, ends) = mpsc::unbounded_channel();
    let (peers, (fed, fed_view)) = (Peers::default(), watch::channel(Fed::default()));
    let dialler = Dialler {
        transport: peers.observe(Arc::clone(&env.transport)),
        client_id: Arc::from(config.kafka.client_id.as_str()),
        config: config_view.clone(),
        settled: None,
        refusals: Arc::new(Refusals::new(events.clone())),
    };
    let refusals = Arc::clone(&dialler.refusals);

    let memory = Memory::new(usize::try_from(config.fetch.buffer_bytes).unwrap_or(usize::MAX));
    let sources = vitals::Sources {
        started_with: Arc::clone(&config),
        config: config_view.clone(),
        cluster: cluster_view.clone(),
        subscribed: subscribed_view.clone(),
        membership: membership_view.clone(),
        standing: Arc::clone(&standing),
        table: Arc::clone(&table),
        memory: memory.clone(),
        accounts: Some(accounts.clone()),
    };
    let vitals = Vitals::new(sources, env.now());

    // Supervisors: the root's children are the service; handlers come and go under their own, consumers in
    // their slot.
    let told = Told { events: events.clone(), table: Arc::clone(&table), last: Mutex::default() };
    let told = Arc::new(told);
    let supervise = |name: &'static str| {
        let (dice, told) = (env.dice.clone(), Arc::clone(&told));
        Root::start(name, &control, Box::new(move || dice.fraction()), move |event| told.tell(event))
    };
    let (root, of_handlers) = (supervise("steadfast"), supervise("handlers"));

    let consumers = Post::new(mail);
    let consumer_seat = Arc::new(consumer::Seat {
        env: env.clone(),
        dialler: dialler.clone(),
        settings: fetch_settings(&config),
        memory,
        table: Arc::clone(&table),
        handlers: routes.clone(),
        cluster: cluster_view.clone(),
        supervisor: consumers.clone(),
        suspect: suspect.clone(),
        differ: observed.clone(),
        vitals: vitals.clone(),
        events: events.clone(),
        reset: config.kafka.auto_offset_reset,
        out_of_range: config.offsets.out_of_range,
        stall_timeout: config.fetch.stall_timeout,
        most_records: config.kafka.max_poll_records,
        drain: config.respawn.drain,
    });
    let supervisor_seat = Arc::new(supervisor::Seat {
        env: env.clone(),
        threshold: config.drift.threshold,
        respawn: Mutex::new(respawn(&config)),
        slot: ConsumerSlot::new(consumer_seat),
        consumers,
        config: config_view.clone(),
        secured: Mutex::new(config.kafka.security.clone()),
        table: Arc::clone(&table),
        differ: in_use,
        checkpointer: flush,
        vitals: vitals.clone(),
        events: events.clone(),
        gap: Mutex::new(0),
        redelivered: Mutex::new(0),
    });
    let handlers_seat = Arc::new(handlers::Seat {
        env: env.clone(),
        table: Arc::clone(&table),
        routes,
        supervisor: of_handlers.clone(),
        start: handlers,
        cluster: cluster_view.clone(),
        stall: (config.kafka.max_poll_interval, config.handler.on_stall),
        end: end.clone(),
        lives: AtomicU64::new(0),
        events: events.clone(),
    });
    let bad_records_seat = Arc::new(bad_records::Seat {
        env: env.clone(),
        table: Arc::clone(&table),
        target: dead_letters,
        backoff: rule.backoff,
        events: events.clone(),
    });
    let checkpointer_seat = Arc::new(checkpointer::Seat {
        env: env.clone(),
        dialler: dialler.clone(),
        group: Arc::from(config.kafka.group_id.as_str()),
        instance: config.kafka.group_instance_id.as_deref().map(Arc::from),
        table: Arc::clone(&table),
        cluster: cluster_view.clone(),
        membership: membership_view.clone(),
        member: released,
        handlers: ownership_changed,
        suspect: suspect.clone(),
        vitals: vitals.clone(),
        accounts: accounts.clone(),
        events: events.clone(),
        request_timeout: config.kafka.request_timeout,
        enabled: config.checkpoint.enabled,
        config: config_view.clone(),
        schedule: checkpointer::schedule(&config, &env),
        revocations: Arc::default(),
        losses: Mutex::default(),
        standing: Arc::clone(&standing),
        drain: config.checkpoint.drain,
    });
    let member_seat = Arc::new(member::Seat {
        env: env.clone(),
        dialler: dialler.clone(),
        settings: member_settings(&config, env.dice.fraction()),
        subscribed: subscribed_view,
        standing: Arc::clone(&standing),
        cluster: cluster_view.clone(),
        membership,
        checkpointer: ownership,
        poller: count_topics,
        suspect,
        vitals: vitals.clone(),
        accounts,
        events: events.clone(),
        end,
    });
    let differ_seat = Arc::new(endpoint_differ::Seat {
        env: env.clone(),
        config: config_view.clone(),
        cluster,
        subscribed,
        supervisor: drifted,
        poller: settled,
        vitals: vitals.clone(),
        events: events.clone(),
    });
    let poller_seat = Arc::new(metadata_poller::Seat {
        env: env.clone(),
        dialler,
        peers,
        fed: fed_view,
        config: config_view,
        cluster: cluster_view.clone(),
        last_known_good: addresses(stored),
        counted: Mutex::default(),
        differ: observed,
        vitals: vitals.clone(),
        events: events.clone(),
    });
    let watcher_seat = Arc::new(watcher::Seat {
        source,
        watch,
        config: configured,
        listeners: vec![poller_config, checkpointer_config, supervisor_config],
        events: events.clone(),
    });

    // Children, in the order in which they are started; they are stopped in reverse.
    let mut crash = Crashes::default();
    let keeper = {
        let seat = Arc::clone(&handlers_seat);
        child("handlers", &control, move || Handlers::new(Arc::clone(&seat)), &mut crash)
            .publish(changed_slot)
            .publish(release_slot)
    };
    let bad_records = {
        let seat = Arc::clone(&bad_records_seat);
        child("bad_records", &control, move || BadRecords::new(Arc::clone(&seat)), &mut crash)
    };
    let checkpointer = {
        let seat = Arc::clone(&checkpointer_seat);
        child("checkpointer", &control, move || Checkpointer::new(Arc::clone(&seat)), &mut crash)
            .publish(ownership_slot)
            .publish(flush_slot)
            .publish(checkpointer_config_slot)
    };
    let supervisor = {
        let seat = Arc::clone(&supervisor_seat);
        child("supervisor", &control, move || Supervisor::new(Arc::clone(&seat)), &mut crash)
            .publish(drifted_slot)
            .publish(supervisor_config_slot)
            .publish(mail_slot)
    };
    let differ = {
        let seat = Arc::clone(&differ_seat);
        child("endpoint_differ", &control, move || EndpointDiffer::new(Arc::clone(&seat)), &mut crash)
            .publish(observed_slot)
            .publish(in_use_slot)
    };
    let poller = {
        let seat = Arc::clone(&poller_seat);
        child("metadata_poller", &control, move || MetadataPoller::new(Arc::clone(&seat)), &mut crash)
            .publish(suspect_slot)
            .publish(settled_slot)
            .publish(count_slot)
            .publish(poller_config_slot)
    };
    let member = {
        let seat = Arc::clone(&member_seat);
        child("member", &env.placement.member, move || Member::new(Arc::clone(&seat)), &mut crash)
            .publish(released_slot)
            .publish(leave_slot)
    };
    let watcher = {
        let seat = Arc::clone(&watcher_seat);
        child("config_watcher", &control, move || ConfigWatcher::new(Arc::clone(&seat)), &mut crash)
            .publish(reload_slot)
    };
    let children: [AnyChildSpec; 8] = [
        keeper.into(),
        bad_records.into(),
        checkpointer.into(),
        supervisor.into(),
        differ.into(),
        poller.into(),
        member.into(),
        watcher.into(),
    ];
    // Observers first: they are to hear of the others from the begin.
    for spec in observers {
        start_child(&root, spec).await;
    }
    events.emit(Event::ServiceStarted {
        version: env!("CARGO_PKG_VERSION"),
        group: config.kafka.group_id.clone(),
        client: config.kafka.client_id.clone(),
        topics: consumed(&config),
        bootstrap: config.kafka.bootstrap_servers.clone(),
    });
    for spec in children {
        start_child(&root, spec).await;
    }
    let supervisors = [root, of_handlers];
    let control = Control {
        table: Arc::clone(&table),
        standing: Arc::clone(&standing),
        cluster: cluster_view.clone(),
        actors: Arc::new(crash.0),
        consumer: supervisor_seat,
        supervisors: supervisors.clone(),
        reload: reload.clone(),
        release,
        fed,
        env: env.clone(),
        vitals,
    };
    Running {
        supervisors,
        member: leave,
        reload,
        ends,
        table,
        standing,
        membership: membership_view,
        cluster: cluster_view,
        refusals,
        events,
        drain: config.checkpoint.drain,
        control,
    }
}

async fn start_child(root: &SupervisorHandle, spec: AnyChildSpec) {
    if let Err(error) = root.start_child(spec).await {
        tracing::error!(%error, "an actor does not start");
    }
}

/// Where each actor takes [`Crash`].
#[derive(Default)]
struct Crashes(BTreeMap<&'static str, Route<Crash>>);

/// A child of the root: begun anew after every crash, and the end of the service when it crashes too often.
fn child<A, F>(
    name: &'static str,
    arbiter: &ArbiterHandle,
    make: F,
    crashes: &mut Crashes,
) -> ChildSpec<Worker<A>>
where
    A: Actor<Context = Context<A>> + Handler<Crash>,
    F: Fn() -> A + Send + 'static,
{
    let (slot, route): (Slot<Crash>, Route<Crash>) = Route::channel();
    crashes.0.insert(name, route);
    ChildSpec::new(name, arbiter.clone(), move |_: &mut Context<A>, _| make())
        .publish(slot)
        .intensity(Intensity::default())
}

fn stored(env: &Env) -> Option<LastKnownGood> {
    match LastKnownGood::load(&*env.store) {
        Ok(stored) => stored,
        Err(error) => {
            tracing::warn!(error, "the stored endpoints cannot be read and are not used");
            None
        }
    }
}

fn addresses(stored: Option<LastKnownGood>) -> BTreeSet<Address> {
    stored.into_iter().flat_map(|good| good.endpoints.into_values()).collect()
}

fn respawn(config: &Config) -> Respawn<steadfast_core::ids::NodeId> {
    let settings = RespawnSettings { threshold: config.drift.threshold, ..RespawnSettings::default() };
    Respawn::new(settings, Budget::new(config.respawn.budget, config.respawn.window))
}

fn retries(config: &Config) -> Rule {
    let errors = &config.errors;
    let first = Backoff::default().first;
    Rule { backoff: Backoff { first, limit: errors.retry_delay_max }, patience: errors.retry_timeout }
}

/// A compressed batch may become this large, whatever its size on the wire.
pub(crate) const DECOMPRESSED_LIMIT: usize = 128 << 20;

/// Which records of transactions are wanted.
pub(crate) fn isolation(config: &Config) -> Isolation {
    match config.kafka.isolation_level {
        IsolationLevel::ReadCommitted => Isolation::ReadCommitted,
        IsolationLevel::ReadUncommitted => Isolation::ReadUncommitted,
    }
}
