//! OffsetCommit, OffsetFetch, OffsetDelete: who may commit when, and what is told of it.

use std::net::SocketAddr;
use std::time::Duration;

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::offset_commit_request::{
    OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use kafka_protocol::messages::offset_delete_request::{
    OffsetDeleteRequestPartition, OffsetDeleteRequestTopic,
};
use kafka_protocol::messages::offset_fetch_request::{
    OffsetFetchRequestGroup, OffsetFetchRequestTopic, OffsetFetchRequestTopics,
};
use kafka_protocol::messages::{
    DeleteGroupsRequest, JoinGroupRequest, OffsetCommitRequest, OffsetDeleteRequest, OffsetFetchRequest,
    OffsetFetchResponse,
};
use steadfast_tests::brokers::Brokers;
use steadfast_tests::either::Scene;
use steadfast_tests::kafka::ask;

use crate::group::{Group, JOIN, Member};
use crate::topic::{Topic, error, text, topic_name};

pub(crate) const SCENES: &[Scene] = &[
    ("commit::who_is_no_member_commits_to_a_group_without_members", simple_consumer),
    ("commit::what_was_never_committed_is_minus_one", never),
    ("commit::an_unknown_topic_is_refused", unknown_topic),
    ("commit::metadata_that_is_too_long_is_refused", long_metadata),
    ("commit::only_the_coordinator_takes_and_tells", not_the_coordinator),
    ("commit::a_member_commits_in_its_generation", by_member),
    ("commit::a_stranger_does_not_commit_to_a_group_with_members", stranger),
    ("commit::in_a_round_that_begins_a_member_may_still_commit", beginning_round),
    ("commit::in_a_round_that_completes_it_may_not", completing_round),
    ("commit::all_partitions_are_told_to_who_asks_for_all", all_partitions),
    ("commit::several_groups_are_asked_for_at_once", several_groups),
    ("commit::an_offset_may_go_back", going_back),
    ("commit::deleted_offsets_are_gone", deleted_offsets),
    ("commit::a_deleted_group_has_no_offsets", deleted_group),
];

const COMMIT: [i16; 5] = [2, 5, 6, 8, 9];
const FETCH: [i16; 5] = [1, 2, 5, 7, 9];

/// An offset, its leader epoch and what stands beside it.
type Place = (i64, i32, String);

/// Who commits.
#[derive(Debug, Clone)]
struct Committer {
    group: Group,
    member: String,
    generation: i32,
}

impl Committer {
    /// No member.
    fn nobody(group: &Group) -> Committer {
        Committer { group: group.clone(), member: String::new(), generation: -1 }
    }

    fn member(member: &Member) -> Committer {
        Committer {
            member: member.id.to_string(),
            generation: member.generation,
            ..Committer::nobody(&member.group)
        }
    }

    fn commit(&self, version: i16, topic: &str, partition: i32, place: &Place) -> Option<ResponseError> {
        let committed = OffsetCommitRequestPartition::default()
            .with_partition_index(partition)
            .with_committed_offset(place.0)
            .with_committed_metadata(Some(text(&place.2)));
        let committed = if version >= 6 { committed.with_committed_leader_epoch(place.1) } else { committed };
        let topic =
            OffsetCommitRequestTopic::default().with_name(topic_name(topic)).with_partitions(vec![committed]);
        let request = OffsetCommitRequest::default()
            .with_group_id(self.group.id())
            .with_generation_id_or_member_epoch(self.generation)
            .with_member_id(text(&self.member))
            .with_topics(vec![topic]);
        let answer = ask(self.group.at, version, &request).unwrap();
        assert_eq!((answer.topics.len(), answer.topics[0].partitions.len()), (1, 1));
        error(answer.topics[0].partitions[0].error_code)
    }
}

/// An offset without anything beside it.
fn at(offset: i64) -> Place {
    (offset, -1, String::new())
}

fn question(version: i16, group: &Group, topic: Option<(&str, Vec<i32>)>) -> OffsetFetchRequest {
    if version < 8 {
        let topics = topic.map(|(name, partitions)| {
            vec![
                OffsetFetchRequestTopic::default()
                    .with_name(topic_name(name))
                    .with_partition_indexes(partitions),
            ]
        });
        return OffsetFetchRequest::default().with_group_id(group.id()).with_topics(topics);
    }
    let topics = topic.map(|(name, partitions)| {
        vec![
            OffsetFetchRequestTopics::default()
                .with_name(topic_name(name))
                .with_partition_indexes(partitions),
        ]
    });
    let group = OffsetFetchRequestGroup::default().with_group_id(group.id()).with_topics(topics);
    OffsetFetchRequest::default().with_groups(vec![group])
}

/// What an answer about one group says: its error, and by topic and partition the place or an error.
type Told = (Option<ResponseError>, Vec<(String, i32, Result<Place, ResponseError>)>);

fn told(version: i16, answer: OffsetFetchResponse) -> Told {
    let mut places = Vec::new();
    let mut note = |topic: &str, partition: i32, code: i16, place: (i64, i32, Option<String>)| {
        let place = (place.0, place.1, place.2.unwrap_or_default());
        places.push((topic.to_owned(), partition, error(code).map_or(Ok(place), Err)));
    };
    let code = if version < 8 {
        for topic in answer.topics {
            for found in topic.partitions {
                let metadata = found.metadata.map(|metadata| metadata.to_string());
                let place = (found.committed_offset, found.committed_leader_epoch, metadata);
                note(&topic.name, found.partition_index, found.error_code, place);
            }
        }
        answer.error_code
    } else {
        assert_eq!(answer.groups.len(), 1);
        for topic in &answer.groups[0].topics {
            for found in &topic.partitions {
                let metadata = found.metadata.as_ref().map(|metadata| metadata.to_string());
                let place = (found.committed_offset, found.committed_leader_epoch, metadata);
                note(&topic.name, found.partition_index, found.error_code, place);
            }
        }
        answer.groups[0].error_code
    };
    places.sort_by(|one, other| (&one.0, one.1).cmp(&(&other.0, other.1)));
    (error(code), places)
}

/// What is committed for a partition.
fn committed(version: i16, group: &Group, topic: &str, partition: i32) -> Result<Place, ResponseError> {
    let answer = ask(group.at, version, &question(version, group, Some((topic, vec![partition])))).unwrap();
    let (refused, mut places) = told(version, answer);
    assert_eq!((refused, places.len()), (None, 1));
    let (name, index, place) = places.remove(0);
    assert_eq!((&*name, index), (topic, partition));
    place
}

fn simple_consumer(brokers: &Brokers) {
    let topic = Topic::create(brokers, "commit-simple", 2);
    let group = Group::new(brokers, "commit-simple");
    let nobody = Committer::nobody(&group);
    for version in COMMIT {
        let place = (100 + i64::from(version), 3, format!("version {version}"));
        assert_eq!(nobody.commit(version, &topic.name, 1, &place), None, "version {version}");
        let epoch = if version >= 6 { 3 } else { -1 };
        for fetched in FETCH {
            let found = committed(fetched, &group, &topic.name, 1).unwrap();
            let expected = (place.0, if fetched >= 5 { epoch } else { -1 }, place.2.clone());
            assert_eq!(found, expected, "version {version}, fetched in {fetched}");
        }
    }
}

fn never(brokers: &Brokers) {
    let topic = Topic::create(brokers, "commit-never", 1);
    let group = Group::new(brokers, "commit-never");
    for version in FETCH {
        assert_eq!(committed(version, &group, &topic.name, 0), Ok(at(-1)), "version {version}");
        assert_eq!(committed(version, &group, "nobody-knows-it", 7), Ok(at(-1)), "version {version}");
    }
}

fn unknown_topic(brokers: &Brokers) {
    let topic = Topic::create(brokers, "commit-unknown", 1);
    let nobody = Committer::nobody(&Group::new(brokers, "commit-unknown"));
    for version in COMMIT {
        for (name, partition) in [("nobody-knows-it", 0), (&*topic.name, 4)] {
            let refused = nobody.commit(version, name, partition, &at(1));
            assert_eq!(refused, Some(ResponseError::UnknownTopicOrPartition), "version {version}");
        }
    }
}

fn long_metadata(brokers: &Brokers) {
    let topic = Topic::create(brokers, "commit-long", 1);
    let nobody = Committer::nobody(&Group::new(brokers, "commit-long"));
    for version in COMMIT {
        let commit = |length| nobody.commit(version, &topic.name, 0, &(1, -1, "x".repeat(length)));
        assert_eq!(commit(4_096), None);
        assert_eq!(commit(4_097), Some(ResponseError::OffsetMetadataTooLarge), "version {version}");
    }
}

fn not_the_coordinator(brokers: &Brokers) {
    let topic = Topic::create(brokers, "commit-elsewhere", 1);
    let group = Group::new(brokers, "commit-elsewhere");
    let elsewhere: SocketAddr = *brokers.addresses().values().find(|at| **at != group.at).unwrap();
    let elsewhere = Group { at: elsewhere, ..group };
    let not_coordinator = Some(ResponseError::NotCoordinator);
    for version in COMMIT {
        let refused = Committer::nobody(&elsewhere).commit(version, &topic.name, 0, &at(1));
        assert_eq!(refused, not_coordinator, "version {version}");
    }
    for version in FETCH {
        let request = question(version, &elsewhere, Some((&topic.name, vec![0])));
        let (refused, places) = told(version, ask(elsewhere.at, version, &request).unwrap());
        if version == 1 {
            assert_eq!(places, [(topic.name.clone(), 0, Err(ResponseError::NotCoordinator))]);
        } else {
            assert_eq!(refused, not_coordinator, "version {version}");
        }
    }
}

fn by_member(brokers: &Brokers) {
    let topic = Topic::create(brokers, "commit-member", 1);
    let (group, member) = Group::of_one(brokers, "commit-member");
    let committer = Committer::member(&member);
    for version in COMMIT {
        let commit = |committer: &Committer, offset| committer.commit(version, &topic.name, 0, &at(offset));
        let place = i64::from(version);
        assert_eq!(commit(&committer, place), None);
        let late = Committer { generation: 0, ..committer.clone() };
        assert_eq!(commit(&late, 99), Some(ResponseError::IllegalGeneration), "version {version}");
        let early = Committer { generation: 2, ..committer.clone() };
        assert_eq!(commit(&early, 99), Some(ResponseError::IllegalGeneration), "version {version}");
        let unknown = Committer { member: "nobody".to_owned(), ..committer.clone() };
        assert_eq!(commit(&unknown, 99), Some(ResponseError::UnknownMemberId), "version {version}");
        assert_eq!(committed(7, &group, &topic.name, 0), Ok(at(place)));
    }
    assert_eq!(member.leave_in(5), None);
    assert_eq!(committer.commit(7, &topic.name, 0, &at(99)), Some(ResponseError::UnknownMemberId));
    assert_eq!(committed(7, &group, &topic.name, 0), Ok(at(9)));
}

fn stranger(brokers: &Brokers) {
    let topic = Topic::create(brokers, "commit-stranger", 1);
    let (group, member) = Group::of_one(brokers, "commit-stranger");
    for version in COMMIT {
        let refused = Committer::nobody(&group).commit(version, &topic.name, 0, &at(1));
        assert_eq!(refused, Some(ResponseError::UnknownMemberId), "version {version}");
    }
    assert_eq!(committed(7, &group, &topic.name, 0), Ok(at(-1)));
    assert_eq!(member.leave_in(5), None);
    assert_eq!(Committer::nobody(&group).commit(7, &topic.name, 0, &at(1)), None);
}

fn beginning_round(brokers: &Brokers) {
    let topic = Topic::create(brokers, "commit-beginning", 1);
    let (group, member) = Group::of_one(brokers, "commit-beginning");
    let joining = group.joining("second").with_id();
    let mut waiting = joining.send();
    assert!(waiting.silent_for(Duration::from_millis(300)).unwrap());
    for version in COMMIT {
        let place = i64::from(version);
        assert_eq!(Committer::member(&member).commit(version, &topic.name, 0, &at(place)), None);
        assert_eq!(committed(7, &group, &topic.name, 0), Ok(at(place)));
    }
    assert_eq!(member.rejoining("first").joined().generation, 2);
    assert_eq!(error(waiting.receive::<JoinGroupRequest>(JOIN).unwrap().error_code), None);
}

fn completing_round(brokers: &Brokers) {
    let topic = Topic::create(brokers, "commit-completing", 1);
    let group = Group::new(brokers, "commit-completing");
    let member = group.joining("first").joined();
    for version in COMMIT {
        let refused = Committer::member(&member).commit(version, &topic.name, 0, &at(1));
        assert_eq!(refused, Some(ResponseError::RebalanceInProgress), "version {version}");
    }
    assert_eq!(committed(7, &group, &topic.name, 0), Ok(at(-1)));
    member.sync(&[]).unwrap();
    assert_eq!(Committer::member(&member).commit(7, &topic.name, 0, &at(1)), None);
}

fn all_partitions(brokers: &Brokers) {
    let names = ["commit-all-1", "commit-all-2"];
    let group = Group::new(brokers, "commit-all");
    for name in names {
        Topic::create(brokers, name, 3);
        for partition in [0, 2] {
            let place = at(10 + i64::from(partition));
            assert_eq!(Committer::nobody(&group).commit(7, name, partition, &place), None);
        }
    }
    for version in FETCH.into_iter().filter(|version| *version >= 2) {
        let (refused, places) =
            told(version, ask(group.at, version, &question(version, &group, None)).unwrap());
        let expected = names.iter().flat_map(|name| [0, 2].map(|index| (name, index)));
        let expected: Vec<_> = expected
            .map(|(name, index)| ((*name).to_owned(), index, Ok(at(10 + i64::from(index)))))
            .collect();
        assert_eq!((refused, places), (None, expected), "version {version}");
        // Who asks for none is told of none.
        let mut none = question(version, &group, None);
        if version < 8 {
            none.topics = Some(Vec::new());
        } else {
            none.groups[0].topics = Some(Vec::new());
        }
        assert_eq!(told(version, ask(group.at, version, &none).unwrap()), (None, Vec::new()));
    }
}

/// Each with its own answer, or the error that its coordinator is another.
fn several_groups(brokers: &Brokers) {
    let topic = Topic::create(brokers, "commit-several", 1);
    let groups: Vec<Group> =
        (0..4).map(|index| Group::new(brokers, &format!("commit-several-{index}"))).collect();
    for (place, group) in (1..).zip(&groups) {
        assert_eq!(Committer::nobody(group).commit(7, &topic.name, 0, &at(place)), None);
    }
    for version in [8, 9] {
        let single = groups.iter().map(|group| question(version, group, Some((&topic.name, vec![0]))));
        let asked = single.flat_map(|request| request.groups).collect();
        let request = OffsetFetchRequest::default().with_groups(asked);
        let answer = ask(groups[0].at, version, &request).unwrap();
        assert_eq!(answer.groups.len(), 4);
        for (place, group) in (1..).zip(&groups) {
            let found = answer.groups.iter().find(|found| *found.group_id.0 == *group.name).unwrap();
            if group.at == groups[0].at {
                assert_eq!(found.topics[0].partitions[0].committed_offset, place);
            } else {
                assert_eq!(error(found.error_code), Some(ResponseError::NotCoordinator));
            }
        }
    }
}

fn going_back(brokers: &Brokers) {
    let topic = Topic::create(brokers, "commit-back", 1);
    let (group, member) = Group::of_one(brokers, "commit-back");
    for offset in [50, 20, 0] {
        assert_eq!(Committer::member(&member).commit(7, &topic.name, 0, &at(offset)), None);
        assert_eq!(committed(7, &group, &topic.name, 0), Ok(at(offset)));
    }
}

fn deleted_offsets(brokers: &Brokers) {
    let topic = Topic::create(brokers, "commit-delete", 2);
    let (group, member) = Group::of_one(brokers, "commit-delete");
    let delete = |name: &str| {
        let partition = OffsetDeleteRequestPartition::default().with_partition_index(0);
        let topics = vec![
            OffsetDeleteRequestTopic::default().with_name(topic_name(name)).with_partitions(vec![partition]),
        ];
        let request = OffsetDeleteRequest::default().with_group_id(group.id()).with_topics(topics);
        let answer = ask(group.at, 0, &request).unwrap();
        assert_eq!(error(answer.error_code), None);
        error(answer.topics[0].partitions[0].error_code)
    };
    for partition in 0..2 {
        assert_eq!(Committer::member(&member).commit(7, &topic.name, partition, &at(5)), None);
    }
    assert_eq!(delete(&topic.name), None);
    assert_eq!(committed(7, &group, &topic.name, 0), Ok(at(-1)));
    assert_eq!(committed(7, &group, &topic.name, 1), Ok(at(5)));
    // The member wants this one.
    Topic::create(brokers, "first", 1);
    assert_eq!(delete("first"), Some(ResponseError::GroupSubscribedToTopic));
}

fn deleted_group(brokers: &Brokers) {
    let topic = Topic::create(brokers, "commit-delete-group", 1);
    let (group, member) = Group::of_one(brokers, "commit-delete-group");
    assert_eq!(Committer::member(&member).commit(7, &topic.name, 0, &at(5)), None);
    for version in [0, 1, 2] {
        let request = DeleteGroupsRequest::default().with_groups_names(vec![group.id()]);
        let delete = || error(ask(group.at, version, &request).unwrap().results[0].error_code);
        if version == 0 {
            assert_eq!(delete(), Some(ResponseError::NonEmptyGroup));
            assert_eq!(member.leave_in(5), None);
            assert_eq!(committed(7, &group, &topic.name, 0), Ok(at(5)));
            assert_eq!(delete(), None);
        }
        assert_eq!(delete(), Some(ResponseError::GroupIdNotFound));
    }
    assert_eq!(committed(7, &group, &topic.name, 0), Ok(at(-1)));
}
