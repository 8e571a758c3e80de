//! CreateTopics (19). Settings are kept and described; what they change, the rooms that read them say.

use kafka_protocol::ResponseError;
use kafka_protocol::messages::create_topics_request::CreatableTopic;
use kafka_protocol::messages::create_topics_response::CreatableTopicResult;
use kafka_protocol::messages::{CreateTopicsRequest, CreateTopicsResponse, ResponseKind};
use kafka_protocol::protocol::StrBytes;
use steadfast_core::ids::NodeId;
use uuid::Uuid;

use crate::call::{Call, Reply};
use crate::cluster::Cluster;
use crate::topics::commands::MOST_PARTITIONS;

pub(crate) fn handle(cluster: &mut Cluster, _: &Call, request: &CreateTopicsRequest) -> Reply {
    let topics = request.topics.iter().map(|topic| {
        let created = create(cluster, topic, request.validate_only);
        created
            .unwrap_or_else(|(error, message)| {
                CreatableTopicResult::default()
                    .with_error_code(error.code())
                    .with_error_message(Some(StrBytes::from_string(message)))
            })
            .with_name(topic.name.clone())
    });
    Reply::now(ResponseKind::CreateTopics(CreateTopicsResponse::default().with_topics(topics.collect())))
}

fn create(
    cluster: &mut Cluster,
    topic: &CreatableTopic,
    validate_only: bool,
) -> Result<CreatableTopicResult, (ResponseError, String)> {
    let name = topic.name.as_str();
    let replicas = replicas(cluster, topic)?;
    let result = CreatableTopicResult::default()
        .with_num_partitions(replicas.len() as i32)
        .with_replication_factor(replicas.first().map_or(0, Vec::len) as i16);
    if validate_only {
        let valid = cluster.creatable(name, replicas).map(|_| result);
        return valid.map_err(|error| ((&error).into(), error.to_string()));
    }
    let created = cluster.create_topic_on(name, replicas);
    let id = created.map_err(|error| ((&error).into(), error.to_string()))?;
    let configs = topic.configs.iter();
    let kept =
        configs.filter_map(|config| Some((config.name.to_string(), config.value.as_ref()?.to_string())));
    cluster.topics.configure(name, kept.collect());
    Ok(result.with_topic_id(Uuid::from_u128(id.0)))
}

/// How many replicas a partition has if nothing is said and there are as many brokers.
const USUAL_REPLICAS: usize = 3;

/// As assigned by the request; or as many as it asks for, if it does not say, one partition with the usual replicas.
fn replicas(cluster: &Cluster, topic: &CreatableTopic) -> Result<Vec<Vec<NodeId>>, (ResponseError, String)> {
    if !topic.assignments.is_empty() {
        let mut assigned: Vec<_> = topic.assignments.iter().collect();
        assigned.sort_by_key(|assignment| assignment.partition_index);
        if assigned.iter().zip(0..).any(|(assignment, index)| assignment.partition_index != index) {
            let error = ResponseError::InvalidReplicaAssignment;
            return Err((error, "expected the partitions from 0 on, each once".to_owned()));
        }
        let nodes = assigned.iter().map(|one| one.broker_ids.iter().map(|id| NodeId(id.0)).collect());
        return Ok(nodes.collect());
    }
    let partitions = if topic.num_partitions == -1 { 1 } else { topic.num_partitions };
    let alive = cluster.alive().count();
    let partitions = usize::try_from(partitions).ok().filter(|count| (1..=MOST_PARTITIONS).contains(count));
    let factor = match topic.replication_factor {
        -1 => Some(alive.min(USUAL_REPLICAS)),
        asked => usize::try_from(asked).ok(),
    };
    let factor = factor.filter(|factor| (1..=alive).contains(factor));
    let partitions = partitions.ok_or_else(|| {
        let found = topic.num_partitions;
        (
            ResponseError::InvalidPartitions,
            format!("expected 1 to {MOST_PARTITIONS} partitions, found {found}"),
        )
    })?;
    let factor = factor.ok_or_else(|| {
        let found = topic.replication_factor;
        (ResponseError::InvalidReplicationFactor, format!("expected 1 to {alive} replicas, found {found}"))
    })?;
    Ok(cluster.spread(0..partitions, factor))
}

#[cfg(test)]
mod tests {
    use kafka_protocol::messages::create_topics_request::{CreatableReplicaAssignment, CreatableTopicConfig};
    use kafka_protocol::messages::{BrokerId, RequestKind, TopicName};

    use super::*;
    use crate::asking::{ask, cluster};

    fn topic(name: &'static str, partitions: i32, replicas: i16) -> CreatableTopic {
        CreatableTopic::default()
            .with_name(TopicName(StrBytes::from_static_str(name)))
            .with_num_partitions(partitions)
            .with_replication_factor(replicas)
    }

    fn create(cluster: &mut Cluster, request: CreateTopicsRequest) -> Vec<CreatableTopicResult> {
        match ask(cluster, 1, 7, RequestKind::CreateTopics(request)) {
            ResponseKind::CreateTopics(created) => created.topics,
            other => panic!("expected created topics, found {other:?}"),
        }
    }

    fn error(cluster: &mut Cluster, topic: CreatableTopic) -> i16 {
        create(cluster, CreateTopicsRequest::default().with_topics(vec![topic]))[0].error_code
    }

    #[test]
    fn a_topic_is_created_with_an_id_and_keeps_its_settings() {
        let mut cluster = cluster();
        let config = CreatableTopicConfig::default()
            .with_name(StrBytes::from_static_str("retention.ms"))
            .with_value(Some(StrBytes::from_static_str("1000")));
        let topic = topic("new", 4, 2).with_configs(vec![config]);
        let created = create(&mut cluster, CreateTopicsRequest::default().with_topics(vec![topic]));
        assert_eq!(
            (created[0].error_code, created[0].num_partitions, created[0].replication_factor),
            (0, 4, 2)
        );
        assert_eq!(created[0].topic_id.as_u128(), cluster.topic_id("new").unwrap().0);
        assert_eq!(cluster.topics.by_name("new").unwrap().configs["retention.ms"], "1000");
    }

    #[test]
    fn a_topic_that_is_only_validated_is_not_created() {
        let mut cluster = cluster();
        let request = CreateTopicsRequest::default().with_validate_only(true);
        let created = create(&mut cluster, request.with_topics(vec![topic("new", 1, 1)]));
        assert_eq!(created[0].error_code, 0);
        assert!(cluster.topic_id("new").is_err());
    }

    #[test]
    fn without_a_wish_there_is_one_partition_on_three_brokers() {
        let mut cluster = cluster();
        let request = CreateTopicsRequest::default().with_topics(vec![topic("new", -1, -1)]);
        let created = create(&mut cluster, request);
        assert_eq!((created[0].num_partitions, created[0].replication_factor), (1, 3));
    }

    #[test]
    fn what_cannot_be_is_refused_with_its_reason() {
        let mut cluster = cluster();
        assert_eq!(error(&mut cluster, topic("t", 1, 1)), ResponseError::TopicAlreadyExists.code());
        assert_eq!(error(&mut cluster, topic("a b", 1, 1)), ResponseError::InvalidTopicException.code());
        assert_eq!(error(&mut cluster, topic("new", 0, 1)), ResponseError::InvalidPartitions.code());
        assert_eq!(error(&mut cluster, topic("new", i32::MAX, 1)), ResponseError::InvalidPartitions.code());
        assert_eq!(error(&mut cluster, topic("new", 1, 4)), ResponseError::InvalidReplicationFactor.code());
        let elsewhere = CreatableReplicaAssignment::default().with_broker_ids(vec![BrokerId(9)]);
        let elsewhere = topic("new", -1, -1).with_assignments(vec![elsewhere]);
        assert_eq!(error(&mut cluster, elsewhere), ResponseError::InvalidReplicaAssignment.code());
    }
}
