//! kafka-protocol's own codecs are the oracle: in every version, what the rewriting leaves behind must decode to
//! the message with the endpoints replaced and nothing else changed.

use bytes::{Bytes, BytesMut};
use kafka_protocol::messages::api_versions_response::ApiVersion;
use kafka_protocol::messages::describe_cluster_response::DescribeClusterBroker;
use kafka_protocol::messages::fetch_response::{
    AbortedTransaction, FetchableTopicResponse, LeaderIdAndEpoch, NodeEndpoint as FetchEndpoint,
    PartitionData,
};
use kafka_protocol::messages::find_coordinator_response::Coordinator;
use kafka_protocol::messages::metadata_response::{
    MetadataResponseBroker, MetadataResponsePartition, MetadataResponseTopic,
};
use kafka_protocol::messages::produce_response::{
    BatchIndexAndErrorMessage, NodeEndpoint as ProduceEndpoint, PartitionProduceResponse,
    TopicProduceResponse,
};
use kafka_protocol::messages::{
    ApiVersionsResponse, BrokerId, DescribeClusterResponse, FetchResponse, FindCoordinatorResponse,
    MetadataResponse, ProduceResponse, ResponseHeader, TopicName,
};
use kafka_protocol::protocol::{Decodable, Encodable, StrBytes};

use super::*;

const CORRELATION: i32 = 0x0102_0304;

fn text(text: &str) -> StrBytes {
    StrBytes::from_string(text.to_owned())
}

/// Node 1 moves from `kafka-1.example:9092` to 127.0.0.1:40001, and so on.
fn moved(node: i32, host: &str, port: u16) -> io::Result<SocketAddr> {
    assert_eq!((host, port), (format!("kafka-{node}.example").as_str(), 9092));
    Ok(SocketAddr::from(([127, 0, 0, 1], 40_000 + u16::try_from(node).unwrap())))
}

fn before(node: i32) -> (StrBytes, i32) {
    (text(&format!("kafka-{node}.example")), 9092)
}

fn after(node: i32) -> (StrBytes, i32) {
    (text("127.0.0.1"), 40_000 + node)
}

type Where = fn(i32) -> (StrBytes, i32);

fn encode(api: ApiKey, version: i16, message: &impl Encodable) -> Vec<u8> {
    let mut out = BytesMut::new();
    let header = ResponseHeader::default().with_correlation_id(CORRELATION);
    header.encode(&mut out, api.response_header_version(version)).unwrap();
    message.encode(&mut out, version).unwrap();
    out.to_vec()
}

fn decode<M: Decodable>(api: ApiKey, version: i16, answer: Vec<u8>) -> M {
    let mut answer = Bytes::from(answer);
    let header = ResponseHeader::decode(&mut answer, api.response_header_version(version)).unwrap();
    assert_eq!(header.correlation_id, CORRELATION);
    let message = M::decode(&mut answer, version).unwrap();
    assert!(answer.is_empty(), "{} bytes are left over", answer.len());
    message
}

/// Rewrites `message(before)` and expects `message(after)`, and that every cut-off answer is refused or left.
fn expect_moved<M: Encodable + Decodable>(api: ApiKey, version: i16, message: impl Fn(Where) -> M) {
    let original = encode(api, version, &message(before));
    let rewritten =
        rewrite(api as i16, version, &original, &mut moved).unwrap().expect("endpoints to replace");
    assert_eq!(rewritten, encode(api, version, &message(after)), "{api:?} v{version}");
    decode::<M>(api, version, rewritten);
    for length in 0..original.len() {
        let _never_panics = rewrite(api as i16, version, &original[..length], &mut |_, _: &str, _| {
            Ok(SocketAddr::from(([127, 0, 0, 1], 1)))
        });
    }
}

#[test]
fn metadata_of_every_version_names_the_new_endpoints() {
    for version in 0..=13 {
        expect_moved(ApiKey::Metadata, version, |at| {
            let broker = |node| {
                let (host, port) = at(node);
                let broker = MetadataResponseBroker::default().with_node_id(BrokerId(node));
                broker.with_host(host).with_port(port).with_rack((version >= 1).then(|| text("eu-1")))
            };
            let partition = MetadataResponsePartition::default().with_leader_id(BrokerId(2));
            let topic = MetadataResponseTopic::default()
                .with_name(Some(TopicName(text("orders"))))
                .with_partitions(vec![partition]);
            MetadataResponse::default()
                .with_brokers(vec![broker(1), broker(2), broker(200)])
                .with_cluster_id((version >= 2).then(|| text("a-cluster")))
                .with_controller_id(BrokerId(if version >= 1 { 2 } else { -1 }))
                .with_topics(vec![topic])
        });
    }
}

#[test]
fn coordinators_of_every_version_are_at_the_new_endpoints() {
    for version in 0..=6 {
        expect_moved(ApiKey::FindCoordinator, version, |at| {
            let (host, port) = at(3);
            if version < 4 {
                let answer = FindCoordinatorResponse::default().with_node_id(BrokerId(3));
                return answer.with_host(host).with_port(port);
            }
            let found = Coordinator::default().with_key(text("billing")).with_node_id(BrokerId(3));
            let none = Coordinator::default().with_key(text("none")).with_node_id(BrokerId(-1)).with_port(-1);
            let none = none.with_error_code(15).with_error_message(Some(text("not available")));
            FindCoordinatorResponse::default()
                .with_coordinators(vec![none, found.with_host(host).with_port(port)])
        });
    }
}

#[test]
fn an_absent_coordinator_stays_absent() {
    for version in 0..=3 {
        let none =
            FindCoordinatorResponse::default().with_error_code(15).with_node_id(BrokerId(-1)).with_port(-1);
        let answer = encode(ApiKey::FindCoordinator, version, &none);
        assert_eq!(rewrite(10, version, &answer, &mut moved).unwrap(), None);
    }
}

#[test]
fn a_described_cluster_is_at_the_new_endpoints_and_its_controllers_where_they_are() {
    for version in 0..=2 {
        let cluster = |at: Where| {
            let broker = |node| {
                let (host, port) = at(node);
                let broker = DescribeClusterBroker::default().with_broker_id(BrokerId(node));
                broker.with_host(host).with_port(port).with_is_fenced(version >= 2)
            };
            DescribeClusterResponse::default()
                .with_cluster_id(text("c"))
                .with_brokers(vec![broker(1), broker(2)])
        };
        expect_moved(ApiKey::DescribeCluster, version, cluster);
        if version >= 1 {
            let controllers =
                encode(ApiKey::DescribeCluster, version, &cluster(before).with_endpoint_type(2));
            assert_eq!(rewrite(60, version, &controllers, &mut moved).unwrap(), None);
        }
    }
}

#[test]
fn new_leaders_in_a_produce_answer_are_at_the_new_endpoints() {
    for version in 10..=13 {
        expect_moved(ApiKey::Produce, version, |at| {
            let (host, port) = at(2);
            let wrong = BatchIndexAndErrorMessage::default().with_batch_index_error_message(Some(text("no")));
            let partition = PartitionProduceResponse::default()
                .with_error_code(6)
                .with_record_errors(vec![wrong])
                .with_error_message(Some(text("not the leader")));
            let topic =
                TopicProduceResponse::default().with_partition_responses(vec![partition.clone(), partition]);
            let topic = if version < 13 { topic.with_name(TopicName(text("orders"))) } else { topic };
            let leader = ProduceEndpoint::default().with_node_id(BrokerId(2)).with_host(host).with_port(port);
            ProduceResponse::default().with_responses(vec![topic]).with_node_endpoints(vec![leader])
        });
    }
}

fn fetched(endpoints: Vec<FetchEndpoint>) -> FetchResponse {
    let leader = LeaderIdAndEpoch::default().with_leader_id(BrokerId(2)).with_leader_epoch(5);
    let moved_away = PartitionData::default().with_error_code(6).with_current_leader(leader);
    let read = PartitionData::default()
        .with_aborted_transactions(Some(vec![AbortedTransaction::default().with_first_offset(3)]))
        .with_records(Some(Bytes::from(vec![7; 300])));
    let topic = FetchableTopicResponse::default().with_partitions(vec![moved_away, read]);
    FetchResponse::default().with_session_id(9).with_responses(vec![topic]).with_node_endpoints(endpoints)
}

#[test]
fn new_leaders_in_a_fetch_answer_are_at_the_new_endpoints() {
    for version in 16..=18 {
        expect_moved(ApiKey::Fetch, version, |at| {
            let endpoint = |node| {
                let (host, port) = at(node);
                let endpoint = FetchEndpoint::default().with_node_id(BrokerId(node));
                endpoint.with_host(host).with_port(port).with_rack(Some(text("eu-1")))
            };
            fetched((1..=9).map(endpoint).collect())
        });
    }
}

#[test]
fn a_fetch_answer_without_new_leaders_passes_as_it_is() {
    for version in 16..=18 {
        let answer = encode(ApiKey::Fetch, version, &fetched(Vec::new()));
        assert_eq!(rewrite(1, version, &answer, &mut moved).unwrap(), None);
    }
}

fn offering(ranges: &[(i16, i16, i16)]) -> ApiVersionsResponse {
    let offered = |&(api, min, max): &(i16, i16, i16)| {
        ApiVersion::default().with_api_key(api).with_min_version(min).with_max_version(max)
    };
    ApiVersionsResponse::default().with_api_keys(ranges.iter().map(offered).collect())
}

#[test]
fn what_is_newer_than_the_proxy_reads_is_not_offered() {
    let newer = offering(&[(3, 0, 14), (1, 4, 99), (18, 0, 5), (11, 0, 99), (60, 0, 2)]);
    let clamped = offering(&[(3, 0, 13), (1, 4, 18), (18, 0, 4), (11, 0, 99), (60, 0, 2)]);
    for version in 0..=4 {
        let answer = encode(ApiKey::ApiVersions, version, &newer);
        let rewritten = rewrite(18, version, &answer, &mut moved).unwrap().unwrap();
        assert_eq!(decode::<ApiVersionsResponse>(ApiKey::ApiVersions, version, rewritten), clamped);
    }
}

#[test]
fn a_broker_that_does_not_know_the_version_is_understood_in_version_0() {
    let answer =
        encode(ApiKey::ApiVersions, 0, &offering(&[(18, 0, 5)]).with_error_code(UNSUPPORTED_VERSION));
    let rewritten = rewrite(18, 4, &answer, &mut moved).unwrap().unwrap();
    let read: ApiVersionsResponse = decode(ApiKey::ApiVersions, 0, rewritten);
    assert_eq!(read, offering(&[(18, 0, 4)]).with_error_code(UNSUPPORTED_VERSION));
}

#[test]
fn a_cluster_that_is_too_new_altogether_is_refused() {
    let answer = encode(ApiKey::ApiVersions, 3, &offering(&[(3, 14, 20)]));
    assert!(rewrite(18, 3, &answer, &mut moved).unwrap_err().to_string().contains("api 3 from version 14"));
    assert!(rewrite(3, 14, &[], &mut moved).is_err());
}

#[test]
fn other_answers_pass_as_they_are() {
    for (api, version) in [(11, 9), (0, 9), (1, 15), (-1, 0), (9999, 0)] {
        assert_eq!(rewrite(api, version, &[1, 2, 3], &mut moved).unwrap(), None);
    }
}

proptest::proptest! {
    #[test]
    fn whatever_comes_over_the_wire_is_refused_or_passed_but_never_panics(
        (api, newest) in proptest::sample::select(NEWEST.to_vec()),
        version in 0_i16..20,
        answer in proptest::collection::vec(proptest::sample::select(vec![0_u8, 1, 2, 3, 9, 0x7f, 0x80, 0xff]), 0..200),
    ) {
        let anywhere = |_: i32, _: &str, _: u16| Ok(SocketAddr::from(([127, 0, 0, 1], 1)));
        let rewritten = rewrite(api as i16, version, &answer, &mut { anywhere });
        proptest::prop_assert!(version <= newest || rewritten.is_err());
    }
}
