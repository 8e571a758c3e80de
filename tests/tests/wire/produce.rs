//! Produce: what is accepted, and what is refused and how.

use std::net::SocketAddr;

use bytes::Bytes;
use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::produce_response::PartitionProduceResponse;
use kafka_protocol::messages::{ApiKey, InitProducerIdRequest, ProduceRequest};
use steadfast_tests::brokers::Brokers;
use steadfast_tests::either::Scene;
use steadfast_tests::kafka::{Connection, ask};
use steadfast_tests::within;

use crate::records::{Batch, decoded, values};
use crate::topic::{Fetch, LIMIT, Topic, error};
use crate::versions::served;

pub(crate) const SCENES: &[Scene] = &[
    ("produce::records_are_given_offsets_in_order", offsets_in_order),
    ("produce::the_leader_writes_offset_and_epoch_into_the_batch", stamped),
    ("produce::an_unknown_topic_is_refused", unknown),
    ("produce::only_the_leader_accepts", not_the_leader),
    ("produce::a_damaged_batch_is_refused", damaged),
    ("produce::a_request_has_one_batch_for_a_partition", two_batches),
    ("produce::a_batch_over_the_topic_s_limit_is_refused", too_large),
    ("produce::acks_of_one_and_of_all_are_answered", acks_one_and_all),
    ("produce::acks_of_none_has_no_answer", acks_none),
    ("produce::acks_of_none_that_fails_closes_the_connection", acks_none_failed),
    ("produce::acks_of_two_is_refused", acks_two),
    ("produce::each_producer_is_given_an_id_of_its_own", producer_ids),
    ("produce::a_batch_that_comes_again_is_written_once", duplicates),
    ("produce::a_gap_in_sequences_is_refused", gaps),
    ("produce::a_new_epoch_begins_its_sequences_anew", epochs),
    ("produce::sequences_are_counted_by_partition", sequences_by_partition),
];

const VERSIONS: [i16; 5] = [3, 7, 9, 12, 13];

/// Those of them that the brokers serve.
fn versions(brokers: &Brokers) -> Vec<i16> {
    served(brokers, ApiKey::Produce, &VERSIONS)
}

fn refusal(written: &PartitionProduceResponse) -> Option<ResponseError> {
    if written.error_code != 0 {
        assert_eq!(written.base_offset, -1, "{written:?}");
    }
    error(written.error_code)
}

/// All values of partition 0.
fn content(topic: &Topic) -> Vec<(i64, String)> {
    values(&Fetch::from(topic, 12, 0).ask().records.unwrap())
}

fn offsets_in_order(brokers: &Brokers) {
    for version in versions(brokers) {
        let topic = Topic::create(brokers, &format!("produce-order-{version}"), 1);
        for (values, offset) in [(&["a", "b"][..], 0), (&["c"], 2), (&["d", "e", "f"], 3)] {
            let written = topic.write(version, 0, &Batch::of(values));
            assert_eq!(refusal(&written), None, "version {version}");
            assert_eq!((written.index, written.base_offset), (0, offset));
            assert_eq!(written.log_append_time_ms, -1);
            assert_eq!(written.log_start_offset, if version >= 5 { 0 } else { -1 });
            assert!(written.record_errors.is_empty() && written.error_message.is_none());
        }
        let expected = (0..).zip(["a", "b", "c", "d", "e", "f"].map(str::to_owned)).collect::<Vec<_>>();
        assert_eq!(content(&topic), expected);
    }
}

fn stamped(brokers: &Brokers) {
    let topic = Topic::create(brokers, "produce-stamped", 1);
    topic.fill(0, &Batch::timed(&[(0, "a")]));
    topic.fill(0, &Batch::timed(&[(1_000, "b"), (3_000, "c"), (2_000, "d")]));
    let records = decoded(&Fetch::from(&topic, 12, 0).ask().records.unwrap());
    let stamps: Vec<(i64, i32, i64)> = records
        .iter()
        .map(|record| (record.offset, record.partition_leader_epoch, record.timestamp))
        .collect();
    assert_eq!(stamps, [(0, 0, 0), (1, 0, 1_000), (2, 0, 3_000), (3, 0, 2_000)]);
}

fn unknown(brokers: &Brokers) {
    let unknown = Topic::unknown(brokers);
    let known = Topic::create(brokers, "produce-unknown", 1);
    let at = known.leader(0);
    let batch = Batch::of(&["a"]).bytes();
    for version in versions(brokers) {
        let expected =
            if version < 13 { ResponseError::UnknownTopicOrPartition } else { ResponseError::UnknownTopicId };
        assert_eq!(refusal(&unknown.write_at(at, version, 0, batch.clone())), Some(expected));
        let refused = refusal(&known.write_at(at, version, 5, batch.clone()));
        assert_eq!(refused, Some(ResponseError::UnknownTopicOrPartition), "version {version}");
    }
}

fn not_the_leader(brokers: &Brokers) {
    let topic = Topic::create(brokers, "produce-leader", 1);
    let leader = topic.partition(0);
    for version in versions(brokers) {
        let written = topic.write_at(topic.follower(0), version, 0, Batch::of(&["a"]).bytes());
        assert_eq!(refusal(&written), Some(ResponseError::NotLeaderOrFollower));
        let told = (written.current_leader.leader_id, written.current_leader.leader_epoch);
        let expected = if version >= 10 { (leader.leader_id, 0) } else { ((-1).into(), -1) };
        assert_eq!(told, expected, "version {version}");
    }
    // Where the leader is reached is told beside.
    let at = topic.follower(0);
    for version in served(brokers, ApiKey::Produce, &[10, 12]) {
        let records = Batch::of(&["a"]).bytes();
        let answer = ask(at, version, &topic.write_request(version, 0, -1, records)).unwrap();
        let endpoints: Vec<SocketAddr> = answer
            .node_endpoints
            .iter()
            .map(|node| format!("{}:{}", &*node.host, node.port).parse().unwrap())
            .collect();
        assert_eq!(endpoints, [topic.leader(0)], "version {version}");
    }
    assert_eq!(content(&topic), []);
}

fn damaged(brokers: &Brokers) {
    let topic = Topic::create(brokers, "produce-damaged", 1);
    let good = Batch::of(&["a record"]).bytes();
    for version in versions(brokers) {
        let mut bytes = good.to_vec();
        *bytes.last_mut().unwrap() ^= 0x40;
        bytes[70] ^= 0x01;
        let written = topic.write_at(topic.leader(0), version, 0, Bytes::from(bytes));
        assert_eq!(refusal(&written), Some(ResponseError::CorruptMessage), "version {version}");
    }
    assert_eq!(content(&topic), []);
}

fn two_batches(brokers: &Brokers) {
    let topic = Topic::create(brokers, "produce-two", 1);
    let both = [Batch::of(&["a"]).bytes(), Batch::of(&["b"]).bytes()].concat();
    for version in versions(brokers) {
        let written = topic.write_at(topic.leader(0), version, 0, Bytes::from(both.clone()));
        assert_eq!(refusal(&written), Some(ResponseError::InvalidRecord), "version {version}");
    }
    assert_eq!(content(&topic), []);
}

fn too_large(brokers: &Brokers) {
    let name = "produce-large";
    brokers.create_topic(name, 1, &[("max.message.bytes", "1000")]).unwrap();
    let topic = Topic::known(brokers, name);
    for version in versions(brokers) {
        let refused = refusal(&topic.write(version, 0, &Batch::of(&[&"x".repeat(1_000)])));
        assert_eq!(refused, Some(ResponseError::MessageTooLarge), "version {version}");
        assert_eq!(refusal(&topic.write(version, 0, &Batch::of(&[&"x".repeat(900)]))), None);
    }
}

fn acks_one_and_all(brokers: &Brokers) {
    let topic = Topic::create(brokers, "produce-acks", 1);
    let mut connection = Connection::open(topic.leader(0)).unwrap();
    for (offset, acks) in (0..).zip([1, -1, 1]) {
        let request = topic.write_request(9, 0, acks, Batch::of(&["a"]).bytes());
        let answer = connection.ask(9, &request).unwrap();
        assert_eq!(answer.responses[0].partition_responses[0].base_offset, offset);
    }
}

fn acks_none(brokers: &Brokers) {
    let topic = Topic::create(brokers, "produce-acks-none", 1);
    let mut connection = Connection::open(topic.leader(0)).unwrap();
    let batch = Batch::of(&["a"]).bytes();
    for (version, before) in versions(brokers).into_iter().zip((0..).step_by(2)) {
        connection.send(version, &topic.write_request(version, 0, 0, batch.clone())).unwrap();
        connection.skip();
        let answer = connection.ask(version, &topic.write_request(version, 0, 1, batch.clone())).unwrap();
        assert_eq!(answer.responses[0].partition_responses[0].base_offset, before + 1);
    }
}

fn acks_none_failed(brokers: &Brokers) {
    let topic = Topic::create(brokers, "produce-acks-none-failed", 1);
    let mut connection = Connection::open(topic.follower(0)).unwrap();
    connection.send(9, &topic.write_request(9, 0, 0, Batch::of(&["a"]).bytes())).unwrap();
    connection.receive::<ProduceRequest>(9).unwrap_err();
}

fn acks_two(brokers: &Brokers) {
    let topic = Topic::create(brokers, "produce-acks-two", 1);
    let request = topic.write_request(9, 0, 2, Batch::of(&["a"]).bytes());
    let answer = ask(topic.leader(0), 9, &request).unwrap();
    let refused = refusal(&answer.responses[0].partition_responses[0]);
    assert_eq!(refused, Some(ResponseError::InvalidRequiredAcks));
    assert_eq!(content(&topic), []);
}

/// A producer id and its first epoch.
fn new_producer(brokers: &Brokers, version: i16) -> (i64, i16) {
    let at = *brokers.addresses().values().next().unwrap();
    let request =
        InitProducerIdRequest::default().with_transactional_id(None).with_transaction_timeout_ms(60_000);
    // A broker that has just started may have no ids yet.
    let answer = within(LIMIT, || {
        let answer = ask(at, version, &request).unwrap();
        if error(answer.error_code) == Some(ResponseError::CoordinatorLoadInProgress) {
            Err(())
        } else {
            Ok(answer)
        }
    });
    let answer = answer.unwrap();
    assert_eq!((error(answer.error_code), answer.producer_epoch), (None, 0));
    (answer.producer_id.0, answer.producer_epoch)
}

fn producer_ids(brokers: &Brokers) {
    let mut ids: Vec<i64> = [0, 2, 3, 4, 5].map(|version| new_producer(brokers, version).0).to_vec();
    ids.sort_unstable();
    assert!(ids[0] >= 0);
    ids.dedup();
    assert_eq!(ids.len(), 5);
}

fn duplicates(brokers: &Brokers) {
    for version in versions(brokers) {
        let topic = Topic::create(brokers, &format!("produce-twice-{version}"), 1);
        let producer = new_producer(brokers, 4);
        let batch = |sequence: i32| Batch::of(&["a", "b"]).by(producer, 2 * sequence);
        for sequence in 0..6 {
            assert_eq!(topic.write(version, 0, &batch(sequence)).base_offset, 2 * i64::from(sequence));
        }
        // Five batches are remembered.
        for sequence in 1..6 {
            let again = topic.write(version, 0, &batch(sequence));
            assert_eq!((refusal(&again), again.base_offset), (None, 2 * i64::from(sequence)));
        }
        let forgotten = refusal(&topic.write(version, 0, &batch(0)));
        assert_eq!(forgotten, Some(ResponseError::OutOfOrderSequenceNumber), "version {version}");
        assert_eq!(content(&topic).len(), 12);
    }
}

fn gaps(brokers: &Brokers) {
    let topic = Topic::create(brokers, "produce-gaps", 1);
    for version in versions(brokers) {
        let before = content(&topic).len();
        let producer = new_producer(brokers, 4);
        let write = |sequence| refusal(&topic.write(version, 0, &Batch::of(&["a"]).by(producer, sequence)));
        assert_eq!(write(0), None);
        assert_eq!(write(2), Some(ResponseError::OutOfOrderSequenceNumber), "version {version}");
        assert_eq!(write(1), None);
        // The broker knows nothing of this producer, as after its records are deleted: any sequence may come first.
        let producer = new_producer(brokers, 4);
        assert_eq!(refusal(&topic.write(version, 0, &Batch::of(&["a"]).by(producer, 7))), None);
        assert_eq!(content(&topic).len(), before + 3);
    }
}

fn epochs(brokers: &Brokers) {
    let topic = Topic::create(brokers, "produce-epochs", 1);
    for version in versions(brokers) {
        let (id, _) = new_producer(brokers, 4);
        let write =
            |epoch, sequence| refusal(&topic.write(version, 0, &Batch::of(&["a"]).by((id, epoch), sequence)));
        assert_eq!(write(0, 0), None);
        assert_eq!(write(1, 1), Some(ResponseError::OutOfOrderSequenceNumber), "version {version}");
        assert_eq!(write(1, 0), None);
        assert_eq!(write(0, 1), Some(ResponseError::InvalidProducerEpoch), "version {version}");
        assert_eq!(write(1, 1), None);
    }
}

fn sequences_by_partition(brokers: &Brokers) {
    let topic = Topic::create(brokers, "produce-by-partition", 2);
    let producer = new_producer(brokers, 4);
    for sequence in 0..3 {
        for partition in 0..2 {
            let written = topic.write(9, partition, &Batch::of(&["a"]).by(producer, sequence));
            assert_eq!((refusal(&written), written.base_offset), (None, i64::from(sequence)));
        }
    }
}
