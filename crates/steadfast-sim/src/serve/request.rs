//! A request out of its frame, and its answer into one.

use bytes::{BufMut, Bytes, BytesMut};
use kafka_protocol::messages::api_versions_response::ApiVersion;
use kafka_protocol::messages::{
    ApiKey, ApiVersionsResponse, RequestHeader, RequestKind, ResponseHeader, ResponseKind,
};
use kafka_protocol::protocol::{Decodable, Encodable};

use super::guard::harmless;
use crate::api::SERVED;

/// UNSUPPORTED_VERSION.
const UNSUPPORTED_VERSION: i16 = 35;

/// What an answer must know of its request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) key: ApiKey,
    pub(super) version: i16,
    pub(super) correlation: i32,
}

/// A frame that is no request which is served: Kafka closes the connection.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Unreadable {
    #[error("expected a request's header, found {found} bytes that are none")]
    Header { found: usize },
    #[error("api {api} in version {version} is not served")]
    NotServed { api: i16, version: i16 },
    #[error(
        "expected the body of a request to {key:?} in version {version}, found {found} bytes that are none"
    )]
    Body { key: ApiKey, version: i16, found: usize },
}

/// What a frame holds.
#[derive(Debug)]
pub(super) struct Read {
    pub(super) head: Head,
    /// Who says that it asks; empty when nobody is named.
    pub(super) client_id: String,
    /// The request; none for ApiVersions in a version that nobody knows, which is answered in version 0 (KIP-511).
    pub(super) request: Option<RequestKind>,
}

pub(super) fn read(mut frame: Bytes) -> Result<Read, Unreadable> {
    let found = frame.len();
    let header = || Unreadable::Header { found };
    let [a, b, c, d] = *frame.first_chunk().ok_or_else(header)?;
    let (api, version) = (i16::from_be_bytes([a, b]), i16::from_be_bytes([c, d]));
    let not_served = Unreadable::NotServed { api, version };
    let key = ApiKey::try_from(api).map_err(|()| not_served.clone())?;
    let (_, versions) = SERVED.iter().find(|(served, _)| *served == key).ok_or_else(|| not_served.clone())?;
    let read =
        RequestHeader::decode(&mut frame, key.request_header_version(version)).map_err(|_| header())?;
    let head = Head { key, version, correlation: read.correlation_id };
    let client_id = read.client_id.as_deref().unwrap_or_default().to_owned();
    match (versions.contains(&version), key) {
        (true, _) => {}
        (false, ApiKey::ApiVersions) => {
            return Ok(Read { head: Head { version: 0, ..head }, client_id, request: None });
        }
        (false, _) => return Err(not_served),
    }
    let body = Unreadable::Body { key, version, found: frame.len() };
    if !harmless(key, version, &frame) {
        return Err(body);
    }
    let request = RequestKind::decode(key, &mut frame, version).map_err(|_| body)?;
    Ok(Read { head, client_id, request: Some(request) })
}

/// The answer to an ApiVersions request of an unknown version: which versions are known.
pub(super) fn unsupported() -> ResponseKind {
    let known = SERVED.iter().filter(|(key, _)| *key == ApiKey::ApiVersions).map(|(key, versions)| {
        ApiVersion::default()
            .with_api_key(*key as i16)
            .with_min_version(*versions.start())
            .with_max_version(*versions.end())
    });
    let answer =
        ApiVersionsResponse::default().with_error_code(UNSUPPORTED_VERSION).with_api_keys(known.collect());
    ResponseKind::ApiVersions(answer)
}

/// The frame of an answer; none when it cannot be written in the request's version.
pub(super) fn write(head: Head, answer: &ResponseKind) -> Option<Bytes> {
    let mut frame = BytesMut::with_capacity(256);
    frame.put_i32(0);
    let written = ResponseHeader::default()
        .with_correlation_id(head.correlation)
        .encode(&mut frame, head.key.response_header_version(head.version))
        .and_then(|()| answer.encode(&mut frame, head.version));
    if let Err(error) = written {
        tracing::error!(api = ?head.key, version = head.version, %error, "an answer cannot be written");
        return None;
    }
    let size = i32::try_from(frame.len() - 4).ok()?;
    frame[..4].copy_from_slice(&size.to_be_bytes());
    Some(frame.freeze())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn frame(key: ApiKey, version: i16, body: &[u8]) -> Bytes {
        let mut frame = BytesMut::new();
        let header =
            RequestHeader::default().with_request_api_key(key as i16).with_request_api_version(version);
        header.with_correlation_id(9).encode(&mut frame, key.request_header_version(version)).unwrap();
        frame.extend_from_slice(body);
        frame.freeze()
    }

    #[test]
    fn what_is_not_served_is_named() {
        let api = ApiKey::WriteTxnMarkers as i16;
        let found = read(frame(ApiKey::WriteTxnMarkers, 1, &[])).unwrap_err();
        assert_eq!(found, Unreadable::NotServed { api, version: 1 });
        let found = read(frame(ApiKey::Metadata, 99, &[])).unwrap_err();
        assert_eq!(found, Unreadable::NotServed { api: 3, version: 99 });
        assert_eq!(read(Bytes::from_static(&[0, 3])).unwrap_err(), Unreadable::Header { found: 2 });
    }

    #[test]
    fn a_body_that_is_cut_off_is_named() {
        let found = read(frame(ApiKey::Metadata, 1, &[0, 0, 0, 1, 0, 6])).unwrap_err();
        assert_eq!(found, Unreadable::Body { key: ApiKey::Metadata, version: 1, found: 6 });
    }

    proptest! {
        /// Here an abort is the failure: without the guard these bytes set gigabytes aside.
        #[test]
        fn whatever_comes_is_read_or_refused(
            api in 0..SERVED.len(),
            bytes in prop::collection::vec(prop_oneof![Just(0), Just(0x7f), Just(0xff), any::<u8>()], 0..200),
        ) {
            let (key, versions) = SERVED[api].clone();
            for version in versions {
                let read = read(frame(key, version, &bytes));
                let body_was_judged = matches!(read, Ok(_) | Err(Unreadable::Body { .. }));
                prop_assert!(body_was_judged);
            }
        }
    }
}
