//! ApiVersions (18): what is served.

use kafka_protocol::messages::api_versions_response::ApiVersion;
use kafka_protocol::messages::{ApiKey, ApiVersionsRequest, ApiVersionsResponse, ResponseKind};

use super::SERVED;
use crate::call::{Call, Reply};
use crate::cluster::Cluster;

pub(crate) fn handle(_: &mut Cluster, _: &Call, _: &ApiVersionsRequest) -> Reply {
    let served = SERVED.iter().map(|(key, versions)| {
        ApiVersion::default()
            .with_api_key(*key as i16)
            .with_min_version(announced_from(*key, *versions.start()))
            .with_max_version(*versions.end())
    });
    Reply::now(ResponseKind::ApiVersions(ApiVersionsResponse::default().with_api_keys(served.collect())))
}

/// Like Kafka, Produce is announced from version 0 on, though refused below 3: librdkafka takes it as a sign of which
/// compressions the broker knows (KAFKA-18659).
fn announced_from(key: ApiKey, served_from: i16) -> i16 {
    if key == ApiKey::Produce { 0 } else { served_from }
}
