//! ApiVersions (18): what is served.

use kafka_protocol::messages::api_versions_response::ApiVersion;
use kafka_protocol::messages::{ApiVersionsRequest, ApiVersionsResponse, ResponseKind};

use super::SERVED;
use crate::call::{Call, Reply};
use crate::cluster::Cluster;

pub(crate) fn handle(_: &mut Cluster, _: &Call, _: &ApiVersionsRequest) -> Reply {
    let served = SERVED.iter().map(|(key, versions)| {
        ApiVersion::default()
            .with_api_key(*key as i16)
            .with_min_version(*versions.start())
            .with_max_version(*versions.end())
    });
    Reply::now(ResponseKind::ApiVersions(ApiVersionsResponse::default().with_api_keys(served.collect())))
}
