//! The member: core's machine, given connections, a clock and an arbiter of its own.
//!
//! JoinGroup and SyncGroup have a connection of their own, since the coordinator holds their answers back and is
//! deaf on that connection meanwhile; heartbeats and the leave go through another.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use actix::{Actor, ActorFutureExt, AsyncContext, Context, Handler, SpawnHandle, StreamHandler, WrapFuture};
use steadfast_core::endpoints::race::Evidence;
use steadfast_core::group::MemberId;
use steadfast_core::group::actions::{Action, Heartbeat, JoinGroup, LeaveGroup, SyncGroup};
use steadfast_core::group::assign::{Assignor, Candidate};
use steadfast_core::group::classic::ClassicMember;
use steadfast_core::group::errors::ErrorCode;
use steadfast_core::group::events::{Event, JoinAnswer, LossReason, RequestId};
use steadfast_core::group::settings::Settings;
use steadfast_core::group::standing::{Membership, Standing};
use steadfast_core::group::subscription::Assignment;
use steadfast_core::ids::{NodeId, Partition};
use steadfast_core::tick::Tick;
use steadfast_kafka::api;
use steadfast_kafka::blobs;
use steadfast_supervision::Route;
use steadfast_watch as watch;
use tokio::sync::mpsc;
use tokio::time::timeout_at;

use super::line::{Coordinator, Line, LineError, locate};
use crate::dialler::Dialler;
use crate::drift::published::Cluster;
use crate::env::Env;
use crate::events::Event as Told;
use crate::messages::{CountTopics, Crash, End, Leave, Ownership, Released, Suspect};
use crate::observers::Events;
use crate::vitals::Vitals;

/// What a member is given by wiring.
pub(crate) struct Seat {
    pub(crate) env: Env,
    pub(crate) dialler: Dialler,
    pub(crate) settings: Settings,
    pub(crate) topics: BTreeSet<Arc<str>>,
    /// What survives a crash of the actor.
    pub(crate) standing: Arc<Mutex<Standing>>,
    pub(crate) cluster: watch::Receiver<Arc<Cluster>>,
    pub(crate) membership: watch::Sender<Option<Membership>>,
    pub(crate) checkpointer: Route<Ownership>,
    pub(crate) poller: Route<CountTopics>,
    pub(crate) suspect: Route<Suspect>,
    pub(crate) vitals: Vitals,
    pub(crate) events: Events,
    pub(crate) end: mpsc::UnboundedSender<End>,
}

impl Seat {
    /// The lines for rounds and for heartbeats.
    fn lines(&self) -> (Line, Line) {
        let line = || Line::new(self.dialler.clone(), self.suspect.clone(), self.events.clone());
        let rounds = line();
        let beats = line().beside(&rounds);
        (rounds, beats)
    }
}

/// The actor.
pub(crate) struct Member {
    seat: Arc<Seat>,
    machine: ClassicMember,
    /// For JoinGroup and SyncGroup.
    rounds: Line,
    /// For Heartbeat and LeaveGroup.
    beats: Line,
    timer: Option<SpawnHandle>,
    /// Who coordinates the group, as FindCoordinator said last.
    found: Option<NodeId>,
    /// Where the coordinator was when it was last asked.
    coordinator: Option<Coordinator>,
    counted: BTreeMap<Arc<str>, i32>,
    seeds: usize,
}

impl Member {
    /// A member that goes on from the standing in its seat.
    pub(crate) fn new(seat: Arc<Seat>) -> Member {
        let standing = seat.standing.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let machine = ClassicMember::new(seat.settings.clone(), seat.topics.clone(), standing);
        let (rounds, beats) = seat.lines();
        Member {
            seat,
            machine,
            rounds,
            beats,
            timer: None,
            found: None,
            coordinator: None,
            counted: BTreeMap::new(),
            seeds: 0,
        }
    }

    fn tell(&mut self, event: Event, ctx: &mut Context<Self>) {
        let now = self.seat.env.now();
        let actions = self.machine.handle(event, now);
        *self.seat.standing.lock().unwrap_or_else(PoisonError::into_inner) = self.machine.standing().clone();
        for action in actions {
            self.act(action, ctx);
        }
        self.arm(ctx);
    }

    fn arm(&mut self, ctx: &mut Context<Self>) {
        if let Some(timer) = self.timer.take() {
            ctx.cancel_future(timer);
        }
        let Some(deadline) = self.machine.next_deadline() else { return };
        let wait = deadline.since(self.seat.env.now());
        self.timer = Some(ctx.run_later(wait, |member, ctx| {
            member.timer = None;
            member.tell(Event::DeadlineReached, ctx);
        }));
    }

    fn act(&mut self, action: Action, ctx: &mut Context<Self>) {
        match action {
            Action::FindCoordinator { request, deadline } => self.find(request, deadline, ctx),
            Action::Join(join) => self.join(join, ctx),
            Action::Sync(sync) => self.sync(sync, ctx),
            Action::Heartbeat(heartbeat) => self.heartbeat(heartbeat, ctx),
            Action::Leave(leave) => self.leave(leave, ctx),
            Action::CountPartitions { topics } => drop(self.seat.poller.send(CountTopics(topics))),
            Action::Revoke { partitions, deadline } => self.own(Ownership::Revoked { partitions, deadline }),
            Action::Assign { partitions, generation } => {
                self.own(Ownership::Assigned { partitions, generation })
            }
            Action::Lost { partitions, reason } => self.own(Ownership::Lost { partitions, reason }),
            Action::Publish(membership) => {
                let settled = membership.as_ref().is_some_and(|membership| membership.settled);
                self.seat.vitals.settled(settled, self.seat.env.now());
                self.seat.membership.send_replace(membership);
            }
            Action::Rebalanced(rebalance) => {
                let took = rebalance.took.drain + rebalance.took.join + rebalance.took.sync;
                self.seat.events.emit(Told::GroupRebalanced {
                    generation: rebalance.generation.0,
                    reason: rebalance.reason.to_string(),
                    assignor: rebalance.assignor.name().to_owned(),
                    led: rebalance.leader,
                    took_ms: took.as_secs_f64() * 1e3,
                });
            }
            Action::CoordinatorLost { reason } => {
                let evidence = if reason == LossReason::Silent { Evidence::Silent } else { Evidence::Broken };
                self.suspect(evidence, &format!("the group coordinator: {reason}"));
            }
            Action::Noted { api, code, reaction } => {
                tracing::debug!(?api, ?code, ?reaction, "the coordinator refused a request");
            }
            Action::Left => drop(self.seat.end.send(End::Left)),
            Action::Fatal(refusal) => {
                self.seat.events.emit(Told::MemberRefused { reason: refusal.to_string() });
                drop(self.seat.end.send(End::Refused(refusal.to_string())));
            }
        }
    }

    /// Without a checkpointer (it is being begun anew) the ownership is taken from the member's standing.
    fn own(&self, ownership: Ownership) {
        drop(self.seat.checkpointer.send(ownership));
    }

    fn suspect(&self, evidence: Evidence, reason: &str) {
        let (node, address) = match &self.coordinator {
            Some(Coordinator { node, address, .. }) => (Some(*node), Some(address.clone())),
            None => (None, None),
        };
        drop(self.seat.suspect.send(Suspect { reason: reason.to_owned(), evidence, node, address }));
    }

    /// Asks one verified broker after another, each time on a fresh connection.
    fn find(&mut self, request: RequestId, deadline: Tick, ctx: &mut Context<Self>) {
        self.found = None;
        self.coordinator = None;
        (self.rounds, self.beats) = self.seat.lines();
        self.seeds += 1;
        let (seat, turn) = (Arc::clone(&self.seat), self.seeds);
        let limit = deadline.since(seat.env.now());
        let search = async move { find_coordinator(&seat, turn, limit).await };
        let done = search.into_actor(self).map(move |found, member, ctx| match found {
            Some(Ok(coordinator)) => {
                member.found = Some(coordinator);
                member.tell(Event::CoordinatorFound { request, coordinator }, ctx);
            }
            Some(Err(code)) => member.tell(Event::Refused { request, code }, ctx),
            None => member.tell(Event::Unanswered { request }, ctx),
        });
        ctx.spawn(done);
    }

    /// Sends a request on a line; tells the machine what `answered` makes of the answer.
    fn request<A: api::Api + Clone + 'static>(
        &mut self,
        line: Line,
        question: A,
        (request, deadline): (RequestId, Tick),
        ctx: &mut Context<Self>,
        answered: impl FnOnce(A::Answer) -> Event + 'static,
    ) {
        let Some(node) = self.found else { return };
        let limit = deadline.since(self.seat.env.now());
        let cluster = self.seat.cluster.clone();
        let call = async move {
            let to = locate(cluster, node, limit).await?;
            let answer = line.call(&to, question, limit).await;
            Ok((to, answer))
        };
        let done = call.into_actor(self).map(move |outcome, member, ctx| match outcome {
            Ok((to, answer)) => {
                member.coordinator = Some(to);
                match answer {
                    Ok(answer) => member.tell(answered(answer), ctx),
                    Err(error) => member.failed(request, &error, ctx),
                }
            }
            Err(error) => member.failed(request, &error, ctx),
        });
        ctx.spawn(done);
    }

    fn failed(&mut self, request: RequestId, error: &LineError, ctx: &mut Context<Self>) {
        self.suspect(error.evidence(), &error.to_string());
        self.tell(Event::Unanswered { request }, ctx);
    }

    fn join(&mut self, join: JoinGroup, ctx: &mut Context<Self>) {
        let settings = &self.seat.settings;
        let request = join.request;
        let protocol = |assignor: &Assignor| {
            let metadata = blobs::write_subscription(*assignor, &join.subscription)?;
            Ok((Arc::from(assignor.name()), metadata))
        };
        let protocols: Result<Vec<_>, blobs::BlobError> = join.assignors.iter().map(protocol).collect();
        let protocols = match protocols {
            Ok(protocols) => protocols,
            Err(error) => return tracing::error!(%error, "the subscription cannot be written"),
        };
        let question = api::join_group::JoinGroup {
            group: Arc::clone(&settings.group),
            session_timeout: settings.session_timeout,
            rebalance_timeout: settings.rebalance_timeout,
            member: text(join.member_id.as_ref()),
            instance: settings.instance.clone(),
            protocol_type: Arc::from(PROTOCOL_TYPE),
            protocols,
            reason: Some(Arc::from(join.reason.to_string())),
        };
        self.request(self.rounds.clone(), question, (request, join.deadline), ctx, move |answer| {
            joined(request, answer)
        });
    }

    fn sync(&mut self, sync: SyncGroup, ctx: &mut Context<Self>) {
        let settings = &self.seat.settings;
        let request = sync.request;
        let assignment = |(member, partitions): (&MemberId, &BTreeSet<Partition>)| {
            let assignment = Assignment { partitions: partitions.clone(), user_data: Vec::new() };
            Ok((Arc::clone(&member.0), blobs::write_assignment(&assignment)?))
        };
        let assignments: Result<Vec<_>, blobs::BlobError> = sync.assignments.iter().map(assignment).collect();
        let assignments = match assignments {
            Ok(assignments) => assignments,
            Err(error) => return tracing::error!(%error, "the assignment cannot be written"),
        };
        let question = api::sync_group::SyncGroup {
            group: Arc::clone(&settings.group),
            generation: sync.generation,
            member: Arc::clone(&sync.member_id.0),
            instance: settings.instance.clone(),
            protocol_type: Arc::from(PROTOCOL_TYPE),
            protocol: Arc::from(sync.assignor.name()),
            assignments,
        };
        self.request(self.rounds.clone(), question, (request, sync.deadline), ctx, move |answer| match code(
            answer.error,
        ) {
            Err(code) => Event::Refused { request, code },
            Ok(()) => {
                let assignment = blobs::read_assignment(&answer.assignment).unwrap_or_default();
                Event::Synced { request, assignment }
            }
        });
    }

    fn heartbeat(&mut self, heartbeat: Heartbeat, ctx: &mut Context<Self>) {
        let settings = &self.seat.settings;
        let request = heartbeat.request;
        // An instance's name without its member id would be taken for another process with that name, and fenced.
        let question = api::heartbeat::Heartbeat {
            group: Arc::clone(&settings.group),
            generation: heartbeat.generation.unwrap_or(NO_GENERATION),
            member: text(heartbeat.member_id.as_ref()),
            instance: settings.instance.clone().filter(|_| heartbeat.member_id.is_some()),
        };
        let Some(node) = self.found else { return };
        let (line, seat) = (self.beats.clone(), Arc::clone(&self.seat));
        let limit = heartbeat.deadline.since(seat.env.now());
        let call = async move {
            let to = locate(seat.cluster.clone(), node, limit).await?;
            let answer = line.insist(&to, question, limit).await;
            Ok((to.clone(), answer))
        };
        let done = call.into_actor(self).map(move |outcome, member, ctx| match outcome {
            Ok((to, Ok(answer))) => {
                member.coordinator = Some(to);
                let event = match code(answer.error) {
                    Ok(()) => Event::HeartbeatAccepted { request },
                    Err(code) => Event::Refused { request, code },
                };
                member.tell(event, ctx);
            }
            Ok((to, Err(error))) => {
                member.coordinator = Some(to);
                member.failed(request, &error, ctx);
            }
            Err(error) => member.failed(request, &error, ctx),
        });
        ctx.spawn(done);
    }

    fn leave(&mut self, leave: LeaveGroup, ctx: &mut Context<Self>) {
        let request = leave.request;
        let question = api::leave_group::LeaveGroup {
            group: Arc::clone(&self.seat.settings.group),
            members: vec![api::leave_group::LeavingMember {
                member: Arc::clone(&leave.member_id.0),
                instance: self.seat.settings.instance.clone(),
                reason: Some(Arc::clone(&leave.reason)),
            }],
        };
        self.request(self.beats.clone(), question, (request, leave.deadline), ctx, move |answer| {
            let whole = Some(answer.error).filter(|error| !error.is_ok());
            let outcome =
                whole.or(answer.members.first().map(|left| left.error)).unwrap_or(api::ErrorCode::NONE);
            match code(outcome) {
                Ok(()) => Event::LeaveAccepted { request },
                Err(code) => Event::Refused { request, code },
            }
        });
    }

    /// The published cluster changed: partition counts, or the coordinator's address.
    fn observe(&mut self, ctx: &mut Context<Self>) {
        let (counts, moved) = {
            let cluster = self.seat.cluster.borrow();
            let moved = self.coordinator.as_ref().is_some_and(|coordinator| {
                cluster.address(coordinator.node).is_some_and(|address| *address != coordinator.address)
            });
            (cluster.partition_counts(), moved)
        };
        if moved {
            self.tell(Event::CoordinatorLost { reason: LossReason::EndpointMoved }, ctx);
        }
        if counts != self.counted {
            self.counted = counts.clone();
            self.tell(Event::PartitionsChanged { counts }, ctx);
        }
    }
}

const PROTOCOL_TYPE: &str = "consumer";
const NO_GENERATION: steadfast_core::ids::GroupGeneration = steadfast_core::ids::GroupGeneration(-1);

fn text(member_id: Option<&MemberId>) -> Arc<str> {
    member_id.map_or_else(|| Arc::from(""), |id| Arc::clone(&id.0))
}

fn code(error: api::ErrorCode) -> Result<(), ErrorCode> {
    error.check().map_err(|code| ErrorCode(code.0))
}

fn joined(request: RequestId, answer: api::join_group::JoinGroupAnswer) -> Event {
    if answer.error == api::ErrorCode::MEMBER_ID_REQUIRED {
        return Event::MemberIdRequired { request, member_id: MemberId(answer.member) };
    }
    if let Err(code) = code(answer.error) {
        return Event::Refused { request, code };
    }
    let assignor = answer.protocol.as_deref().unwrap_or_default().to_owned();
    let candidate = |member: api::join_group::JoinedMember| {
        let id = MemberId(member.member);
        let (candidate, error) = blobs::read_candidate(&assignor, id, member.instance, &member.metadata);
        if let Some(error) = error {
            // One member's undecodable bytes must not fail the group: it then wants nothing.
            tracing::warn!(member = %candidate.id, %error, "a member's subscription cannot be read");
        }
        candidate
    };
    let members: Vec<Candidate> = answer.members.into_iter().map(candidate).collect();
    Event::Joined {
        request,
        answer: JoinAnswer {
            generation: answer.generation,
            member_id: MemberId(answer.member),
            assignor,
            leader: MemberId(answer.leader),
            members,
            skip_assignment: answer.skip_assignment,
        },
    }
}

/// Asks a verified broker who coordinates the group; none if nobody answered in time.
async fn find_coordinator(seat: &Seat, turn: usize, limit: Duration) -> Option<Result<NodeId, ErrorCode>> {
    let until = tokio::time::Instant::now() + limit;
    let mut cluster = seat.cluster.clone();
    let known = |cluster: &Arc<Cluster>| !cluster.verified.is_empty();
    let (brokers, pin) = match timeout_at(until, cluster.wait_for(known)).await {
        Ok(Ok(cluster)) => (cluster.verified(), cluster.pin.clone()),
        Ok(Err(_)) | Err(_) => return None,
    };
    let at = turn % brokers.len().max(1);
    let (node, address) = brokers.into_iter().nth(at)?;
    let question = api::find_coordinator::FindCoordinator { group: Arc::clone(&seat.settings.group) };
    let connection = seat.dialler.open(address.clone(), Some(node), pin).await;
    let answer = match connection {
        Ok(connection) => connection.call(question, limit).await.map_err(LineError::from),
        Err(error) => Err(error.into()),
    };
    match answer {
        Ok(answer) => Some(answer.coordinator.map(|found| found.node).map_err(|code| ErrorCode(code.0))),
        Err(error) => {
            let (reason, evidence) = (error.to_string(), error.evidence());
            drop(seat.suspect.send(Suspect { reason, evidence, node: Some(node), address: Some(address) }));
            None
        }
    }
}

impl Actor for Member {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        let changes = crate::watching::changes(self.seat.cluster.clone());
        ctx.add_stream(changes);
        // The partition counts are to be known before the first round.
        self.observe(ctx);
        self.tell(Event::Start, ctx);
    }
}

impl StreamHandler<crate::watching::Changed<Arc<Cluster>>> for Member {
    fn handle(&mut self, _: crate::watching::Changed<Arc<Cluster>>, ctx: &mut Context<Self>) {
        self.observe(ctx);
    }

    /// The end of the published cluster is the end of the service, not of the membership.
    fn finished(&mut self, _: &mut Context<Self>) {}
}

impl Handler<Released> for Member {
    type Result = ();

    fn handle(&mut self, released: Released, ctx: &mut Context<Self>) {
        let event = match released {
            Released::Partitions(partitions) => Event::Revoked { partitions },
            Released::CommitRefused { generation, code } => Event::CommitRefused { generation, code },
        };
        self.tell(event, ctx);
    }
}

impl Handler<Leave> for Member {
    type Result = ();

    fn handle(&mut self, leave: Leave, ctx: &mut Context<Self>) {
        self.tell(Event::Leave { reason: leave.reason }, ctx);
    }
}

impl Handler<Crash> for Member {
    type Result = ();

    fn handle(&mut self, _: Crash, _: &mut Context<Self>) {
        panic!("asked to crash");
    }
}
