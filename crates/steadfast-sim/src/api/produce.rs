//! Produce (0): one batch per partition, checked and appended.

use kafka_protocol::ResponseError;
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_protocol::messages::produce_response::{PartitionProduceResponse, TopicProduceResponse};
use kafka_protocol::messages::{ProduceRequest, ProduceResponse, ResponseKind};
use steadfast_core::ids::{Offset, Partition, TopicId};

use super::fetch;
use crate::batch::{BatchError, Header};
use crate::call::{Call, Reply};
use crate::cluster::Cluster;
use crate::producers::Verdict;
use crate::topics::Asked;

/// From this version on, topics are named by id (KIP-516).
const BY_ID: i16 = 13;

pub(crate) fn handle(cluster: &mut Cluster, call: &Call, request: &ProduceRequest) -> Reply {
    let topics: Vec<TopicProduceResponse> =
        request.topic_data.iter().map(|topic| produced(cluster, call, request.acks, topic)).collect();
    if request.acks == 0 {
        let refused =
            topics.iter().flat_map(|topic| &topic.partition_responses).any(|one| one.error_code != 0);
        // Nobody reads an answer; Kafka tells the producer by closing the connection.
        return if refused { Reply::Close } else { Reply::Never };
    }
    Reply::now(ResponseKind::Produce(ProduceResponse::default().with_responses(topics)))
}

fn produced(cluster: &mut Cluster, call: &Call, acks: i16, topic: &TopicProduceData) -> TopicProduceResponse {
    let by_id = call.version >= BY_ID;
    let name = if by_id {
        cluster.topics.name(TopicId(topic.topic_id.as_u128())).cloned().ok_or(ResponseError::UnknownTopicId)
    } else {
        Ok(topic.name.0.as_str().into())
    };
    let partitions = topic.partition_data.iter().map(|data| {
        let appended = name.clone().and_then(|name| {
            let partition = Partition::new(name, data.index);
            append(cluster, call, acks, &partition, data)
        });
        answer(data.index, appended)
    });
    let answered = TopicProduceResponse::default().with_partition_responses(partitions.collect());
    if by_id { answered.with_topic_id(topic.topic_id) } else { answered.with_name(topic.name.clone()) }
}

fn answer(index: i32, appended: Result<(Offset, Offset), ResponseError>) -> PartitionProduceResponse {
    let answer = PartitionProduceResponse::default().with_index(index);
    match appended {
        Ok((base, start)) => answer.with_base_offset(base.0).with_log_start_offset(start.0),
        Err(error) => answer.with_error_code(error.code()).with_base_offset(-1),
    }
}

/// Where the batch begins in the log, and where the log begins.
fn append(
    cluster: &mut Cluster,
    call: &Call,
    acks: i16,
    partition: &Partition,
    data: &PartitionProduceData,
) -> Result<(Offset, Offset), ResponseError> {
    if !(-1..=1).contains(&acks) {
        return Err(ResponseError::InvalidRequiredAcks);
    }
    let whom = Asked { node: call.node, leader_epoch: -1, of_leader: true };
    let log = &cluster.topics.hosted(&partition.topic, partition.index, whom)?.log;
    let batch = data.records.clone().unwrap_or_default();
    let header = Header::read(&batch).map_err(refusal)?;
    if header.is_control() {
        return Err(ResponseError::InvalidRecord);
    }
    if header.is_transactional() {
        return Err(ResponseError::InvalidTxnState);
    }
    let start = log.start();
    match log.sequences.judge(&header) {
        Verdict::Next => {}
        Verdict::Duplicate(base) => return Ok((base, start)),
        Verdict::Fenced => return Err(ResponseError::InvalidProducerEpoch),
        Verdict::OutOfOrder => return Err(ResponseError::OutOfOrderSequenceNumber),
    }
    let replicas = cluster.topics.get_mut(&partition.topic, partition.index);
    let log = &mut replicas.ok_or(ResponseError::UnknownTopicOrPartition)?.log;
    let base = log.append(header, &batch);
    fetch::wake(cluster, partition);
    Ok((base, start))
}

fn refusal(error: BatchError) -> ResponseError {
    match error {
        BatchError::Crc { .. } | BatchError::Length { .. } => ResponseError::CorruptMessage,
        BatchError::Magic { .. } | BatchError::Count { .. } => ResponseError::InvalidRecord,
    }
}

#[cfg(test)]
mod tests;
