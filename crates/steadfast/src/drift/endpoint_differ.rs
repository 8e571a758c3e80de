//! The endpoint differ: holds what was observed and what is in use, decides by core's rules what is agreed, and
//! publishes it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use actix::{Actor, AsyncContext, Context, Handler, SpawnHandle};
use steadfast_core::endpoints::agreement::{Agreement, FailedWitness, Rules, Verdict};
use steadfast_core::endpoints::confirmed::confirmed;
use steadfast_core::endpoints::drift::Drift;
use steadfast_core::endpoints::respawn::Timeline;
use steadfast_core::endpoints::view::{Address, Observation, View};
use steadfast_core::ids::{ClusterId, NodeId};
use steadfast_core::tick::Tick;
use steadfast_supervision::Route;
use steadfast_watch as watch;

use crate::config::Config;
use crate::drift::last_known_good::LastKnownGood;
use crate::drift::published::Cluster;
use crate::drift::subscribed::Subscribed;
use crate::env::Env;
use crate::events::{Event, Failure};
use crate::messages::{Crash, Drifted, InUse, Listing, Observed, Resolved, Settled};
use crate::observers::Events;
use crate::vitals::{Part, Vitals};
use crate::watching::changes;

use subscription::Resolving;

mod missed;
mod subscription;
mod topics;

/// What a differ is given by wiring.
pub(crate) struct Seat {
    pub(crate) env: Env,
    pub(crate) config: watch::Receiver<Arc<Config>>,
    /// What is published survives a crash of the actor.
    pub(crate) cluster: watch::Sender<Arc<Cluster>>,
    /// What is subscribed by now; it survives a crash of the actor.
    pub(crate) subscribed: watch::Sender<Subscribed>,
    pub(crate) supervisor: Route<Drifted>,
    pub(crate) poller: Route<Settled>,
    pub(crate) vitals: Vitals,
    pub(crate) events: Events,
}

/// The actor.
pub(crate) struct EndpointDiffer {
    seat: Arc<Seat>,
    agreement: Agreement<NodeId>,
    in_use: Option<Arc<View<NodeId>>>,
    /// Whether the supervisor has said so; until then it is what was published last.
    confirmed: bool,
    /// What witnesses said of topics who are no verified brokers of the agreed view, or not yet.
    unheard: BTreeMap<Address, Listing>,
    /// The discovery that began last.
    discovery: u64,
    suspected_at: Tick,
    began_at: Tick,
    told: Option<Drifted>,
    failed: BTreeMap<Address, FailedWitness>,
    settle: Duration,
    /// Whether what was heard last amounts to an agreed view.
    agreed: bool,
    /// Whether a discovery has ended without one since.
    unsettled: bool,
    /// The brokers that were told to be missed.
    missed: BTreeSet<NodeId>,
    /// The broker that coordinates the group, as far as it was known.
    coordinator: Option<NodeId>,
    /// Brokers whose addresses lead to others, and when that was noticed.
    misled: BTreeMap<NodeId, (Address, Tick)>,
    /// The other cluster that all witnesses belonged to when nothing was agreed last.
    elsewhere: Option<ClusterId>,
    timer: Option<SpawnHandle>,
    looking: Option<SpawnHandle>,
    telling: Option<SpawnHandle>,
    /// Endpoints whose names lead elsewhere than connections to them: until the broker there is verified.
    resolved: BTreeMap<Address, Resolved>,
    /// What is subscribed.
    resolving: Resolving,
}

/// For so long only what a broker leads shows that it is there again to whose address another one had answered.
const DOUBTED: Duration = Duration::from_secs(60);
/// An agreed view is told again until the supervisor says that it is in use.
const TELL_AGAIN: Duration = Duration::from_secs(1);
/// Witnesses whose word is kept until they may be verified.
const MOST_UNHEARD: usize = 64;

impl EndpointDiffer {
    /// A differ that goes on from what is published.
    pub(crate) fn new(seat: Arc<Seat>) -> EndpointDiffer {
        let published = Arc::clone(&seat.cluster.borrow());
        let settle = seat.config.borrow().drift.settle;
        let rules = Rules { settle, ..Rules::default() };
        let now = seat.env.now();
        EndpointDiffer {
            agreement: Agreement::new(rules, published.pin.clone()),
            in_use: published.view.clone(),
            confirmed: false,
            seat,
            unheard: BTreeMap::new(),
            discovery: 0,
            suspected_at: now,
            began_at: now,
            told: None,
            failed: BTreeMap::new(),
            settle,
            agreed: false,
            unsettled: false,
            missed: BTreeSet::new(),
            coordinator: None,
            misled: BTreeMap::new(),
            elsewhere: None,
            timer: None,
            looking: None,
            telling: None,
            resolved: BTreeMap::new(),
            resolving: Resolving::default(),
        }
    }

    fn answered(
        &mut self,
        observation: Observation<NodeId>,
        topics: Option<Listing>,
        resolved: Option<Resolved>,
        now: Tick,
    ) {
        let witness = observation.witness.clone();
        if let Some(fault) = self.agreement.answered(observation, now) {
            return self.failed(witness, fault);
        }
        self.failed.remove(&witness);
        if let Some(resolved) = resolved {
            self.resolved.insert(witness.clone(), resolved);
        }
        let Some(topics) = topics else { return };
        let verified = self.seat.cluster.borrow().is_verified_at(&witness);
        if verified {
            self.observe(&witness, &topics, now);
        } else if self.unheard.len() < MOST_UNHEARD || self.unheard.contains_key(&witness) {
            self.unheard.insert(witness, topics);
        }
    }

    /// The same fault of the same witness is told once.
    fn failed(&mut self, witness: Address, fault: FailedWitness) {
        if self.failed.insert(witness.clone(), fault.clone()).as_ref() != Some(&fault) {
            let class = match fault {
                FailedWitness::Silent { .. } => "silent",
                FailedWitness::OtherCluster { .. } => "other_cluster",
                FailedWitness::Empty => "empty",
            };
            let failure = Failure::new(class, fault);
            self.seat.events.emit(Event::WitnessFailed { server: witness.into(), failure });
        }
    }

    fn judge(&mut self, ctx: &mut Context<Self>) {
        let now = self.seat.env.now();
        let verdict = self.agreement.judge(self.in_use.as_deref(), now);
        self.agreed = matches!(verdict, Verdict::Agreed { .. });
        match verdict {
            Verdict::Agreed { view, verified, denied, support, electorate } => {
                self.agreed(view, &verified, &denied, (support, electorate), ctx);
            }
            Verdict::Settling { .. } | Verdict::Undecided { .. } => self.note_reach(),
        }
        self.resolve(ctx);
        self.look(ctx);
        if let Some(timer) = self.timer.take() {
            ctx.cancel_future(timer);
        }
        if let Some(deadline) = self.agreement.next_deadline() {
            let wait = deadline.since(now);
            self.timer = Some(ctx.run_later(wait, |differ, ctx| {
                differ.timer = None;
                differ.judge(ctx);
            }));
        }
    }

    fn agreed(
        &mut self,
        view: View<NodeId>,
        verified: &BTreeSet<NodeId>,
        denied: &BTreeSet<NodeId>,
        (support, electorate): (usize, usize),
        ctx: &mut Context<Self>,
    ) {
        let now = self.seat.env.now();
        let published = Arc::clone(&self.seat.cluster.borrow());
        let fresh = published.view.as_deref() != Some(&view);
        let view =
            if fresh { Arc::new(view) } else { published.view.clone().unwrap_or_else(|| Arc::new(view)) };
        let resolved = self.take_resolved(&view, verified);
        let before = published.view.as_deref().map(|before| (before, &published.verified));
        let mut verified = confirmed(&view, verified, denied, before);
        self.leave_out_misled(&view, &mut verified, now);
        let found = fresh || !resolved.is_empty() || !verified.is_subset(&published.verified);
        if found || verified != published.verified {
            self.publish(&view, verified.clone(), resolved.keys());
        }
        self.tell_resolved(resolved);
        if fresh {
            self.seat.events.emit(Event::ViewAgreed {
                cluster: view.cluster.clone(),
                endpoints: view.endpoints.iter().map(|(node, at)| (*node, at.address.clone())).collect(),
                support,
                electorate,
            });
            self.store(&view);
        }
        self.learn_topics(now);
        if std::mem::take(&mut self.unsettled) {
            self.forget_reach();
        }
        self.note_reach();
        self.seat.vitals.recovered(Part::View, &self.seat.events, now);
        self.elsewhere = None;
        let missed = self.missed(Duration::ZERO);
        let asked_on = |node: &NodeId| !verified.contains(node) || missed.contains_key(node);
        let unverified = view.endpoints.iter().filter(|(node, _)| asked_on(node));
        let unverified = unverified.map(|(_, at)| at.address.clone()).collect();
        drop(self.seat.poller.send(Settled { discovery: self.discovery, unverified, found }));
        let timeline =
            Timeline { alive_at: self.suspected_at, suspected_at: self.began_at, discovered_at: now };
        self.tell_drift(Drifted { view, timeline }, ctx);
    }

    /// What answers at their addresses says what they would say, and is not they: for a while its word does not count.
    fn leave_out_misled(&mut self, view: &View<NodeId>, verified: &mut BTreeSet<NodeId>, now: Tick) {
        let pause = self.seat.config.borrow().drift.poll_interval;
        self.misled.retain(|node, (address, noticed)| {
            view.address(node) == Some(address) && now.since(*noticed) < DOUBTED.max(pause)
        });
        verified.retain(|node| self.misled.get(node).is_none_or(|(_, noticed)| now.since(*noticed) >= pause));
    }

    /// A broker that is misled is verified no longer, until it is asked again after a while.
    fn misled(&mut self, node: NodeId, now: Tick) {
        let mut cluster = Cluster::clone(&self.seat.cluster.borrow());
        if let Some(address) = cluster.address(node) {
            self.misled.insert(node, (address.clone(), now));
        }
        if cluster.verified.remove(&node) {
            self.seat.cluster.send_replace(Arc::new(cluster));
        }
    }

    /// Those of the resolved endpoints whose brokers, asked there, are who the view says.
    fn take_resolved(
        &mut self,
        view: &View<NodeId>,
        verified: &BTreeSet<NodeId>,
    ) -> BTreeMap<NodeId, Resolved> {
        let at = |node: &NodeId| Some((*node, self.resolved.get(view.address(node)?)?.clone()));
        let taken: BTreeMap<NodeId, Resolved> = verified.iter().filter_map(at).collect();
        self.resolved.retain(|address, _| taken.values().all(|resolved| resolved.address != *address));
        taken
    }

    /// It takes part in no score: connections are made anew, nothing more.
    fn tell_resolved(&self, resolved: BTreeMap<NodeId, Resolved>) {
        if resolved.is_empty() {
            return;
        }
        let mut drift = Drift { changes: Vec::new(), score: 0.0 };
        for (node, Resolved { address, from, to }) in resolved {
            drift.resolved(node, address, from, to);
        }
        self.seat.events.emit(Event::EndpointDrifted {
            changes: drift.changes,
            score: drift.score,
            threshold: self.seat.config.borrow().drift.threshold.into(),
            action: "adapt",
        });
    }

    /// Each newly agreed view is told, also one that equals the view in use: it may end what another began.
    fn tell_drift(&mut self, drifted: Drifted, ctx: &mut Context<Self>) {
        if self.told.as_ref().is_none_or(|told| told.view != drifted.view) {
            self.told = Some(drifted);
            self.keep_telling(ctx);
        }
    }

    /// The supervisor may be down, or take the message into its end: it is repeated, and costs nothing where it
    /// was heard.
    fn keep_telling(&mut self, ctx: &mut Context<Self>) {
        if let Some(telling) = self.telling.take() {
            ctx.cancel_future(telling);
        }
        let Some(told) = self.told.clone() else { return };
        drop(self.seat.supervisor.send(told));
        self.telling = Some(ctx.run_later(TELL_AGAIN, |differ, ctx| {
            differ.telling = None;
            if !differ.is_in_use() {
                differ.keep_telling(ctx);
            }
        }));
    }

    fn is_in_use(&self) -> bool {
        let told = self.told.as_ref().map(|told| &told.view);
        self.confirmed && told == self.in_use.as_ref()
    }

    fn publish<'a>(
        &mut self,
        view: &Arc<View<NodeId>>,
        verified: BTreeSet<NodeId>,
        resolved: impl Iterator<Item = &'a NodeId>,
    ) {
        let mut cluster = Cluster::clone(&self.seat.cluster.borrow());
        cluster.adopt(view, verified);
        resolved.for_each(|node| *cluster.resolutions.entry(*node).or_default() += 1);
        if cluster.pin.is_none()
            && let Some(id) = &view.cluster
        {
            cluster.pin = Some(id.clone());
            self.agreement.pin(id.clone());
        }
        self.seat.cluster.send_replace(Arc::new(cluster));
    }

    fn store(&self, view: &View<NodeId>) {
        if let Err(error) = LastKnownGood::of(view).store(&*self.seat.env.store) {
            tracing::warn!(%error, "the endpoints that work cannot be stored for the next start");
        }
    }

    fn unsettled(&mut self, mut missing: Vec<String>, now: Tick) {
        let elsewhere = self.elsewhere(now);
        if let (Some(found), Some(expected)) = (&elsewhere, self.agreement.pinned()) {
            let advice = format!(
                "whoever answers is of cluster {found}, not of {expected}: if the change is meant, stop the service \
                 and take it over with `steadfast endpoints --accept-cluster {found}`"
            );
            missing.insert(0, advice);
        }
        let news = self.elsewhere != elsewhere && elsewhere.is_some();
        self.elsewhere = elsewhere;
        self.unsettled = true;
        self.seat.vitals.degraded(Part::View, missing, news, &self.seat.events, now);
    }

    /// The one other cluster that everybody belongs to who answers: a change that only a person can call meant.
    fn elsewhere(&mut self, now: Tick) -> Option<ClusterId> {
        let alone = match self.agreement.judge(self.in_use.as_deref(), now) {
            Verdict::Undecided { missing, .. } => missing.is_empty(),
            Verdict::Agreed { .. } | Verdict::Settling { .. } => false,
        };
        let found = |fault: FailedWitness| match fault {
            FailedWitness::OtherCluster { found, .. } => Some(found),
            FailedWitness::Silent { .. } | FailedWitness::Empty => None,
        };
        let mut found = self.agreement.failed_witnesses().into_values().filter_map(found);
        let first = found.next().flatten()?;
        (alone && found.all(|other| other.as_ref() == Some(&first))).then_some(first)
    }
}

impl Actor for EndpointDiffer {
    type Context = Context<Self>;

    /// The one before may have ended between publishing a view and telling it.
    fn started(&mut self, ctx: &mut Context<Self>) {
        ctx.add_stream(changes(self.seat.config.clone()));
        // The configuration may have changed while nobody watched.
        self.topics_changed();
        self.resolve(ctx);
        if let Some(view) = self.in_use.clone() {
            self.tell_drift(Drifted { view, timeline: Timeline::at(self.seat.env.now()) }, ctx);
        }
    }
}

impl Handler<Observed> for EndpointDiffer {
    type Result = ();

    fn handle(&mut self, observed: Observed, ctx: &mut Context<Self>) {
        let now = self.seat.env.now();
        match observed {
            Observed::Begin { suspected_at, discovery } => {
                self.discovery = discovery;
                self.suspected_at = suspected_at;
                self.began_at = now;
                self.agreement.begin();
                self.agreed = false;
                self.resolved.clear();
                self.unheard.clear();
                return;
            }
            Observed::Answered { discovery, observation, topics, resolved } => {
                // After a crash of this actor it has not heard of the beginning.
                self.discovery = discovery;
                self.answered(observation, topics, resolved, now);
            }
            Observed::Failed { address, reason } => self.agreement.failed(address, reason, now),
            Observed::Missed { address, reason } => {
                return self.failed(address, FailedWitness::Silent { reason });
            }
            Observed::LeadersNamed(elected) => return self.learn(&elected),
            Observed::Misled { node } => return self.misled(node, now),
            Observed::Unsettled { missing } => self.unsettled(missing, now),
        }
        self.judge(ctx);
    }
}

impl Handler<InUse> for EndpointDiffer {
    type Result = ();

    fn handle(&mut self, InUse(view): InUse, _: &mut Context<Self>) {
        self.seat.cluster.send_if_modified(|cluster| {
            // Nobody has to act on it: it is there to be asked.
            *cluster = Arc::new(Cluster { in_use: Some(Arc::clone(&view)), ..Cluster::clone(cluster) });
            false
        });
        (self.in_use, self.confirmed) = (Some(view), true);
    }
}

impl Handler<Crash> for EndpointDiffer {
    type Result = ();

    fn handle(&mut self, _: Crash, _: &mut Context<Self>) {
        panic!("asked to crash");
    }
}
