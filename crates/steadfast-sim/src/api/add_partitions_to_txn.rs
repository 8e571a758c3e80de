//! AddPartitionsToTxn (24): what a transaction is going to write to.

use kafka_protocol::ResponseError;
use kafka_protocol::messages::add_partitions_to_txn_response::{
    AddPartitionsToTxnPartitionResult, AddPartitionsToTxnTopicResult,
};
use kafka_protocol::messages::{AddPartitionsToTxnRequest, AddPartitionsToTxnResponse, ResponseKind};
use steadfast_core::ids::Partition;

use crate::call::{Call, Reply};
use crate::cluster::Cluster;
use crate::transactions::{Session, add_partitions};

/// From this version on, fencing has an error of its own (KIP-588).
const SAYS_FENCED: i16 = 2;

pub(crate) fn handle(cluster: &mut Cluster, call: &Call, request: &AddPartitionsToTxnRequest) -> Reply {
    let topics = &request.v3_and_below_topics;
    let named = topics.iter().flat_map(|topic| topic.partitions.iter().map(move |index| (topic, *index)));
    let exists = |name: &str, index| cluster.topics.get(name, index).is_some();
    let all_exist = named.clone().all(|(topic, index)| exists(&topic.name, index));
    let refused: Vec<bool> = named.clone().map(|(topic, index)| !exists(&topic.name, index)).collect();
    let added = if all_exist {
        let session = Session {
            producer_id: request.v3_and_below_producer_id.0,
            epoch: request.v3_and_below_producer_epoch,
        };
        let partitions = named.map(|(topic, index)| Partition::new(topic.name.as_str(), index));
        add_partitions(cluster, &request.v3_and_below_transactional_id, session, partitions)
    } else {
        // All or none: the others are told that nothing was tried.
        Err(ResponseError::OperationNotAttempted)
    };
    let code = match added {
        Ok(()) => 0,
        Err(ResponseError::ProducerFenced) if call.version < SAYS_FENCED => {
            ResponseError::InvalidProducerEpoch.code()
        }
        Err(error) => error.code(),
    };
    let mut refused = refused.into_iter();
    let results = topics.iter().map(|topic| {
        let partitions = topic.partitions.iter().zip(&mut refused).map(|(index, refused)| {
            let code = if refused { ResponseError::UnknownTopicOrPartition.code() } else { code };
            AddPartitionsToTxnPartitionResult::default()
                .with_partition_index(*index)
                .with_partition_error_code(code)
        });
        AddPartitionsToTxnTopicResult::default()
            .with_name(topic.name.clone())
            .with_results_by_partition(partitions.collect())
    });
    let answer = AddPartitionsToTxnResponse::default().with_results_by_topic_v3_and_below(results.collect());
    Reply::now(ResponseKind::AddPartitionsToTxn(answer))
}
