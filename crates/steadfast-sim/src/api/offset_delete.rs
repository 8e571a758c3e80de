//! OffsetDelete (47): offsets that nobody reads from are forgotten.

use kafka_protocol::ResponseError;
use kafka_protocol::messages::offset_delete_request::OffsetDeleteRequestTopic;
use kafka_protocol::messages::offset_delete_response::{
    OffsetDeleteResponsePartition, OffsetDeleteResponseTopic,
};
use kafka_protocol::messages::{OffsetDeleteRequest, OffsetDeleteResponse, ResponseKind};
use steadfast_core::ids::Partition;

use crate::call::{Call, Reply};
use crate::cluster::Cluster;
use crate::groups;

pub(crate) fn handle(cluster: &mut Cluster, call: &Call, request: &OffsetDeleteRequest) -> Reply {
    let group = request.group_id.as_str();
    let answer = match admit(cluster, call, group) {
        Ok(()) => {
            let topics = request.topics.iter().map(|topic| delete(cluster, group, topic));
            OffsetDeleteResponse::default().with_topics(topics.collect())
        }
        Err(error) => OffsetDeleteResponse::default().with_error_code(error.code()),
    };
    Reply::now(ResponseKind::OffsetDelete(answer))
}

fn admit(cluster: &Cluster, call: &Call, group: &str) -> Result<(), ResponseError> {
    cluster.groups.admit(call.node, group, cluster.now())?;
    let hosted = cluster.groups.get(group).ok_or(ResponseError::GroupIdNotFound)?;
    // Of consumers the coordinator knows what they read, so that it can refuse by topic.
    if hosted.is_vacant() || hosted.is_of_consumers() {
        return Ok(());
    }
    Err(ResponseError::NonEmptyGroup)
}

fn delete(cluster: &mut Cluster, group: &str, topic: &OffsetDeleteRequestTopic) -> OffsetDeleteResponseTopic {
    let partitions = topic.partitions.iter().map(|asked| {
        let partition = Partition::new(topic.name.as_str(), asked.partition_index);
        let error = delete_one(cluster, group, &partition).err().map_or(0, |error| error.code());
        OffsetDeleteResponsePartition::default()
            .with_partition_index(asked.partition_index)
            .with_error_code(error)
    });
    let partitions = partitions.collect();
    OffsetDeleteResponseTopic::default().with_name(topic.name.clone()).with_partitions(partitions)
}

fn delete_one(cluster: &mut Cluster, group: &str, partition: &Partition) -> Result<(), ResponseError> {
    if !groups::partition_exists(cluster, partition) {
        return Err(ResponseError::UnknownTopicOrPartition);
    }
    let Some(hosted) = cluster.groups.get_mut(group) else { return Ok(()) };
    if hosted.reads(&partition.topic) {
        return Err(ResponseError::GroupSubscribedToTopic);
    }
    hosted.offsets.delete(partition);
    Ok(())
}
