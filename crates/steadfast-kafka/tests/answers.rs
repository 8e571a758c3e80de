//! What a broker writes is read back, in every version that is spoken.

#![expect(clippy::unwrap_used, reason = "a test says what it expects")]

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use steadfast_core::endpoints::view::{Address, View};
use steadfast_core::ids::{GroupGeneration, LeaderEpoch, NodeId, Offset, Partition, TopicId};
use steadfast_kafka::api::api_versions::ApiVersions;
use steadfast_kafka::api::consumer_group_describe::{ConsumerGroup, ConsumerGroupDescribe, ConsumerMember};
use steadfast_kafka::api::consumer_group_heartbeat::ConsumerGroupHeartbeat;
use steadfast_kafka::api::describe_cluster::DescribeCluster;
use steadfast_kafka::api::describe_groups::{ClassicGroup, ClassicMember, DescribeGroups};
use steadfast_kafka::api::fetch::{
    AbortedTransaction, CurrentLeader, EpochEnd, Fetch, FetchedPartition, TopicKey,
};
use steadfast_kafka::api::find_coordinator::{Coordinator, FindCoordinator};
use steadfast_kafka::api::heartbeat::Heartbeat;
use steadfast_kafka::api::join_group::{JoinGroup, JoinGroupAnswer, JoinedMember};
use steadfast_kafka::api::leave_group::{LeaveGroup, LeftMember};
use steadfast_kafka::api::list_groups::{ListGroups, ListedGroup};
use steadfast_kafka::api::list_offsets::{ListOffsets, ListedOffset};
use steadfast_kafka::api::metadata::{Metadata, PartitionMetadata};
use steadfast_kafka::api::offset_commit::{CommittedOffset, OffsetCommit};
use steadfast_kafka::api::offset_fetch::OffsetFetch;
use steadfast_kafka::api::offset_for_leader_epoch::OffsetForLeaderEpoch;
use steadfast_kafka::api::offsets_for_times::OffsetsForTimes;
use steadfast_kafka::api::sasl_authenticate::SaslAuthenticate;
use steadfast_kafka::api::sasl_handshake::SaslHandshake;
use steadfast_kafka::api::sync_group::SyncGroup;
use steadfast_kafka::api::{Api, DecodeError, ErrorCode, Undecodable};
use steadfast_kafka::versions::VersionRange;

mod samples;

const THROTTLE: Duration = Duration::from_millis(7);

/// The sample's answer in each version.
fn each<A: Api>(sample: fn(i16) -> Bytes) -> impl Iterator<Item = (i16, A::Answer)> {
    (A::VERSIONS.min..=A::VERSIONS.max)
        .map(move |version| (version, A::decode(version, sample(version)).unwrap()))
}

fn orders(index: i32) -> Partition {
    Partition::new("orders", index)
}

fn view() -> View<NodeId> {
    View::new(Some("pinned".into()), [(NodeId(1), Address::new("kafka-1", 9092))])
}

fn throttle_since(first: i16, version: i16) -> Duration {
    if version >= first { THROTTLE } else { Duration::ZERO }
}

#[test]
fn the_samples_cover_every_api_and_version() {
    for (api, version) in samples::each_version() {
        assert!((api.decodes)(version, (api.sample)(version)), "{} v{version}", api.name);
    }
}

#[test]
fn api_versions_says_what_the_broker_speaks() {
    for (_, answer) in each::<ApiVersions>(samples::api_versions) {
        assert_eq!(answer.error, ErrorCode::NONE);
        assert_eq!(answer.versions.0, BTreeMap::from([(3, VersionRange::new(0, 13))]));
    }
}

#[test]
fn api_versions_reads_a_refusal_of_any_version_as_version_0() {
    let refusal =
        samples::encoded(&kafka_protocol::messages::ApiVersionsResponse::default().with_error_code(35), 0);
    for version in 0..=4 {
        let answer = ApiVersions::decode(version, refusal.clone()).unwrap();
        assert_eq!(answer.error, ErrorCode::UNSUPPORTED_VERSION);
    }
}

#[test]
fn metadata_gives_the_view_and_the_leaders() {
    for (version, answer) in each::<Metadata>(samples::metadata) {
        let rebootstrap = if version >= 13 { ErrorCode::REBOOTSTRAP_REQUIRED } else { ErrorCode::NONE };
        assert_eq!((answer.error, answer.throttle), (rebootstrap, THROTTLE));
        assert_eq!((&answer.view, answer.controller), (&view(), Some(NodeId(1))));
        assert_eq!(answer.view.endpoints[&NodeId(1)].rack.as_deref(), Some("eu-1"));
        let [topic] = &answer.topics[..] else { panic!("{answer:?}") };
        let id = if version >= 10 { TopicId(samples::TOPIC_ID) } else { TopicId::UNKNOWN };
        assert_eq!((&*topic.name, topic.id, topic.is_internal), ("orders", id, true));
        let partition =
            |index, leader, error| PartitionMetadata { error, index, leader, leader_epoch: LeaderEpoch(4) };
        let led = partition(0, Some(NodeId(1)), ErrorCode::NONE);
        assert_eq!(topic.partitions, [led, partition(1, None, ErrorCode::LEADER_NOT_AVAILABLE)]);
    }
}

#[test]
fn a_broker_without_a_usable_address_is_an_error() {
    use kafka_protocol::messages::metadata_response::MetadataResponseBroker;
    let broker = MetadataResponseBroker::default().with_port(70_000);
    let message = kafka_protocol::messages::MetadataResponse::default().with_brokers(vec![broker]);
    let error = Metadata::decode(9, samples::encoded(&message, 9)).unwrap_err();
    let expected = "expected a host and a port from 1 to 65535, found \"\" and 70000".to_owned();
    let reason = Undecodable::Invalid(expected);
    assert_eq!(error, DecodeError { api: "Metadata", version: 9, reason });
}

#[test]
fn describe_cluster_gives_the_view() {
    for (_, answer) in each::<DescribeCluster>(samples::describe_cluster) {
        assert_eq!((answer.error, answer.throttle), (ErrorCode::NONE, THROTTLE));
        assert_eq!((&answer.view, answer.controller), (&view(), Some(NodeId(1))));
        assert_eq!(answer.view.endpoints[&NodeId(1)].rack.as_deref(), Some("eu-1"));
    }
}

#[test]
fn find_coordinator_gives_its_address() {
    for (_, answer) in each::<FindCoordinator>(samples::find_coordinator) {
        let coordinator = Coordinator { node: NodeId(1), address: Address::new("kafka-1", 9092) };
        assert_eq!((answer.coordinator, answer.throttle), (Ok(coordinator), THROTTLE));
    }
}

#[test]
fn find_coordinator_gives_the_error_when_there_is_none() {
    use kafka_protocol::messages::find_coordinator_response::{Coordinator, FindCoordinatorResponse};
    let unavailable = |version| match version {
        ..=3 => FindCoordinatorResponse::default().with_error_code(15),
        _ => FindCoordinatorResponse::default()
            .with_coordinators(vec![Coordinator::default().with_error_code(15)]),
    };
    for version in 3..=6 {
        let body = samples::encoded(&unavailable(version), version);
        let answer = FindCoordinator::decode(version, body).unwrap();
        assert_eq!(answer.coordinator, Err(ErrorCode::COORDINATOR_NOT_AVAILABLE));
    }
}

#[test]
fn join_group_gives_the_round_and_to_the_leader_its_members() {
    for (version, answer) in each::<JoinGroup>(samples::join_group) {
        let member = JoinedMember {
            member: "member-1".into(),
            instance: (version >= 5).then(|| "instance-1".into()),
            metadata: Bytes::from_static(b"subscription"),
        };
        let expected = JoinGroupAnswer {
            error: ErrorCode::NONE,
            throttle: throttle_since(2, version),
            generation: GroupGeneration(3),
            protocol_type: (version >= 7).then(|| "consumer".into()),
            protocol: Some("range".into()),
            leader: "member-1".into(),
            member: "member-1".into(),
            skip_assignment: version >= 9,
            members: vec![member],
        };
        assert_eq!(answer, expected);
    }
}

#[test]
fn sync_group_gives_the_assignment() {
    for (version, answer) in each::<SyncGroup>(samples::sync_group) {
        assert_eq!((answer.error, answer.throttle), (ErrorCode::NONE, throttle_since(1, version)));
        assert_eq!(answer.protocol.as_deref(), (version >= 5).then_some("range"));
        assert_eq!(answer.protocol_type.as_deref(), (version >= 5).then_some("consumer"));
        assert_eq!(answer.assignment, "assignment");
    }
}

#[test]
fn heartbeat_says_that_the_group_is_rebalancing() {
    for (version, answer) in each::<Heartbeat>(samples::heartbeat) {
        assert_eq!(answer.error, ErrorCode::REBALANCE_IN_PROGRESS);
        assert_eq!(answer.throttle, throttle_since(1, version));
    }
}

#[test]
fn leave_group_says_what_came_of_each_member() {
    for (_, answer) in each::<LeaveGroup>(samples::leave_group) {
        assert_eq!((answer.error, answer.throttle), (ErrorCode::NONE, THROTTLE));
        let left = LeftMember {
            member: "member-1".into(),
            instance: Some("instance-1".into()),
            error: ErrorCode::UNKNOWN_MEMBER_ID,
        };
        assert_eq!(answer.members, [left]);
    }
}

#[test]
fn offset_commit_says_what_came_of_each_partition() {
    for (_, answer) in each::<OffsetCommit>(samples::offset_commit) {
        let expected = [(orders(0), ErrorCode::NONE), (orders(1), ErrorCode::ILLEGAL_GENERATION)];
        assert_eq!((answer.partitions, answer.throttle), (expected.into(), THROTTLE));
    }
}

#[test]
fn offset_fetch_tells_a_stored_offset_from_none_and_from_an_error() {
    for (_, answer) in each::<OffsetFetch>(samples::offset_fetch) {
        let stored =
            CommittedOffset { offset: Offset(42), leader_epoch: LeaderEpoch(4), metadata: "note".into() };
        let unstable = Err(ErrorCode::UNSTABLE_OFFSET_COMMIT);
        let expected = [(orders(0), Ok(Some(stored))), (orders(1), Ok(None)), (orders(2), unstable)];
        assert_eq!((answer.error, answer.throttle), (ErrorCode::NONE, THROTTLE));
        assert_eq!(answer.partitions, expected.into());
    }
}

#[test]
fn list_offsets_gives_the_offset_and_its_epoch() {
    for (_, answer) in each::<ListOffsets>(samples::list_offsets) {
        let found = ListedOffset { offset: Offset(42), leader_epoch: LeaderEpoch(4) };
        let expected = [(orders(0), Ok(found)), (orders(1), Err(ErrorCode::NOT_LEADER_OR_FOLLOWER))];
        assert_eq!((answer.partitions, answer.throttle), (expected.into(), THROTTLE));
    }
}

#[test]
fn offset_for_leader_epoch_gives_the_end_of_an_epoch() {
    for (_, answer) in each::<OffsetForLeaderEpoch>(samples::offset_for_leader_epoch) {
        let end = EpochEnd { epoch: LeaderEpoch(4), end_offset: Offset(42) };
        let fenced = Err(ErrorCode::FENCED_LEADER_EPOCH);
        let expected = [(orders(0), Ok(Some(end))), (orders(1), Ok(None)), (orders(2), fenced)];
        assert_eq!((answer.partitions, answer.throttle), (expected.into(), THROTTLE));
    }
}

#[test]
fn fetch_gives_what_came_of_each_partition() {
    for (version, answer) in each::<Fetch>(samples::fetch) {
        let error = if version >= 7 { ErrorCode::FETCH_SESSION_ID_NOT_FOUND } else { ErrorCode::NONE };
        assert_eq!((answer.error, answer.throttle), (error, THROTTLE));
        let endpoints: Vec<_> = answer.endpoints.iter().map(|(node, at)| (node.0, &at.address)).collect();
        let moved = Address::new("kafka-2", 9092);
        assert_eq!(endpoints, if version >= 16 { vec![(2, &moved)] } else { vec![] });
        let [topic] = &answer.topics[..] else { panic!("{answer:?}") };
        let by_id = TopicKey::Id(TopicId(samples::TOPIC_ID));
        assert_eq!(topic.topic, if version >= 13 { by_id } else { TopicKey::Name("orders".into()) });
        let expected = FetchedPartition {
            index: 3,
            error: ErrorCode::NONE,
            high_watermark: Some(Offset(50)),
            last_stable_offset: Some(Offset(45)),
            log_start_offset: (version >= 5).then_some(Offset(2)),
            aborted: vec![AbortedTransaction { producer_id: 9, first_offset: Offset(40) }],
            preferred_read_replica: (version >= 11).then_some(NodeId(2)),
            diverging: (version >= 12).then_some(EpochEnd { epoch: LeaderEpoch(3), end_offset: Offset(44) }),
            current_leader: (version >= 12)
                .then_some(CurrentLeader { node: Some(NodeId(2)), epoch: LeaderEpoch(5) }),
            records: Some(Bytes::from_static(b"batches")),
        };
        assert_eq!(topic.partitions, [expected], "v{version}");
    }
}

#[test]
fn fetched_records_are_slices_of_the_answer() {
    for version in Fetch::VERSIONS.min..=Fetch::VERSIONS.max {
        let body = samples::fetch(version);
        let whole = body.as_ptr_range();
        let answer = Fetch::decode(version, body.clone()).unwrap();
        let records = answer.topics[0].partitions[0].records.clone().unwrap();
        assert!(whole.contains(&records.as_ptr()));
    }
}

#[test]
fn sasl_handshake_names_the_mechanisms() {
    for (_, answer) in each::<SaslHandshake>(samples::sasl_handshake) {
        assert_eq!(answer.error, ErrorCode::UNSUPPORTED_SASL_MECHANISM);
        assert_eq!(answer.mechanisms, ["PLAIN".into(), "GSSAPI".into()]);
    }
}

#[test]
fn sasl_authenticate_gives_the_message_and_the_session() {
    for (version, answer) in each::<SaslAuthenticate>(samples::sasl_authenticate) {
        assert_eq!(answer.error, ErrorCode::SASL_AUTHENTICATION_FAILED);
        assert_eq!(
            (answer.explanation.as_deref(), &answer.message[..]),
            (Some("no such user"), &b"v=proof"[..])
        );
        assert_eq!(answer.lifetime, (version >= 1).then_some(Duration::from_secs(60)), "v{version}");
    }
}

#[test]
fn list_groups_tells_what_a_broker_coordinates() {
    for (version, answer) in each::<ListGroups>(samples::list_groups) {
        let group = ListedGroup {
            group: "billing".into(),
            protocol_type: "consumer".into(),
            state: (version >= 4).then(|| "Stable".into()),
            kind: (version >= 5).then(|| "classic".into()),
        };
        assert_eq!((answer.error, answer.groups), (ErrorCode::COORDINATOR_NOT_AVAILABLE, vec![group]));
        assert_eq!(answer.throttle, throttle_since(1, version));
    }
}

#[test]
fn describe_groups_gives_the_members_with_what_they_wrote() {
    for (version, answer) in each::<DescribeGroups>(samples::describe_groups) {
        let member = ClassicMember {
            member: "member-1".into(),
            instance: (version >= 4).then(|| "instance-1".into()),
            client: "client-1".into(),
            host: "/10.0.0.7".into(),
            metadata: Bytes::from_static(b"subscription"),
            assignment: Bytes::from_static(b"assignment"),
        };
        let group = ClassicGroup {
            state: "Stable".into(),
            protocol_type: "consumer".into(),
            protocol: "range".into(),
            members: vec![member],
        };
        assert_eq!((answer.group, answer.throttle), (Ok(group), throttle_since(1, version)));
    }
}

#[test]
fn consumer_group_describe_gives_epochs_and_both_assignments() {
    for (version, answer) in each::<ConsumerGroupDescribe>(samples::consumer_group_describe) {
        let member = ConsumerMember {
            member: "member-1".into(),
            instance: Some("instance-1".into()),
            rack: Some("eu-1".into()),
            epoch: 4,
            client: "client-1".into(),
            host: "/10.0.0.7".into(),
            topics: vec!["orders".into()],
            pattern: None,
            assigned: [orders(0)].into(),
            target: [orders(0), orders(1)].into(),
            classic: (version >= 1).then_some(false),
        };
        let group = ConsumerGroup {
            state: "Reconciling".into(),
            epoch: 5,
            assignment_epoch: 5,
            assignor: "uniform".into(),
            members: vec![member],
        };
        assert_eq!((answer.group, answer.throttle), (Ok(group), THROTTLE));
    }
}

#[test]
fn offsets_for_times_tells_a_record_from_none() {
    for version in OffsetsForTimes::VERSIONS.min..=OffsetsForTimes::VERSIONS.max {
        let answer = OffsetsForTimes::decode(version, samples::list_offsets(version)).unwrap();
        let found = ListedOffset { offset: Offset(42), leader_epoch: LeaderEpoch(4) };
        let expected = [(orders(0), Ok(Some(found))), (orders(1), Err(ErrorCode::NOT_LEADER_OR_FOLLOWER))];
        assert_eq!((answer.partitions, answer.throttle), (expected.into(), THROTTLE));
        // Kafka's answer when no record is that late.
        use kafka_protocol::messages::list_offsets_response::{
            ListOffsetsPartitionResponse, ListOffsetsResponse, ListOffsetsTopicResponse,
        };
        let none = ListOffsetsTopicResponse::default()
            .with_name(kafka_protocol::messages::TopicName("orders".into()))
            .with_partitions(vec![ListOffsetsPartitionResponse::default()]);
        let none = samples::encoded(&ListOffsetsResponse::default().with_topics(vec![none]), version);
        let answer = OffsetsForTimes::decode(version, none).unwrap();
        assert_eq!(answer.partitions, [(orders(0), Ok(None))].into());
    }
}

#[test]
fn consumer_group_heartbeat_gives_the_epoch_the_interval_and_what_is_ours() {
    for (_, answer) in each::<ConsumerGroupHeartbeat>(samples::consumer_group_heartbeat) {
        assert_eq!((answer.error, answer.throttle), (ErrorCode::NONE, THROTTLE));
        assert_eq!((answer.epoch, answer.interval), (GroupGeneration(3), Duration::from_secs(5)));
        assert_eq!(answer.assignment, Some([(TopicId(samples::TOPIC_ID), [0, 2].into())].into()));
    }
}

#[test]
fn a_consumer_group_heartbeat_s_answer_without_an_assignment_changes_nothing() {
    let message = kafka_protocol::messages::ConsumerGroupHeartbeatResponse::default().with_error_code(110);
    let answer = ConsumerGroupHeartbeat::decode(1, samples::encoded(&message, 1)).unwrap();
    assert_eq!((answer.error.0, answer.assignment), (110, None));
}
