//! Every answer fits on the wire in every version that is announced.

use bytes::BytesMut;
use kafka_protocol::messages::leave_group_request::MemberIdentity;
use kafka_protocol::messages::offset_fetch_request::{
    OffsetFetchRequestGroup, OffsetFetchRequestTopic, OffsetFetchRequestTopics,
};
use kafka_protocol::messages::{
    ApiKey, DeleteGroupsRequest, DescribeGroupsRequest, FindCoordinatorRequest, HeartbeatRequest,
    JoinGroupRequest, LeaveGroupRequest, ListGroupsRequest, OffsetDeleteRequest, OffsetFetchRequest,
    RequestKind, SyncGroupRequest,
};
use steadfast_core::ids::NodeId;

use crate::fixture::{GROUP, Stage, commit, text};

/// What each API is asked in this version.
fn requests(version: i16) -> Vec<(ApiKey, i16, RequestKind)> {
    let group = || text(GROUP).into();
    let one = OffsetFetchRequestTopic::default()
        .with_name(text("orders").into())
        .with_partition_indexes(vec![0, 1]);
    let many = OffsetFetchRequestTopics::default()
        .with_name(text("orders").into())
        .with_partition_indexes(vec![0, 1]);
    let many = OffsetFetchRequestGroup::default().with_group_id(group()).with_topics(Some(vec![many]));
    let fetch = OffsetFetchRequest::default().with_group_id(group()).with_topics(Some(vec![one]));
    let fetch = if version < 8 { fetch } else { fetch.with_groups(vec![many]) };
    let join = JoinGroupRequest::default().with_group_id(group());
    let leave =
        LeaveGroupRequest::default().with_group_id(group()).with_members(vec![MemberIdentity::default()]);
    let find =
        FindCoordinatorRequest::default().with_key(text(GROUP)).with_coordinator_keys(vec![text(GROUP)]);
    let describe = DescribeGroupsRequest::default().with_groups(vec![group(), text("other").into()]);
    vec![
        (ApiKey::OffsetCommit, 9, RequestKind::OffsetCommit(commit("", -1, &[("orders", 0, 5)]))),
        (ApiKey::OffsetFetch, 9, RequestKind::OffsetFetch(fetch)),
        (ApiKey::FindCoordinator, 6, RequestKind::FindCoordinator(find)),
        (ApiKey::JoinGroup, 9, RequestKind::JoinGroup(join)),
        (ApiKey::Heartbeat, 4, RequestKind::Heartbeat(HeartbeatRequest::default().with_group_id(group()))),
        (ApiKey::LeaveGroup, 5, RequestKind::LeaveGroup(leave)),
        (ApiKey::SyncGroup, 5, RequestKind::SyncGroup(SyncGroupRequest::default().with_group_id(group()))),
        (ApiKey::DescribeGroups, 6, RequestKind::DescribeGroups(describe)),
        (ApiKey::ListGroups, 5, RequestKind::ListGroups(ListGroupsRequest::default())),
        (
            ApiKey::DeleteGroups,
            2,
            RequestKind::DeleteGroups(DeleteGroupsRequest::default().with_groups_names(vec![group()])),
        ),
        (
            ApiKey::OffsetDelete,
            0,
            RequestKind::OffsetDelete(OffsetDeleteRequest::default().with_group_id(group())),
        ),
    ]
}

fn oldest(key: ApiKey) -> i16 {
    match key {
        ApiKey::OffsetCommit => 2,
        ApiKey::OffsetFetch => 1,
        _ => 0,
    }
}

#[test]
fn every_answer_can_be_encoded_in_every_version() {
    for version in 0..=9 {
        for wrong in [false, true] {
            let mut stage = Stage::new();
            stage.stable_pair();
            stage.cluster.set_group_settings(Default::default());
            let coordinator = stage.cluster.coordinator(GROUP).unwrap();
            let node = if wrong { NodeId(coordinator.0 % 3 + 1) } else { coordinator };
            for (key, newest, request) in requests(version) {
                if version >= oldest(key) && version <= newest {
                    let answer = stage.ask(node, version, request).expect("an answer at once");
                    let encoded = answer.encode(&mut BytesMut::new(), version);
                    assert!(encoded.is_ok(), "{key:?} version {version}: {encoded:?} of {answer:?}");
                }
            }
        }
    }
}

#[test]
fn joins_and_syncs_of_every_version_can_be_encoded() {
    use crate::fixture::Join;
    use kafka_protocol::messages::ResponseKind;
    for version in 0..=9 {
        let mut stage = Stage::new();
        let first = stage.stable_alone();
        let parked = stage.park(&Join { version, ..Join::instance("one") });
        let second = stage.park(&Join { version, ..Join::instance("one") });
        let fenced = stage.joined(parked);
        let leader = stage.join(&Join { version, ..Join::of(&first) });
        let follower = stage.joined(second);
        for answer in [fenced, leader, follower] {
            let answer = ResponseKind::JoinGroup(answer);
            let encoded = answer.encode(&mut BytesMut::new(), version);
            assert!(encoded.is_ok(), "version {version}: {encoded:?} of {answer:?}");
        }
        let answer = ResponseKind::SyncGroup(stage.sync(&first, 2, &[]));
        assert!((0..=5).all(|version| answer.encode(&mut BytesMut::new(), version).is_ok()));
    }
}
