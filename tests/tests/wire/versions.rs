//! ApiVersions: what is served in which versions, and what becomes of a version that is not.

use std::io;
use std::ops::RangeInclusive;

use bytes::BytesMut;
use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::{
    ApiKey, ApiVersionsRequest, ApiVersionsResponse, RequestHeader, ResponseHeader,
};
use kafka_protocol::protocol::{Decodable, Encodable};
use steadfast_tests::brokers::Brokers;
use steadfast_tests::either::Scene;
use steadfast_tests::kafka::{Connection, ask};

use crate::topic::{error, text};

pub(crate) const SCENES: &[Scene] = &[
    ("versions::each_api_is_announced_with_kafka_s_versions", announced),
    ("versions::a_version_of_api_versions_that_is_too_new_is_answered_in_the_oldest", too_new),
    ("versions::a_client_has_to_say_what_it_is", nameless),
    ("versions::a_request_in_a_version_that_is_not_served_closes_the_connection", not_served),
    ("versions::bytes_that_are_no_request_close_the_connection", no_request),
];

/// What Kafka 4.2 and the embedded cluster announce, as far as kafka-protocol knows the versions and clients need them (of transactions, not
/// what KIP-890 lets them do when they ask for it). A broker may announce newer ones.
const KAFKA: &[(ApiKey, RangeInclusive<i16>)] = &[
    (ApiKey::Produce, 0..=13),
    (ApiKey::Fetch, 4..=18),
    (ApiKey::ListOffsets, 1..=10),
    (ApiKey::Metadata, 0..=13),
    (ApiKey::OffsetCommit, 2..=9),
    (ApiKey::OffsetFetch, 1..=9),
    (ApiKey::FindCoordinator, 0..=6),
    (ApiKey::JoinGroup, 0..=9),
    (ApiKey::Heartbeat, 0..=4),
    (ApiKey::LeaveGroup, 0..=5),
    (ApiKey::SyncGroup, 0..=5),
    (ApiKey::DescribeGroups, 0..=6),
    (ApiKey::ListGroups, 0..=5),
    (ApiKey::ApiVersions, 0..=4),
    (ApiKey::CreateTopics, 2..=7),
    (ApiKey::DeleteTopics, 1..=6),
    (ApiKey::DeleteRecords, 0..=2),
    (ApiKey::InitProducerId, 0..=5),
    (ApiKey::OffsetForLeaderEpoch, 2..=4),
    (ApiKey::AddPartitionsToTxn, 0..=3),
    (ApiKey::AddOffsetsToTxn, 0..=4),
    (ApiKey::EndTxn, 0..=4),
    (ApiKey::TxnOffsetCommit, 0..=4),
    (ApiKey::DescribeConfigs, 1..=4),
    (ApiKey::CreatePartitions, 0..=3),
    (ApiKey::DeleteGroups, 0..=2),
    (ApiKey::OffsetDelete, 0..=0),
    (ApiKey::DescribeCluster, 0..=2),
    (ApiKey::ConsumerGroupHeartbeat, 0..=1),
    (ApiKey::ConsumerGroupDescribe, 0..=1),
];
/// The newest versions of Kafka 3.9 where they are others. It serves everything from version 0 on (KIP-896).
const NEWEST_IN_3_9: &[(ApiKey, i16)] = &[
    (ApiKey::Produce, 11),
    (ApiKey::Fetch, 17),
    (ApiKey::ListOffsets, 9),
    (ApiKey::Metadata, 12),
    (ApiKey::DescribeGroups, 5),
    (ApiKey::DescribeCluster, 1),
];

/// Those that Kafka 3.9 has as a preview only.
const SINCE_4: &[ApiKey] = &[ApiKey::ConsumerGroupHeartbeat, ApiKey::ConsumerGroupDescribe];

/// Of these versions of an API, those that the brokers announce.
pub(crate) fn served(brokers: &Brokers, api: ApiKey, versions: &[i16]) -> Vec<i16> {
    let announced = range(&asked(brokers), api).unwrap();
    versions.iter().copied().filter(|version| announced.contains(version)).collect()
}

fn asked(brokers: &Brokers) -> ApiVersionsResponse {
    ask(*brokers.addresses().values().next().unwrap(), 4, &request()).unwrap()
}

/// Whether the brokers are of a Kafka before 4.0: it serves what that removed.
fn is_kafka_3(brokers: &Brokers) -> bool {
    range(&asked(brokers), ApiKey::Fetch).unwrap().contains(&0)
}

fn expected(brokers: &Brokers) -> Vec<(ApiKey, RangeInclusive<i16>)> {
    let kafka_3 = is_kafka_3(brokers);
    let of_3_9 =
        |api: ApiKey| NEWEST_IN_3_9.iter().find(|(other, _)| *other == api).map(|(_, newest)| *newest);
    let range = |(api, range): &(ApiKey, RangeInclusive<i16>)| match kafka_3 {
        true => (*api, 0..=of_3_9(*api).unwrap_or(*range.end())),
        false => (*api, range.clone()),
    };
    KAFKA.iter().filter(|(api, _)| !(kafka_3 && SINCE_4.contains(api))).map(range).collect()
}

fn request() -> ApiVersionsRequest {
    ApiVersionsRequest::default()
        .with_client_software_name(text("steadfast-tests"))
        .with_client_software_version(text("1.0"))
}

/// The range that is announced for an API.
fn range(answer: &ApiVersionsResponse, api: ApiKey) -> Option<RangeInclusive<i16>> {
    let found = answer.api_keys.iter().find(|announced| announced.api_key == api as i16);
    found.map(|announced| announced.min_version..=announced.max_version)
}

fn announced(brokers: &Brokers) {
    let kafka = expected(brokers);
    for at in brokers.addresses().values() {
        for version in 0..=4 {
            let request = if version < 3 { ApiVersionsRequest::default() } else { request() };
            let answer = ask(*at, version, &request).unwrap();
            assert_eq!(error(answer.error_code), None);
            for (api, expected) in &kafka {
                let found = range(&answer, *api).unwrap_or_else(|| panic!("{api:?} is not announced"));
                let known = *found.start()..=*found.end().min(expected.end());
                assert_eq!(&known, expected, "{api:?} in version {version}");
            }
        }
    }
}

/// A frame whose header names this version, and its body.
fn frame(api: ApiKey, version: i16, header_version: i16, body: &[u8]) -> BytesMut {
    let mut frame = BytesMut::new();
    RequestHeader::default()
        .with_request_api_key(api as i16)
        .with_request_api_version(version)
        .with_correlation_id(7)
        .encode(&mut frame, header_version)
        .unwrap();
    frame.extend_from_slice(body);
    frame
}

fn too_new(brokers: &Brokers) {
    let mut body = BytesMut::new();
    request().encode(&mut body, 4).unwrap();
    for at in brokers.addresses().values() {
        let mut connection = Connection::open(*at).unwrap();
        connection.send_frame(&frame(ApiKey::ApiVersions, 99, 2, &body)).unwrap();
        let mut answer = connection.receive_frame().unwrap();
        assert_eq!(ResponseHeader::decode(&mut answer, 0).unwrap().correlation_id, 7);
        let answer = ApiVersionsResponse::decode(&mut answer, 0).unwrap();
        assert_eq!(error(answer.error_code), Some(ResponseError::UnsupportedVersion));
        assert_eq!(range(&answer, ApiKey::ApiVersions), Some(0..=4));
        // The client asks again on the same connection.
        connection.send_frame(&frame(ApiKey::ApiVersions, 4, 2, &body)).unwrap();
        let mut answer = connection.receive_frame().unwrap();
        assert_eq!(ResponseHeader::decode(&mut answer, 0).unwrap().correlation_id, 7);
        assert_eq!(ApiVersionsResponse::decode(&mut answer, 4).unwrap().error_code, 0);
    }
}

fn nameless(brokers: &Brokers) {
    let at = *brokers.addresses().values().next().unwrap();
    for version in [3, 4] {
        for name in ["", "a name with blanks"] {
            let answer = ask(at, version, &request().with_client_software_name(text(name))).unwrap();
            assert_eq!(error(answer.error_code), Some(ResponseError::InvalidRequest), "{name:?}");
        }
    }
}

/// The broker closes the connection on this frame, and goes on serving others.
fn expect_closed(brokers: &Brokers, frame: &[u8]) {
    let at = *brokers.addresses().values().next().unwrap();
    let mut connection = Connection::open(at).unwrap();
    connection.send_frame(frame).unwrap();
    let closed = connection.receive_frame().unwrap_err().kind();
    assert!(matches!(closed, io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset), "{closed}");
    assert_eq!(ask(at, 4, &request()).unwrap().error_code, 0);
}

fn not_served(brokers: &Brokers) {
    let removed = [(ApiKey::Fetch, 3, 1), (ApiKey::OffsetCommit, 1, 1), (ApiKey::Produce, 2, 1)];
    let removed = removed.into_iter().filter(|_| !is_kafka_3(brokers));
    for (api, version, header_version) in removed.chain([(ApiKey::Metadata, 99, 2)]) {
        expect_closed(brokers, &frame(api, version, header_version, &[0; 64]));
    }
}

fn no_request(brokers: &Brokers) {
    expect_closed(brokers, b"GET / HTTP/1.1\r\n\r\n");
    // No API has this key.
    expect_closed(brokers, &[0x7f; 40]);
    // Metadata that ends in the middle.
    expect_closed(brokers, &frame(ApiKey::Metadata, 1, 1, &[0, 0, 0, 9, 0]));
    // Metadata with an array of two milliard elements.
    expect_closed(brokers, &frame(ApiKey::Metadata, 1, 1, &[0x7f, 0xff, 0xff, 0xff]));
}
