//! What brokers answer: one file per API key.

mod api_versions;

use std::ops::RangeInclusive;

use kafka_protocol::messages::{ApiKey, RequestKind};

use crate::call::{Call, Reply};
use crate::cluster::Cluster;

/// The APIs and their versions that are served, as Kafka 4.2 serves them as far as kafka-protocol and this cluster
/// know them.
pub(crate) const SERVED: &[(ApiKey, RangeInclusive<i16>)] = &[(ApiKey::ApiVersions, 0..=4)];

/// Hands the request to its API's file.
pub(crate) fn handle(cluster: &mut Cluster, call: &Call, request: RequestKind) -> Reply {
    match request {
        RequestKind::ApiVersions(request) => api_versions::handle(cluster, call, &request),
        // Not served, and not announced by ApiVersions either: Kafka closes the connection.
        _ => Reply::Close,
    }
}
