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
    cluster.groups.get_or_create(group);
    let serial = cluster.groups.next_serial();
    groups::act(cluster, group, |group, now| group.join(call, request, serial, now));
    groups::reply(cluster, call)
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
