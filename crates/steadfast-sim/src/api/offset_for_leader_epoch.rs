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

#[cfg(test)]
mod tests {
    use kafka_protocol::messages::offset_for_leader_epoch_request::OffsetForLeaderTopic;
    use kafka_protocol::messages::{RequestKind, TopicName};
    use kafka_protocol::protocol::StrBytes;
    use steadfast_core::ids::Offset;

    use super::*;
    use crate::asking::{ask, cluster, records, t};

    fn end_of(cluster: &mut Cluster, current: i32, epoch: i32) -> (i32, i64, i16) {
        let partition =
            OffsetForLeaderPartition::default().with_current_leader_epoch(current).with_leader_epoch(epoch);
        let topic = OffsetForLeaderTopic::default()
            .with_topic(TopicName(StrBytes::from_static_str("t")))
            .with_partitions(vec![partition]);
        let request = OffsetForLeaderEpochRequest::default().with_topics(vec![topic]);
        match ask(cluster, 1, 4, RequestKind::OffsetForLeaderEpoch(request)) {
            ResponseKind::OffsetForLeaderEpoch(answer) => {
                let end = &answer.topics[0].partitions[0];
                (end.leader_epoch, end.end_offset, end.error_code)
            }
            other => panic!("expected ends of epochs, found {other:?}"),
        }
    }

    #[test]
    fn after_a_truncation_the_epoch_ends_where_records_were_lost() {
        let mut cluster = cluster();
        for _ in 0..2 {
            cluster.append(&t(0), records(10)).unwrap();
        }
        cluster.truncate(&t(0), Offset(10)).unwrap();
        assert_eq!(end_of(&mut cluster, 1, 0), (0, 10, 0));
        assert_eq!(end_of(&mut cluster, 1, 1), (1, 10, 0));
        assert_eq!(end_of(&mut cluster, 1, 2), (-1, -1, 0));
    }

    #[test]
    fn whoever_knows_another_leader_is_told_so() {
        let mut cluster = cluster();
        assert_eq!(end_of(&mut cluster, 1, 0).2, ResponseError::UnknownLeaderEpoch.code());
        cluster.truncate(&t(0), Offset(0)).unwrap();
        assert_eq!(end_of(&mut cluster, 0, 0).2, ResponseError::FencedLeaderEpoch.code());
    }
}
