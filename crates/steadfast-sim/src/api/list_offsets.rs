//! ListOffsets (2): the offsets at the ends of a log, or at a time.

use kafka_protocol::ResponseError;
use kafka_protocol::messages::list_offsets_request::ListOffsetsPartition;
use kafka_protocol::messages::list_offsets_response::{
    ListOffsetsPartitionResponse, ListOffsetsTopicResponse,
};
use kafka_protocol::messages::{ListOffsetsRequest, ListOffsetsResponse, ResponseKind};
use steadfast_core::ids::Offset;

use crate::call::{Call, Reply};
use crate::cluster::Cluster;
use crate::log::Log;
use crate::topics::Asked;

const READ_COMMITTED: i8 = 1;
const LATEST: i64 = -1;
const EARLIEST: i64 = -2;
const MAX_TIMESTAMP: i64 = -3;
const EARLIEST_LOCAL: i64 = -4;
const LATEST_TIERED: i64 = -5;
/// From this version on, offsets come with their leader epoch (KIP-320).
const WITH_EPOCH: i16 = 4;

pub(crate) fn handle(cluster: &mut Cluster, call: &Call, request: &ListOffsetsRequest) -> Reply {
    let topics = request.topics.iter().map(|topic| {
        let partitions = topic.partitions.iter().map(|asked| {
            let answer = ListOffsetsPartitionResponse::default().with_partition_index(asked.partition_index);
            find(cluster, call, request.isolation_level, &topic.name.0, asked).map_or_else(
                |error| answer.clone().with_error_code(error.code()),
                |found| found.with_partition_index(asked.partition_index),
            )
        });
        ListOffsetsTopicResponse::default()
            .with_name(topic.name.clone())
            .with_partitions(partitions.collect())
    });
    Reply::now(ResponseKind::ListOffsets(ListOffsetsResponse::default().with_topics(topics.collect())))
}

fn find(
    cluster: &Cluster,
    call: &Call,
    isolation: i8,
    topic: &str,
    asked: &ListOffsetsPartition,
) -> Result<ListOffsetsPartitionResponse, ResponseError> {
    let whom = Asked { node: call.node, leader_epoch: asked.current_leader_epoch, of_leader: true };
    let log = &cluster.topics.hosted(topic, asked.partition_index, whom)?.log;
    let until = if isolation == READ_COMMITTED { log.last_stable() } else { log.high_watermark() };
    let Some((offset, time)) = at(log, asked.timestamp, until)? else {
        return Ok(ListOffsetsPartitionResponse::default());
    };
    let found = ListOffsetsPartitionResponse::default().with_offset(offset.0).with_timestamp(time);
    Ok(if call.version >= WITH_EPOCH { found.with_leader_epoch(log.epoch_at(offset).0) } else { found })
}

/// The offset that a timestamp, or one of the special ones, stands for, and its time (-1 for the ends).
fn at(log: &Log, timestamp: i64, until: Offset) -> Result<Option<(Offset, i64)>, ResponseError> {
    match timestamp {
        LATEST => Ok(Some((until, -1))),
        EARLIEST | EARLIEST_LOCAL => Ok(Some((log.start(), -1))),
        MAX_TIMESTAMP => Ok(log.latest_time().filter(|(offset, _)| *offset < until)),
        // There is no tiered storage here, as in a Kafka at its defaults.
        LATEST_TIERED => Ok(None),
        time if time >= 0 => Ok(log.first_at_time(time, until)),
        _ => Err(ResponseError::UnsupportedVersion),
    }
}

#[cfg(test)]
mod tests {
    use kafka_protocol::messages::list_offsets_request::ListOffsetsTopic;
    use kafka_protocol::messages::{RequestKind, TopicName};
    use kafka_protocol::protocol::StrBytes;
    use steadfast_core::ids::NodeId;

    use super::*;
    use crate::asking::{ask, cluster, records, t};

    /// Offset, time, leader epoch and error.
    fn list(cluster: &mut Cluster, version: i16, isolation: i8, timestamp: i64) -> (i64, i64, i32, i16) {
        let partition =
            ListOffsetsPartition::default().with_timestamp(timestamp).with_current_leader_epoch(-1);
        let topic = ListOffsetsTopic::default()
            .with_name(TopicName(StrBytes::from_static_str("t")))
            .with_partitions(vec![partition]);
        let request = ListOffsetsRequest::default().with_isolation_level(isolation).with_topics(vec![topic]);
        match ask(cluster, 1, version, RequestKind::ListOffsets(request)) {
            ResponseKind::ListOffsets(listed) => {
                let found = &listed.topics[0].partitions[0];
                (found.offset, found.timestamp, found.leader_epoch, found.error_code)
            }
            other => panic!("expected offsets, found {other:?}"),
        }
    }

    #[test]
    fn the_ends_of_the_log_are_found() {
        let mut cluster = cluster();
        cluster.append(&t(0), records(5)).unwrap();
        cluster.delete_before(&t(0), Offset(2)).unwrap();
        assert_eq!(list(&mut cluster, 7, 0, EARLIEST), (2, -1, 0, 0));
        assert_eq!(list(&mut cluster, 7, 0, LATEST), (5, -1, 0, 0));
        cluster.hold_high_watermark(&t(0), Some(Offset(3))).unwrap();
        assert_eq!(list(&mut cluster, 7, 0, LATEST), (3, -1, 0, 0));
    }

    #[test]
    fn the_end_for_committed_readers_is_before_the_first_open_transaction() {
        let mut cluster = cluster();
        cluster.append(&t(0), records(5)).unwrap();
        cluster.append_transactional(&t(0), 1, records(5)).unwrap();
        assert_eq!(list(&mut cluster, 7, READ_COMMITTED, LATEST).0, 5);
        assert_eq!(list(&mut cluster, 7, 0, LATEST).0, 10);
    }

    #[test]
    fn records_are_found_by_their_time() {
        let mut cluster = cluster();
        cluster.append(&t(0), records(5)).unwrap();
        assert_eq!(list(&mut cluster, 7, 0, 103), (3, 103, 0, 0));
        assert_eq!(list(&mut cluster, 7, 0, 200), (-1, -1, -1, 0));
        assert_eq!(list(&mut cluster, 7, 0, MAX_TIMESTAMP), (4, 104, 0, 0));
    }

    #[test]
    fn before_version_4_there_is_no_epoch() {
        assert_eq!(list(&mut cluster(), 3, 0, LATEST), (0, -1, -1, 0));
    }

    #[test]
    fn only_the_leader_answers() {
        let mut cluster = cluster();
        cluster.move_leader(&t(0), NodeId(2)).unwrap();
        assert_eq!(list(&mut cluster, 7, 0, LATEST).3, ResponseError::NotLeaderOrFollower.code());
    }
}
