use bytes::Bytes;
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_protocol::messages::{ProduceRequest, RequestKind, ResponseKind, TopicName, TransactionalId};
use kafka_protocol::protocol::StrBytes;
use steadfast_core::ids::Offset;

use super::*;
use crate::asking::{ask, at, cluster, records, t};
use crate::batch::{self, Producer};

const MINUTE: Duration = Duration::from_secs(60);

fn produce(cluster: &mut Cluster, version: i16, session: Session, base_sequence: i32) -> i16 {
    let producer = Producer { id: session.producer_id, epoch: session.epoch, base_sequence };
    let batch: Bytes = batch::write(&records(2), producer, true);
    let topic = TopicProduceData::default()
        .with_name(TopicName(StrBytes::from_static_str("t")))
        .with_partition_data(vec![PartitionProduceData::default().with_records(Some(batch))]);
    let id = TransactionalId(StrBytes::from_static_str("tx"));
    let request =
        ProduceRequest::default().with_transactional_id(Some(id)).with_acks(-1).with_topic_data(vec![topic]);
    match ask(cluster, 1, version, RequestKind::Produce(request)) {
        ResponseKind::Produce(produced) => produced.responses[0].partition_responses[0].error_code,
        other => panic!("expected a produce answer, found {other:?}"),
    }
}

fn begun() -> (Cluster, Session) {
    let mut cluster = cluster();
    let session = begin_session(&mut cluster, "tx", MINUTE, Session::NONE).unwrap();
    (cluster, session)
}

fn last_stable(cluster: &Cluster) -> Offset {
    cluster.topics.get("t", 0).unwrap().log.last_stable()
}

#[test]
fn what_a_transaction_wrote_is_stable_once_it_has_ended() {
    let (mut cluster, session) = begun();
    assert_eq!(produce(&mut cluster, 9, session, 0), ResponseError::InvalidTxnState.code());
    add_partitions(&mut cluster, "tx", session, [t(0)]).unwrap();
    assert_eq!(produce(&mut cluster, 9, session, 0), 0);
    assert_eq!(last_stable(&cluster), Offset(0));
    end(&mut cluster, "tx", session, true).unwrap();
    assert_eq!(last_stable(&cluster), Offset(3));
    assert_eq!(produce(&mut cluster, 9, session, 2), ResponseError::InvalidTxnState.code());
}

#[test]
fn the_same_end_is_confirmed_again_and_another_is_refused() {
    let (mut cluster, session) = begun();
    assert_eq!(end(&mut cluster, "tx", session, true), Err(ResponseError::InvalidTxnState));
    add_partitions(&mut cluster, "tx", session, [t(0)]).unwrap();
    assert_eq!(end(&mut cluster, "tx", session, true), Ok(()));
    assert_eq!(end(&mut cluster, "tx", session, true), Ok(()));
    assert_eq!(end(&mut cluster, "tx", session, false), Err(ResponseError::InvalidTxnState));
}

#[test]
fn a_successor_aborts_what_is_open_and_fences_its_predecessor() {
    let (mut cluster, session) = begun();
    add_partitions(&mut cluster, "tx", session, [t(0)]).unwrap();
    produce(&mut cluster, 9, session, 0);
    let next = begin_session(&mut cluster, "tx", MINUTE, Session::NONE).unwrap();
    assert_eq!(next, Session { epoch: 1, ..session });
    let log = &cluster.topics.get("t", 0).unwrap().log;
    assert_eq!(log.aborted(Offset(0), Offset(3)).count(), 1);
    assert_eq!(last_stable(&cluster), Offset(3));
    assert_eq!(end(&mut cluster, "tx", session, true), Err(ResponseError::ProducerFenced));
    assert_eq!(produce(&mut cluster, 9, session, 2), ResponseError::InvalidProducerEpoch.code());
}

#[test]
fn a_producer_goes_on_under_its_session_only_if_nobody_came_in_between() {
    let (mut cluster, session) = begun();
    let next = begin_session(&mut cluster, "tx", MINUTE, session).unwrap();
    assert_eq!(next.epoch, 1);
    assert_eq!(begin_session(&mut cluster, "tx", MINUTE, session), Err(ResponseError::ProducerFenced));
}

#[test]
fn a_transaction_that_takes_too_long_is_aborted() {
    let (mut cluster, session) = begun();
    add_partitions(&mut cluster, "tx", session, [t(0)]).unwrap();
    produce(&mut cluster, 9, session, 0);
    assert_eq!(cluster.next_deadline(), Some(at(60_000)));
    cluster.advance(at(60_000));
    assert_eq!(cluster.next_deadline(), None);
    assert_eq!(last_stable(&cluster), Offset(3));
    assert_eq!(end(&mut cluster, "tx", session, true), Err(ResponseError::ProducerFenced));
}

#[test]
fn offsets_count_once_the_transaction_is_committed_and_not_if_it_is_aborted() {
    let (mut cluster, session) = begun();
    let offset = |offset| CommittedOffset { offset: Offset(offset), leader_epoch: None, metadata: "".into() };
    add_offsets(&mut cluster, "tx", session, "g", [(t(0), offset(5))]).unwrap();
    assert_eq!(cluster.committed("g").len(), 0);
    end(&mut cluster, "tx", session, true).unwrap();
    assert_eq!(cluster.committed("g")[&t(0)].offset, Offset(5));
    add_offsets(&mut cluster, "tx", session, "g", [(t(0), offset(9))]).unwrap();
    end(&mut cluster, "tx", session, false).unwrap();
    assert_eq!(cluster.committed("g")[&t(0)].offset, Offset(5));
}

#[test]
fn from_version_12_on_writing_adds_the_partition() {
    let (mut cluster, session) = begun();
    assert_eq!(produce(&mut cluster, 12, session, 0), 0);
    end(&mut cluster, "tx", session, true).unwrap();
    assert_eq!(last_stable(&cluster), Offset(3));
    let stranger = Session { producer_id: 99, epoch: 0 };
    assert_eq!(produce(&mut cluster, 12, stranger, 0), ResponseError::InvalidProducerIdMapping.code());
}

#[test]
fn a_timeout_of_nothing_or_of_hours_is_refused() {
    let mut cluster = cluster();
    for timeout in [Duration::ZERO, 60 * MINUTE] {
        let refused = begin_session(&mut cluster, "tx", timeout, Session::NONE);
        assert_eq!(refused, Err(ResponseError::InvalidTransactionTimeout));
    }
}
