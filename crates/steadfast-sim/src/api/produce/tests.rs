use bytes::{Bytes, BytesMut};
use kafka_protocol::messages::{RequestKind, ResponseKind, TopicName};
use kafka_protocol::protocol::StrBytes;
use steadfast_core::tick::Tick;
use uuid::Uuid;

use super::*;
use crate::asking::{ask, at, call, cluster, records, t};
use crate::batch::{self, Producer};
use crate::call::Ticket;

fn request(batch: Bytes) -> ProduceRequest {
    let data = PartitionProduceData::default().with_records(Some(batch));
    let topic = TopicProduceData::default()
        .with_name(TopicName(StrBytes::from_static_str("t")))
        .with_partition_data(vec![data]);
    ProduceRequest::default().with_acks(-1).with_topic_data(vec![topic])
}

fn produce(cluster: &mut Cluster, node: i32, request: ProduceRequest) -> (i64, i16) {
    outcome(&ask(cluster, node, 9, RequestKind::Produce(request)))
}

fn outcome(answer: &ResponseKind) -> (i64, i16) {
    let ResponseKind::Produce(produced) = answer else {
        panic!("expected a produce answer, found {answer:?}")
    };
    let answer = &produced.responses[0].partition_responses[0];
    (answer.base_offset, answer.error_code)
}

fn batch(count: usize) -> Bytes {
    batch::write(&records(count), Producer::NONE, false)
}

fn idempotent(epoch: i16, base_sequence: i32) -> Bytes {
    batch::write(&records(2), Producer { id: 3, epoch, base_sequence }, false)
}

#[test]
fn batches_are_appended_one_after_another() {
    let mut cluster = cluster();
    assert_eq!(produce(&mut cluster, 1, request(batch(3))), (0, 0));
    assert_eq!(produce(&mut cluster, 1, request(batch(2))), (3, 0));
    assert_eq!(cluster.high_watermark(&t(0)), Ok(Offset(5)));
}

#[test]
fn a_batch_sent_again_is_acknowledged_again_and_stands_there_once() {
    let mut cluster = cluster();
    assert_eq!(produce(&mut cluster, 1, request(idempotent(0, 0))), (0, 0));
    assert_eq!(produce(&mut cluster, 1, request(idempotent(0, 2))), (2, 0));
    assert_eq!(produce(&mut cluster, 1, request(idempotent(0, 0))), (0, 0));
    assert_eq!(cluster.log_end(&t(0)), Ok(Offset(4)));
}

#[test]
fn a_sequence_with_a_hole_and_a_producer_that_was_replaced_are_refused() {
    let mut cluster = cluster();
    produce(&mut cluster, 1, request(idempotent(1, 0)));
    let hole = produce(&mut cluster, 1, request(idempotent(1, 4)));
    assert_eq!(hole, (-1, ResponseError::OutOfOrderSequenceNumber.code()));
    let replaced = produce(&mut cluster, 1, request(idempotent(0, 2)));
    assert_eq!(replaced, (-1, ResponseError::InvalidProducerEpoch.code()));
}

#[test]
fn only_the_leader_appends() {
    let refused = produce(&mut cluster(), 2, request(batch(1)));
    assert_eq!(refused, (-1, ResponseError::NotLeaderOrFollower.code()));
}

#[test]
fn what_is_no_batch_is_refused_and_not_appended() {
    let mut cluster = cluster();
    let mut corrupt = BytesMut::from(&batch(1)[..]);
    corrupt[70] ^= 1;
    let corrupt = produce(&mut cluster, 1, request(corrupt.freeze()));
    assert_eq!(corrupt, (-1, ResponseError::CorruptMessage.code()));
    assert_eq!(produce(&mut cluster, 1, request(Bytes::new())).1, ResponseError::CorruptMessage.code());
    let marker = produce(&mut cluster, 1, request(batch::marker(1, 0, true, 0)));
    assert_eq!(marker, (-1, ResponseError::InvalidRecord.code()));
    assert_eq!(cluster.log_end(&t(0)), Ok(Offset(0)));
}

#[test]
fn acks_can_be_none_one_or_all() {
    let mut cluster = cluster();
    let refused = produce(&mut cluster, 1, request(batch(1)).with_acks(2));
    assert_eq!(refused, (-1, ResponseError::InvalidRequiredAcks.code()));
    let none = || RequestKind::Produce(request(batch(1)).with_acks(0));
    assert_eq!(cluster.request(&call(1, 9, 1), none(), Tick::ZERO), Reply::Never);
    assert_eq!(cluster.log_end(&t(0)), Ok(Offset(1)));
    assert_eq!(cluster.request(&call(2, 9, 1), none(), Tick::ZERO), Reply::Close);
}

#[test]
fn from_version_13_on_topics_are_named_by_id() {
    let mut cluster = cluster();
    let mut by_id = request(batch(1));
    by_id.topic_data[0].topic_id = Uuid::from_u128(cluster.topic_id("t").unwrap().0);
    let mut produce = |request| match ask(&mut cluster, 1, 13, RequestKind::Produce(request)) {
        ResponseKind::Produce(produced) => produced.responses[0].partition_responses[0].error_code,
        other => panic!("expected a produce answer, found {other:?}"),
    };
    assert_eq!(produce(by_id), 0);
    assert_eq!(produce(request(batch(1))), ResponseError::UnknownTopicId.code());
}

#[test]
fn a_producer_that_wants_all_replicas_waits_for_the_high_watermark() {
    let mut cluster = cluster();
    cluster.hold_high_watermark(&t(0), Some(Offset(0))).unwrap();
    let send = |cluster: &mut Cluster, ticket, acks| {
        let request = request(batch(2)).with_acks(acks).with_timeout_ms(1000);
        cluster.request(&call(1, 9, ticket), RequestKind::Produce(request), Tick::ZERO)
    };
    assert!(matches!(send(&mut cluster, 1, 1), Reply::Now(_)));
    assert_eq!(send(&mut cluster, 2, -1), Reply::Later);
    cluster.hold_high_watermark(&t(0), Some(Offset(3))).unwrap();
    assert_eq!(cluster.take_answers(), []);
    cluster.hold_high_watermark(&t(0), None).unwrap();
    let answers = cluster.take_answers();
    assert_eq!(answers.len(), 1);
    assert_eq!((answers[0].0, outcome(&answers[0].1)), (Ticket(2), (2, 0)));
}

#[test]
fn a_producer_that_waits_is_told_of_another_leader_and_of_its_deadline() {
    let mut cluster = cluster();
    let send = |cluster: &mut Cluster, ticket| {
        let request = request(batch(2)).with_timeout_ms(1000);
        cluster.request(&call(1, 9, ticket), RequestKind::Produce(request), Tick::ZERO)
    };
    cluster.hold_high_watermark(&t(0), Some(Offset(0))).unwrap();
    assert_eq!(send(&mut cluster, 1), Reply::Later);
    cluster.truncate(&t(0), Offset(0)).unwrap();
    let answers = cluster.take_answers();
    assert_eq!(outcome(&answers[0].1), (-1, ResponseError::NotLeaderOrFollower.code()));
    assert_eq!(send(&mut cluster, 2), Reply::Later);
    assert_eq!(cluster.next_deadline(), Some(at(1000)));
    cluster.advance(at(1000));
    let answers = cluster.take_answers();
    assert_eq!(outcome(&answers[0].1), (-1, ResponseError::RequestTimedOut.code()));
    assert_eq!(cluster.next_deadline(), None);
}

#[test]
fn who_does_not_lead_says_who_does() {
    let mut cluster = cluster();
    let answered = |cluster: &mut Cluster, version| match ask(
        cluster,
        2,
        version,
        RequestKind::Produce(request(batch(1))),
    ) {
        ResponseKind::Produce(answered) => answered,
        other => panic!("expected a produce answer, found {other:?}"),
    };
    let told = answered(&mut cluster, 10);
    let refused = &told.responses[0].partition_responses[0];
    assert_eq!(refused.error_code, ResponseError::NotLeaderOrFollower.code());
    assert_eq!((refused.current_leader.leader_id.0, refused.current_leader.leader_epoch), (1, 0));
    assert_eq!(told.node_endpoints.iter().map(|node| node.node_id.0).collect::<Vec<_>>(), [1]);
    assert!(answered(&mut cluster, 9).node_endpoints.is_empty());
}

#[test]
fn a_batch_that_is_too_large_and_one_with_another_behind_it_are_refused() {
    let mut cluster = cluster();
    let both = Bytes::from([batch(1), batch(1)].concat());
    assert_eq!(produce(&mut cluster, 1, request(both)), (-1, ResponseError::InvalidRecord.code()));
    let limit = [("max.message.bytes".to_owned(), batch(1).len().to_string())];
    cluster.topics.configure("t", limit.into());
    assert_eq!(produce(&mut cluster, 1, request(batch(2))), (-1, ResponseError::MessageTooLarge.code()));
    assert_eq!(produce(&mut cluster, 1, request(batch(1))), (0, 0));
}
