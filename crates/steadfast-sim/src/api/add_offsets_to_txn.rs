//! AddOffsetsToTxn (25): a transaction is going to commit offsets of a group.

use kafka_protocol::ResponseError;
use kafka_protocol::messages::{AddOffsetsToTxnRequest, AddOffsetsToTxnResponse, ResponseKind};

use crate::call::{Call, Reply};
use crate::cluster::Cluster;
use crate::transactions::{Session, add_offsets};

/// From this version on, fencing has an error of its own (KIP-588).
const SAYS_FENCED: i16 = 2;

pub(crate) fn handle(cluster: &mut Cluster, call: &Call, request: &AddOffsetsToTxnRequest) -> Reply {
    let session = Session { producer_id: request.producer_id.0, epoch: request.producer_epoch };
    let none_yet = std::iter::empty();
    let added = add_offsets(cluster, &request.transactional_id, session, &request.group_id, none_yet);
    let error = added.err().map(|error| match error {
        ResponseError::ProducerFenced if call.version < SAYS_FENCED => ResponseError::InvalidProducerEpoch,
        error => error,
    });
    let answer = AddOffsetsToTxnResponse::default().with_error_code(error.map_or(0, |error| error.code()));
    Reply::now(ResponseKind::AddOffsetsToTxn(answer))
}
