//! What brokers answer: one file per API key.

mod add_offsets_to_txn;
mod add_partitions_to_txn;
mod api_versions;
mod consumer_group_describe;
mod consumer_group_heartbeat;
mod create_partitions;
mod create_topics;
mod delete_groups;
mod delete_records;
mod delete_topics;
mod describe_cluster;
mod describe_configs;
mod describe_groups;
mod end_txn;
pub(crate) mod fetch;
mod find_coordinator;
mod heartbeat;
mod init_producer_id;
mod join_group;
mod leave_group;
mod list_groups;
mod list_offsets;
mod metadata;
mod offset_commit;
mod offset_delete;
mod offset_fetch;
mod offset_for_leader_epoch;
pub(crate) mod produce;
mod sync_group;
mod txn_offset_commit;

use std::ops::RangeInclusive;

use kafka_protocol::messages::{ApiKey, RequestKind};

use crate::call::{Call, Reply};
use crate::cluster::Cluster;

/// The APIs and their versions that are served, as Kafka 4.2 serves them as far as kafka-protocol and this cluster
/// know them.
pub(crate) const SERVED: &[(ApiKey, RangeInclusive<i16>)] = &[
    (ApiKey::Produce, 3..=13),
    (ApiKey::Fetch, 4..=18),
    (ApiKey::ListOffsets, 1..=10),
    (ApiKey::Metadata, 0..=13),
    (ApiKey::ApiVersions, 0..=4),
    (ApiKey::InitProducerId, 0..=5),
    (ApiKey::OffsetForLeaderEpoch, 2..=4),
    (ApiKey::OffsetCommit, 2..=9),
    (ApiKey::OffsetFetch, 1..=9),
    (ApiKey::FindCoordinator, 0..=6),
    (ApiKey::JoinGroup, 0..=9),
    (ApiKey::Heartbeat, 0..=4),
    (ApiKey::LeaveGroup, 0..=5),
    (ApiKey::SyncGroup, 0..=5),
    (ApiKey::DescribeGroups, 0..=6),
    (ApiKey::ListGroups, 0..=5),
    (ApiKey::DeleteGroups, 0..=2),
    (ApiKey::OffsetDelete, 0..=0),
    (ApiKey::CreateTopics, 2..=7),
    // From version 4 on, only brokers ask this.
    (ApiKey::AddPartitionsToTxn, 0..=3),
    (ApiKey::AddOffsetsToTxn, 0..=4),
    // From version 5 on, the end gives a new epoch (KIP-890), which clients may not ask for without the feature.
    (ApiKey::EndTxn, 0..=4),
    (ApiKey::TxnOffsetCommit, 0..=4),
    (ApiKey::DeleteTopics, 1..=6),
    (ApiKey::DeleteRecords, 0..=2),
    (ApiKey::DescribeConfigs, 1..=4),
    (ApiKey::CreatePartitions, 0..=3),
    (ApiKey::DescribeCluster, 0..=2),
    (ApiKey::ConsumerGroupHeartbeat, 0..=1),
    (ApiKey::ConsumerGroupDescribe, 0..=1),
];

/// Hands the request to its API's file.
pub(crate) fn handle(cluster: &mut Cluster, call: &Call, request: RequestKind) -> Reply {
    match request {
        RequestKind::ApiVersions(request) => api_versions::handle(cluster, call, &request),
        RequestKind::Fetch(request) => fetch::handle(cluster, call, request),
        RequestKind::InitProducerId(request) => init_producer_id::handle(cluster, call, &request),
        RequestKind::ListOffsets(request) => list_offsets::handle(cluster, call, &request),
        RequestKind::Metadata(request) => metadata::handle(cluster, call, &request),
        RequestKind::OffsetForLeaderEpoch(request) => {
            offset_for_leader_epoch::handle(cluster, call, &request)
        }
        RequestKind::Produce(request) => produce::handle(cluster, call, &request),
        RequestKind::OffsetCommit(request) => offset_commit::handle(cluster, call, &request),
        RequestKind::OffsetFetch(request) => offset_fetch::handle(cluster, call, &request),
        RequestKind::FindCoordinator(request) => find_coordinator::handle(cluster, call, &request),
        RequestKind::JoinGroup(request) => join_group::handle(cluster, call, &request),
        RequestKind::Heartbeat(request) => heartbeat::handle(cluster, call, &request),
        RequestKind::LeaveGroup(request) => leave_group::handle(cluster, call, &request),
        RequestKind::SyncGroup(request) => sync_group::handle(cluster, call, &request),
        RequestKind::DescribeGroups(request) => describe_groups::handle(cluster, call, &request),
        RequestKind::ListGroups(request) => list_groups::handle(cluster, call, &request),
        RequestKind::DeleteGroups(request) => delete_groups::handle(cluster, call, &request),
        RequestKind::OffsetDelete(request) => offset_delete::handle(cluster, call, &request),
        RequestKind::CreateTopics(request) => create_topics::handle(cluster, call, &request),
        RequestKind::DeleteTopics(request) => delete_topics::handle(cluster, call, &request),
        RequestKind::DeleteRecords(request) => delete_records::handle(cluster, call, &request),
        RequestKind::DescribeConfigs(request) => describe_configs::handle(cluster, call, &request),
        RequestKind::CreatePartitions(request) => create_partitions::handle(cluster, call, &request),
        RequestKind::DescribeCluster(request) => describe_cluster::handle(cluster, call, &request),
        RequestKind::AddPartitionsToTxn(request) => add_partitions_to_txn::handle(cluster, call, &request),
        RequestKind::AddOffsetsToTxn(request) => add_offsets_to_txn::handle(cluster, call, &request),
        RequestKind::EndTxn(request) => end_txn::handle(cluster, call, &request),
        RequestKind::ConsumerGroupHeartbeat(request) => {
            consumer_group_heartbeat::handle(cluster, call, &request)
        }
        RequestKind::ConsumerGroupDescribe(request) => {
            consumer_group_describe::handle(cluster, call, &request)
        }
        RequestKind::TxnOffsetCommit(request) => txn_offset_commit::handle(cluster, call, &request),
        // Not served, and not announced by ApiVersions either: Kafka closes the connection.
        _ => Reply::Close,
    }
}

#[cfg(test)]
mod tests;
