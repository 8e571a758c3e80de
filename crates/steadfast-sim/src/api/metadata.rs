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

#[cfg(test)]
mod tests {
    use kafka_protocol::messages::RequestKind;

    use super::*;
    use crate::asking::{ask, cluster};

    fn metadata(
        cluster: &mut Cluster,
        version: i16,
        topics: Option<Vec<MetadataRequestTopic>>,
    ) -> MetadataResponse {
        let request = MetadataRequest::default().with_topics(topics).with_allow_auto_topic_creation(true);
        match ask(cluster, 2, version, RequestKind::Metadata(request)) {
            ResponseKind::Metadata(metadata) => metadata,
            other => panic!("expected metadata, found {other:?}"),
        }
    }

    fn named(name: &'static str) -> MetadataRequestTopic {
        MetadataRequestTopic::default().with_name(Some(TopicName(StrBytes::from_static_str(name))))
    }

    #[test]
    fn living_brokers_the_cluster_id_and_all_topics_are_named() {
        let mut cluster = cluster();
        cluster.stop_broker(NodeId(1));
        let metadata = metadata(&mut cluster, 13, None);
        let brokers: Vec<_> = metadata.brokers.iter().map(|broker| (broker.node_id.0, broker.port)).collect();
        assert_eq!(brokers, [(2, 9092), (3, 9093)]);
        assert_eq!(metadata.cluster_id.unwrap().as_str(), "cluster");
        let partition = &metadata.topics[0].partitions[0];
        assert_eq!((partition.leader_id.0, partition.leader_epoch), (2, 1));
        assert_eq!(partition.offline_replicas, [BrokerId(1)]);
    }

    #[test]
    fn no_topics_are_none_but_in_the_first_version_all() {
        let mut cluster = cluster();
        assert_eq!(metadata(&mut cluster, 1, Some(vec![])).topics.len(), 0);
        assert_eq!(metadata(&mut cluster, 0, Some(vec![])).topics.len(), 1);
    }

    #[test]
    fn a_topic_is_never_created_by_asking_for_it() {
        let mut cluster = cluster();
        let asked = Some(vec![named("u"), named("a b")]);
        let answered = metadata(&mut cluster, 9, asked).topics;
        assert_eq!(answered[0].error_code, ResponseError::UnknownTopicOrPartition.code());
        assert_eq!(answered[1].error_code, ResponseError::InvalidTopicException.code());
        assert!(cluster.topic_id("u").is_err());
    }

    #[test]
    fn a_topic_is_found_by_its_id() {
        let mut cluster = cluster();
        let id = Uuid::from_u128(cluster.topic_id("t").unwrap().0);
        let by_id = |id| Some(vec![MetadataRequestTopic::default().with_name(None).with_topic_id(id)]);
        let found = metadata(&mut cluster, 12, by_id(id)).topics.remove(0);
        assert_eq!((found.name.unwrap().as_str(), found.partitions.len()), ("t", 3));
        let unknown = metadata(&mut cluster, 12, by_id(Uuid::from_u128(1))).topics.remove(0);
        assert_eq!((unknown.error_code, unknown.name), (ResponseError::UnknownTopicId.code(), None));
    }

    #[test]
    fn a_partition_without_a_leader_says_so() {
        let mut cluster = cluster();
        cluster.create_topic_on("u", vec![vec![NodeId(1)]]).unwrap();
        cluster.stop_broker(NodeId(1));
        let partition = metadata(&mut cluster, 9, Some(vec![named("u")])).topics[0].partitions[0].clone();
        assert_eq!(partition.error_code, ResponseError::LeaderNotAvailable.code());
        assert_eq!((partition.leader_id.0, partition.isr_nodes), (-1, vec![BrokerId(1)]));
    }
}
