//! What is told of groups of the consumer protocol, and who of them may commit and read what was committed.

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::offset_commit_request::{
    OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use kafka_protocol::messages::offset_fetch_request::{OffsetFetchRequestGroup, OffsetFetchRequestTopics};
use kafka_protocol::messages::{
    DeleteGroupsRequest, DescribeGroupsRequest, ListGroupsRequest, OffsetCommitRequest, OffsetFetchRequest,
};
use steadfast_tests::brokers::Brokers;
use steadfast_tests::either::Scene;
use steadfast_tests::kafka::ask;

use crate::consumers::{Consumer, HEARTBEAT, LEAVE, describe};
use crate::group::Group;
use crate::topic::{Topic, error, text, topic_name};

pub(crate) const SCENES: &[Scene] = &[
    ("described::a_group_of_the_consumer_protocol", described),
    ("described::groups_are_listed_by_type_and_state", listed),
    ("epochs::a_member_commits_in_its_epoch", commits),
    ("epochs::a_member_reads_what_was_committed_in_its_epoch", fetches),
    ("epochs::a_group_with_members_is_not_deleted", deleted),
];

fn member(brokers: &Brokers, name: &str) -> (Topic, Consumer) {
    let topic = Topic::create(brokers, name, 2);
    let group = Group::new(brokers, name);
    let mut member = Consumer::new(&group, "first");
    member.join(&[&topic]);
    (topic, member)
}

fn described(brokers: &Brokers) {
    let (topic, member) = member(brokers, "described-one");
    let group = &member.group;
    let told = describe(group, 1);
    assert_eq!((error(told.error_code), told.group_state.as_str()), (None, "Stable"));
    assert_eq!((told.group_epoch, told.assignment_epoch, told.assignor_name.as_str()), (1, 1, "uniform"));
    let [one] = &told.members[..] else { panic!("{told:?}") };
    assert_eq!((one.member_id.as_str(), one.member_epoch, one.member_type), ("first", 1, 1));
    assert_eq!((one.client_id.as_str(), one.client_host.as_str()), ("steadfast-tests", "/127.0.0.1"));
    assert_eq!((&one.instance_id, &one.rack_id), (&None, &None));
    assert_eq!(one.subscribed_topic_names, [topic_name(&topic.name)]);
    assert_eq!(one.subscribed_topic_regex.as_deref(), Some(""));
    assert_eq!(one.assignment, one.target_assignment);
    let [of_topic] = &one.assignment.topic_partitions[..] else { panic!("{one:?}") };
    assert_eq!((of_topic.topic_id, &of_topic.topic_name), (topic.id, &topic_name(&topic.name)));
    assert_eq!(of_topic.partitions, [0, 1]);
    assert_eq!(describe(group, 0).members[0].assignment, one.assignment);

    let classic = |group: &Group, version| {
        let request = DescribeGroupsRequest::default().with_groups(vec![group.id()]);
        ask(group.at, version, &request).unwrap().groups.remove(0)
    };
    for (version, expected) in [(5, None), (6, Some(ResponseError::GroupIdNotFound))] {
        let told = classic(group, version);
        assert_eq!((error(told.error_code), told.group_state.as_str()), (expected, "Dead"));
    }
    let (of_classic, _) = Group::of_one(brokers, "described-classic");
    for other in [of_classic, Group::new(brokers, "described-unknown")] {
        let told = describe(&other, 1);
        assert_eq!(error(told.error_code), Some(ResponseError::GroupIdNotFound));
        assert!(told.error_message.is_some_and(|words| words.contains(&other.name)));
    }
}

fn listed(brokers: &Brokers) {
    let (_, member) = member(brokers, "described-listed");
    let (classic, _) = Group::of_one(brokers, "described-listed-classic");
    let list = |group: &Group, version, types: &[&str], states: &[&str]| {
        let texts = |texts: &[&str]| texts.iter().map(|it| text(it)).collect();
        let request = ListGroupsRequest::default().with_states_filter(texts(states));
        let request = if version < 5 { request } else { request.with_types_filter(texts(types)) };
        let groups = ask(group.at, version, &request).unwrap().groups;
        let found = groups.into_iter().find(|listed| listed.group_id == group.id());
        found.map(|found| (found.group_state.to_string(), found.group_type.to_string()))
    };
    let stable = |of: &str| Some(("Stable".to_owned(), of.to_owned()));
    assert_eq!(list(&member.group, 4, &[], &["stable"]), stable(""));
    assert_eq!(list(&member.group, 5, &["consumer"], &[]), stable("consumer"));
    assert_eq!(list(&member.group, 5, &["Consumer"], &["STABLE"]), stable("consumer"));
    assert_eq!(list(&member.group, 5, &["classic"], &[]), None);
    assert_eq!(list(&member.group, 5, &[], &["Empty"]), None);
    assert_eq!(list(&classic, 5, &["classic"], &[]), stable("classic"));
    assert_eq!(list(&classic, 5, &["consumer"], &[]), None);
}

/// Commits offset 7 of the first partition.
fn commit(version: i16, member: &Consumer, topic: &Topic) -> Option<ResponseError> {
    let offset = OffsetCommitRequestPartition::default().with_committed_offset(7);
    let named = OffsetCommitRequestTopic::default().with_name(topic_name(&topic.name));
    let request = OffsetCommitRequest::default()
        .with_group_id(member.group.id())
        .with_member_id(text(&member.id))
        .with_generation_id_or_member_epoch(member.epoch)
        .with_topics(vec![named.with_partitions(vec![offset])]);
    error(ask(member.group.at, version, &request).unwrap().topics[0].partitions[0].error_code)
}

fn commits(brokers: &Brokers) {
    let (topic, mut member) = member(brokers, "epochs-commits");
    assert_eq!(commit(9, &member, &topic), None);
    assert_eq!(commit(8, &member, &topic), Some(ResponseError::UnsupportedVersion));
    let in_epoch = |epoch| Consumer { epoch, ..member.clone() };
    for epoch in [0, 2] {
        assert_eq!(commit(9, &in_epoch(epoch), &topic), Some(ResponseError::StaleMemberEpoch), "{epoch}");
    }
    let stranger = Consumer::new(&member.group, "stranger");
    assert_eq!(commit(9, &stranger, &topic), Some(ResponseError::UnknownMemberId));
    let nobody = Consumer { id: String::new(), epoch: -1, ..stranger };
    assert_eq!(commit(9, &nobody, &topic), Some(ResponseError::UnknownMemberId));
    let mut second = Consumer::new(&member.group, "second");
    second.join(&[&topic]);
    member.heartbeat().unwrap();
    // Who is to give something up is in its epoch still, and commits what it did.
    assert_eq!((member.epoch, commit(9, &member, &topic)), (1, None));
    member.obey().unwrap();
    assert_eq!((member.epoch, commit(9, &member, &topic)), (2, None));
    let old = Consumer { epoch: 1, ..member.clone() };
    assert_eq!(commit(9, &old, &topic), Some(ResponseError::StaleMemberEpoch));
    member.say(LEAVE).unwrap();
    second.say(LEAVE).unwrap();
    assert_eq!(commit(9, &nobody, &topic), None);
}

fn fetches(brokers: &Brokers) {
    let (topic, member) = member(brokers, "epochs-fetches");
    assert_eq!(commit(9, &member, &topic), None);
    let fetch = |id: Option<&str>, epoch| {
        let named = OffsetFetchRequestTopics::default()
            .with_name(topic_name(&topic.name))
            .with_partition_indexes(vec![0]);
        let asked = OffsetFetchRequestGroup::default()
            .with_group_id(member.group.id())
            .with_member_id(id.map(text))
            .with_member_epoch(epoch)
            .with_topics(Some(vec![named]));
        let request = OffsetFetchRequest::default().with_groups(vec![asked]);
        let answer = ask(member.group.at, 9, &request).unwrap().groups.remove(0);
        let offset = || answer.topics[0].partitions[0].committed_offset;
        error(answer.error_code).map_or_else(|| Ok(offset()), Err)
    };
    assert_eq!(fetch(Some("first"), 1), Ok(7));
    assert_eq!(fetch(None, -1), Ok(7));
    assert_eq!(fetch(Some("first"), 2), Err(ResponseError::StaleMemberEpoch));
    assert_eq!(fetch(Some("stranger"), 1), Err(ResponseError::UnknownMemberId));
}

fn deleted(brokers: &Brokers) {
    let (_, member) = member(brokers, "epochs-deleted");
    let delete = || {
        let request = DeleteGroupsRequest::default().with_groups_names(vec![member.group.id()]);
        error(ask(member.group.at, 2, &request).unwrap().results[0].error_code)
    };
    assert_eq!(delete(), Some(ResponseError::NonEmptyGroup));
    member.say(LEAVE).unwrap();
    assert_eq!(delete(), None);
    assert_eq!(error(describe(&member.group, HEARTBEAT).error_code), Some(ResponseError::GroupIdNotFound));
}
