//! What the proxy must know of a request to understand its answer.

use kafka_protocol::messages::ApiKey;

use super::walk::{Walk, WalkError};

/// The head of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Request {
    pub(super) api: i16,
    pub(super) version: i16,
    pub(super) correlation: i32,
    pub(super) client_id: Option<String>,
    /// False for a Produce with `acks=0`: brokers send no answer to it.
    pub(super) answered: bool,
}

/// How the head of a request is laid out: the version is at bytes 2 and 3.
pub(super) const VERSION_AT: std::ops::Range<usize> = 2..4;

impl Request {
    /// Reads the head of a request (without its length in front).
    pub(super) fn read(content: &[u8]) -> Result<Request, WalkError> {
        // The client id is in the old notation in every header version but 0, which no broker from 2.0 on reads.
        let mut walk = Walk::new(content, false);
        let (api, version, correlation) = (walk.i16()?, walk.i16()?, walk.i32()?);
        let client_id = walk.string()?.map(str::to_owned);
        let answered = api != ApiKey::Produce as i16 || acks(&content[walk.at()..], version)? != 0;
        Ok(Request { api, version, correlation, client_id, answered })
    }
}

/// The `acks` of a Produce request whose header has been read up to its tagged fields.
fn acks(rest: &[u8], version: i16) -> Result<i16, WalkError> {
    const FLEXIBLE_FROM: i16 = 9;
    const TRANSACTIONAL_FROM: i16 = 3;
    let mut walk = Walk::new(rest, version >= FLEXIBLE_FROM);
    walk.tags()?;
    if version >= TRANSACTIONAL_FROM {
        walk.string()?;
    }
    walk.i16()
}

#[cfg(test)]
mod tests {
    use bytes::BytesMut;
    use kafka_protocol::messages::{ProduceRequest, RequestHeader, TransactionalId};
    use kafka_protocol::protocol::{Encodable, StrBytes};

    use super::*;

    fn produce(version: i16, acks: i16) -> Vec<u8> {
        let mut out = BytesMut::new();
        RequestHeader::default()
            .with_request_api_key(ApiKey::Produce as i16)
            .with_request_api_version(version)
            .with_correlation_id(77)
            .with_client_id(Some(StrBytes::from_static_str("load")))
            .encode(&mut out, ApiKey::Produce.request_header_version(version))
            .unwrap();
        ProduceRequest::default()
            .with_transactional_id(Some(TransactionalId(StrBytes::from_static_str("t"))))
            .with_acks(acks)
            .encode(&mut out, version)
            .unwrap();
        out.to_vec()
    }

    #[test]
    fn a_produce_without_acks_awaits_no_answer() {
        for version in 3..=13 {
            for acks in [-1, 0, 1] {
                let read = Request::read(&produce(version, acks)).unwrap();
                let expected = Request {
                    api: 0,
                    version,
                    correlation: 77,
                    client_id: Some("load".into()),
                    answered: acks != 0,
                };
                assert_eq!(read, expected);
            }
        }
    }

    #[test]
    fn a_request_that_is_cut_off_is_refused() {
        let whole = produce(9, 1);
        for length in 0..18 {
            assert!(Request::read(&whole[..length]).is_err(), "{length}");
        }
    }
}
