//! One full answer of every API in every version, as kafka-protocol's broker side writes it.

use bytes::{Bytes, BytesMut};
use kafka_protocol::messages::api_versions_response::{ApiVersion, FinalizedFeatureKey, SupportedFeatureKey};
use kafka_protocol::messages::describe_cluster_response::DescribeClusterBroker;
use kafka_protocol::messages::fetch_response::{
    AbortedTransaction, EpochEndOffset, FetchableTopicResponse, LeaderIdAndEpoch, NodeEndpoint, PartitionData,
};
use kafka_protocol::messages::find_coordinator_response::Coordinator;
use kafka_protocol::messages::join_group_response::JoinGroupResponseMember;
use kafka_protocol::messages::leave_group_response::MemberResponse;
use kafka_protocol::messages::list_offsets_response::{
    ListOffsetsPartitionResponse, ListOffsetsTopicResponse,
};
use kafka_protocol::messages::metadata_response::{
    MetadataResponseBroker, MetadataResponsePartition, MetadataResponseTopic,
};
use kafka_protocol::messages::offset_commit_response::{
    OffsetCommitResponsePartition, OffsetCommitResponseTopic,
};
use kafka_protocol::messages::offset_fetch_response::{
    OffsetFetchResponseGroup, OffsetFetchResponsePartition, OffsetFetchResponsePartitions,
    OffsetFetchResponseTopic, OffsetFetchResponseTopics,
};
use kafka_protocol::messages::offset_for_leader_epoch_response::{
    EpochEndOffset as EpochEnd, OffsetForLeaderTopicResult,
};
use kafka_protocol::messages::*;
use kafka_protocol::protocol::{Encodable, StrBytes};
use steadfast_kafka::api::Api;
use steadfast_kafka::versions::VersionRange;
use uuid::Uuid;

pub(crate) use groups::{consumer_group_describe, describe_groups, list_groups};

mod groups;

/// An API of this crate, seen from the tests.
pub(crate) struct Tested {
    pub(crate) name: &'static str,
    pub(crate) versions: VersionRange,
    pub(crate) sample: fn(i16) -> Bytes,
    /// Whether the bytes are an answer.
    pub(crate) decodes: fn(i16, Bytes) -> bool,
}

const fn tested<A: Api>(sample: fn(i16) -> Bytes) -> Tested {
    Tested {
        name: A::NAME,
        versions: A::VERSIONS,
        sample,
        decodes: |version, body| A::decode(version, body).is_ok(),
    }
}

pub(crate) const ALL: [Tested; 21] = {
    use steadfast_kafka::api;
    [
        tested::<api::fetch::Fetch>(fetch),
        tested::<api::list_offsets::ListOffsets>(list_offsets),
        tested::<api::offsets_for_times::OffsetsForTimes>(list_offsets),
        tested::<api::metadata::Metadata>(metadata),
        tested::<api::offset_commit::OffsetCommit>(offset_commit),
        tested::<api::offset_fetch::OffsetFetch>(offset_fetch),
        tested::<api::group_offsets::GroupOffsets>(offset_fetch),
        tested::<api::list_groups::ListGroups>(list_groups),
        tested::<api::describe_groups::DescribeGroups>(describe_groups),
        tested::<api::consumer_group_describe::ConsumerGroupDescribe>(consumer_group_describe),
        tested::<api::find_coordinator::FindCoordinator>(find_coordinator),
        tested::<api::join_group::JoinGroup>(join_group),
        tested::<api::heartbeat::Heartbeat>(heartbeat),
        tested::<api::consumer_group_heartbeat::ConsumerGroupHeartbeat>(consumer_group_heartbeat),
        tested::<api::leave_group::LeaveGroup>(leave_group),
        tested::<api::sync_group::SyncGroup>(sync_group),
        tested::<api::api_versions::ApiVersions>(api_versions),
        tested::<api::offset_for_leader_epoch::OffsetForLeaderEpoch>(offset_for_leader_epoch),
        tested::<api::describe_cluster::DescribeCluster>(describe_cluster),
        tested::<api::sasl_handshake::SaslHandshake>(sasl_handshake),
        tested::<api::sasl_authenticate::SaslAuthenticate>(sasl_authenticate),
    ]
};

/// Every API in each of its versions.
pub(crate) fn each_version() -> impl Iterator<Item = (&'static Tested, i16)> {
    const TESTED: &[Tested] = &ALL;
    TESTED.iter().flat_map(|api| (api.versions.min..=api.versions.max).map(move |version| (api, version)))
}

/// The id of the topic in the samples.
pub(crate) const TOPIC_ID: u128 = 0x0123_4567_89ab_cdef_0123_4567_89ab_cdef;

fn text(text: &'static str) -> StrBytes {
    StrBytes::from_static_str(text)
}

fn topic() -> TopicName {
    TopicName(text("orders"))
}

pub(crate) fn encoded(message: &impl Encodable, version: i16) -> Bytes {
    let mut body = BytesMut::new();
    message.encode(&mut body, version).unwrap();
    body.freeze()
}

pub(crate) fn api_versions(version: i16) -> Bytes {
    let offer = ApiVersion::default().with_api_key(3).with_min_version(0).with_max_version(13);
    let mut message = ApiVersionsResponse::default().with_api_keys(vec![offer]).with_throttle_time_ms(7);
    if version >= 3 {
        let supported = SupportedFeatureKey::default().with_name(text("group.version")).with_max_version(1);
        let finalized =
            FinalizedFeatureKey::default().with_name(text("group.version")).with_max_version_level(1);
        message = message
            .with_supported_features(vec![supported])
            .with_finalized_features_epoch(5)
            .with_finalized_features(vec![finalized])
            .with_zk_migration_ready(true);
    }
    encoded(&message, version)
}

pub(crate) fn metadata(version: i16) -> Bytes {
    let broker = MetadataResponseBroker::default()
        .with_node_id(1.into())
        .with_host(text("kafka-1"))
        .with_port(9092)
        .with_rack(Some(text("eu-1")));
    let partition = |index: i32, leader: i32| {
        MetadataResponsePartition::default()
            .with_partition_index(index)
            .with_error_code(if leader < 0 { 5 } else { 0 })
            .with_leader_id(leader.into())
            .with_leader_epoch(4)
            .with_replica_nodes(vec![1.into(), 2.into()])
            .with_isr_nodes(vec![1.into()])
            .with_offline_replicas(vec![2.into()])
    };
    let mut orders = MetadataResponseTopic::default()
        .with_name(Some(topic()))
        .with_is_internal(true)
        .with_partitions(vec![partition(0, 1), partition(1, -1)]);
    if version >= 10 {
        orders = orders.with_topic_id(Uuid::from_u128(TOPIC_ID));
    }
    let mut message = MetadataResponse::default()
        .with_throttle_time_ms(7)
        .with_brokers(vec![broker])
        .with_cluster_id(Some(text("pinned")))
        .with_controller_id(1.into())
        .with_topics(vec![orders]);
    if version >= 13 {
        message = message.with_error_code(129);
    }
    encoded(&message, version)
}

pub(crate) fn describe_cluster(version: i16) -> Bytes {
    let mut broker = DescribeClusterBroker::default()
        .with_broker_id(1.into())
        .with_host(text("kafka-1"))
        .with_port(9092)
        .with_rack(Some(text("eu-1")));
    if version >= 2 {
        broker = broker.with_is_fenced(true);
    }
    let message = DescribeClusterResponse::default()
        .with_throttle_time_ms(7)
        .with_cluster_id(text("pinned"))
        .with_controller_id(1.into())
        .with_brokers(vec![broker]);
    encoded(&message, version)
}

pub(crate) fn find_coordinator(version: i16) -> Bytes {
    let message = FindCoordinatorResponse::default().with_throttle_time_ms(7);
    let message = match version {
        ..=3 => message.with_node_id(1.into()).with_host(text("kafka-1")).with_port(9092),
        _ => message.with_coordinators(vec![
            Coordinator::default()
                .with_key(text("billing"))
                .with_node_id(1.into())
                .with_host(text("kafka-1"))
                .with_port(9092),
        ]),
    };
    encoded(&message, version)
}

pub(crate) fn join_group(version: i16) -> Bytes {
    let mut member = JoinGroupResponseMember::default()
        .with_member_id(text("member-1"))
        .with_metadata(Bytes::from_static(b"subscription"));
    if version >= 5 {
        member = member.with_group_instance_id(Some(text("instance-1")));
    }
    let mut message = JoinGroupResponse::default()
        .with_generation_id(3)
        .with_protocol_name(Some(text("range")))
        .with_leader(text("member-1"))
        .with_member_id(text("member-1"))
        .with_members(vec![member]);
    if version >= 2 {
        message = message.with_throttle_time_ms(7);
    }
    if version >= 7 {
        message = message.with_protocol_type(Some(text("consumer")));
    }
    if version >= 9 {
        message = message.with_skip_assignment(true);
    }
    encoded(&message, version)
}

pub(crate) fn sync_group(version: i16) -> Bytes {
    let mut message = SyncGroupResponse::default().with_assignment(Bytes::from_static(b"assignment"));
    if version >= 1 {
        message = message.with_throttle_time_ms(7);
    }
    if version >= 5 {
        message = message.with_protocol_type(Some(text("consumer"))).with_protocol_name(Some(text("range")));
    }
    encoded(&message, version)
}

pub(crate) fn heartbeat(version: i16) -> Bytes {
    let message = HeartbeatResponse::default().with_error_code(27);
    let message = if version >= 1 { message.with_throttle_time_ms(7) } else { message };
    encoded(&message, version)
}

pub(crate) fn consumer_group_heartbeat(version: i16) -> Bytes {
    use kafka_protocol::messages::consumer_group_heartbeat_response::{Assignment, TopicPartitions};
    let given =
        TopicPartitions::default().with_topic_id(Uuid::from_u128(TOPIC_ID)).with_partitions(vec![0, 2]);
    let message = ConsumerGroupHeartbeatResponse::default()
        .with_throttle_time_ms(7)
        .with_member_id(Some(text("member-1")))
        .with_member_epoch(3)
        .with_heartbeat_interval_ms(5_000)
        .with_assignment(Some(Assignment::default().with_topic_partitions(vec![given])));
    encoded(&message, version)
}

pub(crate) fn leave_group(version: i16) -> Bytes {
    let member = MemberResponse::default()
        .with_member_id(text("member-1"))
        .with_group_instance_id(Some(text("instance-1")))
        .with_error_code(25);
    let message = LeaveGroupResponse::default().with_throttle_time_ms(7).with_members(vec![member]);
    encoded(&message, version)
}

pub(crate) fn offset_commit(version: i16) -> Bytes {
    let partition = |index| {
        OffsetCommitResponsePartition::default()
            .with_partition_index(index)
            .with_error_code(index as i16 * 22)
    };
    let topic = OffsetCommitResponseTopic::default()
        .with_name(topic())
        .with_partitions(vec![partition(0), partition(1)]);
    encoded(&OffsetCommitResponse::default().with_throttle_time_ms(7).with_topics(vec![topic]), version)
}

/// Offset, leader epoch, metadata and error code of the partitions in OffsetFetch's sample.
const FETCHED: [(i64, i32, &str, i16); 3] = [(42, 4, "note", 0), (-1, -1, "", 0), (-1, -1, "", 88)];

pub(crate) fn offset_fetch(version: i16) -> Bytes {
    let message = OffsetFetchResponse::default().with_throttle_time_ms(7);
    let message = match version {
        ..=7 => {
            let partitions = FETCHED.iter().zip(0..).map(|(&(offset, epoch, note, error), index)| {
                OffsetFetchResponsePartition::default()
                    .with_partition_index(index)
                    .with_committed_offset(offset)
                    .with_committed_leader_epoch(epoch)
                    .with_metadata(Some(text(note)))
                    .with_error_code(error)
            });
            let topic = OffsetFetchResponseTopic::default().with_name(topic());
            message.with_topics(vec![topic.with_partitions(partitions.collect())])
        }
        _ => {
            let partitions = FETCHED.iter().zip(0..).map(|(&(offset, epoch, note, error), index)| {
                OffsetFetchResponsePartitions::default()
                    .with_partition_index(index)
                    .with_committed_offset(offset)
                    .with_committed_leader_epoch(epoch)
                    .with_metadata(Some(text(note)))
                    .with_error_code(error)
            });
            let topic = OffsetFetchResponseTopics::default().with_name(topic());
            let group = OffsetFetchResponseGroup::default().with_group_id(GroupId(text("billing")));
            message.with_groups(vec![group.with_topics(vec![topic.with_partitions(partitions.collect())])])
        }
    };
    encoded(&message, version)
}

pub(crate) fn list_offsets(version: i16) -> Bytes {
    let found = ListOffsetsPartitionResponse::default().with_offset(42).with_leader_epoch(4);
    let refused = ListOffsetsPartitionResponse::default().with_partition_index(1).with_error_code(6);
    let topic = ListOffsetsTopicResponse::default().with_name(topic()).with_partitions(vec![found, refused]);
    encoded(&ListOffsetsResponse::default().with_throttle_time_ms(7).with_topics(vec![topic]), version)
}

pub(crate) fn offset_for_leader_epoch(version: i16) -> Bytes {
    let found = EpochEnd::default().with_leader_epoch(4).with_end_offset(42);
    let unknown = EpochEnd::default().with_partition(1).with_leader_epoch(-1).with_end_offset(-1);
    let refused = EpochEnd::default().with_partition(2).with_error_code(74);
    let topic = OffsetForLeaderTopicResult::default()
        .with_topic(topic())
        .with_partitions(vec![found, unknown, refused]);
    let message = OffsetForLeaderEpochResponse::default().with_throttle_time_ms(7).with_topics(vec![topic]);
    encoded(&message, version)
}

pub(crate) fn fetch(version: i16) -> Bytes {
    let aborted = AbortedTransaction::default().with_producer_id(9.into()).with_first_offset(40);
    let mut partition = PartitionData::default()
        .with_partition_index(3)
        .with_high_watermark(50)
        .with_last_stable_offset(45)
        .with_aborted_transactions(Some(vec![aborted]))
        .with_records(Some(Bytes::from_static(b"batches")));
    if version >= 5 {
        partition = partition.with_log_start_offset(2);
    }
    if version >= 11 {
        partition = partition.with_preferred_read_replica(2.into());
    }
    if version >= 12 {
        partition = partition
            .with_diverging_epoch(EpochEndOffset::default().with_epoch(3).with_end_offset(44))
            .with_current_leader(LeaderIdAndEpoch::default().with_leader_id(2.into()).with_leader_epoch(5))
            .with_unknown_tagged_field(99, Bytes::from_static(b"of a newer Kafka"));
    }
    let topics = FetchableTopicResponse::default().with_partitions(vec![partition]);
    let topics = match version {
        ..=12 => topics.with_topic(topic()),
        _ => topics.with_topic_id(Uuid::from_u128(TOPIC_ID)),
    };
    let mut message = FetchResponse::default().with_throttle_time_ms(7).with_responses(vec![topics]);
    if version >= 7 {
        message = message.with_error_code(70);
    }
    if version >= 16 {
        let endpoint = NodeEndpoint::default()
            .with_node_id(2.into())
            .with_host(text("kafka-2"))
            .with_port(9092)
            .with_rack(Some(text("eu-1")));
        message = message.with_node_endpoints(vec![endpoint]);
    }
    encoded(&message, version)
}

pub(crate) fn sasl_handshake(version: i16) -> Bytes {
    let message = SaslHandshakeResponse::default()
        .with_error_code(33)
        .with_mechanisms(vec![text("PLAIN"), text("GSSAPI")]);
    encoded(&message, version)
}

pub(crate) fn sasl_authenticate(version: i16) -> Bytes {
    let message = SaslAuthenticateResponse::default()
        .with_error_code(58)
        .with_error_message(Some(text("no such user")))
        .with_auth_bytes(Bytes::from_static(b"v=proof"));
    encoded(&if version >= 1 { message.with_session_lifetime_ms(60_000) } else { message }, version)
}
