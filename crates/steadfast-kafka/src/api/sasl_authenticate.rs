//! SaslAuthenticate: one message of a SASL mechanism, and the broker's to it.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use kafka_protocol::messages::{SaslAuthenticateRequest, SaslAuthenticateResponse};
use zeroize::Zeroizing;

use super::{Api, DecodeError, EncodeError, ErrorCode, decoded, encoded, optional_shared};
use crate::guard::Kind::{Blob, Fixed, Text};
use crate::guard::{Shape, field, since};
use crate::versions::VersionRange;

/// A message of the mechanism. It may be a password, so it is not shown.
#[derive(Clone, PartialEq, Eq)]
pub struct SaslAuthenticate {
    /// The message.
    pub message: Zeroizing<Vec<u8>>,
}

/// The broker's answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SaslAuthenticateAnswer {
    /// SASL_AUTHENTICATION_FAILED for instance.
    pub error: ErrorCode,
    /// What the broker says to the error.
    pub explanation: Option<Arc<str>>,
    /// Its message of the mechanism.
    pub message: Bytes,
    /// How long the session lasts that begins with this answer: who has not authenticated again by then is
    /// disconnected at the next request (KIP-368, since version 1). None if it lasts for ever, or does not begin yet.
    pub lifetime: Option<Duration>,
}

impl Api for SaslAuthenticate {
    const KEY: i16 = 36;
    const NAME: &'static str = "SaslAuthenticate";
    const VERSIONS: VersionRange = VersionRange::new(0, 2);
    const FLEXIBLE: i16 = 2;
    type Answer = SaslAuthenticateAnswer;

    /// Its answers hold nothing back.
    fn throttle(_: &SaslAuthenticateAnswer) -> Duration {
        Duration::ZERO
    }

    fn encode(&self, version: i16, into: &mut BytesMut) -> Result<(), EncodeError> {
        let message = Bytes::from_owner(self.message.clone());
        encoded::<Self>(&SaslAuthenticateRequest::default().with_auth_bytes(message), version, into)
    }

    fn decode(version: i16, body: Bytes) -> Result<SaslAuthenticateAnswer, DecodeError> {
        let message: SaslAuthenticateResponse = decoded::<Self, _>(&ANSWER, version, body)?;
        let lifetime = u64::try_from(message.session_lifetime_ms).unwrap_or(0);
        Ok(SaslAuthenticateAnswer {
            error: ErrorCode(message.error_code),
            explanation: optional_shared(&message.error_message),
            message: message.auth_bytes,
            lifetime: (lifetime > 0).then(|| Duration::from_millis(lifetime)),
        })
    }
}

impl fmt::Debug for SaslAuthenticate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SaslAuthenticate({} bytes)", self.message.len())
    }
}

static ANSWER: Shape = Shape {
    fields: &[
        field("error_code", Fixed(2)),
        field("error_message", Text),
        field("auth_bytes", Blob),
        since(1, "session_lifetime_ms", Fixed(8)),
    ],
    tags: &[],
};
