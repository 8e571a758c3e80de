//! EndTxn (26): a transaction is committed or aborted.

use kafka_protocol::ResponseError;
use kafka_protocol::messages::{EndTxnRequest, EndTxnResponse, ResponseKind};

use crate::call::{Call, Reply};
use crate::cluster::Cluster;
use crate::transactions::{Session, end};

/// From this version on, fencing has an error of its own (KIP-588).
const SAYS_FENCED: i16 = 2;

pub(crate) fn handle(cluster: &mut Cluster, call: &Call, request: &EndTxnRequest) -> Reply {
    let session = Session { producer_id: request.producer_id.0, epoch: request.producer_epoch };
    let ended = end(cluster, &request.transactional_id, session, request.committed);
    let error = ended.err().map(|error| match error {
        ResponseError::ProducerFenced if call.version < SAYS_FENCED => ResponseError::InvalidProducerEpoch,
        error => error,
    });
    let answer = EndTxnResponse::default().with_error_code(error.map_or(0, |error| error.code()));
    Reply::now(ResponseKind::EndTxn(answer))
}
