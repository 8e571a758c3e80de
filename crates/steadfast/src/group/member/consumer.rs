//! The one request of the consumer protocol (KIP-848).

use std::sync::Arc;

use actix::{ActorFutureExt, AsyncContext, Context, WrapFuture};
use steadfast_core::group::actions::ConsumerHeartbeat;
use steadfast_core::group::errors::ErrorCode;
use steadfast_core::group::events::{ConsumerAnswer, Event, RequestId};
use steadfast_kafka::api;
use steadfast_kafka::connection::{CallError, CallFailure};

use super::Member;
use crate::group::line::{LineError, locate};

impl Member {
    /// Sends a heartbeat. It is not repeated unseen: after an unknown outcome the next one has to say everything.
    pub(super) fn consumer_heartbeat(&mut self, heartbeat: ConsumerHeartbeat, ctx: &mut Context<Self>) {
        let Some(node) = self.found else { return };
        let request = heartbeat.request;
        let (line, seat) = (self.beats.clone(), Arc::clone(&self.seat));
        let limit = heartbeat.deadline.since(seat.env.now());
        let question = self.consumer_question(heartbeat);
        let call = async move {
            let to = locate(seat.cluster.clone(), node, limit).await?;
            let answer = line.ask(&to, &question, limit).await;
            Ok((to, answer))
        };
        let done = call.into_actor(self).map(move |outcome, member, ctx| match outcome {
            Ok((to, answer)) => {
                member.coordinator = Some(to);
                match answer {
                    Ok(answer) => member.tell(heard(request, answer), ctx),
                    Err(LineError::Silent { .. }) => member.tell(Event::OutcomeUnknown { request }, ctx),
                    Err(LineError::Call(CallError { failure: CallFailure::Version(none), .. })) => {
                        tracing::error!(%none, "the consumer protocol cannot be spoken");
                        member.tell(Event::Refused { request, code: ErrorCode::UNSUPPORTED_VERSION }, ctx);
                    }
                    Err(error) => member.failed(request, &error, ctx),
                }
            }
            Err(error) => member.failed(request, &error, ctx),
        });
        ctx.spawn(done);
    }

    fn consumer_question(
        &self,
        heartbeat: ConsumerHeartbeat,
    ) -> api::consumer_group_heartbeat::ConsumerGroupHeartbeat {
        let terms = heartbeat.terms.as_ref();
        api::consumer_group_heartbeat::ConsumerGroupHeartbeat {
            group: Arc::clone(&self.seat.settings.group),
            member: heartbeat.member_id.0,
            epoch: heartbeat.epoch,
            instance: self.seat.settings.instance.clone(),
            rack: terms.and_then(|terms| terms.rack.as_deref()).map(Arc::from),
            rebalance_timeout: terms.map(|terms| terms.rebalance_timeout),
            topics: heartbeat.topics,
            pattern: None,
            assignor: terms.and_then(|terms| terms.assignor.clone()),
            owned: heartbeat.owned,
        }
    }
}

fn heard(request: RequestId, answer: api::consumer_group_heartbeat::ConsumerGroupHeartbeatAnswer) -> Event {
    match answer.error.check() {
        Ok(()) => {
            let (epoch, interval, assignment) = (answer.epoch, answer.interval, answer.assignment);
            Event::ConsumerHeartbeatAccepted {
                request,
                answer: ConsumerAnswer { epoch, interval, assignment },
            }
        }
        Err(code) => {
            tracing::debug!(%code, message = answer.message.as_deref(), "a heartbeat was refused");
            Event::Refused { request, code: ErrorCode(code.0) }
        }
    }
}
