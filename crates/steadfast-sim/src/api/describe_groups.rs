//! DescribeGroups (15): groups with their members.

use kafka_protocol::ResponseError;
use kafka_protocol::messages::describe_groups_response::DescribedGroup;
use kafka_protocol::messages::{DescribeGroupsRequest, DescribeGroupsResponse, GroupId, ResponseKind};

use crate::call::{Call, Reply};
use crate::cluster::Cluster;
use crate::group::{GroupState, text};
use crate::groups::{Hosted, Kind};

/// From this version on an unknown group is an error (KIP-1043); before, it is a dead one.
const GROUP_ID_NOT_FOUND: i16 = 6;

pub(crate) fn handle(cluster: &mut Cluster, call: &Call, request: &DescribeGroupsRequest) -> Reply {
    let groups = request.groups.iter().map(|group| describe(cluster, call, group));
    let answer = DescribeGroupsResponse::default().with_groups(groups.collect());
    Reply::now(ResponseKind::DescribeGroups(answer))
}

fn describe(cluster: &Cluster, call: &Call, group: &GroupId) -> DescribedGroup {
    let answer = DescribedGroup::default().with_group_id(group.clone());
    if let Err(error) = cluster.groups.admit_nameless(call.node, group.as_str(), cluster.now()) {
        return answer.with_error_code(error.code());
    }
    let dead = || answer.with_group_state(text(GroupState::Dead.name()));
    match cluster.groups.get(group.as_str()) {
        Some(Hosted { kind: Kind::Classic(group), .. }) => group.describe(),
        _ if call.version < GROUP_ID_NOT_FOUND => dead(),
        other => {
            let what = if other.is_some() { "is not a classic group" } else { "not found" };
            dead()
                .with_error_code(ResponseError::GroupIdNotFound.code())
                .with_error_message(Some(text(&format!("Group {} {what}.", group.as_str()))))
        }
    }
}
