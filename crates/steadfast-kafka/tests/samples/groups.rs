//! Answers about groups, for whoever looks on.

use bytes::Bytes;
use kafka_protocol::messages::consumer_group_describe_response::{
    Assignment, DescribedGroup as ConsumerGroup, Member, TopicPartitions,
};
use kafka_protocol::messages::describe_groups_response::{DescribedGroup, DescribedGroupMember};
use kafka_protocol::messages::list_groups_response::ListedGroup;
use kafka_protocol::messages::{
    ConsumerGroupDescribeResponse, DescribeGroupsResponse, GroupId, ListGroupsResponse,
};
use uuid::Uuid;

use super::{TOPIC_ID, encoded, text, topic};

pub(crate) fn list_groups(version: i16) -> Bytes {
    let mut group =
        ListedGroup::default().with_group_id(GroupId(text("billing"))).with_protocol_type(text("consumer"));
    if version >= 4 {
        group = group.with_group_state(text("Stable"));
    }
    if version >= 5 {
        group = group.with_group_type(text("classic"));
    }
    let message = ListGroupsResponse::default().with_error_code(15).with_groups(vec![group]);
    encoded(&if version >= 1 { message.with_throttle_time_ms(7) } else { message }, version)
}

pub(crate) fn describe_groups(version: i16) -> Bytes {
    let mut member = DescribedGroupMember::default()
        .with_member_id(text("member-1"))
        .with_client_id(text("client-1"))
        .with_client_host(text("/10.0.0.7"))
        .with_member_metadata(Bytes::from_static(b"subscription"))
        .with_member_assignment(Bytes::from_static(b"assignment"));
    if version >= 4 {
        member = member.with_group_instance_id(Some(text("instance-1")));
    }
    let mut group = DescribedGroup::default()
        .with_group_id(GroupId(text("billing")))
        .with_group_state(text("Stable"))
        .with_protocol_type(text("consumer"))
        .with_protocol_data(text("range"))
        .with_members(vec![member]);
    if version >= 3 {
        group = group.with_authorized_operations(8);
    }
    if version >= 6 {
        group = group.with_error_message(Some(text("none")));
    }
    let message = DescribeGroupsResponse::default().with_groups(vec![group]);
    encoded(&if version >= 1 { message.with_throttle_time_ms(7) } else { message }, version)
}

pub(crate) fn consumer_group_describe(version: i16) -> Bytes {
    let assignment = |indexes| {
        let of_topic = TopicPartitions::default()
            .with_topic_id(Uuid::from_u128(TOPIC_ID))
            .with_topic_name(topic())
            .with_partitions(indexes);
        Assignment::default().with_topic_partitions(vec![of_topic])
    };
    let mut member = Member::default()
        .with_member_id(text("member-1"))
        .with_instance_id(Some(text("instance-1")))
        .with_rack_id(Some(text("eu-1")))
        .with_member_epoch(4)
        .with_client_id(text("client-1"))
        .with_client_host(text("/10.0.0.7"))
        .with_subscribed_topic_names(vec![topic()])
        .with_subscribed_topic_regex(Some(text("")))
        .with_assignment(assignment(vec![0]))
        .with_target_assignment(assignment(vec![0, 1]));
    if version >= 1 {
        member = member.with_member_type(1);
    }
    let group = ConsumerGroup::default()
        .with_group_id(GroupId(text("billing")))
        .with_group_state(text("Reconciling"))
        .with_group_epoch(5)
        .with_assignment_epoch(5)
        .with_assignor_name(text("uniform"))
        .with_members(vec![member]);
    let message = ConsumerGroupDescribeResponse::default().with_throttle_time_ms(7).with_groups(vec![group]);
    encoded(&message, version)
}
