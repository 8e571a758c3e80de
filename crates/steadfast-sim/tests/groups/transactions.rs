//! Offsets that are committed with a transaction (KIP-98, KIP-447).

use kafka_protocol::ResponseError;
use kafka_protocol::messages::offset_fetch_request::OffsetFetchRequestTopic;
use kafka_protocol::messages::txn_offset_commit_request::{
    TxnOffsetCommitRequestPartition, TxnOffsetCommitRequestTopic,
};
use kafka_protocol::messages::{
    EndTxnRequest, InitProducerIdRequest, OffsetFetchRequest, ProducerId, RequestKind, ResponseKind,
    TransactionalId, TxnOffsetCommitRequest,
};
use steadfast_core::ids::NodeId;

use crate::fixture::{GROUP, Join, Stage, text};

const ID: &str = "producer";

/// A transactional producer.
struct Producer {
    id: ProducerId,
    epoch: i16,
    coordinator: NodeId,
}

impl Producer {
    fn new(stage: &mut Stage) -> Producer {
        let coordinator = stage.cluster.coordinator(ID).expect("a live broker");
        let request = InitProducerIdRequest::default()
            .with_transactional_id(Some(TransactionalId(text(ID))))
            .with_transaction_timeout_ms(60_000);
        match stage.ask(coordinator, 4, RequestKind::InitProducerId(request)) {
            Ok(ResponseKind::InitProducerId(answer)) => {
                assert_eq!(answer.error_code, 0);
                Producer { id: answer.producer_id, epoch: answer.producer_epoch, coordinator }
            }
            other => panic!("{other:?}"),
        }
    }

    /// Commits one offset of `orders-0` in its transaction; the error code.
    fn commit(&self, stage: &mut Stage, member: &str, generation: i32, offset: i64) -> i16 {
        let partition =
            TxnOffsetCommitRequestPartition::default().with_partition_index(0).with_committed_offset(offset);
        let topic = TxnOffsetCommitRequestTopic::default()
            .with_name(text("orders").into())
            .with_partitions(vec![partition]);
        let request = TxnOffsetCommitRequest::default()
            .with_transactional_id(TransactionalId(text(ID)))
            .with_producer_id(self.id)
            .with_producer_epoch(self.epoch)
            .with_group_id(text(GROUP).into())
            .with_member_id(text(member))
            .with_generation_id(generation)
            .with_topics(vec![topic]);
        match stage.ask_coordinator(3, RequestKind::TxnOffsetCommit(request)) {
            Ok(ResponseKind::TxnOffsetCommit(answer)) => answer.topics[0].partitions[0].error_code,
            other => panic!("{other:?}"),
        }
    }

    fn end(&self, stage: &mut Stage, committed: bool) {
        let request = EndTxnRequest::default()
            .with_transactional_id(TransactionalId(text(ID)))
            .with_producer_id(self.id)
            .with_producer_epoch(self.epoch)
            .with_committed(committed);
        match stage.ask(self.coordinator, 3, RequestKind::EndTxn(request)) {
            Ok(ResponseKind::EndTxn(answer)) => assert_eq!(answer.error_code, 0),
            other => panic!("{other:?}"),
        }
    }
}

/// The error code and the offset that are found of `orders-0`.
fn found(stage: &mut Stage, stable: bool) -> (i16, i64) {
    let topic =
        OffsetFetchRequestTopic::default().with_name(text("orders").into()).with_partition_indexes(vec![0]);
    let request = OffsetFetchRequest::default()
        .with_group_id(text(GROUP).into())
        .with_topics(Some(vec![topic]))
        .with_require_stable(stable);
    match stage.ask_coordinator(7, RequestKind::OffsetFetch(request)) {
        Ok(ResponseKind::OffsetFetch(answer)) => {
            let partition = &answer.topics[0].partitions[0];
            (partition.error_code, partition.committed_offset)
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn who_asks_for_stable_offsets_waits_for_the_end_of_the_transaction() {
    let mut stage = Stage::new();
    stage.commit("", -1, 0, 5);
    let producer = Producer::new(&mut stage);
    for (offset, committed, before, after) in [(10, true, 5, 10), (20, false, 10, 10)] {
        assert_eq!(producer.commit(&mut stage, "", -1, offset), 0);
        assert_eq!(found(&mut stage, true), (ResponseError::UnstableOffsetCommit.code(), -1));
        assert_eq!(found(&mut stage, false), (0, before));
        producer.end(&mut stage, committed);
        assert_eq!(found(&mut stage, true), (0, after));
    }
}

#[test]
fn a_member_commits_in_a_transaction_only_in_its_generation() {
    let mut stage = Stage::new();
    let member = stage.stable_alone();
    let producer = Producer::new(&mut stage);
    assert_eq!(producer.commit(&mut stage, &member, 0, 5), ResponseError::IllegalGeneration.code());
    assert_eq!(producer.commit(&mut stage, "nobody", 1, 5), ResponseError::UnknownMemberId.code());
    assert_eq!(found(&mut stage, true), (0, -1));
    assert_eq!(producer.commit(&mut stage, &member, 1, 5), 0);
    // Without membership nobody is asked for it.
    assert_eq!(producer.commit(&mut stage, "", -1, 6), 0);
}

#[test]
fn a_round_under_way_does_not_put_a_transactions_commit_off() {
    let mut stage = Stage::new();
    let member = stage.stable_alone();
    let producer = Producer::new(&mut stage);
    assert_eq!(stage.join(&Join::of(&member)).generation_id, 2);
    assert_eq!(stage.commit(&member, 2, 0, 5), ResponseError::RebalanceInProgress.code());
    assert_eq!(producer.commit(&mut stage, &member, 2, 5), 0);
}

#[test]
fn a_generation_of_an_unknown_group_is_refused() {
    let mut stage = Stage::new();
    let producer = Producer::new(&mut stage);
    assert_eq!(producer.commit(&mut stage, "nobody", 3, 5), ResponseError::IllegalGeneration.code());
}
