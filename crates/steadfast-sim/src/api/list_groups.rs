//! ListGroups (16): the groups that the asked broker coordinates.

use kafka_protocol::messages::list_groups_response::ListedGroup;
use kafka_protocol::messages::{ListGroupsRequest, ListGroupsResponse, ResponseKind};
use kafka_protocol::protocol::StrBytes;

use crate::call::{Call, Reply};
use crate::cluster::Cluster;
use crate::group::{Group, text};

const CLASSIC: &str = "classic";

pub(crate) fn handle(cluster: &mut Cluster, call: &Call, request: &ListGroupsRequest) -> Reply {
    let groups = cluster.groups.on(call.node).filter(|(_, hosted)| is_asked_for(request, &hosted.group));
    let listed = groups.map(|(name, hosted)| {
        ListedGroup::default()
            .with_group_id(text(name).into())
            .with_protocol_type(text(hosted.group.protocol_type()))
            .with_group_state(text(hosted.group.state().name()))
            .with_group_type(text(CLASSIC))
    });
    let answer = ListGroupsResponse::default().with_groups(listed.collect());
    Reply::now(ResponseKind::ListGroups(answer))
}

/// An empty filter lets all pass.
fn is_asked_for(request: &ListGroupsRequest, group: &Group) -> bool {
    let passes = |filter: &[StrBytes], found: &str| {
        filter.is_empty() || filter.iter().any(|asked| asked.eq_ignore_ascii_case(found))
    };
    passes(&request.states_filter, group.state().name()) && passes(&request.types_filter, CLASSIC)
}
