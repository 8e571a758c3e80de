//! OffsetCommit (8): progress is written down.

use kafka_protocol::messages::offset_commit_response::{
    OffsetCommitResponsePartition, OffsetCommitResponseTopic,
};
use kafka_protocol::messages::{OffsetCommitRequest, OffsetCommitResponse, ResponseKind};
use steadfast_core::ids::{LeaderEpoch, Offset, Partition};

use crate::call::{Call, Reply};
use crate::cluster::Cluster;
use crate::groups::{self, HungCommits};
use crate::offsets::CommittedOffset;

pub(crate) fn handle(cluster: &mut Cluster, call: &Call, request: &OffsetCommitRequest) -> Reply {
    let hung = groups::hung(cluster);
    if hung == Some(HungCommits::Lost) {
        return Reply::Later;
    }
    let verdicts = groups::commit(cluster, call, request, offsets(request));
    if hung == Some(HungCommits::Stored) {
        return Reply::Later;
    }
    let mut codes = verdicts.into_iter().map(|verdict| verdict.err().map_or(0, |error| error.code()));
    let topics = request.topics.iter().map(|topic| {
        let partitions = topic.partitions.iter().zip(&mut codes).map(|(partition, code)| {
            OffsetCommitResponsePartition::default()
                .with_partition_index(partition.partition_index)
                .with_error_code(code)
        });
        OffsetCommitResponseTopic::default()
            .with_name(topic.name.clone())
            .with_partitions(partitions.collect())
    });
    let answer = OffsetCommitResponse::default().with_topics(topics.collect());
    Reply::now(ResponseKind::OffsetCommit(answer))
}

/// The offsets of the request, in its order.
fn offsets(request: &OffsetCommitRequest) -> Vec<(Partition, CommittedOffset)> {
    let topics = request.topics.iter();
    topics
        .flat_map(|topic| topic.partitions.iter().map(move |partition| (topic, partition)))
        .map(|(topic, partition)| {
            let offset = CommittedOffset {
                offset: Offset(partition.committed_offset),
                leader_epoch: LeaderEpoch(partition.committed_leader_epoch).known(),
                metadata: partition.committed_metadata.as_ref().map_or("", |text| text.as_str()).into(),
            };
            (Partition::new(topic.name.as_str(), partition.partition_index), offset)
        })
        .collect()
}
