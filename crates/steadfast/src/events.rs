//! The one list of events: everything that steadfast says about itself, typed.
//!
//! Each event becomes one line of the log (`event.name` and the event's own fields, flat), and is given to the
//! user's observers. docs/events.md lists them; a test holds the two together.

mod sentences;

use std::collections::BTreeMap;
use std::sync::Arc;

use actix::Message;
use serde::Serialize;
use steadfast_core::endpoints::drift::Change;
use steadfast_core::endpoints::view::Address;
use steadfast_core::ids::{ClusterId, ConsumerIncarnation, LeaderEpoch, NodeId, Offset, Partition};
use tracing::Level;

/// Something that happened. Times are in milliseconds where the field's name ends in `_ms`.
#[derive(Debug, Clone, Serialize, Message)]
#[serde(tag = "event.name")]
#[rtype(result = "()")]
pub enum Event {
    /// The service's actors run; it looks for its cluster.
    #[serde(rename = "service.started")]
    ServiceStarted {
        /// The version of steadfast.
        version: &'static str,
        /// The group that it is a member of.
        #[serde(rename = "messaging.consumer.group.name")]
        group: String,
        /// The topics that it consumes.
        topics: Vec<String>,
        /// Where it begins to look for the cluster.
        bootstrap: Vec<Address>,
    },
    /// Enough witnesses stand behind one view of the cluster, and it is another than before.
    #[serde(rename = "view.agreed")]
    ViewAgreed {
        /// The cluster's identity, if the brokers report one.
        cluster: Option<ClusterId>,
        /// Where each broker is reached.
        endpoints: BTreeMap<NodeId, Address>,
        /// How many witnesses gave this view.
        support: usize,
        /// How many addresses the view lists.
        electorate: usize,
    },
    /// A witness could not be believed: another cluster, or an empty list of brokers.
    #[serde(rename = "witness.failed")]
    WitnessFailed {
        /// The address that answered.
        witness: Address,
        /// Why it is no witness.
        reason: String,
    },
    /// Something made an endpoint doubtful; a discovery follows.
    #[serde(rename = "endpoint.suspected")]
    EndpointSuspected {
        /// What was noticed.
        reason: String,
        /// The broker, if it is known.
        node: Option<NodeId>,
        /// Its advertised address, if it is known.
        address: Option<Address>,
    },
    /// The agreed view differs from the endpoints in use.
    #[serde(rename = "endpoint.drifted")]
    EndpointDrifted {
        /// What changed, broker by broker.
        changes: Vec<Change<NodeId>>,
        /// The share of endpoints in use that moved or are gone.
        score: f64,
        /// A score above it replaces the consumer.
        threshold: f64,
        /// What is done: `respawn` or `adapt`.
        action: &'static str,
    },
    /// The consumer was replaced.
    #[serde(rename = "consumer.respawned")]
    ConsumerRespawned {
        /// The new incarnation.
        incarnation: ConsumerIncarnation,
        /// Why: `drift`, `crash` or `start`.
        reason: &'static str,
        /// From the first suspicion to the begin of its discovery.
        #[serde(rename = "phase.detect_ms")]
        detect_ms: f64,
        /// From there to the agreed view.
        #[serde(rename = "phase.discover_ms")]
        discover_ms: f64,
        /// From there until the successor was connected and ready to fetch.
        #[serde(rename = "phase.verify_ms")]
        verify_ms: f64,
        /// From there until every partition was the successor's.
        #[serde(rename = "phase.handover_ms")]
        handover_ms: f64,
        /// From there to the last partition's first accepted fetch answer, empty or not; absent if it was not
        /// seen in time.
        #[serde(rename = "phase.first_record_ms", skip_serializing_if = "Option::is_none")]
        first_record_ms: Option<f64>,
        /// Records skipped.
        gap: i64,
        /// Records delivered again.
        redelivered: u64,
    },
    /// A partition goes on under another incarnation.
    #[serde(rename = "partition.resumed")]
    PartitionResumed {
        /// The topic.
        #[serde(rename = "messaging.destination.name")]
        topic: Arc<str>,
        /// The partition's number.
        #[serde(rename = "messaging.destination.partition.id")]
        partition: i32,
        /// The position at the handover.
        before: Offset,
        /// Where the new incarnation's first accepted fetch began.
        after: Offset,
    },
    /// Records wait and the position does not move: the connection is replaced.
    #[serde(rename = "partition.stalled")]
    PartitionStalled {
        /// The topic.
        #[serde(rename = "messaging.destination.name")]
        topic: Arc<str>,
        /// The partition's number.
        #[serde(rename = "messaging.destination.partition.id")]
        partition: i32,
        /// The position that does not move.
        #[serde(rename = "messaging.kafka.offset")]
        position: Offset,
        /// For how long.
        stalled_ms: f64,
    },
    /// The group gave this member partitions.
    #[serde(rename = "partitions.assigned")]
    PartitionsAssigned {
        /// The partitions that are new.
        partitions: Vec<Partition>,
        /// The group's generation.
        generation: i32,
        /// How many partitions are owned now.
        owned: usize,
    },
    /// A partition's first offset is known: it is fetched from there.
    #[serde(rename = "partition.started")]
    PartitionStarted {
        /// The topic.
        #[serde(rename = "messaging.destination.name")]
        topic: Arc<str>,
        /// The partition's number.
        #[serde(rename = "messaging.destination.partition.id")]
        partition: i32,
        /// The offset it starts from.
        #[serde(rename = "messaging.kafka.offset")]
        offset: Offset,
        /// Where the offset comes from: `committed`, `earliest` or `latest`.
        source: &'static str,
        /// Records that the former owner was handed and did not commit: at least so many come again.
        handed_again: i64,
    },
    /// The group took partitions back; they were drained and committed first.
    #[serde(rename = "partitions.revoked")]
    PartitionsRevoked {
        /// The partitions that were given up.
        partitions: Vec<Partition>,
        /// How long draining and committing took.
        took_ms: f64,
        /// Partitions that could not be drained within the limit.
        undrained: usize,
    },
    /// The membership ended without us being asked: the partitions are another's already.
    #[serde(rename = "partitions.lost")]
    PartitionsLost {
        /// The partitions that were released at once.
        partitions: Vec<Partition>,
        /// Why.
        reason: String,
    },
    /// The group finished a rebalance.
    #[serde(rename = "group.rebalanced")]
    GroupRebalanced {
        /// The group's generation.
        generation: i32,
        /// Why this member took part.
        reason: String,
        /// The assignor that was used.
        assignor: String,
        /// Whether this member computed the assignment.
        led: bool,
        /// From the first sign of the rebalance to the assignment.
        took_ms: f64,
    },
    /// Offsets were stored.
    #[serde(rename = "checkpoint.committed")]
    CheckpointCommitted {
        /// How many partitions.
        partitions: usize,
        /// What it was for: `interval`, `revoke`, `respawn`, `retry`.
        occasion: &'static str,
        /// How long the coordinator took.
        took_ms: f64,
    },
    /// Offsets could not be stored; they are kept and committed again.
    #[serde(rename = "checkpoint.failed")]
    CheckpointFailed {
        /// What it was for.
        occasion: &'static str,
        /// What went wrong.
        #[serde(rename = "error.type")]
        error: String,
        /// How many partitions wait to be committed.
        partitions: usize,
    },
    /// An actor ended and was begun anew.
    #[serde(rename = "actor.restarted")]
    ActorRestarted {
        /// The actor's name.
        actor: String,
        /// Which life ended.
        incarnation: u64,
        /// Why it ended.
        reason: String,
    },
    /// An actor ended too often and is not begun again.
    #[serde(rename = "actor.failed")]
    ActorFailed {
        /// The actor's name.
        actor: String,
        /// Why it ended last.
        reason: String,
    },
    /// The changed configuration file is in force.
    #[serde(rename = "config.reloaded")]
    ConfigReloaded {
        /// The keys that changed and apply now.
        applied: Vec<String>,
        /// The keys that changed and apply after a restart of the process.
        after_restart: Vec<String>,
    },
    /// The changed configuration file cannot be used: the old configuration stays in force.
    #[serde(rename = "config.rejected")]
    ConfigRejected {
        /// What is wrong with it.
        reason: String,
    },
    /// A batch was not processed: its handler failed it, dropped it or crashed.
    #[serde(rename = "batch.returned")]
    BatchReturned {
        /// The topic.
        #[serde(rename = "messaging.destination.name")]
        topic: Arc<str>,
        /// The partition's number.
        #[serde(rename = "messaging.destination.partition.id")]
        partition: i32,
        /// The first offset of the batch.
        #[serde(rename = "messaging.kafka.offset")]
        from: Offset,
        /// What the handler said.
        reason: String,
    },
    /// Records were delivered again.
    #[serde(rename = "records.redelivered")]
    RecordsRedelivered {
        /// The topic.
        #[serde(rename = "messaging.destination.name")]
        topic: Arc<str>,
        /// The partition's number.
        #[serde(rename = "messaging.destination.partition.id")]
        partition: i32,
        /// How many.
        records: u64,
        /// `rewind`: this process had delivered them; `former_owner`: another had, as its last commit says.
        reason: &'static str,
    },
    /// A partition's handler failed too often: the partition stays owned and is not fetched.
    #[serde(rename = "partition.quarantined")]
    PartitionQuarantined {
        /// The topic.
        #[serde(rename = "messaging.destination.name")]
        topic: Arc<str>,
        /// The partition's number.
        #[serde(rename = "messaging.destination.partition.id")]
        partition: i32,
        /// The first offset that is not processed.
        #[serde(rename = "messaging.kafka.offset")]
        acked: Offset,
        /// What the handler said last.
        reason: String,
    },
    /// Where a partition's records are to go is away: the partition waits, and tries again without end.
    #[serde(rename = "sink.unavailable")]
    SinkUnavailable {
        /// The topic.
        #[serde(rename = "messaging.destination.name")]
        topic: Arc<str>,
        /// The partition's number.
        #[serde(rename = "messaging.destination.partition.id")]
        partition: i32,
        /// The first offset that waits.
        #[serde(rename = "messaging.kafka.offset")]
        from: Offset,
        /// What the handler said.
        reason: String,
        /// How often in a row; told at each power of two.
        tries: u32,
    },
    /// Where a partition's records are to go is back: the first of them got there.
    #[serde(rename = "sink.recovered")]
    SinkRecovered {
        /// The topic.
        #[serde(rename = "messaging.destination.name")]
        topic: Arc<str>,
        /// The partition's number.
        #[serde(rename = "messaging.destination.partition.id")]
        partition: i32,
        /// For how long it was away.
        unavailable_ms: f64,
    },
    /// A bad record is where the dead letters go; it counts as processed.
    #[serde(rename = "record.dead_lettered")]
    RecordDeadLettered {
        /// The topic.
        #[serde(rename = "messaging.destination.name")]
        topic: Arc<str>,
        /// The partition's number.
        #[serde(rename = "messaging.destination.partition.id")]
        partition: i32,
        /// Its offset.
        #[serde(rename = "messaging.kafka.offset")]
        offset: Offset,
        /// The first offset after it: what cannot be read may stand for several.
        next: Offset,
        /// Why it is bad.
        reason: String,
    },
    /// Where the dead letters go is away: the partition waits before its bad record, which is tried again without end.
    #[serde(rename = "deadletters.unavailable")]
    DeadLettersUnavailable {
        /// The topic.
        #[serde(rename = "messaging.destination.name")]
        topic: Arc<str>,
        /// The partition's number.
        #[serde(rename = "messaging.destination.partition.id")]
        partition: i32,
        /// The bad record's offset.
        #[serde(rename = "messaging.kafka.offset")]
        offset: Offset,
        /// What went wrong.
        reason: String,
        /// How often in a row; told at each power of two.
        tries: u32,
    },
    /// A partition was released from quarantine: it is tried again with a new handler.
    #[serde(rename = "partition.released")]
    PartitionReleased {
        /// The topic.
        #[serde(rename = "messaging.destination.name")]
        topic: Arc<str>,
        /// The partition's number.
        #[serde(rename = "messaging.destination.partition.id")]
        partition: i32,
        /// Where it goes on.
        #[serde(rename = "messaging.kafka.offset")]
        acked: Offset,
    },
    /// The leader answered with something that cannot be decoded; it is asked again.
    #[serde(rename = "partition.undecodable")]
    PartitionUndecodable {
        /// The topic.
        #[serde(rename = "messaging.destination.name")]
        topic: Arc<str>,
        /// The partition's number.
        #[serde(rename = "messaging.destination.partition.id")]
        partition: i32,
        /// The position that was asked for.
        #[serde(rename = "messaging.kafka.offset")]
        position: Offset,
        /// What is wrong.
        #[serde(rename = "error.type")]
        error: String,
    },
    /// The leader refuses a partition for a reason that is not about leadership; it is asked again.
    #[serde(rename = "partition.refused")]
    PartitionRefused {
        /// The topic.
        #[serde(rename = "messaging.destination.name")]
        topic: Arc<str>,
        /// The partition's number.
        #[serde(rename = "messaging.destination.partition.id")]
        partition: i32,
        /// What the broker answered.
        #[serde(rename = "error.type")]
        error: String,
    },
    /// The log does not have (or no longer has) the position.
    #[serde(rename = "offsets.out_of_range")]
    OffsetsOutOfRange {
        /// The topic.
        #[serde(rename = "messaging.destination.name")]
        topic: Arc<str>,
        /// The partition's number.
        #[serde(rename = "messaging.destination.partition.id")]
        partition: i32,
        /// The position that the leader does not have.
        position: Offset,
        /// The log's first offset, or the end of the history that it shares with us after a truncation.
        available: Offset,
        /// `truncated` (KIP-320) or `deleted`.
        cause: &'static str,
        /// What is done: `resume` at `available`, or `stop` (the partition is quarantined).
        action: &'static str,
    },
    /// The cluster's leader epochs went back, on the word of every witness.
    #[serde(rename = "cluster.regressed")]
    ClusterRegressed {
        /// The topic.
        #[serde(rename = "messaging.destination.name")]
        topic: Arc<str>,
        /// The partition's number.
        #[serde(rename = "messaging.destination.partition.id")]
        partition: i32,
        /// The epoch known before.
        before: LeaderEpoch,
        /// The epoch accepted now.
        after: LeaderEpoch,
    },
    /// A topic was deleted and created again: offsets of the old one mean nothing in the new one.
    #[serde(rename = "topic.recreated")]
    TopicRecreated {
        /// The topic.
        #[serde(rename = "messaging.destination.name")]
        topic: Arc<str>,
    },
    /// Nothing can be verified: what runs goes on as it is, and discovery goes on.
    #[serde(rename = "service.degraded")]
    ServiceDegraded {
        /// What is missing.
        missing: Vec<String>,
    },
    /// The service is no longer degraded.
    #[serde(rename = "service.recovered")]
    ServiceRecovered {
        /// How long it was degraded.
        degraded_ms: f64,
    },
    /// The budget of respawns is spent: drift is taken in place.
    #[serde(rename = "respawn.budget_spent")]
    RespawnBudgetSpent {
        /// Respawns allowed per window.
        budget: u32,
        /// The window.
        window_ms: f64,
    },
    /// The group refuses this member for good: the service ends.
    #[serde(rename = "member.refused")]
    MemberRefused {
        /// Why.
        reason: String,
    },
    /// The service has ended.
    #[serde(rename = "service.stopped")]
    ServiceStopped {
        /// Why: `signal`, `until_end`, or what failed.
        reason: String,
        /// Records delivered.
        records: u64,
        /// Bytes of the delivered batches, decompressed.
        bytes: u64,
        /// Records delivered again.
        redelivered: u64,
        /// The run's length.
        elapsed_ms: f64,
        /// Partitions that were not drained or committed in time.
        unfinished: usize,
    },
}

impl Event {
    /// How loud the event is: ERROR wakes somebody.
    pub fn level(&self) -> Level {
        match self {
            Event::MemberRefused { .. } | Event::ActorFailed { .. } | Event::PartitionQuarantined { .. } => {
                Level::ERROR
            }
            Event::EndpointSuspected { .. }
            | Event::EndpointDrifted { .. }
            | Event::WitnessFailed { .. }
            | Event::PartitionStalled { .. }
            | Event::PartitionsLost { .. }
            | Event::CheckpointFailed { .. }
            | Event::ActorRestarted { .. }
            | Event::ConfigRejected { .. }
            | Event::BatchReturned { .. }
            | Event::SinkUnavailable { .. }
            | Event::DeadLettersUnavailable { .. }
            | Event::RecordDeadLettered { .. }
            | Event::RecordsRedelivered { .. }
            | Event::PartitionUndecodable { .. }
            | Event::PartitionRefused { .. }
            | Event::OffsetsOutOfRange { .. }
            | Event::ClusterRegressed { .. }
            | Event::TopicRecreated { .. }
            | Event::ServiceDegraded { .. }
            | Event::RespawnBudgetSpent { .. } => Level::WARN,
            Event::ServiceStarted { .. }
            | Event::ViewAgreed { .. }
            | Event::ConsumerRespawned { .. }
            | Event::PartitionResumed { .. }
            | Event::PartitionStarted { .. }
            | Event::PartitionsAssigned { .. }
            | Event::PartitionsRevoked { .. }
            | Event::GroupRebalanced { .. }
            | Event::ConfigReloaded { .. }
            | Event::ServiceRecovered { .. }
            | Event::SinkRecovered { .. }
            | Event::PartitionReleased { .. }
            | Event::ServiceStopped { .. } => Level::INFO,
            Event::CheckpointCommitted { .. } => Level::DEBUG,
        }
    }
}

#[cfg(test)]
mod tests;
