//! Metadata (3): the brokers, and topics with their leaders. Topics are never created by asking for them.

use kafka_protocol::ResponseError;
use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::metadata_response::{
    MetadataResponseBroker, MetadataResponsePartition, MetadataResponseTopic,
};
use kafka_protocol::messages::{BrokerId, MetadataRequest, MetadataResponse, ResponseKind, TopicName};
use kafka_protocol::protocol::StrBytes;
use steadfast_core::ids::{NodeId, TopicId};
use uuid::Uuid;

use crate::call::{Call, Reply};
use crate::cluster::Cluster;
use crate::topics::{Replicas, Topic, valid_name};

pub(crate) fn handle(cluster: &mut Cluster, call: &Call, request: &MetadataRequest) -> Reply {
    // The first version cannot say "none": no topics are all topics there.
    let asked = request.topics.as_ref().filter(|topics| call.version > 0 || !topics.is_empty());
    let topics = match asked {
        Some(topics) => topics.iter().map(|topic| one(cluster, topic)).collect(),
        None => cluster.topics.iter().map(|(name, topic)| described(cluster, name, topic)).collect(),
    };
    let answer = MetadataResponse::default()
        .with_brokers(brokers(cluster))
        .with_cluster_id(Some(StrBytes::from_string(cluster.id().to_string())))
        .with_controller_id(controller(cluster))
        .with_topics(topics);
    Reply::now(ResponseKind::Metadata(answer))
}

fn brokers(cluster: &Cluster) -> Vec<MetadataResponseBroker> {
    let named = cluster.alive().map(|(node, broker)| {
        MetadataResponseBroker::default()
            .with_node_id(node.0.into())
            .with_host(StrBytes::from_string(broker.address.host.clone()))
            .with_port(i32::from(broker.address.port))
            .with_rack(broker.rack.clone().map(StrBytes::from_string))
    });
    named.collect()
}

/// Clients are told of some living broker: in KRaft, where requests go on to the real controller, any will do.
pub(crate) fn controller(cluster: &Cluster) -> BrokerId {
    cluster.alive().next().map_or(-1, |(node, _)| node.0).into()
}

fn one(cluster: &Cluster, asked: &MetadataRequestTopic) -> MetadataResponseTopic {
    let unknown = |error: ResponseError| {
        MetadataResponseTopic::default()
            .with_error_code(error.code())
            .with_name(asked.name.clone())
            .with_topic_id(asked.topic_id)
    };
    let name = match &asked.name {
        Some(name) if !valid_name(&name.0) => return unknown(ResponseError::InvalidTopicException),
        Some(name) => name.0.as_str(),
        None => match cluster.topics.name(TopicId(asked.topic_id.as_u128())) {
            Some(name) => name,
            None => return unknown(ResponseError::UnknownTopicId),
        },
    };
    match cluster.topics.by_name(name) {
        Some(topic) => described(cluster, name, topic),
        None => unknown(ResponseError::UnknownTopicOrPartition),
    }
}

fn described(cluster: &Cluster, name: &str, topic: &Topic) -> MetadataResponseTopic {
    let partitions =
        topic.partitions.iter().zip(0..).map(|(replicas, index)| partition(cluster, index, replicas));
    MetadataResponseTopic::default()
        .with_name(Some(TopicName(StrBytes::from_string(name.to_owned()))))
        .with_topic_id(Uuid::from_u128(topic.id.0))
        .with_partitions(partitions.collect())
}

fn partition(cluster: &Cluster, index: i32, replicas: &Replicas) -> MetadataResponsePartition {
    let ids = |nodes: &[NodeId]| nodes.iter().map(|node| BrokerId(node.0)).collect::<Vec<_>>();
    let dead: Vec<NodeId> = replicas.on.iter().copied().filter(|node| !cluster.is_alive(*node)).collect();
    let error = if replicas.leader.is_some() { 0 } else { ResponseError::LeaderNotAvailable.code() };
    MetadataResponsePartition::default()
        .with_error_code(error)
        .with_partition_index(index)
        .with_leader_id(replicas.leader.map_or(-1, |node| node.0).into())
        .with_leader_epoch(replicas.epoch.0)
        .with_replica_nodes(ids(&replicas.on))
        .with_isr_nodes(ids(&replicas.in_sync))
        .with_offline_replicas(ids(&dead))
}
