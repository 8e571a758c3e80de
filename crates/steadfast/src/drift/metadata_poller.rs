//! The metadata poller: it knows addresses and asks; it judges nothing.
//!
//! On a timer it asks one broker over a standing connection; on a suspicion it runs a discovery, in which every
//! address that may know better is asked at once, each on a fresh connection.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use actix::{Actor, ActorFutureExt, AsyncContext, Context, Handler, SpawnHandle, StreamHandler, WrapFuture};
use steadfast_core::cluster::{Leader, Topic, TopicError, Topics};
use steadfast_core::endpoints::backoff::Jitter;
use steadfast_core::endpoints::race::{Action, Event, Evidence, Limits, Race, Rate, Source};
use steadfast_core::endpoints::view::{Address, Observation, View};
use steadfast_core::ids::{ClusterId, NodeId};
use steadfast_kafka::api::ErrorCode;
use steadfast_kafka::api::metadata::{Metadata, MetadataAnswer, PartitionMetadata, TopicMetadata};
use steadfast_kafka::connection::{ConnectError, ConnectFailure, Connection};
use steadfast_supervision::Route;
use steadfast_watch as watch;

use crate::config::{Config, SecuritySettings};
use crate::dialler::Dialler;
use crate::drift::published::Cluster;
use crate::env::Env;
use crate::events::Event as Told;
use crate::messages::{ConfigChanged, CountTopics, Crash, Observed, Settled, Suspect};
use crate::observers::Events;
use crate::vitals::Vitals;
use crate::watching::{Changed, changes};

/// What a poller is given by wiring.
pub(crate) struct Seat {
    pub(crate) env: Env,
    pub(crate) dialler: Dialler,
    pub(crate) config: watch::Receiver<Arc<Config>>,
    /// The topics that are consumed: they change at start only.
    pub(crate) topics: Vec<Arc<str>>,
    pub(crate) cluster: watch::Receiver<Arc<Cluster>>,
    /// The endpoints that worked last, as they were stored.
    pub(crate) last_known_good: BTreeSet<Address>,
    /// Topics of other members that the group's leader has to know: it says so once, so they survive a crash of
    /// the actor.
    pub(crate) counted: Mutex<BTreeSet<Arc<str>>>,
    pub(crate) differ: Route<Observed>,
    pub(crate) vitals: Vitals,
    pub(crate) events: Events,
}

/// The actor.
pub(crate) struct MetadataPoller {
    seat: Arc<Seat>,
    race: Race,
    /// Counts the discoveries.
    discovery: u64,
    timer: Option<SpawnHandle>,
    /// The connection that the timer asks over.
    standing: Option<(Connection, SecuritySettings)>,
    turn: usize,
    /// Suspicions that were told of late, so that many connections that break at once make one line.
    told: BTreeMap<(Option<NodeId>, String), steadfast_core::tick::Tick>,
}

/// One answer of a witness.
const ANSWER_LIMIT: Duration = Duration::from_secs(1);
/// The same suspicion is told once in this time.
const TOLD_AGAIN: Duration = Duration::from_secs(1);

impl MetadataPoller {
    /// A poller that has not asked anybody yet.
    pub(crate) fn new(seat: Arc<Seat>) -> MetadataPoller {
        let pin = seat.cluster.borrow().pin.clone();
        let race = Race::new(Limits::default(), Rate::default(), pin);
        MetadataPoller {
            seat,
            race,
            discovery: 0,
            timer: None,
            standing: None,
            turn: 0,
            told: BTreeMap::new(),
        }
    }

    fn config(&self) -> Arc<Config> {
        Arc::clone(&self.seat.config.borrow())
    }

    fn topics(&self) -> Vec<Arc<str>> {
        let counted = self.seat.counted.lock().unwrap_or_else(PoisonError::into_inner);
        let wanted: BTreeSet<Arc<str>> = self.seat.topics.iter().chain(&*counted).cloned().collect();
        wanted.into_iter().collect()
    }

    fn tell(&mut self, event: Event<NodeId>, ctx: &mut Context<Self>) {
        let actions = self.race.handle(event, self.seat.env.now());
        for action in actions {
            match action {
                Action::Begin { suspected_at } => {
                    self.discovery += 1;
                    let discovery = self.discovery;
                    drop(self.seat.differ.send(Observed::Begin { suspected_at, discovery }))
                }
                Action::Ask { address, .. } => self.ask(address, ctx),
                Action::Limited { until } => {
                    tracing::debug!(%until, "too many discoveries: the next one waits")
                }
                Action::Unsettled { failed, .. } => {
                    let missing = failed.into_iter().map(|(at, reason)| format!("{at}: {reason}")).collect();
                    drop(self.seat.differ.send(Observed::Unsettled { missing }));
                }
            }
        }
        self.arm(ctx);
    }

    fn arm(&mut self, ctx: &mut Context<Self>) {
        if let Some(timer) = self.timer.take() {
            ctx.cancel_future(timer);
        }
        let Some(deadline) = self.race.next_deadline() else { return };
        let wait = deadline.since(self.seat.env.now());
        self.timer = Some(ctx.run_later(wait, |poller, ctx| {
            poller.timer = None;
            poller.tell(Event::Elapsed, ctx);
        }));
    }

    fn jitter(&self) -> Jitter {
        Jitter::new(self.seat.env.dice.fraction())
    }

    /// Every address that may know better: in use, stored, configured.
    fn sources(&self) -> Vec<(Address, Source)> {
        let config = self.config();
        let cluster = Arc::clone(&self.seat.cluster.borrow());
        let in_use = cluster.view.iter().flat_map(|view| view.endpoints.values());
        let in_use = in_use.map(|endpoint| (endpoint.address.clone(), Source::InUse));
        let stored = self.seat.last_known_good.iter().map(|at| (at.clone(), Source::LastKnownGood));
        let configured = config.kafka.bootstrap_servers.iter().map(|at| (at.clone(), Source::Configuration));
        in_use.chain(stored).chain(configured).collect()
    }

    /// One question to one witness on a fresh connection. Another cluster's answer is an answer: who judges will
    /// see it, and nothing but Metadata is asked here.
    fn ask(&mut self, address: Address, ctx: &mut Context<Self>) {
        let (dialler, topics) = (self.seat.dialler.clone(), self.topics());
        let to = address.clone();
        let question = async move {
            let connection = match dialler.open(to, None, None).await {
                Ok(connection) => connection,
                // An answer too: who judges says that it is none to be believed.
                Err(ConnectError { failure: ConnectFailure::NoBrokers { cluster }, .. }) => {
                    return Ok(nobody(cluster));
                }
                Err(error) => return Err(error.failure.to_string()),
            };
            let question = Metadata { topics: Some(topics) };
            connection.call(question, ANSWER_LIMIT).await.map_err(|error| error.failure.to_string())
        };
        let question = self.seat.env.placement.io.spawn(question);
        let done = question.into_actor(self).map(move |answer, poller, ctx| {
            let answer = answer.unwrap_or_else(|error| Err(error.to_string()));
            poller.answered(address, answer, ctx);
        });
        ctx.spawn(done);
    }

    fn answered(
        &mut self,
        address: Address,
        answer: Result<MetadataAnswer, String>,
        ctx: &mut Context<Self>,
    ) {
        let jitter = self.jitter();
        match answer {
            Ok(answer) if answer.error == ErrorCode::REBOOTSTRAP_REQUIRED => {
                let reason = "the broker asks for a new bootstrap (KIP-1102)".to_owned();
                self.tell(Event::Failed { address, reason, jitter }, ctx);
            }
            Ok(answer) => {
                let observation = self.observation(address, &answer);
                let topics = Some(topics_of(&answer.topics));
                self.observed(observation.clone(), topics);
                self.tell(Event::Answered { observation, jitter }, ctx);
            }
            Err(reason) => {
                self.seat.vitals.metadata_failed();
                let failed = Observed::Failed { address: address.clone(), reason: reason.clone() };
                drop(self.seat.differ.send(failed));
                self.tell(Event::Failed { address, reason, jitter }, ctx);
            }
        }
    }

    fn observed(&self, observation: Observation<NodeId>, topics: Option<Topics>) {
        self.note_answer(&observation.view);
        let discovery = self.discovery;
        drop(self.seat.differ.send(Observed::Answered { discovery, observation, topics }));
    }

    /// What is no answer about our cluster is no sign of life.
    fn note_answer(&self, view: &View<NodeId>) {
        let cluster = self.seat.cluster.borrow();
        let ours = cluster.pin.is_none() || cluster.pin == view.cluster;
        match ours && !view.endpoints.is_empty() {
            true => self.seat.vitals.metadata_answered(self.seat.env.now()),
            false => self.seat.vitals.metadata_failed(),
        }
    }

    /// The view as we reach it: `[endpoints.override]` stands between what brokers advertise and what is dialled.
    fn observation(&self, witness: Address, answer: &MetadataAnswer) -> Observation<NodeId> {
        let overrides = &self.config().endpoint_overrides;
        let mut view: View<NodeId> = answer.view.clone();
        for endpoint in view.endpoints.values_mut() {
            if let Some(reached) = overrides.get(&endpoint.address) {
                endpoint.address = reached.clone();
            }
        }
        Observation { witness, view, at: self.seat.env.now() }
    }

    fn suspect(&mut self, suspect: Suspect, ctx: &mut Context<Self>) {
        let now = self.seat.env.now();
        self.told.retain(|_, at| now.since(*at) < TOLD_AGAIN);
        if self.told.insert((suspect.node, suspect.reason.clone()), now).is_none() {
            let server = suspect.address.map(Into::into);
            let (reason, node) = (suspect.reason, suspect.node);
            self.seat.events.emit(Told::EndpointSuspected { reason, node, server });
        }
        self.discover(suspect.evidence, ctx);
    }

    fn discover(&mut self, evidence: Evidence, ctx: &mut Context<Self>) {
        let sources = self.sources();
        self.tell(Event::Sources(sources), ctx);
        self.tell(Event::Suspected { evidence }, ctx);
    }

    fn sleep_until_poll(&self, ctx: &mut Context<Self>) {
        let wait = self.seat.env.dice.jittered(self.config().drift.poll_interval);
        ctx.run_later(wait, |poller, ctx| poller.poll(ctx));
    }

    /// Asks the next verified broker whether anything is new.
    fn poll(&mut self, ctx: &mut Context<Self>) {
        let cluster = Arc::clone(&self.seat.cluster.borrow());
        self.turn = self.turn.wrapping_add(1);
        let verified = cluster.verified();
        let Some((node, address)) = verified.iter().nth(self.turn % verified.len().max(1)) else {
            self.discover(Evidence::Broken, ctx);
            return self.sleep_until_poll(ctx);
        };
        let (node, address) = (*node, address.clone());
        let security = self.seat.dialler.security();
        let standing = self
            .standing
            .take()
            .filter(|(open, with)| open.address() == &address && !open.is_closed() && *with == security);
        let (dialler, pin, topics) = (self.seat.dialler.clone(), cluster.pin.clone(), self.topics());
        let to = address.clone();
        let question = self.seat.env.placement.io.spawn(async move {
            let connection = match standing {
                Some((connection, _)) => connection,
                None => {
                    let opened = dialler.open(to, Some(node), pin).await;
                    opened.map_err(|error| (error.evidence(), error.to_string()))?
                }
            };
            let answer = connection.call(Metadata { topics: Some(topics) }, ANSWER_LIMIT).await;
            let answer = answer.map_err(|error| (error.evidence(), error.to_string()))?;
            Ok((connection, answer))
        });
        let done = question.into_actor(self).map(move |outcome, poller, ctx| {
            match outcome.unwrap_or_else(|error| Err((Evidence::Broken, error.to_string()))) {
                Ok((connection, answer)) => {
                    poller.standing = Some((connection, security));
                    poller.polled(node, address, &answer, ctx);
                }
                Err((evidence, reason)) => {
                    poller.seat.vitals.metadata_failed();
                    let (node, address) = (Some(node), Some(address));
                    poller.suspect(Suspect { reason, evidence, node, address }, ctx)
                }
            }
            poller.sleep_until_poll(ctx);
        });
        ctx.spawn(done);
    }

    /// What a poll heard of leaders is news at once; another view than the one in use is a reason to ask all.
    fn polled(&mut self, node: NodeId, address: Address, answer: &MetadataAnswer, ctx: &mut Context<Self>) {
        let observation = self.observation(address.clone(), answer);
        let differs = self.seat.cluster.borrow().view.as_deref() != Some(&observation.view);
        let asked_to = answer.error == ErrorCode::REBOOTSTRAP_REQUIRED;
        let topics = Some(topics_of(&answer.topics));
        self.observed(observation, topics);
        if differs || asked_to {
            let reason =
                if asked_to { "the broker asks for a new bootstrap" } else { "a broker gives another view" };
            let (reason, node, address) = (reason.to_owned(), Some(node), Some(address));
            self.suspect(Suspect { reason, evidence: Evidence::Broken, node, address }, ctx);
        }
    }

    fn sweep(&mut self, ctx: &mut Context<Self>) {
        self.discover(Evidence::Broken, ctx);
        let wait = self.config().drift.sweep_interval;
        ctx.run_later(wait, |poller, ctx| poller.sweep(ctx));
    }
}

/// What a broker of this cluster says that names no brokers.
fn nobody(cluster: Option<ClusterId>) -> MetadataAnswer {
    MetadataAnswer {
        error: ErrorCode::NONE,
        throttle: Duration::ZERO,
        view: View::new(cluster, []),
        controller: None,
        topics: Vec::new(),
    }
}

/// Topics as core knows them.
fn topics_of(topics: &[TopicMetadata]) -> Topics {
    let leader = |partition: &PartitionMetadata| {
        (partition.index, Leader { node: partition.leader, epoch: partition.leader_epoch })
    };
    let known = |topic: &TopicMetadata| {
        let partitions = topic.partitions.iter().map(leader).collect();
        let known = Topic { id: topic.id, error: TopicError::from_code(topic.error.0), partitions };
        (Arc::clone(&topic.name), known)
    };
    topics.iter().map(known).collect()
}

impl Actor for MetadataPoller {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        ctx.add_stream(changes(self.seat.cluster.clone()));
        self.sweep(ctx);
        self.sleep_until_poll(ctx);
    }
}

impl StreamHandler<Changed<Arc<Cluster>>> for MetadataPoller {
    fn handle(&mut self, _: Changed<Arc<Cluster>>, ctx: &mut Context<Self>) {
        let pin: Option<ClusterId> = self.seat.cluster.borrow().pin.clone();
        if let Some(pin) = pin {
            self.race.pin(pin);
        }
        let sources = self.sources();
        self.tell(Event::Sources(sources), ctx);
    }

    fn finished(&mut self, _: &mut Context<Self>) {}
}

impl Handler<Suspect> for MetadataPoller {
    type Result = ();

    fn handle(&mut self, suspect: Suspect, ctx: &mut Context<Self>) {
        self.suspect(suspect, ctx);
    }
}

impl Handler<Settled> for MetadataPoller {
    type Result = ();

    fn handle(&mut self, settled: Settled, ctx: &mut Context<Self>) {
        // A poll may be judged by what was heard before the discovery that it gives rise to.
        if settled.discovery == self.discovery {
            let Settled { unverified, found, .. } = settled;
            self.tell(Event::Settled { unverified, found }, ctx);
        }
    }
}

impl Handler<CountTopics> for MetadataPoller {
    type Result = ();

    fn handle(&mut self, CountTopics(topics): CountTopics, ctx: &mut Context<Self>) {
        *self.seat.counted.lock().unwrap_or_else(PoisonError::into_inner) = topics;
        self.discover(Evidence::Broken, ctx);
    }
}

impl Handler<ConfigChanged> for MetadataPoller {
    type Result = ();

    fn handle(&mut self, _: ConfigChanged, ctx: &mut Context<Self>) {
        let reason = "the configuration changed".to_owned();
        self.suspect(Suspect { reason, evidence: Evidence::Broken, node: None, address: None }, ctx);
    }
}

impl Handler<Crash> for MetadataPoller {
    type Result = ();

    fn handle(&mut self, _: Crash, _: &mut Context<Self>) {
        panic!("asked to crash");
    }
}
