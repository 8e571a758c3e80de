use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use kafka_protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_protocol::messages::{
    create_topics_request, delete_topics_request, describe_configs_request, offset_for_leader_epoch_request,
    *,
};
use kafka_protocol::protocol::StrBytes;
use steadfast_core::ids::{NodeId, Offset};
use uuid::Uuid;

use super::*;
use crate::asking::{ask, cluster, records, t};
use crate::batch::{self, Producer};

fn name(text: &'static str) -> TopicName {
    TopicName(StrBytes::from_static_str(text))
}

/// A cluster in which `t` was truncated, is led by others than at first, and has transactions of both endings.
fn eventful() -> Cluster {
    let mut cluster = cluster();
    for _ in 0..2 {
        cluster.append(&t(0), records(5)).unwrap();
    }
    cluster.truncate(&t(0), Offset(5)).unwrap();
    cluster.append_transactional(&t(0), 7, records(2)).unwrap();
    cluster.end_transaction(7, false);
    cluster.move_leader(&t(0), NodeId(2)).unwrap();
    cluster.move_leader(&t(0), NodeId(1)).unwrap();
    cluster
}

fn every_version(key: ApiKey, request: impl Fn(i16, &Cluster) -> RequestKind) {
    let (_, versions) = SERVED.iter().find(|(served, _)| *served == key).unwrap();
    for version in versions.clone() {
        // A leader, and a broker that is none.
        for node in [1, 2] {
            let mut cluster = eventful();
            let request = request(version, &cluster);
            // Panics if the answer cannot be written.
            ask(&mut cluster, node, version, request);
        }
    }
}

fn fetch(version: i16, cluster: &Cluster, isolation: i8) -> RequestKind {
    let asked = |offset: i64, current: i32, last: i32| {
        FetchPartition::default()
            .with_fetch_offset(offset)
            .with_current_leader_epoch(if version >= 9 { current } else { -1 })
            .with_last_fetched_epoch(if version >= 12 { last } else { -1 })
            .with_partition_max_bytes(1000)
    };
    let partitions = vec![
        asked(0, -1, -1),
        asked(10, -1, 0),
        asked(99, -1, -1),
        asked(0, 0, -1),
        asked(0, 9, -1),
        asked(0, -1, -1).with_partition(1),
        asked(0, -1, -1).with_partition(9),
    ];
    let id = |known| if known { Uuid::from_u128(cluster.topic_id("t").unwrap().0) } else { Uuid::nil() };
    let topic = |known, name| {
        FetchTopic::default().with_topic(name).with_topic_id(id(known)).with_partitions(partitions.clone())
    };
    let topics = vec![topic(true, name("t")), topic(false, name("u"))];
    RequestKind::Fetch(
        FetchRequest::default().with_isolation_level(isolation).with_max_bytes(10_000).with_topics(topics),
    )
}

#[test]
fn every_fetch_answer_can_be_written() {
    for isolation in [0, 1] {
        every_version(ApiKey::Fetch, |version, cluster| fetch(version, cluster, isolation));
    }
}

#[test]
fn every_metadata_answer_can_be_written() {
    every_version(ApiKey::Metadata, |version, cluster| {
        let mut topics: Vec<_> =
            ["t", "u", "a b"].map(|text| MetadataRequestTopic::default().with_name(Some(name(text)))).into();
        if version >= 12 {
            let by_id = |id| MetadataRequestTopic::default().with_name(None).with_topic_id(id);
            topics.push(by_id(Uuid::from_u128(cluster.topic_id("t").unwrap().0)));
            topics.push(by_id(Uuid::from_u128(1)));
        }
        RequestKind::Metadata(MetadataRequest::default().with_topics(Some(topics)))
    });
}

#[test]
fn every_produce_answer_can_be_written() {
    every_version(ApiKey::Produce, |_, cluster| {
        let good = batch::write(&records(2), Producer { id: 1, epoch: 0, base_sequence: 0 }, false);
        let data = |index, batch| PartitionProduceData::default().with_index(index).with_records(batch);
        let partitions = vec![data(0, Some(good.clone())), data(0, Some(good)), data(0, None), data(9, None)];
        let id = Uuid::from_u128(cluster.topic_id("t").unwrap().0);
        let topic = |name, id| {
            TopicProduceData::default()
                .with_name(name)
                .with_topic_id(id)
                .with_partition_data(partitions.clone())
        };
        let topics = vec![topic(name("t"), id), topic(name("u"), Uuid::nil())];
        RequestKind::Produce(ProduceRequest::default().with_acks(-1).with_topic_data(topics))
    });
}

#[test]
fn every_answer_with_offsets_can_be_written() {
    every_version(ApiKey::ListOffsets, |_, _| {
        let asked = |timestamp| ListOffsetsPartition::default().with_timestamp(timestamp);
        let partitions = [-1, -2, -3, -4, -5, -6, 0, i64::MAX].map(asked).into();
        let topic = ListOffsetsTopic::default().with_name(name("t")).with_partitions(partitions);
        RequestKind::ListOffsets(ListOffsetsRequest::default().with_topics(vec![topic]))
    });
    every_version(ApiKey::OffsetForLeaderEpoch, |_, _| {
        use offset_for_leader_epoch_request::{OffsetForLeaderPartition, OffsetForLeaderTopic};
        let asked = |epoch| OffsetForLeaderPartition::default().with_leader_epoch(epoch);
        let partitions = (-1..=4).map(asked).collect();
        let topic = OffsetForLeaderTopic::default().with_topic(name("t")).with_partitions(partitions);
        RequestKind::OffsetForLeaderEpoch(OffsetForLeaderEpochRequest::default().with_topics(vec![topic]))
    });
}

#[test]
fn every_answer_about_topics_and_the_cluster_can_be_written() {
    every_version(ApiKey::CreateTopics, |_, _| {
        let topic = |text| {
            let topic = create_topics_request::CreatableTopic::default().with_name(name(text));
            topic.with_num_partitions(2).with_replication_factor(2)
        };
        let request = CreateTopicsRequest::default().with_topics(vec![topic("t"), topic("u")]);
        RequestKind::CreateTopics(request)
    });
    every_version(ApiKey::DeleteTopics, |_, _| {
        let state = |text| delete_topics_request::DeleteTopicState::default().with_name(Some(name(text)));
        let request = DeleteTopicsRequest::default().with_topics(vec![state("t"), state("u")]);
        RequestKind::DeleteTopics(request.with_topic_names(vec![name("t"), name("u")]))
    });
    every_version(ApiKey::DescribeCluster, |_, _| {
        RequestKind::DescribeCluster(DescribeClusterRequest::default())
    });
    every_version(ApiKey::DescribeConfigs, |_, _| {
        let resource = |kind| {
            let resource = describe_configs_request::DescribeConfigsResource::default();
            resource.with_resource_type(kind).with_resource_name(name("t").0)
        };
        let resources = [2, 4, 9].map(resource).into();
        RequestKind::DescribeConfigs(DescribeConfigsRequest::default().with_resources(resources))
    });
}

#[test]
fn every_answer_to_a_producer_can_be_written() {
    let id = || TransactionalId(StrBytes::from_static_str("tx"));
    for transactional in [None, Some(id())] {
        every_version(ApiKey::InitProducerId, |_, _| {
            let request = InitProducerIdRequest::default().with_transactional_id(transactional.clone());
            RequestKind::InitProducerId(request.with_transaction_timeout_ms(1000))
        });
    }
    every_version(ApiKey::AddPartitionsToTxn, |_, _| {
        let topic = add_partitions_to_txn_request::AddPartitionsToTxnTopic::default();
        let topic = topic.with_name(name("t")).with_partitions(vec![0, 9]);
        let request = AddPartitionsToTxnRequest::default().with_v3_and_below_topics(vec![topic]);
        RequestKind::AddPartitionsToTxn(request.with_v3_and_below_transactional_id(id()))
    });
    every_version(ApiKey::AddOffsetsToTxn, |_, _| {
        RequestKind::AddOffsetsToTxn(AddOffsetsToTxnRequest::default().with_transactional_id(id()))
    });
    every_version(ApiKey::EndTxn, |_, _| {
        RequestKind::EndTxn(EndTxnRequest::default().with_transactional_id(id()))
    });
    every_version(ApiKey::TxnOffsetCommit, |_, _| {
        use txn_offset_commit_request::{TxnOffsetCommitRequestPartition, TxnOffsetCommitRequestTopic};
        let partitions = vec![TxnOffsetCommitRequestPartition::default()];
        let topic = TxnOffsetCommitRequestTopic::default().with_name(name("t")).with_partitions(partitions);
        let request = TxnOffsetCommitRequest::default().with_topics(vec![topic]);
        RequestKind::TxnOffsetCommit(request.with_transactional_id(id()))
    });
}
