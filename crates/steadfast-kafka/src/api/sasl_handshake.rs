//! SaslHandshake: announces the mechanism of the authentication that follows.

use std::sync::Arc;

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use kafka_protocol::messages::{SaslHandshakeRequest, SaslHandshakeResponse};

use super::{Api, DecodeError, EncodeError, ErrorCode, decoded, encoded, shared, text};
use crate::guard::Kind::{Fixed, List, Text};
use crate::guard::{Shape, field};
use crate::versions::VersionRange;

/// Announces a mechanism. On a connection that is authenticated it begins a re-authentication (KIP-368).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SaslHandshake {
    /// The mechanism's registered name.
    pub mechanism: &'static str,
}

/// The broker's answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SaslHandshakeAnswer {
    /// UNSUPPORTED_SASL_MECHANISM, or ILLEGAL_SASL_STATE where nobody is asked to authenticate.
    pub error: ErrorCode,
    /// The mechanisms that the listener offers.
    pub mechanisms: Vec<Arc<str>>,
}

impl Api for SaslHandshake {
    const KEY: i16 = 17;
    const NAME: &'static str = "SaslHandshake";
    /// After version 0 the mechanism's messages would follow without Kafka's headers (KIP-152).
    const VERSIONS: VersionRange = VersionRange::new(1, 1);
    const FLEXIBLE: i16 = i16::MAX;
    type Answer = SaslHandshakeAnswer;

    /// Its answers hold nothing back.
    fn throttle(_: &SaslHandshakeAnswer) -> Duration {
        Duration::ZERO
    }

    fn encode(&self, version: i16, into: &mut BytesMut) -> Result<(), EncodeError> {
        encoded::<Self>(&SaslHandshakeRequest::default().with_mechanism(text(self.mechanism)), version, into)
    }

    fn decode(version: i16, body: Bytes) -> Result<SaslHandshakeAnswer, DecodeError> {
        let message: SaslHandshakeResponse = decoded::<Self, _>(&ANSWER, version, body)?;
        Ok(SaslHandshakeAnswer {
            error: ErrorCode(message.error_code),
            mechanisms: message.mechanisms.iter().map(shared).collect(),
        })
    }
}

static ANSWER: Shape =
    Shape { fields: &[field("error_code", Fixed(2)), field("mechanisms", List(&Text))], tags: &[] };
