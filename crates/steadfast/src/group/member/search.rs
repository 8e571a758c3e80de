//! Who coordinates the group.

use std::sync::Arc;
use std::time::Duration;

use actix::{ActorFutureExt, AsyncContext, Context, WrapFuture};
use steadfast_core::group::errors::ErrorCode;
use steadfast_core::group::events::{Event, RequestId};
use steadfast_core::ids::NodeId;
use steadfast_core::tick::Tick;
use steadfast_kafka::api;
use tokio::time::timeout_at;

use super::{Member, Seat};
use crate::drift::published::Cluster;
use crate::group::line::LineError;
use crate::messages::Suspect;

impl Member {
    /// Asks one verified broker after another, each time on a fresh connection.
    pub(super) fn find(&mut self, request: RequestId, deadline: Tick, ctx: &mut Context<Self>) {
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
