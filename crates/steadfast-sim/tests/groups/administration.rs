//! Describing, listing and deleting groups.

use kafka_protocol::ResponseError;
use kafka_protocol::messages::describe_groups_response::DescribedGroup;
use kafka_protocol::messages::{
    DeleteGroupsRequest, DescribeGroupsRequest, ListGroupsRequest, RequestKind, ResponseKind,
};
use steadfast_core::ids::NodeId;

use crate::fixture::{GROUP, Join, Stage, assignment, subscription, text};

fn describe(stage: &mut Stage, version: i16) -> DescribedGroup {
    let request = DescribeGroupsRequest::default().with_groups(vec![text(GROUP).into()]);
    match stage.ask_coordinator(version, RequestKind::DescribeGroups(request)) {
        Ok(ResponseKind::DescribeGroups(mut answer)) => answer.groups.remove(0),
        other => panic!("{other:?}"),
    }
}

fn list(stage: &mut Stage, node: NodeId, states: &[&str], types: &[&str]) -> Vec<(String, String)> {
    let request = ListGroupsRequest::default()
        .with_states_filter(states.iter().map(|it| text(it)).collect())
        .with_types_filter(types.iter().map(|it| text(it)).collect());
    match stage.ask(node, 5, RequestKind::ListGroups(request)) {
        Ok(ResponseKind::ListGroups(answer)) => {
            answer.groups.iter().map(|it| (it.group_id.to_string(), it.group_state.to_string())).collect()
        }
        other => panic!("{other:?}"),
    }
}

fn delete(stage: &mut Stage) -> i16 {
    let request = DeleteGroupsRequest::default().with_groups_names(vec![text(GROUP).into()]);
    match stage.ask_coordinator(2, RequestKind::DeleteGroups(request)) {
        Ok(ResponseKind::DeleteGroups(answer)) => answer.results[0].error_code,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_stable_group_is_described_with_what_its_members_want_and_have() {
    let mut stage = Stage::new();
    let (leader, _) = stage.stable_pair();
    let group = describe(&mut stage, 6);
    assert_eq!((group.error_code, group.group_state.as_str()), (0, "Stable"));
    assert_eq!((group.protocol_type.as_str(), group.protocol_data.as_str()), ("consumer", "range"));
    let member = group.members.iter().find(|member| member.member_id.as_str() == leader).unwrap();
    assert_eq!((member.client_id.as_str(), member.client_host.as_str()), ("client", "/127.0.0.1"));
    assert_eq!(member.member_metadata, subscription("orders"));
    assert_eq!(member.member_assignment, assignment("orders", &[0]));
}

#[test]
fn a_group_in_a_round_is_described_without_assignments() {
    let mut stage = Stage::new();
    let (leader, _) = stage.stable_pair();
    stage.park(&Join::of(&leader));
    let group = describe(&mut stage, 6);
    assert_eq!((group.group_state.as_str(), group.protocol_data.as_str()), ("PreparingRebalance", ""));
    assert_eq!(group.members.len(), 2);
    assert!(group.members.iter().all(|member| member.member_assignment.is_empty()));
}

#[test]
fn an_unknown_group_is_dead_and_from_version_6_on_an_error() {
    let mut stage = Stage::new();
    let group = describe(&mut stage, 5);
    assert_eq!((group.error_code, group.group_state.as_str()), (0, "Dead"));
    let group = describe(&mut stage, 6);
    assert_eq!(group.error_code, ResponseError::GroupIdNotFound.code());
    assert!(group.error_message.is_some());
}

#[test]
fn only_the_coordinator_lists_a_group_and_filters_apply() {
    let mut stage = Stage::new();
    stage.stable_alone();
    let coordinator = stage.cluster.coordinator(GROUP).unwrap();
    let listed = vec![(GROUP.to_owned(), "Stable".to_owned())];
    for node in (1..=3).map(NodeId) {
        let expected = if node == coordinator { listed.clone() } else { Vec::new() };
        assert_eq!(list(&mut stage, node, &[], &[]), expected);
    }
    assert_eq!(list(&mut stage, coordinator, &["stable", "Empty"], &["classic"]), listed);
    assert_eq!(list(&mut stage, coordinator, &["Empty"], &[]), []);
    assert_eq!(list(&mut stage, coordinator, &[], &["consumer"]), []);
}

#[test]
fn a_group_is_deleted_only_without_members_and_its_offsets_with_it() {
    let mut stage = Stage::new();
    assert_eq!(delete(&mut stage), ResponseError::GroupIdNotFound.code());
    stage.commit("", -1, 0, 5);
    let member = stage.stable_alone();
    assert_eq!(delete(&mut stage), ResponseError::NonEmptyGroup.code());
    stage.leave(&[(&member, None)]);
    assert_eq!(delete(&mut stage), 0);
    assert_eq!((stage.cluster.group(GROUP), stage.committed(0)), (None, None));
}
