//! TxnOffsetCommit (28): offsets that a group commits with a transaction.

use kafka_protocol::ResponseError;
use kafka_protocol::messages::txn_offset_commit_request::TxnOffsetCommitRequestTopic;
use kafka_protocol::messages::txn_offset_commit_response::{
    TxnOffsetCommitResponsePartition, TxnOffsetCommitResponseTopic,
};
use kafka_protocol::messages::{ResponseKind, TxnOffsetCommitRequest, TxnOffsetCommitResponse};
use steadfast_core::ids::{LeaderEpoch, Offset, Partition};

use crate::call::{Call, Reply};
use crate::cluster::Cluster;
use crate::groups;
use crate::offsets::CommittedOffset;
use crate::transactions::{Session, add_offsets};

pub(crate) fn handle(cluster: &mut Cluster, call: &Call, request: &TxnOffsetCommitRequest) -> Reply {
    let code = match admit(cluster, call, request) {
        Ok(()) => 0,
        // Clients of any version know this one here.
        Err(ResponseError::ProducerFenced) => ResponseError::InvalidProducerEpoch.code(),
        Err(error) => error.code(),
    };
    let topics = request.topics.iter().map(|topic| {
        let partitions = topic.partitions.iter().map(|partition| {
            let index = partition.partition_index;
            let unknown = cluster.topics.get(&topic.name, index).is_none();
            let code = if unknown { ResponseError::UnknownTopicOrPartition.code() } else { code };
            TxnOffsetCommitResponsePartition::default().with_partition_index(index).with_error_code(code)
        });
        TxnOffsetCommitResponseTopic::default()
            .with_name(topic.name.clone())
            .with_partitions(partitions.collect())
    });
    let answer = TxnOffsetCommitResponse::default().with_topics(topics.collect());
    Reply::now(ResponseKind::TxnOffsetCommit(answer))
}

fn admit(cluster: &mut Cluster, call: &Call, request: &TxnOffsetCommitRequest) -> Result<(), ResponseError> {
    groups::admit_in_transaction(cluster, call, request)?;
    let session = Session { producer_id: request.producer_id.0, epoch: request.producer_epoch };
    let offsets: Vec<_> = request
        .topics
        .iter()
        .flat_map(offsets)
        .filter(|(partition, _)| groups::partition_exists(cluster, partition))
        .collect();
    add_offsets(cluster, &request.transactional_id, session, request.group_id.as_str(), offsets)
}

fn offsets(topic: &TxnOffsetCommitRequestTopic) -> impl Iterator<Item = (Partition, CommittedOffset)> + '_ {
    topic.partitions.iter().map(|partition| {
        let offset = CommittedOffset {
            offset: Offset(partition.committed_offset),
            leader_epoch: LeaderEpoch(partition.committed_leader_epoch).known(),
            metadata: partition.committed_metadata.as_ref().map_or("", |text| text.as_str()).into(),
        };
        (Partition::new(topic.name.as_str(), partition.partition_index), offset)
    })
}
