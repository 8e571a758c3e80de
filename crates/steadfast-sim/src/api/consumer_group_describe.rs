//! ConsumerGroupDescribe (69): groups of the consumer protocol with their members.

use kafka_protocol::ResponseError;
use kafka_protocol::messages::consumer_group_describe_response::DescribedGroup;
use kafka_protocol::messages::{
    ConsumerGroupDescribeRequest, ConsumerGroupDescribeResponse, GroupId, ResponseKind,
};

use crate::call::{Call, Reply};
use crate::cluster::Cluster;
use crate::group::text;

pub(crate) fn handle(cluster: &mut Cluster, call: &Call, request: &ConsumerGroupDescribeRequest) -> Reply {
    let groups = request.group_ids.iter().map(|group| describe(cluster, call, group));
    let answer = ConsumerGroupDescribeResponse::default().with_groups(groups.collect());
    Reply::now(ResponseKind::ConsumerGroupDescribe(answer))
}

fn describe(cluster: &Cluster, call: &Call, group: &GroupId) -> DescribedGroup {
    let answer = DescribedGroup::default().with_group_id(group.clone());
    if let Err(error) = cluster.groups.admit(call.node, group.as_str(), cluster.now()) {
        return answer.with_error_code(error.code());
    }
    let hosted = cluster.groups.get(group.as_str());
    if let Some(consumer) = hosted.and_then(|hosted| hosted.consumer()) {
        return consumer.describe(&cluster.topics);
    }
    let name = group.as_str();
    let message = match hosted {
        Some(_) => format!("Group {name} is not a consumer group."),
        None => format!("Group {name} not found."),
    };
    answer.with_error_code(ResponseError::GroupIdNotFound.code()).with_error_message(Some(text(&message)))
}
