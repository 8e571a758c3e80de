//! What a throttled client is told (KIP-219).

use std::time::Duration;

use kafka_protocol::messages::ResponseKind;

/// The answer with the time that its connection will be muted for. Versions that cannot say it leave it out.
pub(super) fn throttled(mut answer: ResponseKind, by: Duration) -> ResponseKind {
    let millis = i32::try_from(by.as_millis()).unwrap_or(i32::MAX);
    let told = match &mut answer {
        ResponseKind::Produce(answer) => &mut answer.throttle_time_ms,
        ResponseKind::Fetch(answer) => &mut answer.throttle_time_ms,
        ResponseKind::ListOffsets(answer) => &mut answer.throttle_time_ms,
        ResponseKind::Metadata(answer) => &mut answer.throttle_time_ms,
        ResponseKind::ApiVersions(answer) => &mut answer.throttle_time_ms,
        ResponseKind::InitProducerId(answer) => &mut answer.throttle_time_ms,
        ResponseKind::OffsetForLeaderEpoch(answer) => &mut answer.throttle_time_ms,
        ResponseKind::OffsetCommit(answer) => &mut answer.throttle_time_ms,
        ResponseKind::OffsetFetch(answer) => &mut answer.throttle_time_ms,
        ResponseKind::FindCoordinator(answer) => &mut answer.throttle_time_ms,
        ResponseKind::JoinGroup(answer) => &mut answer.throttle_time_ms,
        ResponseKind::Heartbeat(answer) => &mut answer.throttle_time_ms,
        ResponseKind::LeaveGroup(answer) => &mut answer.throttle_time_ms,
        ResponseKind::SyncGroup(answer) => &mut answer.throttle_time_ms,
        ResponseKind::DescribeCluster(answer) => &mut answer.throttle_time_ms,
        // Nobody who is throttled asks the others here: they are slowed down and not told.
        _ => return answer,
    };
    *told = (*told).max(millis);
    answer
}
