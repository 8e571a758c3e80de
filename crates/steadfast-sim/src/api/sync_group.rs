//! SyncGroup (14): the assignment of a generation.

use kafka_protocol::ResponseError;
use kafka_protocol::messages::{ResponseKind, SyncGroupRequest, SyncGroupResponse};

use crate::call::{Call, Reply};
use crate::cluster::Cluster;
use crate::groups;

/// From this version on a request names the protocol (KIP-559).
const NAMES_PROTOCOL: i16 = 5;

pub(crate) fn handle(cluster: &mut Cluster, call: &Call, request: &SyncGroupRequest) -> Reply {
    let group = request.group_id.as_str();
    let nameless = request.protocol_type.is_none() || request.protocol_name.is_none();
    if call.version >= NAMES_PROTOCOL && nameless {
        return refuse(ResponseError::InconsistentGroupProtocol);
    }
    if let Err(error) = cluster.groups.admit(call.node, group, cluster.now()) {
        return refuse(error);
    }
    match groups::act(cluster, group, |group, now| group.sync(call, request, now)) {
        Some(()) => groups::reply(cluster, call),
        None => {
            let synced = groups::act_on_consumers(cluster, group, |group, topics, now| {
                group.sync_embedded(request, topics, now)
            });
            match synced.unwrap_or(Err(ResponseError::UnknownMemberId)) {
                Ok(answer) => Reply::now(ResponseKind::SyncGroup(answer)),
                Err(error) => refuse(error),
            }
        }
    }
}

fn refuse(error: ResponseError) -> Reply {
    Reply::now(ResponseKind::SyncGroup(SyncGroupResponse::default().with_error_code(error.code())))
}
