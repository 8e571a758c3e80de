//! FindCoordinator (10): which broker coordinates a group or a transactional id.

use kafka_protocol::ResponseError;
use kafka_protocol::messages::find_coordinator_response::Coordinator;
use kafka_protocol::messages::{BrokerId, FindCoordinatorRequest, FindCoordinatorResponse, ResponseKind};
use kafka_protocol::protocol::StrBytes;
use steadfast_core::endpoints::view::Address;
use steadfast_core::ids::NodeId;

use crate::call::{Call, Reply};
use crate::cluster::Cluster;
use crate::group::text;

/// From this version on several keys are asked for at once (KIP-699).
const BATCHED: i16 = 4;
const GROUP: i8 = 0;
const TRANSACTION: i8 = 1;

pub(crate) fn handle(cluster: &mut Cluster, call: &Call, request: &FindCoordinatorRequest) -> Reply {
    let answer = if call.version >= BATCHED {
        let keys = request.coordinator_keys.iter();
        let found = keys.map(|key| coordinator(key, find(cluster, key, request.key_type)));
        FindCoordinatorResponse::default().with_coordinators(found.collect())
    } else {
        single(find(cluster, &request.key, request.key_type))
    };
    Reply::now(ResponseKind::FindCoordinator(answer))
}

fn find(cluster: &Cluster, key: &str, key_type: i8) -> Result<(NodeId, Address), ResponseError> {
    if key_type != GROUP && key_type != TRANSACTION {
        return Err(ResponseError::InvalidRequest);
    }
    let node = cluster.groups.find_coordinator(key, cluster.now());
    let found = node.and_then(|node| Some((node, cluster.brokers().get(&node)?.address.clone())));
    found.ok_or(ResponseError::CoordinatorNotAvailable)
}

/// Before version 4 the error is told in words too, even that there is none.
fn single(found: Result<(NodeId, Address), ResponseError>) -> FindCoordinatorResponse {
    let answer = FindCoordinatorResponse::default();
    match found {
        Ok((node, address)) => answer
            .with_error_message(Some(text("NONE")))
            .with_node_id(BrokerId(node.0))
            .with_host(text(&address.host))
            .with_port(i32::from(address.port)),
        Err(error) => answer
            .with_error_code(error.code())
            .with_error_message(Some(text(&error.to_string())))
            .with_node_id(BrokerId(-1))
            .with_port(-1),
    }
}

fn coordinator(key: &StrBytes, found: Result<(NodeId, Address), ResponseError>) -> Coordinator {
    let answer = Coordinator::default().with_key(key.clone()).with_error_message(Some(text("")));
    match found {
        Ok((node, address)) => answer
            .with_node_id(BrokerId(node.0))
            .with_host(text(&address.host))
            .with_port(i32::from(address.port)),
        Err(error) => answer.with_error_code(error.code()).with_node_id(BrokerId(-1)).with_port(-1),
    }
}
