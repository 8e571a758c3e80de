//! OffsetForLeaderEpoch (23): where an epoch's records end, by which a client notices a truncation (KIP-320).

use kafka_protocol::ResponseError;
use kafka_protocol::messages::offset_for_leader_epoch_request::OffsetForLeaderPartition;
use kafka_protocol::messages::offset_for_leader_epoch_response::{
    EpochEndOffset, OffsetForLeaderTopicResult,
};
use kafka_protocol::messages::{OffsetForLeaderEpochRequest, OffsetForLeaderEpochResponse, ResponseKind};
use steadfast_core::ids::LeaderEpoch;

use crate::call::{Call, Reply};
use crate::cluster::Cluster;
use crate::topics::Asked;

pub(crate) fn handle(cluster: &mut Cluster, call: &Call, request: &OffsetForLeaderEpochRequest) -> Reply {
    let topics = request.topics.iter().map(|topic| {
        let ends = topic.partitions.iter().map(|asked| {
            let found = end(cluster, call, &topic.topic.0, asked);
            found
                .unwrap_or_else(|error| EpochEndOffset::default().with_error_code(error.code()))
                .with_partition(asked.partition)
        });
        OffsetForLeaderTopicResult::default().with_topic(topic.topic.clone()).with_partitions(ends.collect())
    });
    let answer = OffsetForLeaderEpochResponse::default().with_topics(topics.collect());
    Reply::now(ResponseKind::OffsetForLeaderEpoch(answer))
}

/// Epoch and offset are -1 if the log cannot tell.
fn end(
    cluster: &Cluster,
    call: &Call,
    topic: &str,
    asked: &OffsetForLeaderPartition,
) -> Result<EpochEndOffset, ResponseError> {
    let whom = Asked { node: call.node, leader_epoch: asked.current_leader_epoch, of_leader: true };
    let log = &cluster.topics.hosted(topic, asked.partition, whom)?.log;
    let end = log.end_of_epoch(LeaderEpoch(asked.leader_epoch));
    Ok(end.map_or_else(EpochEndOffset::default, |(epoch, offset)| {
        EpochEndOffset::default().with_leader_epoch(epoch.0).with_end_offset(offset.0)
    }))
}
