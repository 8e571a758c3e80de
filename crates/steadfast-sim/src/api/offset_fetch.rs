//! OffsetFetch (9): what was committed.

use std::collections::BTreeMap;

use kafka_protocol::ResponseError;
use kafka_protocol::messages::offset_fetch_response::{
    OffsetFetchResponseGroup, OffsetFetchResponsePartition, OffsetFetchResponsePartitions,
    OffsetFetchResponseTopic, OffsetFetchResponseTopics,
};
use kafka_protocol::messages::{OffsetFetchRequest, OffsetFetchResponse, ResponseKind};
use kafka_protocol::protocol::StrBytes;
use steadfast_core::ids::{LeaderEpoch, Partition};

use crate::call::{Call, Reply};
use crate::cluster::Cluster;
use crate::group::text;
use crate::offsets::{CommittedOffset, Offsets};

/// From this version on several groups are asked for at once (KIP-709).
const BATCHED: i16 = 8;
/// From this version on an error is told once for the whole answer.
const ONE_ERROR: i16 = 2;

/// The partitions of a topic that are asked for, or answered.
type Topic = (StrBytes, Vec<Found>);

/// What was found of one partition.
struct Found {
    index: i32,
    committed: Option<CommittedOffset>,
    error: i16,
}

pub(crate) fn handle(cluster: &mut Cluster, call: &Call, request: &OffsetFetchRequest) -> Reply {
    let answer =
        if call.version >= BATCHED { batch(cluster, call, request) } else { one(cluster, call, request) };
    Reply::now(ResponseKind::OffsetFetch(answer))
}

fn batch(cluster: &Cluster, call: &Call, request: &OffsetFetchRequest) -> OffsetFetchResponse {
    let groups = request.groups.iter().map(|group| {
        let answer = OffsetFetchResponseGroup::default().with_group_id(group.group_id.clone());
        let asked = group.topics.as_ref().map(|topics| {
            let topics = topics.iter();
            topics.map(|topic| (topic.name.0.clone(), topic.partition_indexes.clone())).collect()
        });
        match admit(cluster, call, group.group_id.as_str()) {
            Ok(offsets) => answer.with_topics(found(offsets, asked).into_iter().map(batched_topic).collect()),
            Err(error) => answer.with_error_code(error.code()),
        }
    });
    OffsetFetchResponse::default().with_groups(groups.collect())
}

fn one(cluster: &Cluster, call: &Call, request: &OffsetFetchRequest) -> OffsetFetchResponse {
    let asked: Option<Vec<(StrBytes, Vec<i32>)>> = request.topics.as_ref().map(|topics| {
        topics.iter().map(|topic| (topic.name.0.clone(), topic.partition_indexes.clone())).collect()
    });
    let answer = OffsetFetchResponse::default();
    let topics = |found: Vec<Topic>| found.into_iter().map(single_topic).collect();
    match admit(cluster, call, request.group_id.as_str()) {
        Ok(offsets) => answer.with_topics(topics(found(offsets, asked))),
        Err(error) if call.version < ONE_ERROR => answer.with_topics(topics(failed(error, asked))),
        Err(error) => answer.with_error_code(error.code()),
    }
}

/// The offsets of the group; none if there is no such group, which is no error.
fn admit<'a>(cluster: &'a Cluster, call: &Call, group: &str) -> Result<Option<&'a Offsets>, ResponseError> {
    cluster.groups.admit(call.node, group, cluster.now())?;
    Ok(cluster.groups.get(group).map(|hosted| &hosted.offsets))
}

/// What is asked for, or all that there is.
fn found(offsets: Option<&Offsets>, asked: Option<Vec<(StrBytes, Vec<i32>)>>) -> Vec<Topic> {
    let Some(asked) = asked else { return offsets.map(everything).unwrap_or_default() };
    asked
        .into_iter()
        .map(|(topic, indexes)| {
            let committed = |index| offsets?.get(&Partition::new(topic.as_str(), index)).cloned();
            let found =
                indexes.into_iter().map(|index| Found { index, committed: committed(index), error: 0 });
            let found = found.collect();
            (topic, found)
        })
        .collect()
}

fn everything(offsets: &Offsets) -> Vec<Topic> {
    let mut topics: BTreeMap<&str, Vec<Found>> = BTreeMap::new();
    for (partition, committed) in offsets.all() {
        let found = Found { index: partition.index, committed: Some(committed.clone()), error: 0 };
        topics.entry(&partition.topic).or_default().push(found);
    }
    topics.into_iter().map(|(topic, found)| (text(topic), found)).collect()
}

fn failed(error: ResponseError, asked: Option<Vec<(StrBytes, Vec<i32>)>>) -> Vec<Topic> {
    let asked = asked.unwrap_or_default().into_iter();
    asked
        .map(|(topic, indexes)| {
            let error = error.code();
            (topic, indexes.into_iter().map(|index| Found { index, committed: None, error }).collect())
        })
        .collect()
}

impl Found {
    fn offset(&self) -> i64 {
        self.committed.as_ref().map_or(-1, |committed| committed.offset.0)
    }

    fn leader_epoch(&self) -> i32 {
        let known = self.committed.as_ref().and_then(|committed| committed.leader_epoch);
        known.unwrap_or(LeaderEpoch::UNKNOWN).0
    }

    fn metadata(&self) -> Option<StrBytes> {
        Some(text(self.committed.as_ref().map_or("", |committed| &committed.metadata)))
    }
}

fn batched_topic((name, found): Topic) -> OffsetFetchResponseTopics {
    let partitions = found.iter().map(|found| {
        OffsetFetchResponsePartitions::default()
            .with_partition_index(found.index)
            .with_committed_offset(found.offset())
            .with_committed_leader_epoch(found.leader_epoch())
            .with_metadata(found.metadata())
            .with_error_code(found.error)
    });
    OffsetFetchResponseTopics::default().with_name(name.into()).with_partitions(partitions.collect())
}

fn single_topic((name, found): Topic) -> OffsetFetchResponseTopic {
    let partitions = found.iter().map(|found| {
        OffsetFetchResponsePartition::default()
            .with_partition_index(found.index)
            .with_committed_offset(found.offset())
            .with_committed_leader_epoch(found.leader_epoch())
            .with_metadata(found.metadata())
            .with_error_code(found.error)
    });
    OffsetFetchResponseTopic::default().with_name(name.into()).with_partitions(partitions.collect())
}
