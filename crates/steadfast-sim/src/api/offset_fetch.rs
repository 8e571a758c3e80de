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

/// The partitions that are asked for, by topic.
type Asked = Vec<(StrBytes, Vec<i32>)>;

/// What was found of a topic.
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
    let groups = request.groups.iter().map(|asked| {
        let group = Group { cluster, name: asked.group_id.as_str(), stable: request.require_stable };
        let member = asked.member_id.as_deref();
        let topics = asked.topics.as_ref().map(|topics| {
            topics.iter().map(|topic| (topic.name.0.clone(), topic.partition_indexes.clone())).collect()
        });
        let answer = OffsetFetchResponseGroup::default().with_group_id(asked.group_id.clone());
        match group.admit(call).and_then(|()| group.admit_member(member, asked.member_epoch)) {
            Ok(()) => answer.with_topics(group.found(topics).into_iter().map(batched_topic).collect()),
            Err(error) => answer.with_error_code(error.code()),
        }
    });
    OffsetFetchResponse::default().with_groups(groups.collect())
}

fn one(cluster: &Cluster, call: &Call, request: &OffsetFetchRequest) -> OffsetFetchResponse {
    let group = Group { cluster, name: request.group_id.as_str(), stable: request.require_stable };
    let asked: Option<Asked> = request.topics.as_ref().map(|topics| {
        topics.iter().map(|topic| (topic.name.0.clone(), topic.partition_indexes.clone())).collect()
    });
    let answer = OffsetFetchResponse::default();
    let topics = |found: Vec<Topic>| found.into_iter().map(single_topic).collect();
    match group.admit(call) {
        Ok(()) => answer.with_topics(topics(group.found(asked))),
        Err(error) if call.version < ONE_ERROR => answer.with_topics(topics(failed(error, asked))),
        Err(error) => answer.with_error_code(error.code()),
    }
}

/// The group that is asked for.
struct Group<'a> {
    cluster: &'a Cluster,
    name: &'a str,
    /// What an open transaction may change is to be waited for (KIP-447).
    stable: bool,
}

impl Group<'_> {
    fn admit(&self, call: &Call) -> Result<(), ResponseError> {
        self.cluster.groups.admit_nameless(call.node, self.name, self.cluster.now())
    }

    /// From version 9 on members say who they are (KIP-848).
    fn admit_member(&self, member: Option<&str>, epoch: i32) -> Result<(), ResponseError> {
        let hosted = self.cluster.groups.get(self.name);
        hosted.map_or(Ok(()), |hosted| hosted.admit_fetch(member, epoch))
    }

    /// What is asked for, or all that there is. A group that does not exist has committed nothing.
    fn found(&self, asked: Option<Asked>) -> Vec<Topic> {
        let offsets = self.cluster.groups.get(self.name).map(|hosted| &hosted.offsets);
        let asked = asked.unwrap_or_else(|| offsets.map(everything).unwrap_or_default());
        let topics = asked.into_iter().map(|(topic, indexes)| {
            let found = indexes.into_iter().map(|index| {
                let partition = Partition::new(topic.as_str(), index);
                if self.stable && self.cluster.transactions.is_unstable(self.name, &partition) {
                    let error = ResponseError::UnstableOffsetCommit.code();
                    return Found { index, committed: None, error };
                }
                let committed = offsets.and_then(|offsets| offsets.get(&partition)).cloned();
                Found { index, committed, error: 0 }
            });
            let found = found.collect();
            (topic, found)
        });
        topics.collect()
    }
}

fn everything(offsets: &Offsets) -> Asked {
    let mut topics: BTreeMap<&str, Vec<i32>> = BTreeMap::new();
    for partition in offsets.all().keys() {
        topics.entry(&partition.topic).or_default().push(partition.index);
    }
    topics.into_iter().map(|(topic, indexes)| (text(topic), indexes)).collect()
}

fn failed(error: ResponseError, asked: Option<Asked>) -> Vec<Topic> {
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
