//! What is asked is what a broker reads, in every version that is spoken.

#![expect(clippy::unwrap_used, reason = "a test says what it expects")]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use kafka_protocol::messages::{self as wire};
use kafka_protocol::protocol::{Decodable, Request};
use steadfast_core::group::GroupProtocol;
use steadfast_core::ids::{GroupGeneration, LeaderEpoch, Offset, Partition, TopicId};
use steadfast_kafka::api::api_versions::ApiVersions;
use steadfast_kafka::api::consumer_group_describe::ConsumerGroupDescribe;
use steadfast_kafka::api::consumer_group_heartbeat::ConsumerGroupHeartbeat;
use steadfast_kafka::api::describe_cluster::DescribeCluster;
use steadfast_kafka::api::describe_groups::DescribeGroups;
use steadfast_kafka::api::fetch::{Fetch, FetchFrom, PartitionFrom};
use steadfast_kafka::api::find_coordinator::FindCoordinator;
use steadfast_kafka::api::group_offsets::GroupOffsets;
use steadfast_kafka::api::heartbeat::Heartbeat;
use steadfast_kafka::api::join_group::JoinGroup;
use steadfast_kafka::api::leave_group::{LeaveGroup, LeavingMember};
use steadfast_kafka::api::list_groups::ListGroups;
use steadfast_kafka::api::list_offsets::{ListOffsets, LogEnd, OffsetAsked};
use steadfast_kafka::api::metadata::Metadata;
use steadfast_kafka::api::offset_commit::{CommittedOffset, OffsetCommit};
use steadfast_kafka::api::offset_fetch::OffsetFetch;
use steadfast_kafka::api::offset_for_leader_epoch::{EpochAsked, OffsetForLeaderEpoch};
use steadfast_kafka::api::offsets_for_times::OffsetsForTimes;
use steadfast_kafka::api::sasl_authenticate::SaslAuthenticate;
use steadfast_kafka::api::sasl_handshake::SaslHandshake;
use steadfast_kafka::api::sync_group::SyncGroup;
use steadfast_kafka::api::{Api, Isolation};
use steadfast_kafka::versions::VersionRange;

const ORDERS: TopicId = TopicId(7);

/// The request as a broker reads it, in each version that can express it.
fn each<A: Api, M: Request + Decodable>(request: &A) -> impl Iterator<Item = (i16, M)> {
    assert_eq!(A::KEY, M::KEY);
    let VersionRange { min, max } = request.versions();
    (min..=max).map(move |version| {
        let mut body = BytesMut::new();
        request.encode(version, &mut body).unwrap();
        assert_eq!(A::FLEXIBLE <= version, M::header_version(version) == 2, "v{version}");
        let mut body = body.freeze();
        let read = M::decode(&mut body, version).unwrap();
        assert!(body.is_empty(), "v{version}");
        (version, read)
    })
}

fn topics<V: Clone>(value: V) -> BTreeMap<Partition, V> {
    [("orders", 0), ("orders", 2), ("users", 1)]
        .map(|(topic, index)| (Partition::new(topic, index), value.clone()))
        .into()
}

/// The partitions of [`topics`], as requests list them.
fn listed() -> Vec<(String, Vec<i32>)> {
    vec![("orders".into(), vec![0, 2]), ("users".into(), vec![1])]
}

fn instance() -> Option<Arc<str>> {
    Some("instance-1".into())
}

#[test]
fn api_versions_names_the_client() {
    let request = ApiVersions { software_name: "steadfast", software_version: "1.2" };
    for (version, read) in each::<_, wire::ApiVersionsRequest>(&request) {
        let named = (&*read.client_software_name, &*read.client_software_version);
        assert_eq!(named, if version >= 3 { ("steadfast", "1.2") } else { ("", "") });
    }
}

#[test]
fn metadata_asks_for_all_topics_for_none_or_for_some_and_creates_none() {
    for asked in [None, Some(vec![]), Some(vec!["orders"])] {
        let topics = asked.as_ref().map(|names| names.iter().map(|name| Arc::from(*name)).collect());
        for (_, read) in each::<_, wire::MetadataRequest>(&Metadata { topics }) {
            let names = |topics: Vec<wire::metadata_request::MetadataRequestTopic>| {
                topics.into_iter().map(|topic| topic.name.unwrap().to_string()).collect::<Vec<_>>()
            };
            assert_eq!(
                read.topics.map(names),
                asked.clone().map(|names| names.iter().map(|n| n.to_string()).collect())
            );
            assert!(!read.allow_auto_topic_creation);
        }
    }
}

#[test]
fn describe_cluster_asks_for_serving_brokers() {
    for (_, read) in each::<_, wire::DescribeClusterRequest>(&DescribeCluster) {
        assert_eq!((read.endpoint_type, read.include_fenced_brokers), (1, false));
    }
}

#[test]
fn find_coordinator_asks_for_one_group() {
    let request = FindCoordinator { group: "billing".into() };
    for (version, read) in each::<_, wire::FindCoordinatorRequest>(&request) {
        assert_eq!(read.key_type, 0);
        let keys: Vec<_> = read.coordinator_keys.iter().map(|key| key.to_string()).collect();
        match version {
            ..=3 => assert_eq!(&*read.key, "billing"),
            _ => assert_eq!(keys, ["billing"]),
        }
    }
}

fn join() -> JoinGroup {
    JoinGroup {
        group: "billing".into(),
        member: "member-1".into(),
        instance: None,
        session_timeout: Duration::from_secs(45),
        rebalance_timeout: Duration::from_secs(60),
        protocol_type: "consumer".into(),
        protocols: vec![
            ("cooperative-sticky".into(), Bytes::from_static(b"first")),
            ("range".into(), Bytes::from_static(b"second")),
        ],
        reason: Some("started".into()),
    }
}

#[test]
fn join_group_lists_its_protocols_in_order() {
    for (version, read) in each::<_, wire::JoinGroupRequest>(&join()) {
        assert_eq!(
            (&**read.group_id, &*read.member_id, &*read.protocol_type),
            ("billing", "member-1", "consumer")
        );
        assert_eq!(read.session_timeout_ms, 45_000);
        assert_eq!(read.rebalance_timeout_ms, if version >= 1 { 60_000 } else { -1 });
        assert_eq!(read.reason.as_deref(), (version >= 8).then_some("started"));
        let protocols: Vec<_> = read.protocols.iter().map(|p| (&*p.name, &p.metadata[..])).collect();
        assert_eq!(protocols, [("cooperative-sticky", &b"first"[..]), ("range", b"second")]);
    }
}

#[test]
fn static_members_need_versions_that_have_them() {
    let join = JoinGroup { instance: instance(), ..join() };
    assert_eq!(join.versions(), VersionRange::new(5, 9));
    assert_eq!(SyncGroup { instance: instance(), ..sync() }.versions(), VersionRange::new(3, 5));
    assert_eq!(Heartbeat { instance: instance(), ..beat() }.versions(), VersionRange::new(3, 4));
    for (_, read) in each::<_, wire::JoinGroupRequest>(&join) {
        assert_eq!(read.group_instance_id.as_deref(), Some("instance-1"));
    }
    assert!(join.encode(4, &mut BytesMut::new()).is_err());
}

fn sync() -> SyncGroup {
    SyncGroup {
        group: "billing".into(),
        generation: GroupGeneration(3),
        member: "member-1".into(),
        instance: None,
        protocol_type: "consumer".into(),
        protocol: "range".into(),
        assignments: vec![("member-1".into(), Bytes::from_static(b"all"))],
    }
}

#[test]
fn sync_group_hands_in_the_assignments() {
    for (version, read) in each::<_, wire::SyncGroupRequest>(&sync()) {
        assert_eq!((read.generation_id, &*read.member_id), (3, "member-1"));
        assert_eq!(read.protocol_name.as_deref(), (version >= 5).then_some("range"));
        assert_eq!(read.protocol_type.as_deref(), (version >= 5).then_some("consumer"));
        let assigned: Vec<_> = read.assignments.iter().map(|a| (&*a.member_id, &a.assignment[..])).collect();
        assert_eq!(assigned, [("member-1", &b"all"[..])]);
    }
}

fn beat() -> Heartbeat {
    Heartbeat {
        group: "billing".into(),
        generation: GroupGeneration(3),
        member: "member-1".into(),
        instance: None,
    }
}

#[test]
fn heartbeat_names_the_member_and_its_generation() {
    for (_, read) in each::<_, wire::HeartbeatRequest>(&beat()) {
        assert_eq!((&**read.group_id, &*read.member_id, read.generation_id), ("billing", "member-1", 3));
    }
}

#[test]
fn leave_group_names_the_members_and_why_they_leave() {
    let leaving =
        LeavingMember { member: "member-1".into(), instance: instance(), reason: Some("stopped".into()) };
    let request = LeaveGroup { group: "billing".into(), members: vec![leaving] };
    for (version, read) in each::<_, wire::LeaveGroupRequest>(&request) {
        let [member] = &read.members[..] else { panic!("{read:?}") };
        assert_eq!(
            (&*member.member_id, member.group_instance_id.as_deref()),
            ("member-1", Some("instance-1"))
        );
        assert_eq!(member.reason.as_deref(), (version >= 5).then_some("stopped"));
    }
}

#[test]
fn offset_commit_carries_epoch_and_note() {
    let commit =
        CommittedOffset { offset: Offset(42), leader_epoch: LeaderEpoch(4), metadata: "note".into() };
    let request = OffsetCommit {
        group: "billing".into(),
        protocol: GroupProtocol::Classic,
        generation: GroupGeneration(3),
        member: "member-1".into(),
        instance: instance(),
        offsets: topics(commit),
    };
    for (_, read) in each::<_, wire::OffsetCommitRequest>(&request) {
        assert_eq!((read.generation_id_or_member_epoch, &*read.member_id), (3, "member-1"));
        assert_eq!(read.group_instance_id.as_deref(), Some("instance-1"));
        let partitions = read.topics.iter().flat_map(|topic| &topic.partitions);
        for at in partitions {
            let note = at.committed_metadata.as_deref();
            assert_eq!((at.committed_offset, at.committed_leader_epoch, note), (42, 4, Some("note")));
        }
        let found = read.topics.iter().map(|topic| {
            (topic.name.to_string(), topic.partitions.iter().map(|at| at.partition_index).collect())
        });
        assert_eq!(found.collect::<Vec<_>>(), listed());
    }
}

#[test]
fn offset_fetch_always_requires_stable_offsets() {
    let request =
        OffsetFetch { group: "billing".into(), member: None, partitions: topics(()).into_keys().collect() };
    for (version, read) in each::<_, wire::OffsetFetchRequest>(&request) {
        assert!(read.require_stable);
        let found: Vec<_> = match version {
            ..=7 => {
                assert_eq!(&**read.group_id, "billing");
                let topics = read.topics.unwrap();
                topics.iter().map(|topic| (topic.name.to_string(), topic.partition_indexes.clone())).collect()
            }
            _ => {
                let [group] = &read.groups[..] else { panic!("{read:?}") };
                assert_eq!(&**group.group_id, "billing");
                let topics = group.topics.as_ref().unwrap();
                topics.iter().map(|topic| (topic.name.to_string(), topic.partition_indexes.clone())).collect()
            }
        };
        assert_eq!(found, listed());
    }
}

#[test]
fn list_offsets_asks_for_an_end_of_the_log() {
    for (at, timestamp) in [(LogEnd::Earliest, -2), (LogEnd::Latest, -1)] {
        let asked = OffsetAsked { at, leader_epoch: LeaderEpoch(4) };
        let request = ListOffsets { isolation: Isolation::ReadCommitted, partitions: topics(asked) };
        for (_, read) in each::<_, wire::ListOffsetsRequest>(&request) {
            assert_eq!((read.replica_id.0, read.isolation_level), (-1, 1));
            let [orders, users] = &read.topics[..] else { panic!("{read:?}") };
            assert_eq!((orders.partitions.len(), users.partitions[0].partition_index), (2, 1));
            let first = &orders.partitions[0];
            assert_eq!((first.timestamp, first.current_leader_epoch), (timestamp, 4));
        }
    }
}

#[test]
fn offset_for_leader_epoch_asks_as_a_consumer() {
    let asked = EpochAsked { current_leader: LeaderEpoch(5), epoch: LeaderEpoch(4) };
    let request = OffsetForLeaderEpoch { partitions: topics(asked) };
    for (_, read) in each::<_, wire::OffsetForLeaderEpochRequest>(&request) {
        assert_eq!((read.replica_id.0, read.topics.len()), (-1, 2));
        let first = &read.topics[0].partitions[0];
        assert_eq!((first.partition, first.current_leader_epoch, first.leader_epoch), (0, 5, 4));
    }
}

fn fetch(id: TopicId) -> Fetch {
    let from = PartitionFrom {
        index: 3,
        offset: Offset(42),
        leader_epoch: LeaderEpoch(5),
        last_fetched_epoch: LeaderEpoch(4),
        max_bytes: 512,
    };
    Fetch {
        max_wait: Duration::from_millis(500),
        min_bytes: 1,
        max_bytes: 1024,
        isolation: Isolation::ReadCommitted,
        rack: "eu-1".into(),
        topics: vec![FetchFrom { name: "orders".into(), id, partitions: vec![from] }],
    }
}

#[test]
fn fetch_asks_without_a_session_and_with_epochs() {
    for (version, read) in each::<_, wire::FetchRequest>(&fetch(ORDERS)) {
        assert_eq!((read.max_wait_ms, read.min_bytes, read.max_bytes), (500, 1, 1024));
        assert_eq!((read.isolation_level, read.session_id, read.replica_id.0), (1, 0, -1));
        // Before version 7 there are no sessions; -1 asks for none.
        assert_eq!(read.session_epoch, -1);
        assert_eq!(&*read.rack_id, if version >= 11 { "eu-1" } else { "" });
        let [topic] = &read.topics[..] else { panic!("{read:?}") };
        let by_id = version >= 13;
        assert_eq!(&**topic.topic, if by_id { "" } else { "orders" });
        assert_eq!(topic.topic_id.as_u128(), if by_id { ORDERS.0 } else { 0 });
        let from = &topic.partitions[0];
        assert_eq!((from.partition, from.fetch_offset, from.partition_max_bytes), (3, 42, 512));
        assert_eq!(from.current_leader_epoch, if version >= 9 { 5 } else { -1 });
        assert_eq!(from.last_fetched_epoch, if version >= 12 { 4 } else { -1 });
    }
}

#[test]
fn fetch_of_a_topic_whose_id_is_unknown_stays_below_version_13() {
    assert_eq!(fetch(ORDERS).versions(), VersionRange::new(4, 17));
    assert_eq!(fetch(TopicId::UNKNOWN).versions(), VersionRange::new(4, 12));
}

#[test]
fn sasl_handshake_names_the_mechanism() {
    for (_, read) in each::<_, wire::SaslHandshakeRequest>(&SaslHandshake { mechanism: "PLAIN" }) {
        assert_eq!(&*read.mechanism, "PLAIN");
    }
}

#[test]
fn sasl_authenticate_carries_the_message_and_does_not_show_it() {
    let request = SaslAuthenticate { message: b"\0user\0pencil".to_vec().into() };
    for (_, read) in each::<_, wire::SaslAuthenticateRequest>(&request) {
        assert_eq!(&read.auth_bytes[..], b"\0user\0pencil");
    }
    assert_eq!(format!("{request:?}"), "SaslAuthenticate(12 bytes)");
}

#[test]
fn list_groups_filters_only_where_brokers_can() {
    for (_, read) in each::<_, wire::ListGroupsRequest>(&ListGroups::default()) {
        assert!(read.states_filter.is_empty() && read.types_filter.is_empty());
    }
    let by_state = ListGroups { states: vec!["Stable".into()], types: Vec::new() };
    assert_eq!(by_state.versions(), VersionRange::new(4, 5));
    let by_both = ListGroups { types: vec!["consumer".into()], ..by_state };
    assert_eq!(by_both.versions(), VersionRange::new(5, 5));
    for (_, read) in each::<_, wire::ListGroupsRequest>(&by_both) {
        assert_eq!((&*read.states_filter[0], &*read.types_filter[0]), ("Stable", "consumer"));
    }
}

#[test]
fn groups_are_described_one_at_a_time() {
    for (_, read) in each::<_, wire::DescribeGroupsRequest>(&DescribeGroups { group: "billing".into() }) {
        assert_eq!((read.groups.len(), &**read.groups[0]), (1, "billing"));
    }
    let request = ConsumerGroupDescribe { group: "billing".into() };
    for (_, read) in each::<_, wire::ConsumerGroupDescribeRequest>(&request) {
        assert_eq!((read.group_ids.len(), &**read.group_ids[0]), (1, "billing"));
    }
}

#[test]
fn group_offsets_asks_for_all_topics_and_waits_for_no_transaction() {
    for (version, read) in each::<_, wire::OffsetFetchRequest>(&GroupOffsets { group: "billing".into() }) {
        assert!(!read.require_stable);
        match version {
            ..=7 => assert_eq!((&**read.group_id, read.topics), ("billing", None)),
            _ => {
                let [group] = &read.groups[..] else { panic!("{read:?}") };
                assert_eq!((&**group.group_id, &group.topics), ("billing", &None));
            }
        }
    }
}

#[test]
fn offsets_for_times_asks_by_timestamp() {
    let request = OffsetsForTimes { isolation: Isolation::ReadUncommitted, partitions: topics(1_700_000) };
    for (_, read) in each::<_, wire::ListOffsetsRequest>(&request) {
        assert_eq!((read.replica_id.0, read.isolation_level, read.topics.len()), (-1, 0, 2));
        let first = &read.topics[0].partitions[0];
        assert_eq!((first.timestamp, first.current_leader_epoch), (1_700_000, -1));
    }
}

#[test]
fn an_offset_may_be_committed_for_nobody() {
    let commit =
        CommittedOffset { offset: Offset(42), leader_epoch: LeaderEpoch::UNKNOWN, metadata: "".into() };
    let request = OffsetCommit {
        group: "billing".into(),
        protocol: GroupProtocol::Classic,
        generation: GroupGeneration(-1),
        member: "".into(),
        instance: None,
        offsets: topics(commit),
    };
    for (_, read) in each::<_, wire::OffsetCommitRequest>(&request) {
        assert_eq!((read.generation_id_or_member_epoch, &*read.member_id), (-1, ""));
        assert_eq!(read.group_instance_id, None);
    }
}

fn consumer_beat() -> ConsumerGroupHeartbeat {
    ConsumerGroupHeartbeat {
        group: "billing".into(),
        member: "member-1".into(),
        epoch: GroupGeneration(3),
        instance: instance(),
        rack: None,
        rebalance_timeout: None,
        topics: None,
        pattern: None,
        assignor: None,
        owned: None,
    }
}

#[test]
fn consumer_group_heartbeat_says_what_changed_and_nothing_else() {
    for (_, read) in each::<_, wire::ConsumerGroupHeartbeatRequest>(&consumer_beat()) {
        assert_eq!((&**read.group_id, &*read.member_id, read.member_epoch), ("billing", "member-1", 3));
        assert_eq!(read.instance_id.as_deref(), Some("instance-1"));
        assert_eq!(read.rebalance_timeout_ms, -1);
        assert!(read.rack_id.is_none() && read.server_assignor.is_none());
        assert!(read.subscribed_topic_names.is_none() && read.topic_partitions.is_none());
    }
}

#[test]
fn consumer_group_heartbeat_joins_with_everything() {
    let join = ConsumerGroupHeartbeat {
        epoch: GroupGeneration(0),
        rebalance_timeout: Some(Duration::from_secs(300)),
        topics: Some(["orders".into()].into()),
        assignor: Some("uniform".into()),
        owned: Some([(ORDERS, [1, 4].into())].into()),
        ..consumer_beat()
    };
    for (_, read) in each::<_, wire::ConsumerGroupHeartbeatRequest>(&join) {
        assert_eq!((read.member_epoch, read.rebalance_timeout_ms), (0, 300_000));
        assert_eq!(read.server_assignor.as_deref(), Some("uniform"));
        assert_eq!(read.subscribed_topic_names.unwrap()[0].to_string(), "orders");
        let owned = read.topic_partitions.unwrap();
        assert_eq!((owned[0].topic_id.as_u128(), &owned[0].partitions[..]), (ORDERS.0, &[1, 4][..]));
    }
}

#[test]
fn a_pattern_goes_to_brokers_that_resolve_it_and_its_topics_to_the_others() {
    let beat = ConsumerGroupHeartbeat {
        topics: Some(["orders".into()].into()),
        pattern: Some("or.*".into()),
        ..consumer_beat()
    };
    for (version, read) in each::<_, wire::ConsumerGroupHeartbeatRequest>(&beat) {
        let names = read.subscribed_topic_names.unwrap().len();
        let expected = if version == 0 { (1, None) } else { (0, Some("or.*")) };
        assert_eq!((names, read.subscribed_topic_regex.as_deref()), expected);
    }
}

#[test]
fn members_of_the_consumer_protocol_ask_in_no_version_that_knows_no_epochs() {
    let commit = OffsetCommit {
        group: "billing".into(),
        protocol: GroupProtocol::Consumer,
        generation: GroupGeneration(3),
        member: "member-1".into(),
        instance: None,
        offsets: [].into(),
    };
    assert_eq!(commit.versions(), VersionRange::new(9, 9));
    let member = Some(("member-1".into(), GroupGeneration(3)));
    let fetch = OffsetFetch { group: "billing".into(), member, partitions: [].into() };
    assert_eq!(fetch.versions(), VersionRange::new(9, 9));
    for (_, read) in each::<_, wire::OffsetFetchRequest>(&fetch) {
        assert_eq!((read.groups[0].member_id.as_deref(), read.groups[0].member_epoch), (Some("member-1"), 3));
    }
}
