//! JoinGroup (11): into a group's next generation.

use kafka_protocol::ResponseError;
use kafka_protocol::messages::{JoinGroupRequest, ResponseKind};

use crate::call::{Call, Reply};
use crate::cluster::Cluster;
use crate::group::refusal;
use crate::groups;

pub(crate) fn handle(cluster: &mut Cluster, call: &Call, request: &JoinGroupRequest) -> Reply {
    if let Err(error) = admit(cluster, call, request) {
        let answer = refusal(call.version, request.member_id.as_str(), error);
        return Reply::now(ResponseKind::JoinGroup(answer));
    }
    let group = request.group_id.as_str();
    cluster.groups.for_classic(group);
    let serial = cluster.groups.next_serial();
    match groups::act(cluster, group, |group, now| group.join(call, request, serial, now)) {
        Some(()) => groups::reply(cluster, call),
        None => join_consumers(cluster, call, request, serial),
    }
}

/// Into a group of the consumer protocol that has members.
fn join_consumers(cluster: &mut Cluster, call: &Call, request: &JoinGroupRequest, serial: u64) -> Reply {
    let group = request.group_id.as_str();
    let joined = groups::act_on_consumers(cluster, group, |group, topics, now| {
        group.join_embedded(call, request, topics, serial, now)
    });
    let refused = || Err((ResponseError::UnknownMemberId, request.member_id.as_str().into()));
    let answer = joined
        .unwrap_or_else(refused)
        .unwrap_or_else(|(error, member)| refusal(call.version, &member, error));
    Reply::now(ResponseKind::JoinGroup(answer))
}

fn admit(cluster: &Cluster, call: &Call, request: &JoinGroupRequest) -> Result<(), ResponseError> {
    let group = request.group_id.as_str();
    cluster.groups.admit(call.node, group, cluster.now())?;
    let settings = cluster.groups.settings();
    let session = u64::try_from(request.session_timeout_ms).map(std::time::Duration::from_millis);
    if !session.is_ok_and(|session| session >= settings.min_session && session <= settings.max_session) {
        return Err(ResponseError::InvalidSessionTimeout);
    }
    // A group is made by those who don't claim to be in it already.
    if cluster.groups.get(group).is_none() && !request.member_id.is_empty() {
        return Err(ResponseError::UnknownMemberId);
    }
    Ok(())
}
