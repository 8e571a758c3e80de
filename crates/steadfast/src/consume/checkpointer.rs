//! The checkpointer: it alone opens, ends and commits partitions' progress, on a coordinator connection of its
//! own.

mod ownership;
mod placing;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use actix::{
    Actor, ActorFutureExt, AsyncContext, Context, Handler, ResponseFuture, SpawnHandle, StreamHandler,
    WrapFuture,
};
use steadfast_core::checkpoint::{Action, Event, Occasion, Schedule};
use steadfast_core::group::errors::{Api as GroupApi, ErrorCode, Reaction, react};
use steadfast_core::group::standing::{Membership, Standing};
use steadfast_core::ids::{GroupGeneration, Partition};
use steadfast_core::progress::{Commit, Progress, State};
use steadfast_core::tick::Tick;
use steadfast_kafka::api;
use steadfast_supervision::Route;
use steadfast_watch as watch;
use tokio::sync::oneshot;

use crate::config::Config;
use crate::consume::progress::ProgressTable;
use crate::dialler::Dialler;
use crate::drift::published::Cluster;
use crate::env::Env;
use crate::events::{Event as Told, Failure};
use crate::group::accounts::Accounts;
use crate::group::line::{Coordinator, Line, LineError};
use crate::messages::{ConfigChanged, Crash, Flush, Ownership, OwnershipChanged, Released, Suspect};
use crate::observers::Events;
use crate::vitals::Vitals;
use crate::watching::{Changed, changes};

/// What a checkpointer is given by wiring.
pub(crate) struct Seat {
    pub(crate) env: Env,
    pub(crate) dialler: Dialler,
    pub(crate) group: Arc<str>,
    pub(crate) instance: Option<Arc<str>>,
    pub(crate) table: Arc<ProgressTable>,
    pub(crate) cluster: watch::Receiver<Arc<Cluster>>,
    pub(crate) membership: watch::Receiver<Option<Membership>>,
    pub(crate) member: Route<Released>,
    pub(crate) handlers: Route<OwnershipChanged>,
    pub(crate) suspect: Route<Suspect>,
    pub(crate) vitals: Vitals,
    pub(crate) accounts: Accounts,
    pub(crate) events: Events,
    pub(crate) request_timeout: Duration,
    /// Whether anything is committed at all.
    pub(crate) enabled: bool,
    pub(crate) config: watch::Receiver<Arc<Config>>,
    /// When to commit: after a crash of the actor too, it is known what may still take effect.
    pub(crate) schedule: Mutex<Schedule>,
    /// Revocations that go on: they survive a crash of the actor.
    pub(crate) revocations: Arc<Mutex<Vec<Revocation>>>,
    /// How often each partition had been lost when it was assigned last.
    pub(crate) losses: Mutex<BTreeMap<Partition, u64>>,
    /// The member's own word on what is owned: after a crash of this actor it is compared with the table.
    pub(crate) standing: Arc<Mutex<Standing>>,
    /// How long handlers may go on with partitions that are given up.
    pub(crate) drain: Duration,
}

/// Partitions that are being given up.
#[derive(Debug, Clone)]
pub(crate) struct Revocation {
    partitions: BTreeSet<Partition>,
    deadline: Tick,
    began: Tick,
    drained: bool,
}

/// The actor.
pub(crate) struct Checkpointer {
    seat: Arc<Seat>,
    line: Line,
    timer: Option<SpawnHandle>,
    flushed: Vec<oneshot::Sender<()>>,
    resolving: bool,
    in_flight: Option<(Occasion, BTreeMap<Partition, Commit>)>,
}

/// How often the table is compared with the member's word.
const RECONCILE: Duration = Duration::from_secs(1);
/// A respawn waits for its commit no longer than this; then positions are kept and committed later.
const FLUSH_LIMIT: Duration = Duration::from_secs(1);
const RESOLVE_AGAIN: Duration = Duration::from_millis(100);
/// A commit that is unanswered for so long leaves its connection: Kafka's own default is 30 s, a dead endpoint
/// must not cost that.
const COMMIT_PATIENCE: Duration = Duration::from_secs(2);

/// When commits are made, from the beginning on.
pub(crate) fn schedule(config: &Config, env: &Env) -> Mutex<Schedule> {
    let interval = config.checkpoint.enabled.then_some(config.checkpoint.interval);
    Mutex::new(Schedule::new(interval, config.kafka.request_timeout, env.now()))
}

impl Seat {
    fn interval(&self) -> Option<Duration> {
        self.enabled.then(|| self.config.borrow().checkpoint.interval)
    }

    fn schedule(&self) -> MutexGuard<'_, Schedule> {
        self.schedule.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn revocations(&self) -> MutexGuard<'_, Vec<Revocation>> {
        self.revocations.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether partitions are drained that wait for their last commit.
    fn is_giving_up(&self) -> bool {
        self.revocations().iter().any(|revocation| revocation.drained)
    }

    fn is_owned(&self, partition: &Partition) -> bool {
        self.table.read(partition, |progress| progress.state() != State::Unowned) == Some(true)
    }
}

impl Checkpointer {
    /// A checkpointer over the table in its seat.
    pub(crate) fn new(seat: Arc<Seat>) -> Checkpointer {
        seat.schedule().begun_anew(seat.env.now());
        let line = Line::new(seat.dialler.clone(), seat.suspect.clone(), seat.events.clone());
        let line = line.counted(seat.accounts.traffic());
        Checkpointer { seat, line, timer: None, flushed: Vec::new(), resolving: false, in_flight: None }
    }

    fn tell(&mut self, event: Event, ctx: &mut Context<Self>) {
        let actions = self.seat.schedule().handle(event, self.seat.env.now());
        for action in actions {
            match action {
                Action::Commit(occasion) => {
                    let commits = self.seat.table.to_commit();
                    self.commit(occasion, commits, ctx);
                }
                Action::CommitAll(occasion) => {
                    let commits = self.seat.table.all_commits();
                    self.commit(occasion, commits, ctx);
                }
            }
        }
        self.arm(ctx);
    }

    fn arm(&mut self, ctx: &mut Context<Self>) {
        if let Some(timer) = self.timer.take() {
            ctx.cancel_future(timer);
        }
        let Some(deadline) = self.seat.schedule().next_deadline() else { return };
        let wait = deadline.since(self.seat.env.now());
        self.timer = Some(ctx.run_later(wait, |checkpointer, ctx| {
            checkpointer.timer = None;
            checkpointer.tell(Event::DeadlineReached, ctx);
        }));
    }

    fn coordinator(&self, membership: &Membership) -> Option<Coordinator> {
        let node = membership.coordinator?;
        let cluster = self.seat.cluster.borrow();
        let (address, pin) = (cluster.address(node)?.clone(), cluster.pin.clone());
        Some(Coordinator { node, address, pin, resolution: cluster.resolution(node) })
    }

    /// What was acked of a topic that is gone says nothing about the one that has its name now.
    fn forget_recreated(&self, commits: &mut BTreeMap<Partition, Commit>) {
        let cluster = Arc::clone(&self.seat.cluster.borrow());
        commits.retain(|partition, commit| {
            let gone = commit.topic.differs(cluster.topic_id(&partition.topic));
            if gone {
                self.seat.table.update(partition, Progress::disown);
            }
            !gone
        });
    }

    fn commit(
        &mut self,
        occasion: Occasion,
        mut commits: BTreeMap<Partition, Commit>,
        ctx: &mut Context<Self>,
    ) {
        self.forget_recreated(&mut commits);
        if commits.is_empty() || !self.seat.enabled {
            return self.later(Event::NothingToCommit, ctx);
        }
        // While a round completes the coordinator refuses commits: they wait for its end. What is given up for good in
        // mid-round has no time for that, and the coordinator takes it as soon as it can.
        let may_commit = |membership: &Membership| membership.settled || self.seat.is_giving_up();
        let membership = self.seat.membership.borrow().clone();
        let Some(membership) = membership.filter(may_commit) else {
            return self.later(Event::Refused, ctx);
        };
        let Some(to) = self.coordinator(&membership) else {
            return self.later(Event::Refused, ctx);
        };
        let request = self.request(&membership, &commits);
        let (line, began) = (self.line.clone(), self.seat.env.now());
        self.in_flight = Some((occasion, commits));
        let limit = self.seat.request_timeout.min(COMMIT_PATIENCE);
        let call = async move { (line.ask(&to, &request, limit).await, to) };
        let done = call.into_actor(self).map(move |(answer, to), checkpointer, ctx| {
            let took = checkpointer.seat.env.now().since(began);
            match answer {
                Ok(answer) => checkpointer.answered(&answer, membership.generation, took, ctx),
                Err(error) => {
                    // Where a fresh connection works, the endpoint is well.
                    if !matches!(error, LineError::Silent { .. }) {
                        let (node, address) = (Some(to.node), Some(to.address));
                        let (reason, evidence) = (error.to_string(), error.evidence());
                        drop(checkpointer.seat.suspect.send(Suspect { reason, evidence, node, address }));
                    }
                    checkpointer.settle(Event::Unknown, Some(Failure::new(error.class(), error)), ctx);
                }
            }
        });
        ctx.spawn(done);
    }

    /// The machine is told after it has returned, never from within.
    fn later(&self, event: Event, ctx: &mut Context<Self>) {
        ctx.run_later(Duration::ZERO, move |checkpointer, ctx| checkpointer.settle(event, None, ctx));
    }

    fn request(
        &self,
        membership: &Membership,
        commits: &BTreeMap<Partition, Commit>,
    ) -> api::offset_commit::OffsetCommit {
        let offset = |(partition, commit): (&Partition, &Commit)| {
            let offset = api::offset_commit::CommittedOffset {
                offset: commit.offset,
                leader_epoch: commit.leader_epoch,
                metadata: Arc::from(self.delivered(partition, commit).to_string()),
            };
            (partition.clone(), offset)
        };
        api::offset_commit::OffsetCommit {
            group: Arc::clone(&self.seat.group),
            protocol: membership.protocol,
            generation: membership.generation,
            member: Arc::clone(&membership.member_id.0),
            instance: self.seat.instance.clone(),
            offsets: commits.iter().map(offset).collect(),
        }
    }

    fn answered(
        &mut self,
        answer: &api::offset_commit::OffsetCommitAnswer,
        generation: GroupGeneration,
        took: Duration,
        ctx: &mut Context<Self>,
    ) {
        let Some((occasion, commits)) = self.in_flight.clone() else { return };
        let mut refused = None;
        let mut stored = 0;
        for (partition, error) in &answer.partitions {
            let Some(commit) = commits.get(partition) else { continue };
            if error.is_ok() {
                stored += 1;
                self.seat.table.update(partition, |progress| progress.record_commit(commit));
            } else {
                refused = refused.or(Some(ErrorCode(error.0)));
            }
        }
        if stored > 0 {
            let occasion = occasion.name();
            let took_ms = took.as_secs_f64() * 1e3;
            self.seat.events.emit(Told::CheckpointCommitted { partitions: stored, occasion, took_ms });
        }
        match refused {
            None => self.settle(Event::Stored, None, ctx),
            Some(code) => {
                drop(self.seat.member.send(Released::CommitRefused { generation, code }));
                let event = match react(GroupApi::OffsetCommit, code) {
                    Reaction::RejoinLost | Reaction::RejoinAnew | Reaction::Fatal(_) => Event::Fenced,
                    Reaction::Accept
                    | Reaction::Retry
                    | Reaction::FindCoordinator
                    | Reaction::JoinWithGivenId
                    | Reaction::Rejoin
                    | Reaction::AfterRound
                    | Reaction::GiveUp => Event::Refused,
                };
                self.settle(event, Some(Failure::new(code.name().unwrap_or("unknown"), code)), ctx);
            }
        }
    }

    /// A commit has come to an end, well or not.
    fn settle(&mut self, event: Event, failure: Option<Failure>, ctx: &mut Context<Self>) {
        let in_flight = self.in_flight.take();
        let (vitals, now) = (&self.seat.vitals, self.seat.env.now());
        match event {
            Event::Stored => vitals.committed(now),
            Event::NothingToCommit => vitals.nothing_to_commit(),
            Event::Refused | Event::Fenced | Event::Unknown => vitals.commit_failed(now),
            Event::DeadlineReached | Event::Flush(_) => {}
        }
        if let (Some(failure), Some((occasion, commits))) = (failure, in_flight) {
            let (occasion, partitions) = (occasion.name(), commits.len());
            self.seat.events.emit(Told::CheckpointFailed { occasion, partitions, failure });
        }
        self.tell(event, ctx);
        if matches!(event, Event::Stored | Event::NothingToCommit | Event::Fenced) {
            for flushed in self.flushed.drain(..) {
                // Whoever asked may have stopped waiting.
                let _ = flushed.send(());
            }
            self.release_drained(ctx);
        }
    }
}

impl Actor for Checkpointer {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        ctx.add_stream(changes(self.seat.membership.clone()));
        let revocations = self.seat.revocations().clone();
        for revocation in revocations {
            self.await_drain(revocation, ctx);
        }
        self.keep_reconciling(ctx);
        self.resolve(ctx);
        self.arm(ctx);
    }
}

impl StreamHandler<Changed<Option<Membership>>> for Checkpointer {
    /// Another coordinator or generation: what waits for one can go on.
    fn handle(&mut self, _: Changed<Option<Membership>>, ctx: &mut Context<Self>) {
        self.resolve(ctx);
        if self.seat.is_giving_up() {
            self.tell(Event::Flush(Occasion::Revoke), ctx);
        }
    }

    fn finished(&mut self, _: &mut Context<Self>) {}
}

impl Handler<Ownership> for Checkpointer {
    type Result = ();

    fn handle(&mut self, ownership: Ownership, ctx: &mut Context<Self>) {
        match ownership {
            Ownership::Assigned { partitions, generation } => self.assigned(partitions, generation.0, ctx),
            Ownership::Revoked { partitions, deadline } => self.revoked(partitions, deadline, ctx),
            Ownership::Lost { partitions, reason } => {
                self.forget(&partitions);
                let (partitions, reason) = (partitions.into_iter().collect(), format!("{reason:?}"));
                self.seat.events.emit(Told::PartitionsLost { partitions, reason });
            }
        }
    }
}

impl Handler<Flush> for Checkpointer {
    type Result = ResponseFuture<()>;

    fn handle(&mut self, Flush(occasion): Flush, ctx: &mut Context<Self>) -> ResponseFuture<()> {
        let (sender, flushed) = oneshot::channel();
        self.flushed.push(sender);
        self.tell(Event::Flush(occasion), ctx);
        Box::pin(async move {
            // An end of the actor ends the wait too.
            let _ = tokio::time::timeout(FLUSH_LIMIT, flushed).await;
        })
    }
}

impl Handler<ConfigChanged> for Checkpointer {
    type Result = ();

    fn handle(&mut self, _: ConfigChanged, ctx: &mut Context<Self>) {
        self.seat.schedule().set_interval(self.seat.interval(), self.seat.env.now());
        self.arm(ctx);
    }
}

impl Handler<Crash> for Checkpointer {
    type Result = ();

    fn handle(&mut self, _: Crash, _: &mut Context<Self>) {
        panic!("asked to crash");
    }
}
