//! Each event in one sentence, for people.

use super::{Advised, Event, LostPosition, Recreated};

impl Event {
    /// The event in one sentence.
    pub fn message(&self) -> String {
        match self {
            Event::ServiceStarted { version, .. } => format!("steadfast {version} runs"),
            Event::HttpListening { server } => format!("HTTP is answered at {server}"),
            Event::ViewAgreed { endpoints, support, electorate, .. } => {
                format!("{support} of {electorate} witnesses agree on {} brokers", endpoints.len())
            }
            Event::AuthenticationFailed { server, mechanism, failure } => {
                format!("{server} does not let us in by {mechanism}: {failure}")
            }
            Event::TlsFailed { server, failure } => format!("no TLS with {server}: {failure}"),
            Event::WitnessFailed { server, failure } => format!("{server} is no witness: {failure}"),
            Event::EndpointSuspected { reason, .. } => format!("an endpoint is suspected: {reason}"),
            Event::ConnectionReplaced { connection } => connection.to_string(),
            Event::EndpointDrifted { changes, score, threshold, action } => {
                format!(
                    "{} endpoints changed (score {score:.2}, threshold {threshold}): {action}",
                    changes.len()
                )
            }
            Event::ConsumerRespawned { incarnation, reason, gap, redelivered, .. } => {
                format!("consumer {incarnation} took over ({reason}): gap {gap}, redelivered {redelivered}")
            }
            Event::PartitionResumed { place, after, .. } => {
                format!("{place} goes on at {after}")
            }
            Event::PartitionStalled { place, position, .. } => {
                format!("{place} stands still at {position} although records wait")
            }
            Event::PartitionsAssigned { partitions, owned, .. } => {
                format!("{} partitions assigned, {owned} owned", partitions.len())
            }
            Event::PartitionStarted { place, offset, source, .. } => {
                format!("{place} starts at {offset} ({source})")
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
            Event::GroupRebalanceCompleted { rebalance } => format!(
                "the rebalance is over after {:.0} ms: {} partitions taken up, {} given up, {} kept",
                rebalance.took_ms, rebalance.taken_up, rebalance.given_up, rebalance.kept
            ),
            Event::GroupAdvised { advice } => {
                let one = |advised: &Advised| format!("{}: {}", advised.evidence, advised.cure);
                advice.iter().map(one).collect::<Vec<_>>().join("; ")
            }
            Event::CheckpointCommitted { partitions, .. } => format!("{partitions} partitions committed"),
            Event::CheckpointFailed { failure, .. } => format!("offsets could not be committed: {failure}"),
            Event::ActorRestarted { actor, failure, .. } => format!("{actor} is begun anew: {failure}"),
            Event::ActorFailed { actor, failure } => format!("{actor} is given up: {failure}"),
            Event::ConfigReloaded { applied, after_restart }
                if applied.is_empty() && after_restart.is_empty() =>
            {
                "the configuration file says again what is in force".to_owned()
            }
            Event::ConfigReloaded { .. } => "the changed configuration is in force".to_owned(),
            Event::ConfigRejected { reason } => format!("the old configuration stays in force: {reason}"),
            Event::BatchReturned { place, from, failure } => {
                format!("{place} goes back to {from}: {failure}")
            }
            Event::SinkUnavailable { place, from, failure, .. } => {
                format!("{place} waits at {from}, its target is away: {failure}")
            }
            Event::SinkRecovered { place, unavailable_ms } => {
                format!("the target of {place} is back after {unavailable_ms:.0} ms")
            }
            Event::RecordDeadLettered { place, offset, failure, .. } => {
                format!("the record at {offset} of {place} is among the dead letters: {failure}")
            }
            Event::DeadLettersUnavailable { place, offset, failure, .. } => {
                format!("{place} waits at {offset}, the dead letters are away: {failure}")
            }
            Event::PartitionReleased { place, acked: Some(acked) } => {
                format!("{place} is tried again from {acked} on")
            }
            Event::PartitionReleased { place, acked: None } => format!("{place} begins anew"),
            Event::RecordsRedelivered { place, records, .. } => {
                format!("{records} records of {place} were delivered again")
            }
            Event::PartitionQuarantined { place, acked, reason } => {
                format!("{place} is not fetched any more, from {acked} on: {reason}")
            }
            Event::PartitionUndecodable { place, error, .. } => {
                format!("an answer for {place} cannot be decoded: {error}")
            }
            Event::PartitionRefused { place, error } => {
                format!("the leader refuses {place}: {error}")
            }
            Event::OffsetsOutOfRange { lost: LostPosition { place, position, available, cause, action } } => {
                format!("{place} does not have {position} ({cause}), but {available}: {action}")
            }
            Event::ClusterRegressed { place, before, after } => {
                format!("the leader epoch of {place} went back from {before} to {after}")
            }
            Event::TopicRecreated { topic: Recreated { topic, before, after } } => {
                format!("{topic} was deleted and created again: {before} is now {after}")
            }
            Event::ServiceDegraded { missing } => format!("degraded: {}", missing.join("; ")),
            Event::ServiceRecovered { degraded_ms } => {
                format!("no longer degraded, after {degraded_ms:.0} ms")
            }
            Event::RespawnBudgetSpent { budget, .. } => {
                format!("all {budget} respawns of the window are spent: drift is taken in place")
            }
            Event::MemberRefused { reason } => format!("the group refuses this member: {reason}"),
            Event::ServiceStopped { run } => {
                format!("stopped ({}) after {} records", run.reason, run.records)
            }
        }
    }
}
