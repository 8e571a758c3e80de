//! DeleteGroups (42): groups without members go, with their offsets.

use kafka_protocol::ResponseError;
use kafka_protocol::messages::delete_groups_response::DeletableGroupResult;
use kafka_protocol::messages::{DeleteGroupsRequest, DeleteGroupsResponse, ResponseKind};

use crate::call::{Call, Reply};
use crate::cluster::Cluster;

pub(crate) fn handle(cluster: &mut Cluster, call: &Call, request: &DeleteGroupsRequest) -> Reply {
    let results = request.groups_names.iter().map(|group| {
        let error = delete(cluster, call, group.as_str()).err().map_or(0, |error| error.code());
        DeletableGroupResult::default().with_group_id(group.clone()).with_error_code(error)
    });
    let answer = DeleteGroupsResponse::default().with_results(results.collect());
    Reply::now(ResponseKind::DeleteGroups(answer))
}

fn delete(cluster: &mut Cluster, call: &Call, group: &str) -> Result<(), ResponseError> {
    cluster.groups.admit_nameless(call.node, group, cluster.now())?;
    let hosted = cluster.groups.get(group).ok_or(ResponseError::GroupIdNotFound)?;
    if !hosted.is_vacant() {
        return Err(ResponseError::NonEmptyGroup);
    }
    cluster.groups.delete(group);
    Ok(())
}
