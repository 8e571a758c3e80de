//! A client that knows as much of Kafka's protocol as the tests need.

use std::io;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use kafka_protocol::messages::{
    ApiKey, ApiVersionsRequest, ApiVersionsResponse, MetadataRequest, MetadataResponse, RequestHeader,
    RequestKind, ResponseHeader, ResponseKind,
};
use kafka_protocol::protocol::{Decodable, Encodable, StrBytes};
use steadfast_core::endpoints::view::Address;
use steadfast_core::ids::NodeId;
use steadfast_sim::embedded::{Embedded, Spec};
use steadfast_sim::network::Stream;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

pub(crate) const LIMIT: Duration = Duration::from_secs(10);
pub(crate) const NEWEST: i16 = 4;

pub(crate) fn question(version: i16, correlation: i32) -> Vec<u8> {
    let mut frame = BytesMut::new();
    RequestHeader::default()
        .with_request_api_key(ApiKey::ApiVersions as i16)
        .with_request_api_version(version)
        .with_correlation_id(correlation)
        .encode(&mut frame, ApiKey::ApiVersions.request_header_version(version))
        .unwrap();
    // Older versions don't say what the client is.
    let name = StrBytes::from_static_str(if version < 3 { "" } else { "test" });
    let said = ApiVersionsRequest::default()
        .with_client_software_name(name.clone())
        .with_client_software_version(name);
    said.encode(&mut frame, version.min(NEWEST)).unwrap();
    [&i32::try_from(frame.len()).unwrap().to_be_bytes()[..], &frame].concat()
}

pub(crate) async fn frame(from: &mut (impl AsyncRead + Unpin)) -> io::Result<Bytes> {
    let size = usize::try_from(from.read_i32().await?).unwrap();
    let mut frame = vec![0; size];
    from.read_exact(&mut frame).await?;
    Ok(frame.into())
}

pub(crate) fn understand(mut answer: Bytes, version: i16) -> (i32, ApiVersionsResponse) {
    let header = ResponseHeader::decode(&mut answer, 0).unwrap();
    (header.correlation_id, ApiVersionsResponse::decode(&mut answer, version).unwrap())
}

/// Asks once; whether the answer was a good one.
pub(crate) async fn ask(stream: &mut (impl AsyncRead + AsyncWrite + Unpin)) -> io::Result<bool> {
    stream.write_all(&question(NEWEST, 7)).await?;
    let answer = frame(stream).await?;
    if answer.get(4).is_some_and(|byte| *byte >= 0x80) {
        // A corrupt one: kafka-protocol would set memory aside for the lengths in it.
        return Ok(false);
    }
    let (correlation, answer) = understand(answer, NEWEST);
    Ok(correlation == 7 && answer.error_code == 0 && !answer.api_keys.is_empty())
}

pub(crate) async fn refused(cluster: &Embedded, at: &Address) -> bool {
    cluster.connect(at).await.is_err_and(|error| error.kind() == io::ErrorKind::ConnectionRefused)
}

pub(crate) fn reset(outcome: io::Result<bool>) -> bool {
    outcome.is_err_and(|error| error.kind() == io::ErrorKind::ConnectionReset)
}

pub(crate) fn started() -> Embedded {
    Embedded::in_memory(&Spec::default())
}

pub(crate) async fn at_node_1(cluster: &Embedded) -> (Address, Stream) {
    let at = cluster.endpoints()[&NodeId(1)].clone();
    let mut stream = cluster.connect(&at).await.unwrap();
    assert!(ask(&mut stream).await.unwrap());
    (at, stream)
}

/// Sends any request and reads its answer.
pub(crate) async fn request(
    stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
    key: ApiKey,
    version: i16,
    request: RequestKind,
) -> io::Result<ResponseKind> {
    let mut out = BytesMut::new();
    let header = RequestHeader::default().with_request_api_key(key as i16).with_request_api_version(version);
    header.with_correlation_id(3).encode(&mut out, key.request_header_version(version)).unwrap();
    request.encode(&mut out, version).unwrap();
    stream.write_i32(i32::try_from(out.len()).unwrap()).await?;
    stream.write_all(&out).await?;
    let mut answer = frame(stream).await?;
    let header = ResponseHeader::decode(&mut answer, key.response_header_version(version)).unwrap();
    assert_eq!(header.correlation_id, 3);
    Ok(ResponseKind::decode(key, &mut answer, version).unwrap())
}

/// What whoever answers at this address says of its cluster.
pub(crate) async fn metadata(cluster: &Embedded, at: &Address) -> MetadataResponse {
    let mut stream = cluster.connect(at).await.unwrap();
    let all = RequestKind::Metadata(MetadataRequest::default().with_topics(None));
    match request(&mut stream, ApiKey::Metadata, 12, all).await.unwrap() {
        ResponseKind::Metadata(answer) => answer,
        other => panic!("{other:?}"),
    }
}
