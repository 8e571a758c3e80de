//! CreatePartitions (37): a topic gets more of them.

use kafka_protocol::ResponseError;
use kafka_protocol::messages::create_partitions_request::CreatePartitionsTopic;
use kafka_protocol::messages::create_partitions_response::CreatePartitionsTopicResult;
use kafka_protocol::messages::{CreatePartitionsRequest, CreatePartitionsResponse, ResponseKind};
use kafka_protocol::protocol::StrBytes;
use steadfast_core::ids::NodeId;

use crate::call::{Call, Reply};
use crate::cluster::Cluster;
use crate::topics::TopicError;

pub(crate) fn handle(cluster: &mut Cluster, _: &Call, request: &CreatePartitionsRequest) -> Reply {
    let results = request.topics.iter().map(|topic| {
        let result = CreatePartitionsTopicResult::default().with_name(topic.name.clone());
        match add(cluster, topic, request.validate_only) {
            Ok(()) => result,
            Err(error) => result
                .with_error_code(ResponseError::from(&error).code())
                .with_error_message(Some(StrBytes::from_string(error.to_string()))),
        }
    });
    let answer = CreatePartitionsResponse::default().with_results(results.collect());
    Reply::now(ResponseKind::CreatePartitions(answer))
}

fn add(cluster: &mut Cluster, topic: &CreatePartitionsTopic, validate_only: bool) -> Result<(), TopicError> {
    let assigned = topic.assignments.as_ref().map(|assignments| {
        let nodes = assignments.iter().map(|one| one.broker_ids.iter().map(|id| NodeId(id.0)).collect());
        nodes.collect()
    });
    let total = usize::try_from(topic.count).unwrap_or(0);
    let added = cluster.addable(&topic.name, total, assigned)?;
    if !validate_only {
        cluster.topics.add(&topic.name, added);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use kafka_protocol::messages::create_partitions_request::CreatePartitionsAssignment;
    use kafka_protocol::messages::{BrokerId, RequestKind, TopicName};

    use super::*;
    use crate::asking::{ask, cluster, t};

    fn grow(cluster: &mut Cluster, count: i32, on: Option<&[i32]>) -> i16 {
        let assignment =
            |node: &i32| CreatePartitionsAssignment::default().with_broker_ids(vec![BrokerId(*node)]);
        let topic = CreatePartitionsTopic::default()
            .with_name(TopicName(StrBytes::from_static_str("t")))
            .with_count(count)
            .with_assignments(on.map(|nodes| nodes.iter().map(assignment).collect()));
        let request = CreatePartitionsRequest::default().with_topics(vec![topic]);
        match ask(cluster, 1, 3, RequestKind::CreatePartitions(request)) {
            ResponseKind::CreatePartitions(created) => created.results[0].error_code,
            other => panic!("expected created partitions, found {other:?}"),
        }
    }

    #[test]
    fn partitions_are_added_after_those_that_are_there() {
        let mut cluster = cluster();
        assert_eq!(grow(&mut cluster, 5, Some(&[3, 2])), 0);
        assert_eq!(cluster.partitions("t").unwrap().len(), 5);
        assert_eq!(cluster.leader(&t(3)).unwrap(), Some(NodeId(3)));
        assert_eq!(grow(&mut cluster, 6, None), 0);
    }

    #[test]
    fn there_are_never_fewer_and_each_needs_its_place() {
        let mut cluster = cluster();
        assert_eq!(grow(&mut cluster, 3, None), ResponseError::InvalidPartitions.code());
        assert_eq!(grow(&mut cluster, i32::MAX, None), ResponseError::InvalidPartitions.code());
        assert_eq!(grow(&mut cluster, 5, Some(&[1])), ResponseError::InvalidReplicaAssignment.code());
        assert_eq!(grow(&mut cluster, 4, Some(&[9])), ResponseError::InvalidReplicaAssignment.code());
    }
}
