//! Every witness is asked at once, by core's rules of discovery and agreement, and each for its own account.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use futures::future::{BoxFuture, join_all};
use futures::stream::FuturesUnordered;
use steadfast_core::endpoints::agreement::{Agreement, Rules, Verdict, fault};
use steadfast_core::endpoints::backoff::Jitter;
use steadfast_core::endpoints::race::{Action, Event, Evidence, Limits, Race, Rate, Source};
use steadfast_core::endpoints::view::{Address, Observation, View};
use steadfast_core::ids::{ClusterId, NodeId};
use steadfast_core::tick::Tick;
use steadfast_kafka::connection::{ConnectError, ConnectFailure, Connection};
use steadfast_kafka::transport::Resolver;
use tokio::time::{Instant, sleep_until, timeout};

use crate::config::Config;
use crate::dialler::Dialler;

/// How long all of it may take. What has not answered by then counts as silent.
const LIMIT: Duration = Duration::from_secs(10);
/// How long a bootstrap name may take to resolve.
const RESOLVE_LIMIT: Duration = Duration::from_secs(1);

/// Whom to ask, and what to judge the answers by.
pub(super) struct Plan {
    pub(super) sources: Vec<(Address, Source)>,
    /// The cluster that answers have to be of to count.
    pub(super) pin: Option<ClusterId>,
    /// The view in use, as far as it is known.
    pub(super) in_use: Option<View<NodeId>>,
}

/// What was heard, and what it amounts to.
pub(super) struct Survey {
    pub(super) witnesses: BTreeMap<Address, Witness>,
    /// Judged as a service does.
    pub(super) verdict: Verdict<NodeId>,
    pub(super) took: Duration,
}

/// One address that was asked.
pub(super) struct Witness {
    /// Why it was asked.
    pub(super) source: Source,
    /// The name that it is an address of, if it was asked in the name's place.
    pub(super) name: Option<Arc<str>>,
    /// What came of the last time that it was asked.
    pub(super) heard: Result<Heard, Unheard>,
}

/// An answer.
pub(super) struct Heard {
    /// The address at the other end of the connection.
    pub(super) peer: Option<SocketAddr>,
    /// The view, as we reach it: with `[endpoints.override]`.
    pub(super) view: View<NodeId>,
    /// From the begin of the connection to the answer.
    pub(super) round_trip: Duration,
}

/// No answer.
pub(super) struct Unheard {
    pub(super) reason: String,
    /// Whether the broker refuses who we are.
    pub(super) denied: bool,
}

/// Asks, on connections of its own.
pub(super) struct Asker {
    dialler: Dialler,
    config: Arc<Config>,
    /// Addresses that stand for a name: certificates have to name that.
    names: BTreeMap<Address, Arc<str>>,
}

impl Asker {
    pub(super) fn new(config: &Arc<Config>, dialler: Dialler) -> Asker {
        Asker { dialler, config: Arc::clone(config), names: BTreeMap::new() }
    }

    /// The bootstrap servers, each address of a name with several on its own: a connection to the name would show
    /// one of them only.
    pub(super) async fn bootstrap(&mut self, resolver: &impl Resolver) -> Vec<(Address, Source)> {
        let servers = &self.config.kafka.bootstrap_servers;
        let resolved = servers.iter().map(|server| async move {
            match timeout(RESOLVE_LIMIT, resolver.resolve(&server.host, server.port)).await {
                Ok(Ok(found)) if found.len() > 1 => found.into_iter().collect(),
                // Who connects will say what is wrong with it.
                Ok(_) | Err(_) => BTreeSet::new(),
            }
        });
        let mut sources = Vec::new();
        for (server, found) in servers.iter().zip(join_all(resolved).await) {
            if found.len() < 2 {
                sources.push((server.clone(), Source::Configuration));
                continue;
            }
            for at in found {
                let address = Address::new(at.ip().to_string(), at.port());
                self.names.insert(address.clone(), server.host.as_str().into());
                sources.push((address, Source::Configuration));
            }
        }
        sources
    }

    /// Asks until every address that is known or named has answered or failed, and what settles has settled.
    pub(super) async fn survey(&self, plan: Plan) -> Survey {
        let mut asking = Asking::begin(self, plan);
        while !asking.is_over() {
            asking.turn().await;
        }
        asking.told()
    }

    async fn ask(&self, address: Address) -> (Address, Result<Heard, Unheard>) {
        let began = Instant::now();
        let mut dial = self.dialler.dial(address.clone(), None, None);
        dial.server_name = self.names.get(&address).cloned().or(dial.server_name);
        let heard = match Connection::open(&*self.dialler.transport, dial).await {
            Ok(connection) => Ok((connection.peer(), connection.opened().view.clone())),
            // An answer too: core says that it is none to be believed.
            Err(ConnectError { failure: ConnectFailure::NoBrokers { cluster }, .. }) => {
                Ok((None, View::new(cluster, [])))
            }
            Err(error) => Err(Unheard { reason: error.failure.to_string(), denied: error.is_denied() }),
        };
        let heard = heard.map(|(peer, view)| Heard {
            peer,
            view: self.config.as_reached(view),
            round_trip: began.elapsed(),
        });
        (address, heard)
    }
}

/// A survey under way.
struct Asking<'a> {
    asker: &'a Asker,
    began: Instant,
    race: Race,
    pin: Option<ClusterId>,
    agreement: Agreement<NodeId>,
    in_use: Option<View<NodeId>>,
    questions: FuturesUnordered<BoxFuture<'a, (Address, Result<Heard, Unheard>)>>,
    sources: BTreeMap<Address, Source>,
    witnesses: BTreeMap<Address, Witness>,
    /// Addresses that are to be asked and have not been heard of yet.
    awaited: BTreeSet<Address>,
}

impl<'a> Asking<'a> {
    fn begin(asker: &'a Asker, plan: Plan) -> Asking<'a> {
        let rules = Rules { settle: asker.config.drift.settle, ..Rules::default() };
        // Whom another cluster names is not asked: our credentials are none of its business.
        let race = Race::new(Limits::default(), Rate::default(), plan.pin.clone());
        let mut asking = Asking {
            asker,
            began: Instant::now(),
            race,
            pin: plan.pin.clone(),
            agreement: Agreement::new(rules, plan.pin),
            in_use: plan.in_use,
            questions: FuturesUnordered::new(),
            awaited: plan.sources.iter().map(|(address, _)| address.clone()).collect(),
            sources: plan.sources.iter().rev().cloned().collect(),
            witnesses: BTreeMap::new(),
        };
        asking.tell(Event::Sources(plan.sources));
        asking.tell(Event::Suspected { evidence: Evidence::Broken });
        asking
    }

    fn now(&self) -> Tick {
        Tick::at(self.began.elapsed())
    }

    fn tell(&mut self, event: Event<NodeId>) {
        for action in self.race.handle(event, self.now()) {
            match action {
                Action::Ask { address, source } => {
                    self.sources.entry(address.clone()).or_insert(source);
                    self.questions.push(Box::pin(self.asker.ask(address)));
                }
                // One discovery, which begins once and is looked at here.
                Action::Begin { .. } | Action::Limited { .. } | Action::Unsettled { .. } => {}
            }
        }
    }

    fn is_over(&mut self) -> bool {
        if self.began.elapsed() >= LIMIT {
            return true;
        }
        // Also when it is not over: a judgement says when it is due again.
        let settles = matches!(self.judged(), Verdict::Settling { .. });
        self.awaited.is_empty() && !settles
    }

    fn judged(&mut self) -> Verdict<NodeId> {
        self.agreement.judge(self.in_use.as_ref(), self.now())
    }

    async fn turn(&mut self) {
        let deadlines = [self.race.next_deadline(), self.agreement.next_deadline()];
        let end = Tick::at(LIMIT);
        let next = deadlines.into_iter().flatten().fold(end, Tick::min);
        tokio::select! {
            biased;
            Some((address, heard)) = self.questions.next() => self.heard(address, heard),
            () = sleep_until(self.began + next.since_start()) => self.tell(Event::Elapsed),
        }
    }

    fn heard(&mut self, address: Address, heard: Result<Heard, Unheard>) {
        let (now, jitter) = (self.now(), Jitter::FULL);
        self.awaited.remove(&address);
        let event = match &heard {
            Ok(heard) => {
                let observation = Observation { witness: address.clone(), view: heard.view.clone(), at: now };
                self.agreement.answered(observation.clone(), now);
                if fault(&heard.view, self.pin.as_ref()).is_none() {
                    let named = heard.view.endpoints.values().map(|at| &at.address);
                    let unheard = named.filter(|at| !self.witnesses.contains_key(*at) && **at != address);
                    self.awaited.extend(unheard.cloned());
                }
                Event::Answered { observation, jitter }
            }
            Err(unheard) => {
                let reason = unheard.reason.clone();
                self.agreement.failed(address.clone(), reason.clone(), now);
                Event::Failed { address: address.clone(), reason, jitter }
            }
        };
        let source = self.sources.get(&address).copied().unwrap_or(Source::Proposed);
        let name = self.asker.names.get(&address).cloned();
        self.witnesses.insert(address, Witness { source, name, heard });
        self.tell(event);
    }

    fn told(mut self) -> Survey {
        let verdict = self.judged();
        let took = self.began.elapsed();
        for address in std::mem::take(&mut self.awaited) {
            let source = self.sources.get(&address).copied().unwrap_or(Source::Proposed);
            let unheard = Unheard { reason: format!("no answer within {LIMIT:?}"), denied: false };
            self.witnesses.insert(address, Witness { source, name: None, heard: Err(unheard) });
        }
        Survey { witnesses: self.witnesses, verdict, took }
    }
}
