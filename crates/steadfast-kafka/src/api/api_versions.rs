//! ApiVersions: what a broker speaks. The first request on every connection.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use kafka_protocol::messages::{ApiVersionsRequest, ApiVersionsResponse};

use super::{Api, DecodeError, EncodeError, ErrorCode, decoded, encoded, text, throttle};
use crate::guard::Kind::{Fixed, List, Struct, Text};
use crate::guard::{Shape, field, since, tag};
use crate::versions::{BrokerVersions, VersionRange};

/// Asks which versions of each API the broker speaks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiVersions {
    /// The client's name (KIP-511), letters, digits, `-` and `.`.
    pub software_name: &'static str,
    /// The client's version (KIP-511).
    pub software_version: &'static str,
}

/// The broker's answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiVersionsAnswer {
    /// UNSUPPORTED_VERSION if the broker does not know the version that was asked in. Then `versions` says,
    /// since Kafka 2.4 (KIP-511), which versions of ApiVersions it does know.
    pub error: ErrorCode,
    /// How long the broker holds back further answers on this connection (KIP-219).
    pub throttle: Duration,
    /// What it speaks.
    pub versions: BrokerVersions,
}

impl Api for ApiVersions {
    const KEY: i16 = 18;
    const NAME: &'static str = "ApiVersions";
    const VERSIONS: VersionRange = VersionRange::new(0, 4);
    const FLEXIBLE: i16 = 3;
    type Answer = ApiVersionsAnswer;

    fn throttle(answer: &ApiVersionsAnswer) -> Duration {
        answer.throttle
    }

    /// Never: the client cannot know yet what the broker speaks.
    fn answer_header_has_tags(_: i16) -> bool {
        false
    }

    fn encode(&self, version: i16, into: &mut BytesMut) -> Result<(), EncodeError> {
        let message = ApiVersionsRequest::default()
            .with_client_software_name(text(self.software_name))
            .with_client_software_version(text(self.software_version));
        encoded::<Self>(&message, version, into)
    }

    fn decode(version: i16, body: Bytes) -> Result<ApiVersionsAnswer, DecodeError> {
        let version = if refuses_version(&body) { 0 } else { version };
        let message: ApiVersionsResponse = decoded::<Self, _>(&ANSWER, version, body)?;
        let versions = message
            .api_keys
            .iter()
            .map(|offer| (offer.api_key, VersionRange::new(offer.min_version, offer.max_version)))
            .collect();
        Ok(ApiVersionsAnswer {
            error: ErrorCode(message.error_code),
            throttle: throttle(message.throttle_time_ms),
            versions: BrokerVersions(versions),
        })
    }
}

/// A broker that does not know the version of the question answers as version 0 does.
fn refuses_version(body: &[u8]) -> bool {
    body.starts_with(&ErrorCode::UNSUPPORTED_VERSION.0.to_be_bytes())
}

static ANSWER: Shape = Shape {
    fields: &[
        field("error_code", Fixed(2)),
        field("api_keys", List(&Struct(&API_VERSION))),
        since(1, "throttle_time_ms", Fixed(4)),
    ],
    tags: &[
        tag(0, 3, "supported_features", List(&Struct(&FEATURE))),
        tag(1, 3, "finalized_features_epoch", Fixed(8)),
        tag(2, 3, "finalized_features", List(&Struct(&FEATURE))),
        tag(3, 3, "zk_migration_ready", Fixed(1)),
    ],
};

static API_VERSION: Shape = Shape {
    fields: &[field("api_key", Fixed(2)), field("min_version", Fixed(2)), field("max_version", Fixed(2))],
    tags: &[],
};

static FEATURE: Shape = Shape {
    fields: &[field("name", Text), field("min_version", Fixed(2)), field("max_version", Fixed(2))],
    tags: &[],
};
