//! InitProducerId (22): an id for an idempotent producer, and the beginning of a transactional one.

use std::time::Duration;

use kafka_protocol::ResponseError;
use kafka_protocol::messages::{InitProducerIdRequest, InitProducerIdResponse, ResponseKind};

use crate::call::{Call, Reply};
use crate::cluster::Cluster;
use crate::transactions::{Session, begin_session};

/// From this version on, fencing has an error of its own (KIP-588).
const SAYS_FENCED: i16 = 4;

pub(crate) fn handle(cluster: &mut Cluster, call: &Call, request: &InitProducerIdRequest) -> Reply {
    let answer = InitProducerIdResponse::default();
    let answer = match session(cluster, request) {
        Ok(session) => answer.with_producer_id(session.producer_id.into()).with_producer_epoch(session.epoch),
        Err(error) => {
            let fenced = error == ResponseError::ProducerFenced && call.version < SAYS_FENCED;
            let error = if fenced { ResponseError::InvalidProducerEpoch } else { error };
            answer.with_error_code(error.code()).with_producer_id((-1).into()).with_producer_epoch(-1)
        }
    };
    Reply::now(ResponseKind::InitProducerId(answer))
}

fn session(cluster: &mut Cluster, request: &InitProducerIdRequest) -> Result<Session, ResponseError> {
    let Some(id) = &request.transactional_id else {
        return Ok(Session { producer_id: cluster.producers.fresh_id(), epoch: 0 });
    };
    if id.is_empty() {
        return Err(ResponseError::InvalidRequest);
    }
    let timeout = Duration::from_millis(u64::try_from(request.transaction_timeout_ms).unwrap_or(0));
    let before = Session { producer_id: request.producer_id.0, epoch: request.producer_epoch };
    begin_session(cluster, id, timeout, before)
}
