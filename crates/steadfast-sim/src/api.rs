//! What brokers answer: one file per API key.

mod api_versions;
pub(crate) mod fetch;
mod init_producer_id;
mod list_offsets;
mod metadata;
mod offset_for_leader_epoch;
mod produce;

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
        // Not served, and not announced by ApiVersions either: Kafka closes the connection.
        _ => Reply::Close,
    }
}
