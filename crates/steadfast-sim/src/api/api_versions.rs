//! ApiVersions (18): what is served.

use kafka_protocol::ResponseError;
use kafka_protocol::messages::api_versions_response::ApiVersion;
use kafka_protocol::messages::{ApiKey, ApiVersionsRequest, ApiVersionsResponse, ResponseKind};

use super::SERVED;
use crate::call::{Call, Reply};
use crate::cluster::Cluster;

/// From this version on, a client says what it is (KIP-511).
const NAMES_SOFTWARE: i16 = 3;

pub(crate) fn handle(_: &mut Cluster, call: &Call, request: &ApiVersionsRequest) -> Reply {
    let said = [&request.client_software_name, &request.client_software_version];
    if call.version >= NAMES_SOFTWARE && !said.iter().all(|said| is_named(said)) {
        let error = ResponseError::InvalidRequest.code();
        return Reply::now(ResponseKind::ApiVersions(ApiVersionsResponse::default().with_error_code(error)));
    }
    let served = SERVED.iter().map(|(key, versions)| {
        ApiVersion::default()
            .with_api_key(*key as i16)
            .with_min_version(announced_from(*key, *versions.start()))
            .with_max_version(*versions.end())
    });
    Reply::now(ResponseKind::ApiVersions(ApiVersionsResponse::default().with_api_keys(served.collect())))
}

/// Letters, digits, dots and hyphens, the latter two not at its ends.
fn is_named(said: &str) -> bool {
    let outer = |byte: Option<u8>| byte.is_some_and(|byte| byte.is_ascii_alphanumeric());
    let inner = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-');
    outer(said.bytes().next()) && outer(said.bytes().last()) && said.bytes().all(inner)
}

/// Like Kafka, Produce is announced from version 0 on, though refused below 3: librdkafka takes it as a sign of which
/// compressions the broker knows (KAFKA-18659).
fn announced_from(key: ApiKey, served_from: i16) -> i16 {
    if key == ApiKey::Produce { 0 } else { served_from }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn software_has_a_name_that_kafka_takes() {
        for good in ["librdkafka", "2.15.0-RC1", "x"] {
            assert!(is_named(good), "{good}");
        }
        for bad in ["", "-", "a name", "ends.", "-begins", "under_score"] {
            assert!(!is_named(bad), "{bad}");
        }
    }
}
