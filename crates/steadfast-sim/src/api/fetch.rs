//! Fetch (1): records of partitions, at once or when enough have come.
//!
//! Sessions (KIP-227) are always declined: session id 0, every answer whole, as a broker does whose session cache is
//! full.

use std::collections::BTreeMap;
use std::time::Duration;

use kafka_protocol::ResponseError;
use kafka_protocol::messages::fetch_request::FetchPartition;
use kafka_protocol::messages::fetch_response::{
    AbortedTransaction, EpochEndOffset, FetchableTopicResponse, LeaderIdAndEpoch, NodeEndpoint, PartitionData,
};
use kafka_protocol::messages::{FetchRequest, FetchResponse, ResponseKind};
use kafka_protocol::protocol::StrBytes;
use steadfast_core::ids::{LeaderEpoch, NodeId, Offset, Partition, TopicId};
use steadfast_core::tick::Tick;

use crate::call::{Call, Reply, Ticket};
use crate::cluster::Cluster;
use crate::log::Limit;
use crate::notice::Notice;
use crate::topics::{Asked, Replicas};

const READ_COMMITTED: i8 = 1;
/// From this version on, topics are named by id (KIP-516).
const BY_ID: i16 = 13;
/// From this version on, any replica answers a consumer (KIP-392).
const FROM_FOLLOWERS: i16 = 11;
/// From this version on, an answer that names the wrong leader names the right one too (KIP-951).
const NAMES_LEADERS: i16 = 16;

/// The fetches that wait for records.
#[derive(Debug, Default)]
pub(crate) struct Fetches(BTreeMap<(Tick, Ticket), Parked>);

#[derive(Debug)]
struct Parked {
    call: Call,
    request: FetchRequest,
    /// What it waits for.
    partitions: Vec<Partition>,
}

impl Fetches {
    pub(crate) fn next_deadline(&self) -> Option<Tick> {
        self.0.keys().next().map(|(deadline, _)| *deadline)
    }

    pub(crate) fn abandon(&mut self, ticket: Ticket) {
        self.0.retain(|(_, parked), _| *parked != ticket);
    }

    fn waiting_for(&self, partition: &Partition) -> Vec<(Tick, Ticket)> {
        let waits = |parked: &Parked| parked.partitions.contains(partition);
        self.0.iter().filter(|(_, parked)| waits(parked)).map(|(key, _)| *key).collect()
    }
}

pub(crate) fn handle(cluster: &mut Cluster, call: &Call, request: FetchRequest) -> Reply {
    if request.session_id != 0 {
        let error = ResponseError::FetchSessionIdNotFound.code();
        return Reply::now(ResponseKind::Fetch(FetchResponse::default().with_error_code(error)));
    }
    let read = read(cluster, call, &request);
    cluster.notice(Notice::Fetched {
        connection: call.connection,
        node: call.node,
        client: call.client_id.clone(),
        partitions: read.known.clone(),
    });
    let wait = u64::try_from(request.max_wait_ms).unwrap_or(0);
    if read.is_due(&request) || wait == 0 || read.known.is_empty() {
        return Reply::now(ResponseKind::Fetch(read.response));
    }
    let deadline = cluster.now() + Duration::from_millis(wait);
    let partitions = read.known.into_iter().map(|(partition, _)| partition).collect();
    let parked = Parked { call: call.clone(), request, partitions };
    cluster.fetches.0.insert((deadline, call.ticket), parked);
    Reply::Later
}

/// Answers the fetches whose wait is over.
pub(crate) fn advance(cluster: &mut Cluster) {
    let now = cluster.now();
    while let Some(first) = cluster.fetches.0.first_entry().filter(|first| first.key().0 <= now) {
        let parked = first.remove();
        let read = read(cluster, &parked.call, &parked.request);
        cluster.answer(parked.call.ticket, ResponseKind::Fetch(read.response));
    }
}

/// Something about the partition is different: what waits for it is answered if it can be.
pub(crate) fn wake(cluster: &mut Cluster, partition: &Partition) {
    for key in cluster.fetches.waiting_for(partition) {
        let Some(parked) = cluster.fetches.0.get(&key) else { continue };
        let read = read(cluster, &parked.call, &parked.request);
        // A topic that was known when the wait began and is unknown now will not get records either.
        if read.is_due(&parked.request) || read.known.len() < parked.partitions.len() {
            cluster.fetches.0.remove(&key);
            cluster.answer(key.1, ResponseKind::Fetch(read.response));
        }
    }
}

/// What a fetch finds.
struct Read {
    response: FetchResponse,
    /// How many bytes of records.
    bytes: usize,
    /// Whether it says something that must not wait: an error or a divergence.
    urgent: bool,
    /// The partitions whose topics exist, and from where they are fetched.
    known: Vec<(Partition, Offset)>,
}

impl Read {
    fn is_due(&self, request: &FetchRequest) -> bool {
        self.urgent || self.bytes >= usize::try_from(request.min_bytes).unwrap_or(0)
    }
}

fn read(cluster: &Cluster, call: &Call, request: &FetchRequest) -> Read {
    let mut read = Read { response: FetchResponse::default(), bytes: 0, urgent: false, known: Vec::new() };
    let by_id = call.version >= BY_ID;
    for topic in &request.topics {
        let mut answered = FetchableTopicResponse::default();
        let name = if by_id {
            answered.topic_id = topic.topic_id;
            cluster.topics.name(TopicId(topic.topic_id.as_u128()))
        } else {
            answered.topic = topic.topic.clone();
            cluster.topics.known_name(&topic.topic.0)
        };
        answered.partitions.reserve(topic.partitions.len());
        for asked in &topic.partitions {
            let data = match name {
                Some(name) => read.partition(
                    cluster,
                    call,
                    request,
                    Partition::new(name.clone(), asked.partition),
                    asked,
                ),
                None => unknown_topic(asked.partition, by_id),
            };
            answered.partitions.push(data);
        }
        read.response.responses.push(answered);
    }
    read
}

impl Read {
    fn partition(
        &mut self,
        cluster: &Cluster,
        call: &Call,
        request: &FetchRequest,
        partition: Partition,
        asked: &FetchPartition,
    ) -> PartitionData {
        let room = usize::try_from(request.max_bytes).unwrap_or(0).saturating_sub(self.bytes);
        let limit = Limit {
            bytes: room.min(usize::try_from(asked.partition_max_bytes).unwrap_or(0)),
            at_least_one: self.bytes == 0,
        };
        let data = match partition_data(cluster, call, request.isolation_level, &partition, asked, limit) {
            Ok(data) => {
                self.urgent |= data.diverging_epoch != EpochEndOffset::default();
                data
            }
            Err(error) => {
                self.urgent = true;
                refused(cluster, call, &partition, error, &mut self.response)
            }
        };
        self.bytes += data.records.as_ref().map_or(0, |records| records.len());
        self.known.push((partition, Offset(asked.fetch_offset)));
        data
    }
}

fn partition_data(
    cluster: &Cluster,
    call: &Call,
    isolation: i8,
    partition: &Partition,
    asked: &FetchPartition,
    limit: Limit,
) -> Result<PartitionData, ResponseError> {
    let whom = Asked {
        node: call.node,
        leader_epoch: asked.current_leader_epoch,
        of_leader: call.version < FROM_FOLLOWERS,
    };
    let replicas = cluster.topics.hosted(&partition.topic, partition.index, whom)?;
    let log = &replicas.log;
    let from = Offset(asked.fetch_offset);
    // Fields are set in place: this is the hottest path of a simulated run, and each `with_` moves the whole value.
    let mut data = PartitionData::default();
    data.partition_index = partition.index;
    data.high_watermark = log.high_watermark().0;
    data.last_stable_offset = log.last_stable().0;
    data.log_start_offset = log.start().0;
    data.aborted_transactions = (isolation == READ_COMMITTED).then(Vec::new);
    if let Some(diverging) = diverging(replicas, LeaderEpoch(asked.last_fetched_epoch), from)? {
        data.diverging_epoch = diverging;
        return Ok(data);
    }
    if from < log.start() || from > log.end() {
        return Err(ResponseError::OffsetOutOfRange);
    }
    let until = if isolation == READ_COMMITTED { log.last_stable() } else { log.high_watermark() };
    let (records, end) = log.read(from, until, limit);
    data.records = Some(records);
    if let Some(aborted) = &mut data.aborted_transactions {
        aborted.extend(log.aborted(from, end).map(|aborted| {
            AbortedTransaction::default()
                .with_producer_id(aborted.producer_id.into())
                .with_first_offset(aborted.first.0)
        }));
    }
    Ok(data)
}

/// Where the log parted from what the client fetched last, if it did (KIP-595).
fn diverging(
    replicas: &Replicas,
    fetched: LeaderEpoch,
    from: Offset,
) -> Result<Option<EpochEndOffset>, ResponseError> {
    if fetched.known().is_none() {
        return Ok(None);
    }
    let (epoch, end) = replicas.log.end_of_epoch(fetched).ok_or(ResponseError::OffsetOutOfRange)?;
    if from < replicas.log.start() {
        return Err(ResponseError::OffsetOutOfRange);
    }
    let parted = epoch < fetched || end < from;
    Ok(parted.then(|| EpochEndOffset::default().with_epoch(epoch.0).with_end_offset(end.0)))
}

fn unknown_topic(index: i32, by_id: bool) -> PartitionData {
    let error = if by_id { ResponseError::UnknownTopicId } else { ResponseError::UnknownTopicOrPartition };
    failed(index, error)
}

fn failed(index: i32, error: ResponseError) -> PartitionData {
    PartitionData::default()
        .with_partition_index(index)
        .with_error_code(error.code())
        .with_high_watermark(-1)
        .with_aborted_transactions(None)
}

fn refused(
    cluster: &Cluster,
    call: &Call,
    partition: &Partition,
    error: ResponseError,
    response: &mut FetchResponse,
) -> PartitionData {
    let data = failed(partition.index, error);
    let wrong_leader = matches!(error, ResponseError::NotLeaderOrFollower | ResponseError::FencedLeaderEpoch);
    let replicas = cluster.topics.get(&partition.topic, partition.index);
    let Some((replicas, leader)) = replicas.and_then(|replicas| Some((replicas, replicas.leader?))) else {
        return data;
    };
    if !wrong_leader || call.version < NAMES_LEADERS {
        return data;
    }
    if response.node_endpoints.iter().all(|named| named.node_id.0 != leader.0) {
        response.node_endpoints.extend(endpoint(cluster, leader));
    }
    let current =
        LeaderIdAndEpoch::default().with_leader_id(leader.0.into()).with_leader_epoch(replicas.epoch.0);
    data.with_current_leader(current)
}

fn endpoint(cluster: &Cluster, node: NodeId) -> Option<NodeEndpoint> {
    let broker = cluster.brokers.get(&node)?;
    let named = NodeEndpoint::default()
        .with_node_id(node.0.into())
        .with_host(StrBytes::from_string(broker.address.host.clone()))
        .with_port(i32::from(broker.address.port))
        .with_rack(broker.rack.clone().map(StrBytes::from_string));
    Some(named)
}

#[cfg(test)]
mod tests;
