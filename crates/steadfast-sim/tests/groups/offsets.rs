//! OffsetFetch and OffsetDelete.

use kafka_protocol::ResponseError;
use kafka_protocol::messages::offset_delete_request::{
    OffsetDeleteRequestPartition, OffsetDeleteRequestTopic,
};
use kafka_protocol::messages::offset_fetch_request::{
    OffsetFetchRequestGroup, OffsetFetchRequestTopic, OffsetFetchRequestTopics,
};
use kafka_protocol::messages::{
    OffsetDeleteRequest, OffsetFetchRequest, OffsetFetchResponse, RequestKind, ResponseKind,
};
use steadfast_core::ids::NodeId;

use crate::fixture::{GROUP, Stage, text};

fn fetch(stage: &mut Stage, node: NodeId, version: i16, request: OffsetFetchRequest) -> OffsetFetchResponse {
    match stage.ask(node, version, RequestKind::OffsetFetch(request)) {
        Ok(ResponseKind::OffsetFetch(answer)) => answer,
        other => panic!("{other:?}"),
    }
}

fn of_one(indexes: Option<Vec<i32>>) -> OffsetFetchRequest {
    let topics = indexes.map(|indexes| {
        vec![
            OffsetFetchRequestTopic::default()
                .with_name(text("orders").into())
                .with_partition_indexes(indexes),
        ]
    });
    OffsetFetchRequest::default()
        .with_group_id(text(GROUP).into())
        .with_topics(topics)
        .with_require_stable(true)
}

fn of_many(groups: &[(&str, Option<Vec<i32>>)]) -> OffsetFetchRequest {
    let groups = groups.iter().map(|(group, indexes)| {
        let topics = indexes.clone().map(|indexes| {
            let topic = OffsetFetchRequestTopics::default().with_name(text("orders").into());
            vec![topic.with_partition_indexes(indexes)]
        });
        OffsetFetchRequestGroup::default().with_group_id(text(group).into()).with_topics(topics)
    });
    OffsetFetchRequest::default().with_groups(groups.collect()).with_require_stable(true)
}

#[test]
fn what_was_committed_is_found_and_what_was_not_is_minus_one() {
    let mut stage = Stage::new();
    stage.commit("", -1, 1, 5);
    let node = stage.cluster.coordinator(GROUP).unwrap();
    let answer = fetch(&mut stage, node, 7, of_one(Some(vec![0, 1])));
    let found: Vec<_> = answer.topics[0]
        .partitions
        .iter()
        .map(|it| (it.committed_offset, it.committed_leader_epoch, it.metadata.as_deref(), it.error_code))
        .collect();
    assert_eq!(found, [(-1, -1, Some(""), 0), (5, 7, Some("position=9"), 0)]);
}

#[test]
fn null_topics_ask_for_all() {
    let mut stage = Stage::new();
    stage.commit("", -1, 1, 5);
    stage.commit("", -1, 3, 6);
    let node = stage.cluster.coordinator(GROUP).unwrap();
    let answer = fetch(&mut stage, node, 7, of_one(None));
    let found: Vec<_> =
        answer.topics[0].partitions.iter().map(|it| (it.partition_index, it.committed_offset)).collect();
    assert_eq!(found, [(1, 5), (3, 6)]);
    let answer = fetch(&mut stage, node, 9, of_many(&[(GROUP, None)]));
    assert_eq!(answer.groups[0].topics[0].partitions.len(), 2);
}

#[test]
fn an_unknown_group_has_committed_nothing_which_is_no_error() {
    let mut stage = Stage::new();
    let node = stage.cluster.coordinator(GROUP).unwrap();
    let answer = fetch(&mut stage, node, 9, of_many(&[(GROUP, Some(vec![0]))]));
    let partition = &answer.groups[0].topics[0].partitions[0];
    assert_eq!((answer.groups[0].error_code, partition.committed_offset, partition.error_code), (0, -1, 0));
    assert_eq!(stage.cluster.group(GROUP), None);
}

#[test]
fn each_group_of_a_batch_has_its_own_error() {
    let mut stage = Stage::new();
    stage.commit("", -1, 0, 5);
    let node = stage.cluster.coordinator(GROUP).unwrap();
    let foreign =
        (0..).map(|n| format!("group-{n}")).find(|it| stage.cluster.coordinator(it) != Some(node)).unwrap();
    let answer = fetch(&mut stage, node, 8, of_many(&[(&foreign, None), (GROUP, None)]));
    let codes: Vec<_> = answer.groups.iter().map(|group| group.error_code).collect();
    assert_eq!(codes, [ResponseError::NotCoordinator.code(), 0]);
}

#[test]
fn an_error_is_the_answers_or_before_version_2_each_partitions() {
    let mut stage = Stage::new();
    let wrong = NodeId(stage.cluster.coordinator(GROUP).unwrap().0 % 3 + 1);
    let error = ResponseError::NotCoordinator.code();
    assert_eq!(fetch(&mut stage, wrong, 2, of_one(Some(vec![0]))).error_code, error);
    let answer = fetch(&mut stage, wrong, 1, of_one(Some(vec![0, 1])));
    let codes: Vec<_> =
        answer.topics[0].partitions.iter().map(|it| (it.error_code, it.committed_offset)).collect();
    assert_eq!(codes, [(error, -1), (error, -1)]);
}

fn delete(stage: &mut Stage, topic: &str, index: i32) -> (i16, Option<i16>) {
    let partition = OffsetDeleteRequestPartition::default().with_partition_index(index);
    let topic =
        OffsetDeleteRequestTopic::default().with_name(text(topic).into()).with_partitions(vec![partition]);
    let request = OffsetDeleteRequest::default().with_group_id(text(GROUP).into()).with_topics(vec![topic]);
    match stage.ask_coordinator(0, RequestKind::OffsetDelete(request)) {
        Ok(ResponseKind::OffsetDelete(answer)) => {
            (answer.error_code, answer.topics.first().map(|topic| topic.partitions[0].error_code))
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_offset_is_deleted_unless_somebody_reads_the_topic() {
    let mut stage = Stage::new();
    assert_eq!(delete(&mut stage, "orders", 0), (ResponseError::GroupIdNotFound.code(), None));
    stage.commit("", -1, 0, 5);
    let member = stage.stable_alone();
    assert_eq!(delete(&mut stage, "orders", 0), (0, Some(ResponseError::GroupSubscribedToTopic.code())));
    assert_eq!(delete(&mut stage, "payments", 0), (0, Some(0)));
    stage.leave(&[(&member, None)]);
    assert_eq!(delete(&mut stage, "orders", 0), (0, Some(0)));
    assert_eq!(stage.committed(0), None);
    assert_eq!(delete(&mut stage, "nothing", 0), (0, Some(ResponseError::UnknownTopicOrPartition.code())));
}

#[test]
fn a_topic_that_is_deleted_takes_its_offsets_along() {
    let mut stage = Stage::new();
    stage.commit("", -1, 0, 5);
    stage.cluster.delete_topic("orders").unwrap();
    assert_eq!(stage.committed(0), None);
}
