//! The metadata poller: it knows addresses and asks; it judges nothing.
//!
//! On a timer it asks one broker over a connection that stands (`poll`); on a suspicion it runs a discovery, in which
//! every address that may know better is asked at once, each on a fresh connection.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use actix::{Actor, ActorFutureExt, AsyncContext, Context, Handler, SpawnHandle, StreamHandler, WrapFuture};
use steadfast_core::endpoints::backoff::{Backoff, Jitter};
use steadfast_core::endpoints::race::{Action, Crowd, Doubts, Event, Evidence, Limits, Race, Rate, Source};
use steadfast_core::endpoints::view::{Address, Observation, View};
use steadfast_core::ids::NodeId;
use steadfast_kafka::api::ErrorCode;
use steadfast_kafka::api::metadata::{MetadataAnswer, TopicMetadata};
use steadfast_supervision::Route;
use steadfast_watch as watch;

use crate::config::Config;
use crate::dialler::{Dialler, Peers};
use crate::drift::fed::Fed;
use crate::drift::published::Cluster;
use crate::env::Env;
use crate::events::Event as Told;
use crate::messages::{ConfigChanged, CountTopics, Crash, Listing, Observed, Resolved, Settled, Suspect};
use crate::observers::Events;
use crate::vitals::Vitals;
use crate::watching::{Changed, changes};

use names::{Names, is_name, resolve};
use poll::Polls;
use question::{Answered, Question, Wanted};

mod names;
mod poll;
mod question;
mod sources;
mod sweep;

/// What a poller is given by wiring.
pub(crate) struct Seat {
    pub(crate) env: Env,
    pub(crate) dialler: Dialler,
    /// What the connections that stand are connected to.
    pub(crate) peers: Peers,
    pub(crate) config: watch::Receiver<Arc<Config>>,
    pub(crate) cluster: watch::Receiver<Arc<Cluster>>,
    /// The endpoints that worked last, as they were stored.
    pub(crate) last_known_good: BTreeSet<Address>,
    /// What the user's own actors propose.
    pub(crate) fed: watch::Receiver<Fed>,
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
    /// Who fell silent of late.
    crowd: Crowd<NodeId>,
    /// Counts the discoveries.
    discovery: u64,
    /// What is suspected again and again, in vain.
    doubts: Doubts<NodeId>,
    timer: Option<SpawnHandle>,
    polls: Polls,
    /// Suspicions that were told of late, so that many connections that break at once make one line.
    told: BTreeMap<(Option<NodeId>, String), steadfast_core::tick::Tick>,
    /// The names of the endpoints in use, and whether they are being resolved.
    names: Names,
    resolving: bool,
    /// What the bootstrap names resolved to last, and which of them.
    bootstrap: BTreeMap<Address, Address>,
}

/// What a broker means by REBOOTSTRAP_REQUIRED.
const REBOOTSTRAP: &str = "the broker asks for a new bootstrap (KIP-1102)";
/// What is wrong with a broker that was asked alone.
const OTHER_VIEW: &str = "a broker gives another view";
/// The same suspicion is told once in this time.
const TOLD_AGAIN: Duration = Duration::from_secs(1);

impl MetadataPoller {
    /// A poller that has not asked anybody yet.
    pub(crate) fn new(seat: Arc<Seat>) -> MetadataPoller {
        let pin = seat.cluster.borrow().pin.clone();
        let names = Names::new(seat.config.borrow().drift.settle);
        let doubts = no_doubts(&seat.config.borrow());
        let race = Race::new(Limits::default(), Rate::default(), pin);
        MetadataPoller {
            seat,
            race,
            crowd: Crowd::default(),
            discovery: 0,
            doubts,
            timer: None,
            polls: Polls::default(),
            told: BTreeMap::new(),
            names,
            resolving: false,
            bootstrap: BTreeMap::new(),
        }
    }

    fn config(&self) -> Arc<Config> {
        Arc::clone(&self.seat.config.borrow())
    }

    fn wanted(&self) -> Wanted {
        let counted = self.seat.counted.lock().unwrap_or_else(PoisonError::into_inner).clone();
        Wanted { topics: self.config().topics.clone(), counted }
    }

    fn tell(&mut self, event: Event<NodeId>, ctx: &mut Context<Self>) {
        let actions = self.race.handle(event, self.seat.env.now());
        for action in actions {
            match action {
                Action::Begin { suspected_at } => {
                    self.doubts.begun();
                    self.discovery += 1;
                    let discovery = self.discovery;
                    drop(self.seat.differ.send(Observed::Begin { suspected_at, discovery }));
                    self.resolve_bootstrap(ctx);
                }
                Action::Ask { address, source } => self.ask(address, source, ctx),
                Action::Limited { until } => {
                    tracing::debug!(%until, "too many discoveries: the next one waits")
                }
                Action::Unsettled { failed, .. } => {
                    let missing = failed.into_iter().map(|(at, reason)| format!("{at}: {reason}")).collect();
                    drop(self.seat.differ.send(Observed::Unsettled { missing }));
                    self.resolve_bootstrap(ctx);
                }
            }
        }
        self.arm(ctx);
    }

    fn arm(&mut self, ctx: &mut Context<Self>) {
        if let Some(timer) = self.timer.take() {
            ctx.cancel_future(timer);
        }
        let deadlines = [self.race.next_deadline(), self.doubts.next_deadline()];
        let Some(deadline) = deadlines.into_iter().flatten().min() else { return };
        let wait = deadline.since(self.seat.env.now());
        self.timer = Some(ctx.run_later(wait, |poller, ctx| {
            poller.timer = None;
            if let Some(evidence) = poller.doubts.due(poller.seat.env.now()) {
                poller.discover(evidence, ctx);
            }
            poller.tell(Event::Elapsed, ctx);
        }));
    }

    fn jitter(&self) -> Jitter {
        Jitter::new(self.seat.env.dice.fraction())
    }

    /// One question to one witness on a fresh connection.
    fn ask(&mut self, address: Address, source: Source, ctx: &mut Context<Self>) {
        let name = self.bootstrap.get(&address).filter(|_| source == Source::Bootstrap).cloned();
        let (dialler, to, wanted) = (self.seat.dialler.clone(), address.clone(), self.wanted());
        let topics = wanted.question();
        let question = self.seat.env.placement.io.spawn(Question { dialler, to, name, topics }.ask());
        let done = question.into_actor(self).map(move |answer, poller, ctx| {
            let answer = answer.unwrap_or_else(|error| Err(error.to_string()));
            poller.answered(address, &wanted, answer, ctx);
        });
        ctx.spawn(done);
    }

    fn answered(
        &mut self,
        address: Address,
        wanted: &Wanted,
        answer: Result<Answered, String>,
        ctx: &mut Context<Self>,
    ) {
        let jitter = self.jitter();
        match answer {
            Ok((answer, _)) if answer.error == ErrorCode::REBOOTSTRAP_REQUIRED => {
                self.failed(address, REBOOTSTRAP.to_owned(), ctx);
            }
            Ok((answer, peer)) => {
                let left = self.names.left_behind(&address, peer);
                let observation = self.observation(address, &answer);
                let topics = Some(self.listing(wanted, &answer.topics));
                self.observed(observation.clone(), topics, left);
                self.tell(Event::Answered { observation, jitter }, ctx);
            }
            Err(reason) => self.failed(address, reason, ctx),
        }
    }

    fn failed(&mut self, address: Address, reason: String, ctx: &mut Context<Self>) {
        self.seat.vitals.metadata_failed();
        let failed = Observed::Failed { address: address.clone(), reason: reason.clone() };
        drop(self.seat.differ.send(failed));
        let jitter = self.jitter();
        self.tell(Event::Failed { address, reason, jitter }, ctx);
    }

    fn observed(
        &self,
        observation: Observation<NodeId>,
        topics: Option<Listing>,
        resolved: Option<Resolved>,
    ) {
        self.note_answer(&observation.view);
        let discovery = self.discovery;
        drop(self.seat.differ.send(Observed::Answered { discovery, observation, topics, resolved }));
    }

    fn listing(&self, wanted: &Wanted, topics: &[TopicMetadata]) -> Listing {
        wanted.listing(topics, &self.seat.cluster.borrow().leaders)
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

    fn observation(&self, witness: Address, answer: &MetadataAnswer) -> Observation<NodeId> {
        let view = self.config().as_reached(answer.view.clone());
        Observation { witness, view, at: self.seat.env.now() }
    }

    fn suspect(&mut self, suspect: Suspect, ctx: &mut Context<Self>) {
        let now = self.seat.env.now();
        let in_use = self.seat.cluster.borrow().view.as_ref().map_or(0, |view| view.endpoints.len());
        let evidence = self.crowd.weigh(suspect.evidence, suspect.node, in_use, now);
        self.told.retain(|_, at| now.since(*at) < TOLD_AGAIN);
        let node = suspect.node;
        if self.told.insert((node, suspect.reason.clone()), now).is_none() {
            let (server, reason) = (suspect.address.map(Into::into), suspect.reason);
            self.seat.events.emit(Told::EndpointSuspected { reason, node, server });
        }
        match node {
            Some(node) if !self.doubts.suspected(node, evidence, now) => {
                self.arm(ctx);
                self.poll_early(node, ctx);
            }
            // What is said of no broker in particular is news each time.
            Some(_) | None => self.discover(evidence, ctx),
        }
    }

    /// The discovery that ran has found something, or everything as it was.
    fn settled(&mut self, found: bool) {
        if found {
            self.doubts.found();
        } else if self.race.is_running() {
            let jitter = self.jitter();
            self.doubts.nothing_found(jitter, self.seat.env.now());
        }
    }

    fn discover(&mut self, evidence: Evidence, ctx: &mut Context<Self>) {
        let sources = self.sources();
        self.tell(Event::Sources(sources), ctx);
        self.tell(Event::Suspected { evidence }, ctx);
    }

    /// Resolves the names of the endpoints in use beside the poll, which does not wait for it.
    fn resolve_names(&mut self, cluster: &Cluster, ctx: &mut Context<Self>) {
        let in_use = cluster.view.iter().flat_map(|view| view.endpoints.values());
        let names: BTreeSet<Address> = in_use.map(|at| at.address.clone()).filter(is_name).collect();
        if names.is_empty() || std::mem::replace(&mut self.resolving, true) {
            return;
        }
        let transport = Arc::clone(&self.seat.dialler.transport);
        let resolved = self.seat.env.placement.io.spawn(resolve(transport, names.clone()));
        let done = resolved.into_actor(self).map(move |resolved, poller, ctx| {
            poller.resolving = false;
            poller.resolved(&resolved.unwrap_or_default(), &names, ctx);
        });
        ctx.spawn(done);
    }

    fn resolved(
        &mut self,
        resolved: &BTreeMap<Address, Vec<SocketAddr>>,
        names: &BTreeSet<Address>,
        ctx: &mut Context<Self>,
    ) {
        let now = self.seat.env.now();
        self.polls.leave_behind(resolved);
        for Resolved { address, from, to } in self.names.resolved(resolved, names, &self.seat.peers, now) {
            let reason = format!("the name resolves to {to} and no longer to {from}");
            self.suspect(
                Suspect { reason, evidence: Evidence::Broken, node: None, address: Some(address) },
                ctx,
            );
        }
    }

    fn suspect_broker(&mut self, node: NodeId, address: Address, reason: &str, ctx: &mut Context<Self>) {
        let (reason, node, address) = (reason.to_owned(), Some(node), Some(address));
        self.suspect(Suspect { reason, evidence: Evidence::Broken, node, address }, ctx);
    }
}

/// Nothing is suspected; what will be in vain is looked into as often as a poll would.
fn no_doubts(config: &Config) -> Doubts<NodeId> {
    Doubts::new(Backoff { limit: config.drift.poll_interval, ..Backoff::default() })
}

impl Actor for MetadataPoller {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        ctx.add_stream(changes(self.seat.cluster.clone()));
        ctx.add_stream(changes(self.seat.fed.clone()));
        self.discover(Evidence::Broken, ctx);
        self.sweep(ctx);
        self.sleep_until_poll(ctx);
    }
}

impl StreamHandler<Changed<Arc<Cluster>>> for MetadataPoller {
    fn handle(&mut self, _: Changed<Arc<Cluster>>, ctx: &mut Context<Self>) {
        let cluster = Arc::clone(&self.seat.cluster.borrow());
        if let Some(pin) = cluster.pin.clone() {
            self.race.pin(pin);
        }
        self.names.follow(&cluster);
        self.polls.retain(&cluster);
        // Whoever leads a partition now is news too.
        self.doubts.found();
        let sources = self.sources();
        self.tell(Event::Sources(sources), ctx);
    }

    fn finished(&mut self, _: &mut Context<Self>) {}
}

impl StreamHandler<Changed<Fed>> for MetadataPoller {
    fn handle(&mut self, _: Changed<Fed>, ctx: &mut Context<Self>) {
        let reason = "a source of endpoints says something else".to_owned();
        self.suspect(Suspect { reason, evidence: Evidence::Broken, node: None, address: None }, ctx);
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
            self.settled(found);
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
        self.doubts = no_doubts(&self.config());
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
