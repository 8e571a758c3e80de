//! Produce (0): one batch per partition, checked and appended.

pub(crate) mod waiting;

use std::collections::BTreeSet;

use kafka_protocol::ResponseError;
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_protocol::messages::produce_response::{
    LeaderIdAndEpoch, NodeEndpoint, PartitionProduceResponse, TopicProduceResponse,
};
use kafka_protocol::messages::{ProduceRequest, ProduceResponse};
use kafka_protocol::protocol::StrBytes;
use steadfast_core::ids::{LeaderEpoch, NodeId, Offset, Partition, TopicId};

use self::waiting::Missing;
use crate::batch::{BatchError, Header, Producer};
use crate::call::{Call, Reply};
use crate::cluster::Cluster;
use crate::producers::Verdict;
use crate::topics::{self, Asked};
use crate::transactions::{Session, add_partitions};

/// From this version on, topics are named by id (KIP-516).
const BY_ID: i16 = 13;
/// From this version on, an answer by another than the leader names the leader (KIP-951).
const NAMES_LEADERS: i16 = 10;
/// From this version on, a producer is told when aborting its transaction helps (KIP-890).
const SAYS_ABORTABLE: i16 = 11;
/// From this version on, writing adds the partition to the transaction (KIP-890).
const ADDS_BY_WRITING: i16 = 12;
const ALL_REPLICAS: i16 = -1;

pub(crate) fn handle(cluster: &mut Cluster, call: &Call, request: &ProduceRequest) -> Reply {
    let mut missing = Vec::new();
    let topics = request.topic_data.iter().enumerate();
    let topics = topics.map(|(at, topic)| produced(cluster, call, request, (at, topic), &mut missing));
    let topics: Vec<TopicProduceResponse> = topics.collect();
    if request.acks == 0 {
        let refused =
            topics.iter().flat_map(|topic| &topic.partition_responses).any(|one| one.error_code != 0);
        // Nobody reads an answer; Kafka tells the producer by closing the connection.
        return if refused { Reply::Close } else { Reply::Never };
    }
    let answer =
        ProduceResponse::default().with_node_endpoints(named(cluster, &topics)).with_responses(topics);
    waiting::answer_or_wait(cluster, call, request, answer, missing)
}

fn produced(
    cluster: &mut Cluster,
    call: &Call,
    request: &ProduceRequest,
    (topic_at, topic): (usize, &TopicProduceData),
    missing: &mut Vec<Missing>,
) -> TopicProduceResponse {
    let by_id = call.version >= BY_ID;
    let name = if by_id {
        cluster.topics.name(TopicId(topic.topic_id.as_u128())).cloned().ok_or(ResponseError::UnknownTopicId)
    } else {
        Ok(topic.name.0.as_str().into())
    };
    let partitions = topic.partition_data.iter().enumerate().map(|(at, data)| {
        let answer = PartitionProduceResponse::default().with_index(data.index);
        let partition = name.clone().map(|name| Partition::new(name, data.index));
        let appended = partition.clone().and_then(|partition| {
            let appended = append(cluster, call, request, &partition, data)?;
            Ok((partition, appended))
        });
        match appended {
            Ok((partition, Appended { base, start, end, epoch })) => {
                if request.acks == ALL_REPLICAS {
                    missing.push(Missing { at: (topic_at, at), partition, epoch, end });
                }
                answer.with_base_offset(base.0).with_log_start_offset(start.0)
            }
            Err(error) => {
                let told = (error == ResponseError::NotLeaderOrFollower && call.version >= NAMES_LEADERS)
                    .then(|| leader(cluster, partition.ok()?))
                    .flatten();
                let answer = answer.with_error_code(error.code()).with_base_offset(-1);
                answer.with_current_leader(told.unwrap_or_default())
            }
        }
    });
    let answered = TopicProduceResponse::default().with_partition_responses(partitions.collect());
    if by_id { answered.with_topic_id(topic.topic_id) } else { answered.with_name(topic.name.clone()) }
}

/// Who leads the partition.
fn leader(cluster: &Cluster, partition: Partition) -> Option<LeaderIdAndEpoch> {
    let replicas = cluster.topics.get(&partition.topic, partition.index)?;
    let leader = replicas.leader?;
    let epoch = replicas.epoch.0;
    Some(LeaderIdAndEpoch::default().with_leader_id(leader.0.into()).with_leader_epoch(epoch))
}

/// Where the leaders that are told of are reached.
fn named(cluster: &Cluster, topics: &[TopicProduceResponse]) -> Vec<NodeEndpoint> {
    let told = topics.iter().flat_map(|topic| &topic.partition_responses);
    let told: BTreeSet<NodeId> = told.map(|one| NodeId(one.current_leader.leader_id.0)).collect();
    let endpoint = |node: NodeId| {
        let broker = cluster.brokers.get(&node)?;
        let endpoint = NodeEndpoint::default()
            .with_node_id(node.0.into())
            .with_host(StrBytes::from_string(broker.address.host.clone()))
            .with_port(i32::from(broker.address.port))
            .with_rack(broker.rack.clone().map(StrBytes::from_string));
        Some(endpoint)
    };
    told.into_iter().filter_map(endpoint).collect()
}

/// Where a batch stands.
struct Appended {
    base: Offset,
    /// Where its log begins.
    start: Offset,
    /// After its last record.
    end: Offset,
    /// The epoch of the leader that took it.
    epoch: LeaderEpoch,
}

fn append(
    cluster: &mut Cluster,
    call: &Call,
    request: &ProduceRequest,
    partition: &Partition,
    data: &PartitionProduceData,
) -> Result<Appended, ResponseError> {
    if !(ALL_REPLICAS..=1).contains(&request.acks) {
        return Err(ResponseError::InvalidRequiredAcks);
    }
    let whom = Asked { node: call.node, leader_epoch: -1, of_leader: true };
    let replicas = cluster.topics.hosted(&partition.topic, partition.index, whom)?;
    let (log, epoch) = (&replicas.log, replicas.epoch);
    let batch = data.records.clone().unwrap_or_default();
    let header = Header::read(&batch).map_err(refusal)?;
    if header.is_control() {
        return Err(ResponseError::InvalidRecord);
    }
    if cluster.topics.by_name(&partition.topic).is_some_and(|topic| batch.len() > topic.largest_batch()) {
        return Err(ResponseError::MessageTooLarge);
    }
    let start = log.start();
    let at = |base: Offset| Appended { base, start, end: Offset(base.0 + i64::from(header.count)), epoch };
    match log.sequences.judge(&header) {
        Verdict::Next => {}
        Verdict::Duplicate(base) => return Ok(at(base)),
        Verdict::Fenced => return Err(ResponseError::InvalidProducerEpoch),
        Verdict::OutOfOrder => return Err(ResponseError::OutOfOrderSequenceNumber),
    }
    if header.is_transactional() {
        // Nobody may write in the name of no one.
        request.transactional_id.as_ref().ok_or(ResponseError::TransactionalIdAuthorizationFailed)?;
        admit_transactional(cluster, call, partition, header.producer)?;
    }
    let replicas = cluster.topics.get_mut(&partition.topic, partition.index);
    let log = &mut replicas.ok_or(ResponseError::UnknownTopicOrPartition)?.log;
    let base = log.append(header, &batch);
    topics::changed(cluster, partition);
    Ok(at(base))
}

/// Up to version 11 a transactional producer says beforehand where it writes; from then on it does so by writing
/// (KIP-890).
fn admit_transactional(
    cluster: &mut Cluster,
    call: &Call,
    partition: &Partition,
    producer: Producer,
) -> Result<(), ResponseError> {
    let session = Session { producer_id: producer.id, epoch: producer.epoch };
    if call.version >= ADDS_BY_WRITING {
        let id = cluster.transactions.id_of(session.producer_id).cloned();
        let id = id.ok_or(ResponseError::InvalidProducerIdMapping)?;
        return add_partitions(cluster, &id, session, [partition.clone()]);
    }
    if cluster.transactions.may_write(session, partition) {
        return Ok(());
    }
    let says_abortable = call.version >= SAYS_ABORTABLE;
    Err(if says_abortable { ResponseError::TransactionAbortable } else { ResponseError::InvalidTxnState })
}

fn refusal(error: BatchError) -> ResponseError {
    match error {
        // There is more than one batch.
        BatchError::Length { found, claimed } if claimed < found => ResponseError::InvalidRecord,
        BatchError::Crc { .. } | BatchError::Length { .. } => ResponseError::CorruptMessage,
        BatchError::Magic { .. } | BatchError::Count { .. } => ResponseError::InvalidRecord,
    }
}

#[cfg(test)]
mod tests;
