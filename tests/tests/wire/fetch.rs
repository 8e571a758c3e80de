//! Fetch: what is given from where, how long it waits, and what is refused and how.

use std::net::SocketAddr;
use std::time::Duration;

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::create_topics_request::{CreatableReplicaAssignment, CreatableTopic};
use kafka_protocol::messages::delete_records_request::{DeleteRecordsPartition, DeleteRecordsTopic};
use kafka_protocol::messages::fetch_response::PartitionData;
use kafka_protocol::messages::{CreateTopicsRequest, DeleteRecordsRequest, FetchRequest};
use steadfast_tests::brokers::Brokers;
use steadfast_tests::either::Scene;
use steadfast_tests::kafka::{Connection, ask};
use steadfast_tests::within;

use crate::records::{Batch, decoded, values, whole_batches};
use crate::topic::{FETCH_BY_ID, Fetch, LIMIT, Topic, error, topic_name};

pub(crate) const SCENES: &[Scene] = &[
    ("fetch::everything_is_given_from_the_beginning", from_the_beginning),
    ("fetch::a_batch_is_given_whole_to_who_asks_for_its_middle", middle_of_a_batch),
    ("fetch::at_the_end_nothing_is_given_after_max_wait", at_the_end),
    ("fetch::a_record_that_is_written_meanwhile_ends_the_wait", woken),
    ("fetch::it_waits_for_min_bytes", min_bytes),
    ("fetch::an_error_does_not_wait", error_at_once),
    ("fetch::beyond_the_end_is_out_of_range", beyond_the_end),
    ("fetch::below_the_start_is_out_of_range", below_the_start),
    ("fetch::another_leader_epoch_is_refused", leader_epochs),
    ("fetch::the_epoch_of_an_earlier_leader_is_fenced", earlier_epoch),
    ("fetch::who_was_given_what_was_lost_is_told_where_the_logs_part", diverging),
    ("fetch::a_first_batch_over_the_limits_is_given_whole", first_batch),
    ("fetch::the_limit_of_a_partition_is_kept", partition_limit),
    ("fetch::the_limit_of_the_request_is_kept_over_partitions", request_limit),
    ("fetch::an_unknown_topic_is_refused", unknown),
    ("fetch::the_id_of_a_deleted_topic_is_refused", deleted),
    ("fetch::a_follower_serves_consumers_from_version_11_on", follower),
    ("fetch::who_has_no_copy_tells_who_leads", no_copy),
];

const VERSIONS: [i16; 6] = [4, 7, 11, 12, 16, 17];
const A_WHILE: Duration = Duration::from_millis(300);

/// What stands beside the records: error, high watermark, last stable offset, start of the log.
fn bounds(found: &PartitionData) -> (Option<ResponseError>, i64, i64, i64) {
    (error(found.error_code), found.high_watermark, found.last_stable_offset, found.log_start_offset)
}

fn is_empty(found: &PartitionData) -> bool {
    found.records.as_ref().is_none_or(|records| records.is_empty())
}

fn given(found: &PartitionData) -> Vec<(i64, String)> {
    found.records.as_ref().map(values).unwrap_or_default()
}

/// Offsets 0 to 5 in three batches.
fn three_batches(brokers: &Brokers, name: &str) -> Topic {
    let topic = Topic::create(brokers, name, 1);
    for values in [&["a", "b"][..], &["c", "d", "e"], &["f"]] {
        topic.fill(0, &Batch::of(values));
    }
    topic
}

fn expected(from: i64) -> Vec<(i64, String)> {
    let all = (0..).zip(["a", "b", "c", "d", "e", "f"].map(str::to_owned));
    all.filter(|(offset, _)| *offset >= from).collect()
}

fn from_the_beginning(brokers: &Brokers) {
    let topic = three_batches(brokers, "fetch-beginning");
    for version in VERSIONS {
        let found = Fetch::from(&topic, version, 0).ask();
        assert_eq!(bounds(&found), (None, 6, 6, if version >= 5 { 0 } else { -1 }), "version {version}");
        assert_eq!(given(&found), expected(0));
        assert!(found.aborted_transactions.is_none_or(|aborted| aborted.is_empty()));
        assert_eq!(found.preferred_read_replica.0, -1);
    }
}

fn middle_of_a_batch(brokers: &Brokers) {
    let topic = three_batches(brokers, "fetch-middle");
    for version in VERSIONS {
        for (offset, first) in [(1, 0), (2, 2), (3, 2), (4, 2), (5, 5)] {
            let found = Fetch::from(&topic, version, offset).ask();
            assert_eq!(given(&found), expected(first), "version {version}, from {offset}");
        }
    }
}

fn at_the_end(brokers: &Brokers) {
    let topic = three_batches(brokers, "fetch-end");
    for version in [4, 12, 17] {
        let fetch = Fetch { max_wait: A_WHILE, ..Fetch::from(&topic, version, 6) };
        let mut connection = Connection::open(topic.leader(0)).unwrap();
        connection.send(version, &fetch.request()).unwrap();
        assert!(connection.silent_for(A_WHILE / 2).unwrap(), "version {version}");
        let found = fetch.only(connection.receive::<FetchRequest>(version).unwrap());
        assert_eq!(bounds(&found), (None, 6, 6, if version >= 5 { 0 } else { -1 }));
        assert!(is_empty(&found));
        let found = Fetch { max_wait: Duration::ZERO, ..fetch }.ask();
        assert_eq!((error(found.error_code), is_empty(&found)), (None, true));
        let found = Fetch { max_wait: LIMIT, min_bytes: 0, ..fetch }.ask();
        assert_eq!((error(found.error_code), is_empty(&found)), (None, true));
    }
}

fn woken(brokers: &Brokers) {
    let topic = three_batches(brokers, "fetch-woken");
    for (offset, version) in (6..).zip([4, 12, 17]) {
        let fetch = Fetch { max_wait: LIMIT, ..Fetch::from(&topic, version, offset) };
        let mut connection = Connection::open(topic.leader(0)).unwrap();
        connection.send(version, &fetch.request()).unwrap();
        assert!(connection.silent_for(A_WHILE).unwrap());
        topic.fill(0, &Batch::of(&["g"]));
        let found = fetch.only(connection.receive::<FetchRequest>(version).unwrap());
        assert_eq!(given(&found), [(offset, "g".to_owned())]);
        assert_eq!(found.high_watermark, offset + 1);
    }
}

fn min_bytes(brokers: &Brokers) {
    let topic = three_batches(brokers, "fetch-min");
    for version in [4, 12, 17] {
        let from = topic.fill(0, &Batch::of(&["first"]));
        let fetch = Fetch { min_bytes: 1_500, max_wait: LIMIT, ..Fetch::from(&topic, version, from) };
        let mut connection = Connection::open(topic.leader(0)).unwrap();
        connection.send(version, &fetch.request()).unwrap();
        assert!(connection.silent_for(A_WHILE).unwrap(), "version {version}");
        topic.fill(0, &Batch::of(&["too little"]));
        assert!(connection.silent_for(A_WHILE).unwrap(), "version {version}");
        topic.fill(0, &Batch::of(&[&"x".repeat(1_500)]));
        let found = fetch.only(connection.receive::<FetchRequest>(version).unwrap());
        assert_eq!(given(&found).len(), 3);
        // It gives what there is when the time is over.
        let fetch = Fetch { min_bytes: 10_000, max_wait: A_WHILE, ..fetch };
        assert_eq!(given(&fetch.ask()).len(), 3);
    }
}

fn error_at_once(brokers: &Brokers) {
    let topic = three_batches(brokers, "fetch-at-once");
    for version in VERSIONS {
        // More than the connection waits.
        let fetch = Fetch { max_wait: LIMIT, ..Fetch::from(&topic, version, 99) };
        assert_eq!(error(fetch.ask().error_code), Some(ResponseError::OffsetOutOfRange));
    }
}

fn beyond_the_end(brokers: &Brokers) {
    let topic = three_batches(brokers, "fetch-beyond");
    for version in VERSIONS {
        for offset in [7, i64::MAX, -1] {
            let found = Fetch::from(&topic, version, offset).ask();
            let out_of_range = Some(ResponseError::OffsetOutOfRange);
            assert_eq!(bounds(&found), (out_of_range, -1, -1, -1), "version {version}, from {offset}");
            assert!(is_empty(&found));
        }
    }
}

/// Deletes what lies before `offset` of partition 0.
fn delete_before(topic: &Topic, offset: i64) {
    let partition = DeleteRecordsPartition::default().with_partition_index(0).with_offset(offset);
    let topics =
        DeleteRecordsTopic::default().with_name(topic_name(&topic.name)).with_partitions(vec![partition]);
    let request = DeleteRecordsRequest::default().with_topics(vec![topics]).with_timeout_ms(10_000);
    let deleted = &ask(topic.leader(0), 2, &request).unwrap().topics[0].partitions[0];
    assert_eq!((error(deleted.error_code), deleted.low_watermark), (None, offset));
}

fn below_the_start(brokers: &Brokers) {
    let topic = three_batches(brokers, "fetch-below");
    delete_before(&topic, 3);
    for version in VERSIONS {
        for offset in [0, 2] {
            let found = Fetch::from(&topic, version, offset).ask();
            let out_of_range = Some(ResponseError::OffsetOutOfRange);
            assert_eq!(bounds(&found), (out_of_range, -1, -1, -1), "version {version}, from {offset}");
        }
        let found = Fetch::from(&topic, version, 3).ask();
        assert_eq!(bounds(&found), (None, 6, 6, if version >= 5 { 3 } else { -1 }));
        // The batch is whole still.
        assert_eq!(given(&found), expected(2));
    }
}

fn leader_epochs(brokers: &Brokers) {
    let topic = three_batches(brokers, "fetch-epochs");
    for version in VERSIONS.into_iter().filter(|version| *version >= 9) {
        let fetch = |leader_epoch| Fetch { leader_epoch, ..Fetch::from(&topic, version, 0) }.ask();
        assert_eq!(given(&fetch(0)), expected(0));
        let found = fetch(1);
        assert_eq!(bounds(&found), (Some(ResponseError::UnknownLeaderEpoch), -1, -1, -1));
    }
}

fn earlier_epoch(brokers: &Brokers) {
    let topic = three_batches(brokers, "fetch-earlier-epoch");
    let epoch = topic.move_leader(0);
    topic.fill(0, &Batch::of(&["g"]));
    for version in VERSIONS.into_iter().filter(|version| *version >= 9) {
        let fetch = |leader_epoch| Fetch { leader_epoch, ..Fetch::from(&topic, version, 3) }.ask();
        for known in 0..epoch {
            let found = fetch(known);
            assert_eq!(bounds(&found), (Some(ResponseError::FencedLeaderEpoch), -1, -1, -1));
            let told = (found.current_leader.leader_id.0, found.current_leader.leader_epoch);
            let expected = if version >= 16 { (topic.partition(0).leader_id.0, epoch) } else { (-1, -1) };
            assert_eq!(told, expected, "version {version}");
        }
        let records = decoded(&fetch(epoch).records.unwrap());
        let epochs: Vec<(i64, i32)> =
            records.iter().map(|record| (record.offset, record.partition_leader_epoch)).collect();
        assert_eq!(epochs, [(2, 0), (3, 0), (4, 0), (5, 0), (6, epoch)], "version {version}");
        let error = error(fetch(epoch + 1).error_code);
        assert_eq!(error, Some(ResponseError::UnknownLeaderEpoch), "version {version}");
    }
}

/// KIP-595: what the consumer read last, in which epoch, is not what the leader has there.
fn diverging(brokers: &Brokers) {
    let topic = three_batches(brokers, "fetch-diverging");
    let epoch = topic.move_leader(0);
    topic.fill(0, &Batch::of(&["g", "h"]));
    for version in VERSIONS.into_iter().filter(|version| *version >= 12) {
        let fetch = |offset, last_fetched_epoch| {
            Fetch { last_fetched_epoch, leader_epoch: epoch, ..Fetch::from(&topic, version, offset) }.ask()
        };
        let parting = |found: &PartitionData| (found.diverging_epoch.epoch, found.diverging_epoch.end_offset);
        for (offset, last) in [(0, 0), (6, 0), (7, epoch), (8, epoch)] {
            let found = fetch(offset, last);
            assert_eq!(
                (error(found.error_code), parting(&found)),
                (None, (-1, -1)),
                "{offset}, epoch {last}"
            );
        }
        let found = fetch(7, 0);
        assert_eq!((error(found.error_code), parting(&found)), (None, (0, 6)), "version {version}");
        assert!(is_empty(&found));
        // The leader never heard of this epoch.
        let found = fetch(7, epoch + 1);
        assert_eq!(error(found.error_code), Some(ResponseError::OffsetOutOfRange), "version {version}");
    }
}

fn large_batches(brokers: &Brokers, name: &str, partitions: i32) -> Topic {
    let topic = Topic::create(brokers, name, partitions);
    for partition in 0..partitions {
        for _ in 0..3 {
            topic.fill(partition, &Batch::of(&[&"x".repeat(1_000)]));
        }
    }
    topic
}

fn first_batch(brokers: &Brokers) {
    let topic = large_batches(brokers, "fetch-first", 1);
    for version in VERSIONS {
        for fetch in [
            Fetch { partition_max_bytes: 10, ..Fetch::from(&topic, version, 1) },
            Fetch { max_bytes: 10, ..Fetch::from(&topic, version, 1) },
        ] {
            let found = fetch.ask();
            assert_eq!(bounds(&found).0, None);
            assert_eq!(given(&found), [(1, "x".repeat(1_000))], "version {version}");
        }
    }
}

/// A batch that would pass the limit is left out or cut off.
fn partition_limit(brokers: &Brokers) {
    let topic = large_batches(brokers, "fetch-limit", 1);
    for version in VERSIONS {
        for (limit, batches) in [(1_500, 1), (2_500, 2), (3_500, 3)] {
            let found = Fetch { partition_max_bytes: limit, ..Fetch::from(&topic, version, 0) }.ask();
            let records = found.records.unwrap();
            assert!(records.len() <= usize::try_from(limit).unwrap());
            assert_eq!(whole_batches(&records).len(), batches, "version {version}, limit {limit}");
        }
    }
}

/// The partitions are served in the order in which they are asked for, as long as the limit allows.
fn request_limit(brokers: &Brokers) {
    let name = "fetch-limits";
    let first = *brokers.addresses().keys().next().unwrap();
    create_on(brokers, name, &[first, first]);
    let topic = Topic::known(brokers, name);
    for partition in 0..2 {
        for _ in 0..3 {
            topic.fill(partition, &Batch::of(&[&"x".repeat(1_000)]));
        }
    }
    for version in VERSIONS {
        for order in [[0, 1], [1, 0]] {
            let fetch = |partition| Fetch { partition, ..Fetch::from(&topic, version, 0) };
            let mut request = fetch(order[0]).request().with_max_bytes(1_500);
            let mut other = fetch(order[1]).request();
            request.topics[0].partitions.push(other.topics[0].partitions.remove(0));
            let answer = ask(topic.leader(0), version, &request).unwrap();
            let partitions = &answer.responses[0].partitions;
            let whole = |index: i32| {
                let found = partitions.iter().find(|found| found.partition_index == index).unwrap();
                assert_eq!((error(found.error_code), found.high_watermark), (None, 3));
                found.records.as_ref().map(|records| whole_batches(records).len()).unwrap_or_default()
            };
            assert_eq!((whole(order[0]), whole(order[1])), (1, 0), "version {version}");
        }
    }
}

/// A topic whose partitions have one copy each, on these brokers.
fn create_on(brokers: &Brokers, name: &str, nodes: &[i32]) {
    let copies = |(index, node): (i32, &i32)| {
        CreatableReplicaAssignment::default()
            .with_partition_index(index)
            .with_broker_ids(vec![(*node).into()])
    };
    let topic = CreatableTopic::default()
        .with_name(topic_name(name))
        .with_num_partitions(-1)
        .with_replication_factor(-1)
        .with_assignments((0..).zip(nodes).map(copies).collect());
    let request = CreateTopicsRequest::default().with_topics(vec![topic]).with_timeout_ms(10_000);
    let created = ask(*brokers.addresses().values().next().unwrap(), 7, &request).unwrap();
    assert_eq!(error(created.topics[0].error_code), None, "{created:?}");
    // It exists, so this only waits for the leaders.
    brokers.create_topic(name, i32::try_from(nodes.len()).unwrap(), &[]).unwrap();
}

fn unknown(brokers: &Brokers) {
    let unknown = Topic::unknown(brokers);
    let known = three_batches(brokers, "fetch-unknown");
    for version in VERSIONS {
        let found = Fetch::from(&unknown, version, 0).ask_at(known.leader(0));
        let expected = if version < FETCH_BY_ID {
            ResponseError::UnknownTopicOrPartition
        } else {
            ResponseError::UnknownTopicId
        };
        assert_eq!(bounds(&found), (Some(expected), -1, -1, -1), "version {version}");
        let found = Fetch { partition: 9, ..Fetch::from(&known, version, 0) }.ask_at(known.leader(0));
        assert_eq!(error(found.error_code), Some(ResponseError::UnknownTopicOrPartition));
    }
}

fn deleted(brokers: &Brokers) {
    let topic = three_batches(brokers, "fetch-deleted");
    brokers.delete_topic(&topic.name).unwrap();
    let again = three_batches(brokers, "fetch-deleted");
    for version in [13, 16, 17] {
        let found = Fetch::from(&topic, version, 0).ask_at(again.leader(0));
        assert_eq!(error(found.error_code), Some(ResponseError::UnknownTopicId), "version {version}");
        assert_eq!(given(&Fetch::from(&again, version, 0).ask()), expected(0));
    }
}

/// KIP-392. A follower's high watermark comes a little later.
fn follower(brokers: &Brokers) {
    let topic = three_batches(brokers, "fetch-follower");
    for version in VERSIONS {
        let fetch = Fetch::from(&topic, version, 0);
        if version < 11 {
            let found = fetch.ask_at(topic.follower(0));
            assert_eq!(bounds(&found), (Some(ResponseError::NotLeaderOrFollower), -1, -1, -1));
            continue;
        }
        let found = within(LIMIT, || {
            let found = fetch.ask_at(topic.follower(0));
            if found.high_watermark == 6 { Ok(found) } else { Err(found.high_watermark) }
        });
        let found = found.unwrap();
        assert_eq!((error(found.error_code), given(&found)), (None, expected(0)), "version {version}");
    }
}

fn no_copy(brokers: &Brokers) {
    let name = "fetch-no-copy";
    let nodes: Vec<i32> = brokers.addresses().keys().copied().collect();
    create_on(brokers, name, &nodes[1..2]);
    let topic = Topic::known(brokers, name);
    let other = brokers.addresses()[&nodes[0]];
    for version in VERSIONS {
        let fetch = Fetch::from(&topic, version, 0);
        let answer = ask(other, version, &fetch.request()).unwrap();
        let found = fetch.only(answer.clone());
        assert_eq!(bounds(&found), (Some(ResponseError::NotLeaderOrFollower), -1, -1, -1));
        let leader = found.current_leader;
        let expected = if version >= 16 { (nodes[1], 0) } else { (-1, -1) };
        assert_eq!((leader.leader_id.0, leader.leader_epoch), expected, "version {version}");
        // And where that is (KIP-951).
        let endpoints: Vec<SocketAddr> = answer
            .node_endpoints
            .iter()
            .map(|node| format!("{}:{}", &*node.host, node.port).parse().unwrap())
            .collect();
        let expected = if version >= 16 { vec![brokers.addresses()[&nodes[1]]] } else { Vec::new() };
        assert_eq!(endpoints, expected, "version {version}");
    }
}
