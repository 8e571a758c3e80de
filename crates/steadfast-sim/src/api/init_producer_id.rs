//! InitProducerId (22): an id for an idempotent producer.

use kafka_protocol::ResponseError;
use kafka_protocol::messages::{InitProducerIdRequest, InitProducerIdResponse, ResponseKind};

use crate::call::{Call, Reply};
use crate::cluster::Cluster;

pub(crate) fn handle(cluster: &mut Cluster, _: &Call, request: &InitProducerIdRequest) -> Reply {
    let answer = if request.transactional_id.is_some() {
        let error = ResponseError::CoordinatorNotAvailable.code();
        InitProducerIdResponse::default()
            .with_error_code(error)
            .with_producer_id((-1).into())
            .with_producer_epoch(-1)
    } else {
        let id = cluster.producers.fresh_id();
        InitProducerIdResponse::default().with_producer_id(id.into()).with_producer_epoch(0)
    };
    Reply::now(ResponseKind::InitProducerId(answer))
}
