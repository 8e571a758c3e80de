//! ListOffsets and OffsetForLeaderEpoch: where a partition begins and ends, and what lies at a time or an epoch.

use std::net::SocketAddr;

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use kafka_protocol::messages::offset_for_leader_epoch_request::{
    OffsetForLeaderPartition, OffsetForLeaderTopic,
};
use kafka_protocol::messages::{ApiKey, ListOffsetsRequest, OffsetForLeaderEpochRequest};
use steadfast_tests::brokers::Brokers;
use steadfast_tests::either::Scene;
use steadfast_tests::kafka::ask;

use crate::records::Batch;
use crate::topic::{Topic, error, topic_name};
use crate::versions::served;

pub(crate) const SCENES: &[Scene] = &[
    ("offsets::an_empty_partition_begins_and_ends_at_zero", empty),
    ("offsets::the_earliest_and_the_latest_are_told", ends),
    ("offsets::the_first_record_at_or_after_a_time_is_told", by_time),
    ("offsets::the_record_of_the_largest_time_is_told", largest_time),
    ("offsets::another_leader_epoch_is_refused", leader_epochs),
    ("offsets::only_the_leader_tells", not_the_leader),
    ("offsets::an_unknown_topic_is_refused", unknown),
    ("epochs::the_end_of_the_current_epoch_is_the_end_of_the_log", current_epoch),
    ("epochs::an_epoch_that_was_never_has_no_end", never),
    ("epochs::an_earlier_epoch_ends_where_the_next_begins", earlier_epoch),
    ("epochs::another_leader_epoch_is_refused", epochs_of_other_leaders),
    ("epochs::only_the_leader_tells", epochs_of_followers),
];

const EARLIEST: i64 = -2;
const LATEST: i64 = -1;
const LARGEST_TIME: i64 = -3;
const VERSIONS: [i16; 5] = [1, 4, 6, 8, 10];

/// Those of them that the brokers serve.
fn versions(brokers: &Brokers) -> Vec<i16> {
    served(brokers, ApiKey::ListOffsets, &VERSIONS)
}

/// Error, offset, time and leader epoch.
type Told = (Option<ResponseError>, i64, i64, i32);

fn list(at: SocketAddr, version: i16, topic: &str, partition: i32, time: i64, leader_epoch: i32) -> Told {
    let mut asked = ListOffsetsPartition::default().with_partition_index(partition).with_timestamp(time);
    if version >= 4 {
        asked = asked.with_current_leader_epoch(leader_epoch);
    }
    let topics = ListOffsetsTopic::default().with_name(topic_name(topic)).with_partitions(vec![asked]);
    let mut request = ListOffsetsRequest::default().with_replica_id((-1).into()).with_topics(vec![topics]);
    if version >= 10 {
        request = request.with_timeout_ms(5_000);
    }
    let mut answer = ask(at, version, &request).unwrap();
    let told = answer.topics.remove(0).partitions.remove(0);
    assert_eq!(told.partition_index, partition);
    (error(told.error_code), told.offset, told.timestamp, told.leader_epoch)
}

/// The same of the leader of partition 0.
fn listed(topic: &Topic, version: i16, time: i64) -> Told {
    list(topic.leader(0), version, &topic.name, 0, time, -1)
}

/// The leader epoch, which is told from version 4 on.
fn epoch(version: i16) -> i32 {
    if version >= 4 { 0 } else { -1 }
}

fn empty(brokers: &Brokers) {
    let topic = Topic::create(brokers, "offsets-empty", 1);
    for version in versions(brokers) {
        assert_eq!(listed(&topic, version, EARLIEST), (None, 0, -1, epoch(version)), "version {version}");
        assert_eq!(listed(&topic, version, LATEST), (None, 0, -1, epoch(version)));
        assert_eq!(listed(&topic, version, 0), (None, -1, -1, -1));
    }
}

/// Times 100, 300, 200 in the first batch, 400, 400 in the second.
fn timed(brokers: &Brokers, name: &str) -> Topic {
    let topic = Topic::create(brokers, name, 1);
    topic.fill(0, &Batch::timed(&[(100, "a"), (300, "b"), (200, "c")]));
    topic.fill(0, &Batch::timed(&[(400, "d"), (400, "e")]));
    topic
}

fn ends(brokers: &Brokers) {
    let topic = timed(brokers, "offsets-ends");
    for version in versions(brokers) {
        assert_eq!(listed(&topic, version, EARLIEST), (None, 0, -1, epoch(version)), "version {version}");
        assert_eq!(listed(&topic, version, LATEST), (None, 5, -1, epoch(version)));
    }
}

fn by_time(brokers: &Brokers) {
    let topic = timed(brokers, "offsets-time");
    for version in versions(brokers) {
        let told = |offset, time| (None, offset, time, if offset >= 0 { epoch(version) } else { -1 });
        for (time, expected) in [
            (0, told(0, 100)),
            (100, told(0, 100)),
            (101, told(1, 300)),
            (200, told(1, 300)),
            (301, told(3, 400)),
            (400, told(3, 400)),
            (401, told(-1, -1)),
        ] {
            assert_eq!(listed(&topic, version, time), expected, "version {version}, time {time}");
        }
    }
}

fn largest_time(brokers: &Brokers) {
    let topic = timed(brokers, "offsets-largest");
    topic.fill(0, &Batch::timed(&[(50, "late")]));
    let empty = Topic::create(brokers, "offsets-largest-empty", 1);
    for version in served(brokers, ApiKey::ListOffsets, &[7, 8, 10]) {
        assert_eq!(listed(&topic, version, LARGEST_TIME), (None, 3, 400, 0), "version {version}");
        assert_eq!(listed(&empty, version, LARGEST_TIME), (None, -1, -1, -1));
    }
}

fn leader_epochs(brokers: &Brokers) {
    let topic = timed(brokers, "offsets-epochs");
    for version in versions(brokers).into_iter().filter(|version| *version >= 4) {
        let list = |leader_epoch| list(topic.leader(0), version, &topic.name, 0, LATEST, leader_epoch);
        assert_eq!(list(0), (None, 5, -1, 0));
        assert_eq!(list(1), (Some(ResponseError::UnknownLeaderEpoch), -1, -1, -1), "version {version}");
    }
}

fn not_the_leader(brokers: &Brokers) {
    let topic = timed(brokers, "offsets-leader");
    for version in versions(brokers) {
        let told = list(topic.follower(0), version, &topic.name, 0, LATEST, -1);
        assert_eq!(told, (Some(ResponseError::NotLeaderOrFollower), -1, -1, -1), "version {version}");
    }
}

fn unknown(brokers: &Brokers) {
    let topic = timed(brokers, "offsets-unknown");
    for version in versions(brokers) {
        for (name, partition) in [("nobody-knows-it", 0), (&*topic.name, 3)] {
            let told = list(topic.leader(0), version, name, partition, LATEST, -1);
            assert_eq!(told, (Some(ResponseError::UnknownTopicOrPartition), -1, -1, -1), "version {version}");
        }
    }
}

/// Error, epoch and end.
fn end_of(
    at: SocketAddr,
    version: i16,
    topic: &Topic,
    leader_epoch: i32,
    wanted: i32,
) -> (Option<ResponseError>, i32, i64) {
    let partition = OffsetForLeaderPartition::default()
        .with_partition(0)
        .with_current_leader_epoch(leader_epoch)
        .with_leader_epoch(wanted);
    let topics =
        OffsetForLeaderTopic::default().with_topic(topic_name(&topic.name)).with_partitions(vec![partition]);
    let request = OffsetForLeaderEpochRequest::default().with_topics(vec![topics]);
    let request = if version >= 3 { request.with_replica_id((-1).into()) } else { request };
    let told = ask(at, version, &request).unwrap().topics.remove(0).partitions.remove(0);
    (error(told.error_code), told.leader_epoch, told.end_offset)
}

fn current_epoch(brokers: &Brokers) {
    let topic = timed(brokers, "epochs-current");
    let empty = Topic::create(brokers, "epochs-empty", 1);
    for version in 2..=4 {
        for known in [-1, 0] {
            assert_eq!(end_of(topic.leader(0), version, &topic, known, 0), (None, 0, 5), "version {version}");
        }
        assert_eq!(end_of(empty.leader(0), version, &empty, 0, 0), (None, 0, 0));
    }
}

fn never(brokers: &Brokers) {
    let topic = timed(brokers, "epochs-never");
    for version in 2..=4 {
        assert_eq!(end_of(topic.leader(0), version, &topic, 0, 5), (None, -1, -1), "version {version}");
        assert_eq!(end_of(topic.leader(0), version, &topic, 0, -1), (None, -1, -1), "version {version}");
    }
}

fn earlier_epoch(brokers: &Brokers) {
    let topic = timed(brokers, "epochs-earlier");
    let epoch = topic.move_leader(0);
    topic.fill(0, &Batch::timed(&[(500, "f")]));
    for version in 2..=4 {
        let end_of = |known, wanted| end_of(topic.leader(0), version, &topic, known, wanted);
        assert_eq!(end_of(epoch, 0), (None, 0, 5), "version {version}");
        assert_eq!(end_of(epoch, epoch), (None, epoch, 6), "version {version}");
        assert_eq!(end_of(0, 0), (Some(ResponseError::FencedLeaderEpoch), -1, -1), "version {version}");
    }
    for version in versions(brokers).into_iter().filter(|version| *version >= 4) {
        assert_eq!(listed(&topic, version, LATEST), (None, 6, -1, epoch), "version {version}");
        assert_eq!(listed(&topic, version, EARLIEST), (None, 0, -1, 0), "version {version}");
        assert_eq!(listed(&topic, version, 400), (None, 3, 400, 0), "version {version}");
        let fenced = list(topic.leader(0), version, &topic.name, 0, LATEST, 0);
        assert_eq!(fenced, (Some(ResponseError::FencedLeaderEpoch), -1, -1, -1), "version {version}");
    }
}

fn epochs_of_other_leaders(brokers: &Brokers) {
    let topic = timed(brokers, "epochs-other");
    for version in 2..=4 {
        let told = end_of(topic.leader(0), version, &topic, 1, 0);
        assert_eq!(told, (Some(ResponseError::UnknownLeaderEpoch), -1, -1), "version {version}");
    }
}

fn epochs_of_followers(brokers: &Brokers) {
    let topic = timed(brokers, "epochs-leader");
    for version in 2..=4 {
        let told = end_of(topic.follower(0), version, &topic, -1, 0);
        assert_eq!(told, (Some(ResponseError::NotLeaderOrFollower), -1, -1), "version {version}");
    }
}
