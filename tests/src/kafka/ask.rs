//! Single questions to a broker, each on a connection of its own: what a client library remembers or refreshes
//! must not colour the answer.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use kafka_protocol::messages::{MetadataRequest, MetadataResponse, RequestHeader, ResponseHeader};
use kafka_protocol::protocol::{Decodable, Encodable, HeaderVersion, Request, StrBytes};

const LIMIT: Duration = Duration::from_secs(5);

/// Asks the broker at `at`. Each step is given five seconds.
///
/// # Errors
/// The connection failed, or the answer is none to this question.
pub fn ask<R: Request>(at: SocketAddr, version: i16, request: &R) -> io::Result<R::Response> {
    let mut question = BytesMut::new();
    RequestHeader::default()
        .with_request_api_key(R::KEY)
        .with_request_api_version(version)
        .with_client_id(Some(StrBytes::from_static_str("steadfast-tests")))
        .encode(&mut question, R::header_version(version))
        .and_then(|()| request.encode(&mut question, version))
        .map_err(io::Error::other)?;
    let mut broker = TcpStream::connect_timeout(&at, LIMIT)?;
    broker.set_read_timeout(Some(LIMIT))?;
    broker.set_write_timeout(Some(LIMIT))?;
    let size = i32::try_from(question.len()).map_err(io::Error::other)?;
    broker.write_all(&[&size.to_be_bytes(), &question[..]].concat())?;
    let mut size = [0; 4];
    broker.read_exact(&mut size)?;
    let mut answer = Vec::new();
    broker.take(u64::from(u32::from_be_bytes(size))).read_to_end(&mut answer)?;
    let mut answer = Bytes::from(answer);
    ResponseHeader::decode(&mut answer, R::Response::header_version(version))
        .and_then(|_| R::Response::decode(&mut answer, version))
        .map_err(io::Error::other)
}

/// What the broker at `at` knows of `topics`, and who it says is in the cluster.
///
/// # Errors
/// As [`ask`].
pub fn metadata(at: SocketAddr, topics: &[&str]) -> io::Result<MetadataResponse> {
    use kafka_protocol::messages::TopicName;
    use kafka_protocol::messages::metadata_request::MetadataRequestTopic;

    let named = |name: &&str| {
        MetadataRequestTopic::default().with_name(Some(TopicName(StrBytes::from_string((*name).to_owned()))))
    };
    let question = MetadataRequest::default()
        .with_topics(Some(topics.iter().map(named).collect()))
        .with_allow_auto_topic_creation(false);
    ask(at, 12, &question)
}

/// Where the broker at `at` says the cluster's brokers are.
///
/// # Errors
/// As [`ask`]; or a broker is advertised by a name.
pub fn endpoints(at: SocketAddr) -> io::Result<BTreeMap<i32, SocketAddr>> {
    let brokers = metadata(at, &[])?.brokers;
    let endpoint = |broker: &kafka_protocol::messages::metadata_response::MetadataResponseBroker| {
        let address = format!("{}:{}", &*broker.host, broker.port);
        address.parse().map(|address| (broker.node_id.0, address)).map_err(io::Error::other)
    };
    brokers.iter().map(endpoint).collect()
}
