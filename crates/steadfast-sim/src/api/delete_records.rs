//! DeleteRecords (21): a log begins later.

use kafka_protocol::ResponseError;
use kafka_protocol::messages::delete_records_request::DeleteRecordsPartition;
use kafka_protocol::messages::delete_records_response::{
    DeleteRecordsPartitionResult, DeleteRecordsTopicResult,
};
use kafka_protocol::messages::{DeleteRecordsRequest, DeleteRecordsResponse, ResponseKind};
use steadfast_core::ids::{Offset, Partition};

use crate::call::{Call, Reply};
use crate::cluster::Cluster;
use crate::topics::Asked;

/// All records that can be read.
const UP_TO_HIGH_WATERMARK: i64 = -1;

pub(crate) fn handle(cluster: &mut Cluster, call: &Call, request: &DeleteRecordsRequest) -> Reply {
    let topics = request.topics.iter().map(|topic| {
        let partitions = topic.partitions.iter().map(|asked| {
            let result = DeleteRecordsPartitionResult::default().with_partition_index(asked.partition_index);
            match delete(cluster, call, &topic.name, asked) {
                Ok(start) => result.with_low_watermark(start.0),
                Err(error) => result.with_low_watermark(-1).with_error_code(error.code()),
            }
        });
        DeleteRecordsTopicResult::default()
            .with_name(topic.name.clone())
            .with_partitions(partitions.collect())
    });
    Reply::now(ResponseKind::DeleteRecords(DeleteRecordsResponse::default().with_topics(topics.collect())))
}

fn delete(
    cluster: &mut Cluster,
    call: &Call,
    topic: &str,
    asked: &DeleteRecordsPartition,
) -> Result<Offset, ResponseError> {
    let whom = Asked { node: call.node, leader_epoch: -1, of_leader: true };
    let log = &cluster.topics.hosted(topic, asked.partition_index, whom)?.log;
    let before = match asked.offset {
        UP_TO_HIGH_WATERMARK => log.high_watermark(),
        offset => Offset(offset),
    };
    if before < Offset(0) || before > log.high_watermark() {
        return Err(ResponseError::OffsetOutOfRange);
    }
    let deleted = cluster.delete_before(&Partition::new(topic, asked.partition_index), before);
    deleted.map_err(|error| (&error).into())
}

#[cfg(test)]
mod tests {
    use kafka_protocol::messages::delete_records_request::DeleteRecordsTopic;
    use kafka_protocol::messages::{RequestKind, TopicName};
    use kafka_protocol::protocol::StrBytes;

    use super::*;
    use crate::asking::{ask, cluster, records, t};

    fn delete_at(cluster: &mut Cluster, node: i32, offset: i64) -> (i64, i16) {
        let topic = DeleteRecordsTopic::default()
            .with_name(TopicName(StrBytes::from_static_str("t")))
            .with_partitions(vec![DeleteRecordsPartition::default().with_offset(offset)]);
        let request = DeleteRecordsRequest::default().with_topics(vec![topic]);
        match ask(cluster, node, 2, RequestKind::DeleteRecords(request)) {
            ResponseKind::DeleteRecords(deleted) => {
                let result = &deleted.topics[0].partitions[0];
                (result.low_watermark, result.error_code)
            }
            other => panic!("expected deleted records, found {other:?}"),
        }
    }

    #[test]
    fn the_leader_deletes_what_is_below_the_high_watermark() {
        let mut cluster = cluster();
        cluster.append(&t(0), records(10)).unwrap();
        assert_eq!(delete_at(&mut cluster, 1, 4), (4, 0));
        assert_eq!(delete_at(&mut cluster, 1, 11), (-1, ResponseError::OffsetOutOfRange.code()));
        assert_eq!(delete_at(&mut cluster, 2, 5), (-1, ResponseError::NotLeaderOrFollower.code()));
        assert_eq!(delete_at(&mut cluster, 1, -1), (10, 0));
    }
}
