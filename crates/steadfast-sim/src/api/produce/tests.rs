use bytes::{Bytes, BytesMut};
use kafka_protocol::messages::{RequestKind, TopicName};
use kafka_protocol::protocol::StrBytes;
use steadfast_core::tick::Tick;
use uuid::Uuid;

use super::*;
use crate::asking::{ask, call, cluster, records, t};
use crate::batch::{self, Producer};

fn request(batch: Bytes) -> ProduceRequest {
    let data = PartitionProduceData::default().with_records(Some(batch));
    let topic = TopicProduceData::default()
        .with_name(TopicName(StrBytes::from_static_str("t")))
        .with_partition_data(vec![data]);
    ProduceRequest::default().with_acks(-1).with_topic_data(vec![topic])
}

fn produce(cluster: &mut Cluster, node: i32, request: ProduceRequest) -> (i64, i16) {
    match ask(cluster, node, 9, RequestKind::Produce(request)) {
        ResponseKind::Produce(produced) => {
            let answer = &produced.responses[0].partition_responses[0];
            (answer.base_offset, answer.error_code)
        }
        other => panic!("expected a produce answer, found {other:?}"),
    }
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
