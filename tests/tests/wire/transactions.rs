//! Transactions: what consumers see of them, and which offsets their markers take.

use std::net::SocketAddr;

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::add_partitions_to_txn_request::AddPartitionsToTxnTopic;
use kafka_protocol::messages::offset_fetch_request::OffsetFetchRequestTopic;
use kafka_protocol::messages::txn_offset_commit_request::{
    TxnOffsetCommitRequestPartition, TxnOffsetCommitRequestTopic,
};
use kafka_protocol::messages::{
    AddOffsetsToTxnRequest, AddPartitionsToTxnRequest, EndTxnRequest, InitProducerIdRequest,
    OffsetFetchRequest, ProducerId, TransactionalId, TxnOffsetCommitRequest,
};
use steadfast_tests::brokers::Brokers;
use steadfast_tests::either::Scene;
use steadfast_tests::kafka::ask;
use steadfast_tests::within;

use crate::group::{Group, coordinator};
use crate::records::{Batch, decoded, values};
use crate::topic::{Fetch, LIMIT, Topic, error, text, topic_name};

pub(crate) const SCENES: &[Scene] = &[
    ("transaction::what_is_committed_is_seen_from_then_on", committed),
    ("transaction::what_is_aborted_is_told", aborted),
    ("transaction::the_open_one_holds_back_what_comes_after_it", interleaved),
    ("transaction::a_partition_that_was_not_added_is_refused", not_added),
    ("transaction::who_takes_the_id_fences_the_one_before", fenced),
    ("transaction::its_offsets_are_committed_with_it", offsets),
];

/// A producer with a transactional id, and its coordinator.
struct Producer {
    id: String,
    at: SocketAddr,
    producer: (i64, i16),
}

impl Producer {
    fn new(brokers: &Brokers, id: &str) -> Producer {
        let at = coordinator(brokers, id, 1);
        let request = InitProducerIdRequest::default()
            .with_transactional_id(Some(TransactionalId(text(id))))
            .with_transaction_timeout_ms(60_000);
        let given = within(LIMIT, || {
            let answer = ask(at, 4, &request).unwrap();
            error(answer.error_code).map_or(Ok((answer.producer_id.0, answer.producer_epoch)), Err)
        });
        Producer { id: id.to_owned(), at, producer: given.unwrap() }
    }

    fn transactional_id(&self) -> TransactionalId {
        TransactionalId(text(&self.id))
    }

    fn try_add(&self, version: i16, topic: &Topic, partition: i32) -> Option<ResponseError> {
        let topics = AddPartitionsToTxnTopic::default()
            .with_name(topic_name(&topic.name))
            .with_partitions(vec![partition]);
        let request = AddPartitionsToTxnRequest::default()
            .with_v3_and_below_transactional_id(self.transactional_id())
            .with_v3_and_below_producer_id(ProducerId(self.producer.0))
            .with_v3_and_below_producer_epoch(self.producer.1)
            .with_v3_and_below_topics([topics].into());
        let answer = ask(self.at, version, &request).unwrap();
        error(answer.results_by_topic_v3_and_below[0].results_by_partition[0].partition_error_code)
    }

    /// Adds a partition, when the transaction before is over.
    fn add(&self, topic: &Topic, partition: i32) {
        within(LIMIT, || match self.try_add(3, topic, partition) {
            None => Ok(()),
            Some(ResponseError::ConcurrentTransactions) => Err("the transaction before does not end"),
            Some(error) => panic!("{error:?}"),
        })
        .unwrap();
    }

    /// Writes a record to partition 0.
    fn try_write(
        &self,
        version: i16,
        topic: &Topic,
        sequence: i32,
        value: &str,
    ) -> Result<i64, ResponseError> {
        let batch = Batch::of(&[value]).by(self.producer, sequence).transactional();
        let request = topic.write_request(version, 0, -1, batch.bytes());
        let request = request.with_transactional_id(Some(self.transactional_id()));
        let answer = ask(topic.leader(0), version, &request).unwrap();
        let written = &answer.responses[0].partition_responses[0];
        error(written.error_code).map_or(Ok(written.base_offset), Err)
    }

    /// Writes what has to be accepted: its offset.
    fn write(&self, topic: &Topic, sequence: i32, value: &str) -> i64 {
        self.try_write(9, topic, sequence, value).unwrap()
    }

    fn try_end(&self, version: i16, commit: bool) -> Option<ResponseError> {
        let request = EndTxnRequest::default()
            .with_transactional_id(self.transactional_id())
            .with_producer_id(ProducerId(self.producer.0))
            .with_producer_epoch(self.producer.1)
            .with_committed(commit);
        error(ask(self.at, version, &request).unwrap().error_code)
    }

    fn end(&self, commit: bool) {
        assert_eq!(self.try_end(3, commit), None);
    }
}

/// Waits until the partition's last stable offset is this one: markers are written after the end is answered.
fn await_stable(topic: &Topic, offset: i64) {
    let stable = within(LIMIT, || {
        let found = Fetch::from(topic, 12, 0).ask();
        if found.last_stable_offset == offset { Ok(()) } else { Err(found.last_stable_offset) }
    });
    assert_eq!(stable, Ok(()));
}

const VERSIONS: [i16; 4] = [4, 7, 12, 17];

/// What is read at each of the isolation levels: the records, control records too, and the transactions that are
/// named as aborted, each by producer and first offset.
struct Seen {
    uncommitted: Vec<(i64, String)>,
    committed: Vec<(i64, String)>,
    controls: Vec<i64>,
    aborted: Vec<(i64, i64)>,
    bounds: (i64, i64),
}

fn seen(topic: &Topic, version: i16) -> Seen {
    let uncommitted = Fetch::from(topic, version, 0).ask();
    assert!(uncommitted.aborted_transactions.is_none_or(|aborted| aborted.is_empty()));
    let committed = Fetch { read_committed: true, ..Fetch::from(topic, version, 0) }.ask();
    let mut aborted: Vec<(i64, i64)> = committed
        .aborted_transactions
        .unwrap_or_default()
        .iter()
        .map(|aborted| (aborted.producer_id.0, aborted.first_offset))
        .collect();
    aborted.sort_by_key(|(_, first)| *first);
    let records = committed.records.unwrap_or_default();
    let controls = decoded(&records).into_iter().filter(|record| record.control);
    Seen {
        uncommitted: values(&uncommitted.records.unwrap()),
        controls: controls.map(|record| record.offset).collect(),
        committed: values(&records),
        aborted,
        bounds: (committed.last_stable_offset, committed.high_watermark),
    }
}

fn named(records: &[(i64, &str)]) -> Vec<(i64, String)> {
    records.iter().map(|(offset, value)| (*offset, (*value).to_owned())).collect()
}

fn committed(brokers: &Brokers) {
    let topic = Topic::create(brokers, "transaction-committed", 1);
    let producer = Producer::new(brokers, "transaction-committed");
    topic.fill(0, &Batch::of(&["before"]));
    producer.add(&topic, 0);
    assert_eq!((producer.write(&topic, 0, "a"), producer.write(&topic, 1, "b")), (1, 2));
    for version in VERSIONS {
        let seen = seen(&topic, version);
        assert_eq!(seen.uncommitted, named(&[(0, "before"), (1, "a"), (2, "b")]), "version {version}");
        assert_eq!((seen.committed, seen.bounds), (named(&[(0, "before")]), (1, 3)), "version {version}");
    }
    producer.end(true);
    await_stable(&topic, 4);
    for version in VERSIONS {
        let seen = seen(&topic, version);
        assert_eq!(seen.committed, named(&[(0, "before"), (1, "a"), (2, "b")]), "version {version}");
        assert_eq!((seen.bounds, seen.controls, seen.aborted), ((4, 4), vec![3], vec![]));
    }
    assert_eq!(topic.fill(0, &Batch::of(&["after"])), 4);
}

fn aborted(brokers: &Brokers) {
    let topic = Topic::create(brokers, "transaction-aborted", 1);
    let producer = Producer::new(brokers, "transaction-aborted");
    for first in [0, 3] {
        producer.add(&topic, 0);
        producer.write(&topic, first - first / 3, "a");
        producer.write(&topic, first - first / 3 + 1, "b");
        producer.end(false);
        await_stable(&topic, i64::from(first) + 3);
    }
    for version in VERSIONS {
        let seen = seen(&topic, version);
        // They are in the answer: the consumer leaves them out.
        assert_eq!(seen.committed, named(&[(0, "a"), (1, "b"), (3, "a"), (4, "b")]), "version {version}");
        assert_eq!((seen.bounds, seen.controls), ((6, 6), vec![2, 5]));
        let id = producer.producer.0;
        assert_eq!(seen.aborted, [(id, 0), (id, 3)], "version {version}");
    }
    // Only those that touch what is given are named.
    let later = Fetch { read_committed: true, ..Fetch::from(&topic, 12, 3) }.ask();
    assert_eq!(later.aborted_transactions.unwrap().len(), 1);
}

fn interleaved(brokers: &Brokers) {
    let topic = Topic::create(brokers, "transaction-interleaved", 1);
    let one = Producer::new(brokers, "transaction-interleaved-1");
    let other = Producer::new(brokers, "transaction-interleaved-2");
    one.add(&topic, 0);
    other.add(&topic, 0);
    assert_eq!(one.write(&topic, 0, "one"), 0);
    assert_eq!(other.write(&topic, 0, "other"), 1);
    assert_eq!(topic.fill(0, &Batch::of(&["nobody's"])), 2);
    other.end(true);
    // The marker is written, but the first one is still open.
    within(LIMIT, || if Fetch::from(&topic, 12, 0).ask().high_watermark == 4 { Ok(()) } else { Err(()) })
        .unwrap();
    for version in VERSIONS {
        let seen = seen(&topic, version);
        assert_eq!((seen.committed, seen.bounds), (vec![], (0, 4)), "version {version}");
    }
    one.end(false);
    await_stable(&topic, 5);
    for version in VERSIONS {
        let seen = seen(&topic, version);
        assert_eq!(seen.committed.len(), 3);
        assert_eq!(
            (seen.controls, seen.aborted),
            (vec![3, 4], vec![(one.producer.0, 0)]),
            "version {version}"
        );
    }
}

/// Before version 12 of Produce the coordinator has to know first; from version 11 on it is said that aborting
/// helps (KIP-890).
fn not_added(brokers: &Brokers) {
    let topic = Topic::create(brokers, "transaction-not-added", 1);
    let producer = Producer::new(brokers, "transaction-not-added");
    for version in [3, 9, 11] {
        let refused = producer.try_write(version, &topic, 0, "a").unwrap_err();
        let expected =
            if version < 11 { ResponseError::InvalidTxnState } else { ResponseError::TransactionAbortable };
        assert_eq!(refused, expected, "version {version}");
    }
    // A transaction without the producer's name is nobody's.
    producer.add(&topic, 0);
    let nameless = topic.write(9, 0, &Batch::of(&["a"]).by(producer.producer, 0).transactional());
    assert_eq!(error(nameless.error_code), Some(ResponseError::TransactionalIdAuthorizationFailed));
    assert_eq!(producer.write(&topic, 0, "a"), 0);
    producer.end(true);
}

fn fenced(brokers: &Brokers) {
    let topic = Topic::create(brokers, "transaction-fenced", 1);
    let old = Producer::new(brokers, "transaction-fenced");
    old.add(&topic, 0);
    assert_eq!(old.write(&topic, 0, "a"), 0);
    let new = Producer::new(brokers, "transaction-fenced");
    assert_eq!(new.producer.0, old.producer.0);
    assert!(new.producer.1 > old.producer.1);
    // What the old one had begun is aborted.
    await_stable(&topic, 2);
    assert_eq!(seen(&topic, 12).aborted, [(old.producer.0, 0)]);
    assert_eq!(old.try_end(3, true), Some(ResponseError::ProducerFenced));
    assert_eq!(old.try_end(1, true), Some(ResponseError::InvalidProducerEpoch));
    assert_eq!(old.try_add(3, &topic, 0), Some(ResponseError::ProducerFenced));
    let late = old.try_write(9, &topic, 1, "late");
    assert_eq!(late, Err(ResponseError::InvalidProducerEpoch));
    new.add(&topic, 0);
    assert_eq!(new.write(&topic, 0, "b"), 2);
    new.end(true);
    await_stable(&topic, 4);
}

/// What is committed, asked as a consumer does that wants to know nothing of open transactions.
fn committed_offset(group: &Group, topic: &Topic, stable: bool) -> Result<i64, ResponseError> {
    let topics =
        OffsetFetchRequestTopic::default().with_name(topic_name(&topic.name)).with_partition_indexes(vec![0]);
    let request = OffsetFetchRequest::default()
        .with_group_id(group.id())
        .with_topics(Some(vec![topics]))
        .with_require_stable(stable);
    let answer = ask(group.at, 7, &request).unwrap();
    assert_eq!(error(answer.error_code), None);
    let found = &answer.topics[0].partitions[0];
    error(found.error_code).map_or(Ok(found.committed_offset), Err)
}

fn offsets(brokers: &Brokers) {
    let topic = Topic::create(brokers, "transaction-offsets", 1);
    let group = Group::new(brokers, "transaction-offsets");
    let producer = Producer::new(brokers, "transaction-offsets");
    let mut before = -1;
    for (offset, commit) in [(10, true), (20, false), (30, true)] {
        let request = AddOffsetsToTxnRequest::default()
            .with_transactional_id(producer.transactional_id())
            .with_producer_id(ProducerId(producer.producer.0))
            .with_producer_epoch(producer.producer.1)
            .with_group_id(group.id());
        let added =
            within(LIMIT, || error(ask(producer.at, 3, &request).unwrap().error_code).map_or(Ok(()), Err));
        assert_eq!(added, Ok(()));
        let partition =
            TxnOffsetCommitRequestPartition::default().with_partition_index(0).with_committed_offset(offset);
        let topics = TxnOffsetCommitRequestTopic::default()
            .with_name(topic_name(&topic.name))
            .with_partitions(vec![partition]);
        let request = TxnOffsetCommitRequest::default()
            .with_transactional_id(producer.transactional_id())
            .with_group_id(group.id())
            .with_producer_id(ProducerId(producer.producer.0))
            .with_producer_epoch(producer.producer.1)
            .with_topics(vec![topics]);
        let answer = ask(group.at, 3, &request).unwrap();
        assert_eq!(error(answer.topics[0].partitions[0].error_code), None);
        assert_eq!(committed_offset(&group, &topic, true), Err(ResponseError::UnstableOffsetCommit));
        assert_eq!(committed_offset(&group, &topic, false), Ok(before));
        producer.end(commit);
        before = if commit { offset } else { before };
        let stable = within(LIMIT, || committed_offset(&group, &topic, true));
        assert_eq!(stable, Ok(before));
    }
}
