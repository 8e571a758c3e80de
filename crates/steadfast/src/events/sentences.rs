//! Each event in one sentence, for people.

use super::Event;

impl Event {
    /// The event in one sentence.
    pub fn message(&self) -> String {
        match self {
            Event::ServiceStarted { version, .. } => format!("steadfast {version} runs"),
            Event::ViewAgreed { endpoints, support, electorate, .. } => {
                format!("{support} of {electorate} witnesses agree on {} brokers", endpoints.len())
            }
            Event::WitnessFailed { witness, reason } => format!("{witness} is no witness: {reason}"),
            Event::EndpointSuspected { reason, .. } => format!("an endpoint is suspected: {reason}"),
            Event::EndpointDrifted { changes, score, threshold, action } => {
                format!(
                    "{} endpoints changed (score {score:.2}, threshold {threshold}): {action}",
                    changes.len()
                )
            }
            Event::ConsumerRespawned { incarnation, reason, gap, redelivered, .. } => {
                format!("consumer {incarnation} took over ({reason}): gap {gap}, redelivered {redelivered}")
            }
            Event::PartitionResumed { topic, partition, after, .. } => {
                format!("{topic}-{partition} goes on at {after}")
            }
            Event::PartitionStalled { topic, partition, position, .. } => {
                format!("{topic}-{partition} stands still at {position} although records wait")
            }
            Event::PartitionsAssigned { partitions, owned, .. } => {
                format!("{} partitions assigned, {owned} owned", partitions.len())
            }
            Event::PartitionStarted { topic, partition, offset, source, .. } => {
                format!("{topic}-{partition} starts at {offset} ({source})")
            }
            Event::PartitionsRevoked { partitions, .. } => {
                format!("{} partitions given up", partitions.len())
            }
            Event::PartitionsLost { partitions, reason } => {
                format!("{} partitions lost: {reason}", partitions.len())
            }
            Event::GroupRebalanced { generation, reason, .. } => {
                format!("generation {generation} of the group stands ({reason})")
            }
            Event::CheckpointCommitted { partitions, .. } => format!("{partitions} partitions committed"),
            Event::CheckpointFailed { error, .. } => format!("offsets could not be committed: {error}"),
            Event::ActorRestarted { actor, reason, .. } => format!("{actor} is begun anew: {reason}"),
            Event::ActorFailed { actor, reason } => format!("{actor} is given up: {reason}"),
            Event::ConfigReloaded { .. } => "the changed configuration is in force".to_owned(),
            Event::ConfigRejected { reason } => format!("the old configuration stays in force: {reason}"),
            Event::BatchReturned { topic, partition, from, reason } => {
                format!("{topic}-{partition} goes back to {from}: {reason}")
            }
            Event::RecordsRedelivered { topic, partition, records, .. } => {
                format!("{records} records of {topic}-{partition} were delivered again")
            }
            Event::PartitionQuarantined { topic, partition, acked, reason } => {
                format!("{topic}-{partition} is not fetched any more, from {acked} on: {reason}")
            }
            Event::SinkUnavailable { topic, partition, from, reason, .. } => {
                format!("{topic}-{partition} waits at {from}, its target is away: {reason}")
            }
            Event::SinkRecovered { topic, partition, unavailable_ms } => {
                format!("the target of {topic}-{partition} is back after {unavailable_ms:.0} ms")
            }
            Event::RecordDeadLettered { topic, partition, offset, reason, .. } => {
                format!("the record at {offset} of {topic}-{partition} is among the dead letters: {reason}")
            }
            Event::DeadLettersUnavailable { topic, partition, offset, reason, .. } => {
                format!("{topic}-{partition} waits at {offset}, the dead letters are away: {reason}")
            }
            Event::PartitionReleased { topic, partition, acked } => {
                format!("{topic}-{partition} is tried again from {acked} on")
            }
            Event::PartitionUndecodable { topic, partition, error, .. } => {
                format!("an answer for {topic}-{partition} cannot be decoded: {error}")
            }
            Event::PartitionRefused { topic, partition, error } => {
                format!("the leader refuses {topic}-{partition}: {error}")
            }
            Event::OffsetsOutOfRange { topic, partition, position, available, cause, action } => {
                format!("{topic}-{partition} does not have {position} ({cause}), but {available}: {action}")
            }
            Event::ClusterRegressed { topic, partition, before, after } => {
                format!("the leader epoch of {topic}-{partition} went back from {before} to {after}")
            }
            Event::TopicRecreated { topic } => format!("{topic} was deleted and created again"),
            Event::ServiceDegraded { missing } => format!("degraded: {}", missing.join("; ")),
            Event::ServiceRecovered { degraded_ms } => {
                format!("no longer degraded, after {degraded_ms:.0} ms")
            }
            Event::RespawnBudgetSpent { budget, .. } => {
                format!("all {budget} respawns of the window are spent: drift is taken in place")
            }
            Event::MemberRefused { reason } => format!("the group refuses this member: {reason}"),
            Event::ServiceStopped { reason, records, .. } => {
                format!("stopped ({reason}) after {records} records")
            }
        }
    }
}
