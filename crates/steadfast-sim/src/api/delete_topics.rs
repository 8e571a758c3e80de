//! DeleteTopics (20).

use kafka_protocol::ResponseError;
use kafka_protocol::messages::delete_topics_request::DeleteTopicState;
use kafka_protocol::messages::delete_topics_response::DeletableTopicResult;
use kafka_protocol::messages::{DeleteTopicsRequest, DeleteTopicsResponse, ResponseKind, TopicName};
use kafka_protocol::protocol::StrBytes;
use steadfast_core::ids::TopicId;

use crate::call::{Call, Reply};
use crate::cluster::Cluster;

/// From this version on, topics may be named by id (KIP-516).
const BY_ID: i16 = 6;

pub(crate) fn handle(cluster: &mut Cluster, call: &Call, request: &DeleteTopicsRequest) -> Reply {
    let named = |name: &TopicName| DeleteTopicState::default().with_name(Some(name.clone()));
    let topics = match call.version {
        BY_ID.. => request.topics.clone(),
        _ => request.topic_names.iter().map(named).collect(),
    };
    let responses = topics.into_iter().map(|topic| delete(cluster, topic)).collect();
    Reply::now(ResponseKind::DeleteTopics(DeleteTopicsResponse::default().with_responses(responses)))
}

fn delete(cluster: &mut Cluster, topic: DeleteTopicState) -> DeletableTopicResult {
    let by_id = cluster.topics.name(TopicId(topic.topic_id.as_u128()));
    let by_id = by_id.map(|name| TopicName(StrBytes::from_string(name.to_string())));
    let (name, unknown) = match topic.name {
        Some(name) => (Some(name), ResponseError::UnknownTopicOrPartition),
        None => (by_id, ResponseError::UnknownTopicId),
    };
    let deleted = name.as_ref().is_some_and(|name| cluster.delete_topic(name).is_ok());
    DeletableTopicResult::default()
        .with_name(name)
        .with_topic_id(topic.topic_id)
        .with_error_code(if deleted { 0 } else { unknown.code() })
}

#[cfg(test)]
mod tests {
    use kafka_protocol::messages::RequestKind;
    use uuid::Uuid;

    use super::*;
    use crate::asking::{ask, cluster};

    fn delete(cluster: &mut Cluster, version: i16, request: DeleteTopicsRequest) -> DeletableTopicResult {
        match ask(cluster, 1, version, RequestKind::DeleteTopics(request)) {
            ResponseKind::DeleteTopics(deleted) => deleted.responses[0].clone(),
            other => panic!("expected deleted topics, found {other:?}"),
        }
    }

    #[test]
    fn a_topic_is_deleted_once_by_name() {
        let mut cluster = cluster();
        let request =
            || DeleteTopicsRequest::default().with_topic_names(vec![TopicName("t".to_owned().into())]);
        assert_eq!(delete(&mut cluster, 5, request()).error_code, 0);
        let again = delete(&mut cluster, 5, request());
        assert_eq!(again.error_code, ResponseError::UnknownTopicOrPartition.code());
    }

    #[test]
    fn a_topic_is_deleted_once_by_id() {
        let mut cluster = cluster();
        let id = Uuid::from_u128(cluster.topic_id("t").unwrap().0);
        let request = || {
            let state = DeleteTopicState::default().with_name(None).with_topic_id(id);
            DeleteTopicsRequest::default().with_topics(vec![state])
        };
        let deleted = delete(&mut cluster, 6, request());
        assert_eq!((deleted.error_code, deleted.name.unwrap().as_str()), (0, "t"));
        assert_eq!(delete(&mut cluster, 6, request()).error_code, ResponseError::UnknownTopicId.code());
    }
}
