//! LeaveGroup (13): members go.

use kafka_protocol::ResponseError;
use kafka_protocol::messages::leave_group_request::MemberIdentity;
use kafka_protocol::messages::leave_group_response::MemberResponse;
use kafka_protocol::messages::{LeaveGroupRequest, LeaveGroupResponse, ResponseKind};

use crate::call::{Call, Reply};
use crate::cluster::Cluster;
use crate::groups;

/// From this version on several members go at once (KIP-345).
const BATCHED: i16 = 3;

pub(crate) fn handle(cluster: &mut Cluster, call: &Call, request: &LeaveGroupRequest) -> Reply {
    let batched = call.version >= BATCHED;
    let single = [MemberIdentity::default().with_member_id(request.member_id.clone())];
    let leavers = if batched { &request.members[..] } else { &single[..] };
    let answer = match (leave(cluster, call, request, leavers), batched) {
        (Ok(members), true) => LeaveGroupResponse::default().with_members(members),
        // One member's error is the answer's.
        (Ok(members), false) => LeaveGroupResponse::default()
            .with_error_code(members.first().map_or(0, |member| member.error_code)),
        (Err(error), _) => LeaveGroupResponse::default().with_error_code(error.code()),
    };
    Reply::now(ResponseKind::LeaveGroup(answer))
}

fn leave(
    cluster: &mut Cluster,
    call: &Call,
    request: &LeaveGroupRequest,
    leavers: &[MemberIdentity],
) -> Result<Vec<MemberResponse>, ResponseError> {
    let group = request.group_id.as_str();
    cluster.groups.admit(call.node, group, cluster.now())?;
    let answers = groups::act(cluster, group, |group, now| group.leave(leavers, now));
    let answers = answers.or_else(|| {
        let left = groups::act_on_consumers(cluster, group, |group, _, _| group.leave_embedded(leavers))?;
        Some(leavers.iter().zip(left).map(|(leaver, left)| answer(leaver, left)).collect())
    });
    Ok(answers.unwrap_or_else(|| leavers.iter().map(unknown).collect()))
}

fn answer(leaver: &MemberIdentity, left: Result<(), ResponseError>) -> MemberResponse {
    MemberResponse::default()
        .with_member_id(leaver.member_id.clone())
        .with_group_instance_id(leaver.group_instance_id.clone())
        .with_error_code(left.err().map_or(0, |error| error.code()))
}

fn unknown(leaver: &MemberIdentity) -> MemberResponse {
    answer(leaver, Err(ResponseError::UnknownMemberId))
}
