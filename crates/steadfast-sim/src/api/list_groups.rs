//! ListGroups (16): the groups that the asked broker coordinates.

use kafka_protocol::messages::list_groups_response::ListedGroup;
use kafka_protocol::messages::{ListGroupsRequest, ListGroupsResponse, ResponseKind};
use kafka_protocol::protocol::StrBytes;

use crate::call::{Call, Reply};
use crate::cluster::Cluster;
use crate::group::text;
use crate::groups::Hosted;

pub(crate) fn handle(cluster: &mut Cluster, call: &Call, request: &ListGroupsRequest) -> Reply {
    let groups = cluster.groups.on(call.node).filter(|(_, hosted)| is_asked_for(request, hosted));
    let listed = groups.map(|(name, hosted)| {
        ListedGroup::default()
            .with_group_id(text(name).into())
            .with_protocol_type(text(hosted.protocol_type()))
            .with_group_state(text(hosted.state_name()))
            .with_group_type(text(hosted.type_name()))
    });
    let answer = ListGroupsResponse::default().with_groups(listed.collect());
    Reply::now(ResponseKind::ListGroups(answer))
}

/// An empty filter lets all pass.
fn is_asked_for(request: &ListGroupsRequest, group: &Hosted) -> bool {
    let passes = |filter: &[StrBytes], found: &str| {
        filter.is_empty() || filter.iter().any(|asked| asked.eq_ignore_ascii_case(found))
    };
    passes(&request.states_filter, group.state_name()) && passes(&request.types_filter, group.type_name())
}
