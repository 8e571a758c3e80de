//! What the member asks the coordinator: core's requests as Kafka's, the answers as core's events.

use std::collections::BTreeSet;
use std::sync::Arc;

use actix::{ActorFutureExt, AsyncContext, Context, WrapFuture};
use steadfast_core::group::MemberId;
use steadfast_core::group::actions::{Heartbeat, JoinGroup, LeaveGroup, SyncGroup};
use steadfast_core::group::assign::{Assignor, Candidate};
use steadfast_core::group::errors::ErrorCode;
use steadfast_core::group::events::{Event, JoinAnswer, RequestId};
use steadfast_core::group::subscription::Assignment;
use steadfast_core::ids::{GroupGeneration, Partition};
use steadfast_core::tick::Tick;
use steadfast_kafka::api;
use steadfast_kafka::blobs;

use super::Member;
use crate::group::line::{Line, LineError, locate};

impl Member {
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

    pub(super) fn failed(&mut self, request: RequestId, error: &LineError, ctx: &mut Context<Self>) {
        self.suspect(error.evidence(), &error.to_string());
        self.tell(Event::Unanswered { request }, ctx);
    }

    pub(super) fn join(&mut self, join: JoinGroup, ctx: &mut Context<Self>) {
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

    pub(super) fn sync(&mut self, sync: SyncGroup, ctx: &mut Context<Self>) {
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

    pub(super) fn heartbeat(&mut self, heartbeat: Heartbeat, ctx: &mut Context<Self>) {
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

    pub(super) fn leave(&mut self, leave: LeaveGroup, ctx: &mut Context<Self>) {
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
}

const PROTOCOL_TYPE: &str = "consumer";
const NO_GENERATION: GroupGeneration = GroupGeneration(-1);

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
