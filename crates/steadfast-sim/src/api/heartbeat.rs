//! Heartbeat (12): a member is alive, and hears whether a round is under way.

use kafka_protocol::ResponseError;
use kafka_protocol::messages::{HeartbeatRequest, HeartbeatResponse, ResponseKind};

use crate::call::{Call, Reply};
use crate::cluster::Cluster;
use crate::groups;

pub(crate) fn handle(cluster: &mut Cluster, call: &Call, request: &HeartbeatRequest) -> Reply {
    let error = heartbeat(cluster, call, request).err().map_or(0, |error| error.code());
    Reply::now(ResponseKind::Heartbeat(HeartbeatResponse::default().with_error_code(error)))
}

fn heartbeat(cluster: &mut Cluster, call: &Call, request: &HeartbeatRequest) -> Result<(), ResponseError> {
    let group = request.group_id.as_str();
    match cluster.groups.admit(call.node, group, cluster.now()) {
        // The session cannot end while the group is being loaded: the member need not know.
        Err(ResponseError::CoordinatorLoadInProgress) => return Ok(()),
        admitted => admitted?,
    }
    let member = request.member_id.as_str();
    let instance = request.group_instance_id.as_ref().map(|id| id.as_str());
    let generation = request.generation_id;
    groups::act(cluster, group, |group, now| group.heartbeat(member, instance, generation, now))
        .or_else(|| {
            groups::act_on_consumers(cluster, group, |group, _, now| {
                group.heartbeat_embedded(member, instance, generation, now)
            })
        })
        .unwrap_or(Err(ResponseError::UnknownMemberId))
}
