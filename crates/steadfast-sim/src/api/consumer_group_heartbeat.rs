//! ConsumerGroupHeartbeat (68): members of the consumer protocol join, live, give up, get and leave (KIP-848).

use kafka_protocol::messages::{ConsumerGroupHeartbeatRequest, ConsumerGroupHeartbeatResponse, ResponseKind};

use crate::call::{Call, Reply};
use crate::cluster::Cluster;
use crate::consumer_group::{Refusal, check};
use crate::group::text;
use crate::groups;

pub(crate) fn handle(cluster: &mut Cluster, call: &Call, request: &ConsumerGroupHeartbeatRequest) -> Reply {
    let answer = heartbeat(cluster, call, request).unwrap_or_else(|refusal| {
        ConsumerGroupHeartbeatResponse::default()
            .with_error_code(refusal.error.code())
            .with_error_message(Some(text(&refusal.message)))
    });
    Reply::now(ResponseKind::ConsumerGroupHeartbeat(answer))
}

fn heartbeat(
    cluster: &mut Cluster,
    call: &Call,
    request: &ConsumerGroupHeartbeatRequest,
) -> Result<ConsumerGroupHeartbeatResponse, Refusal> {
    check(call.version, request)?;
    cluster.groups.admit(call.node, request.group_id.as_str(), cluster.now())?;
    groups::heartbeat(cluster, call, request)
}
