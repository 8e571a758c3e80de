//! The one list of events: everything that steadfast says about itself, typed.
//!
//! Each event becomes one line of the log (`event.name` and the event's own fields, flat), and is given to the
//! user's observers. How loud an event is and what to do about it stands beside the list, in its [`catalogue`]; in
//! docs/events.md, which is made from both, all of it stands together.

pub mod catalogue;
mod parts;
mod sentences;

use std::collections::BTreeMap;

use actix::Message;
use serde::Serialize;
use steadfast_core::endpoints::drift::Change;
use steadfast_core::endpoints::view::Address;
use steadfast_core::ids::{ClusterId, ConsumerIncarnation, LeaderEpoch, NodeId, Offset, Partition};

pub use parts::{Advised, Failure, LostPosition, Place, Rebalance, Recreated, Replaced, Run, Server};

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
        /// `kafka.client.id`: the name under which brokers know it.
        #[serde(rename = "messaging.client.id")]
        client: String,
        /// The topics that it consumes, or the pattern that their names match.
        topics: Vec<String>,
        /// Where it begins to look for the cluster.
        bootstrap: Vec<Address>,
    },
    /// /livez, /readyz, /metrics and /status are answered.
    #[serde(rename = "http.listening")]
    HttpListening {
        /// Where: `http.listen`, with the port that the system chose if that says 0.
        #[serde(flatten)]
        server: Server,
    },
    /// Nothing can be verified, brokers that are needed cannot be reached, or no new consumer is made ready. What runs goes
    /// on, and steadfast goes on trying.
    #[serde(rename = "service.degraded")]
    ServiceDegraded {
        /// What is missing, one text each: mostly an address and why it gave no usable answer.
        missing: Vec<String>,
    },
    /// The service is no longer degraded: nothing is missing any more.
    #[serde(rename = "service.recovered")]
    ServiceRecovered {
        /// How long it was degraded.
        degraded_ms: f64,
    },
    /// The last event of a run.
    #[serde(rename = "service.stopped")]
    ServiceStopped {
        /// Why, and what the run came to.
        #[serde(flatten)]
        run: Run,
    },
    /// An actor ended and was begun anew; progress is no actor's state, so none is lost.
    #[serde(rename = "actor.restarted")]
    ActorRestarted {
        /// The actor's name: `member`, `checkpointer`, `handler orders-3`, `consumer`, …
        actor: String,
        /// Which of its lives ended.
        incarnation: u64,
        /// Why it ended: `panicked`, `arbiter_gone`, `abandoned`, `escalated` or `stopped`.
        #[serde(flatten)]
        failure: Failure,
    },
    /// An actor ended too often and is given up. If it was an observer the others go on, else the service ends with 70.
    #[serde(rename = "actor.failed")]
    ActorFailed {
        /// The actor's name.
        actor: String,
        /// Why it ended last, as in `actor.restarted`.
        #[serde(flatten)]
        failure: Failure,
    },
    /// The changed configuration file is in force, or one that was rejected says again what is (no keys then).
    #[serde(rename = "config.reloaded")]
    ConfigReloaded {
        /// The keys that changed and apply now.
        applied: Vec<String>,
        /// The keys that changed and apply when the process is started again.
        after_restart: Vec<String>,
    },
    /// The changed configuration file cannot be used: the configuration in force stays. Said once per reason.
    #[serde(rename = "config.rejected")]
    ConfigRejected {
        /// Everything that is wrong with it.
        reason: String,
    },
    /// Something made an endpoint doubtful: a connection broke, a fetch or a heartbeat is overdue, a broker gave
    /// another view or is not the leader any more, or the configuration changed. A discovery follows; nothing is
    /// switched on suspicion alone.
    #[serde(rename = "endpoint.suspected")]
    EndpointSuspected {
        /// What was noticed.
        reason: String,
        /// The broker's id, or null if it is not known.
        node: Option<NodeId>,
        /// The endpoint in doubt, if it is known.
        #[serde(flatten)]
        server: Option<Server>,
    },
    /// A connection that stood owed an answer and was left for a fresh one to the same address. Nothing comes twice.
    #[serde(rename = "connection.replaced")]
    ConnectionReplaced {
        /// Which one, and why.
        #[serde(flatten)]
        connection: Replaced,
    },
    /// Enough witnesses stand behind one view of the cluster, and it is another than before.
    #[serde(rename = "view.agreed")]
    ViewAgreed {
        /// The cluster's id, or null if the brokers report none.
        cluster: Option<ClusterId>,
        /// Broker id to the address where it is reached.
        endpoints: BTreeMap<NodeId, Address>,
        /// How many witnesses gave this view.
        support: usize,
        /// How many distinct addresses the view lists.
        electorate: usize,
    },
    /// An address answered and is not believed. Said once per address and reason.
    #[serde(rename = "witness.failed")]
    WitnessFailed {
        /// The endpoint that answered.
        #[serde(flatten)]
        server: Server,
        /// Why it is not believed: `other_cluster`, `empty` (it lists no brokers) or `silent`.
        #[serde(flatten)]
        failure: Failure,
    },
    /// We do not come in: the broker refuses the credentials or does not offer the mechanism, or there are none to
    /// show. It is tried again and again: a broker may learn of a user later. What runs goes on.
    #[serde(rename = "authentication.failed")]
    AuthenticationFailed {
        /// The endpoint that was to let us in.
        #[serde(flatten)]
        server: Server,
        /// The SASL mechanism.
        mechanism: &'static str,
        /// What went wrong: `refused`, `not_offered`, `not_asked`, `token` (none could be had), `unsendable` or
        /// `untrusted` (the broker does not know the password itself).
        #[serde(flatten)]
        failure: Failure,
    },
    /// There is no TLS with an endpoint, for its certificate or ours. Nothing but the handshake was sent to it.
    #[serde(rename = "tls.failed")]
    TlsFailed {
        /// The endpoint.
        #[serde(flatten)]
        server: Server,
        /// What went wrong: `wrong_name`, `expired`, `not_yet_valid`, `unknown_authority`, `ours_refused`, `certificate`.
        #[serde(flatten)]
        failure: Failure,
    },
    /// The agreed view differs from the endpoints in use.
    #[serde(rename = "endpoint.drifted")]
    EndpointDrifted {
        /// What changed: objects with `kind` (`moved`, `gone`, `added`, `resolved`), `node`, `from`, `to`.
        changes: Vec<Change<NodeId>>,
        /// The share of the endpoints in use that moved or are gone, from 0 to 1.
        score: f64,
        /// `drift.threshold`: a score above it replaces the consumer.
        threshold: f64,
        /// `respawn` (the consumer is replaced) or `adapt` (it takes the drift in place).
        action: &'static str,
    },
    /// A new incarnation of the consumer is in charge. Told when its first fetch answers are in, or after 30 s without
    /// them. The phases add up; a real outage is longer by the time before the first suspicion.
    #[serde(rename = "consumer.respawned")]
    ConsumerRespawned {
        /// Its number, counted from 1.
        incarnation: ConsumerIncarnation,
        /// `start` (the first one), `drift`, or `crash` (the one before it panicked).
        reason: &'static str,
        /// From the first suspicion to the begin of its discovery.
        #[serde(rename = "phase.detect_ms")]
        detect_ms: f64,
        /// From there to the agreed view.
        #[serde(rename = "phase.discover_ms")]
        discover_ms: f64,
        /// From there until the successor was connected and ready to fetch, failed attempts included.
        #[serde(rename = "phase.verify_ms")]
        verify_ms: f64,
        /// From there until every partition was the successor's.
        #[serde(rename = "phase.handover_ms")]
        handover_ms: f64,
        /// From there to the last partition's first accepted fetch answer, empty or not; absent if not seen within 30 s.
        #[serde(rename = "phase.first_record_ms", skip_serializing_if = "Option::is_none")]
        first_record_ms: Option<f64>,
        /// Offsets between a partition's position and the successor's first fetch: 0 means that none was skipped.
        gap: i64,
        /// Records delivered again since the respawn began.
        redelivered: u64,
    },
    /// A partition that was handed over had its first accepted fetch under the new incarnation.
    #[serde(rename = "partition.resumed")]
    PartitionResumed {
        /// The partition.
        #[serde(flatten)]
        place: Place,
        /// The position at the handover.
        before: Offset,
        /// Where the new incarnation's first accepted fetch began.
        after: Offset,
    },
    /// Drift asks for a respawn and the window's tokens are spent: it is taken in place.
    #[serde(rename = "respawn.budget_spent")]
    RespawnBudgetSpent {
        /// Respawns allowed in a window.
        budget: u32,
        /// The window.
        window_ms: f64,
    },
    /// A partition's leader epoch went back, and every witness says so for `drift.settle`: it is accepted.
    #[serde(rename = "cluster.regressed")]
    ClusterRegressed {
        /// The partition.
        #[serde(flatten)]
        place: Place,
        /// The epoch known before.
        before: LeaderEpoch,
        /// The epoch accepted now.
        after: LeaderEpoch,
    },
    /// A topic was deleted and created again under its name: offsets of the old one mean nothing in the new one.
    #[serde(rename = "topic.recreated")]
    TopicRecreated {
        /// Which one.
        #[serde(flatten)]
        topic: Recreated,
    },
    /// The group finished a rebalance.
    #[serde(rename = "group.rebalanced")]
    GroupRebalanced {
        /// The group's generation.
        generation: i32,
        /// Why this member took part: `first join`, `the group is rebalancing`, `partition counts changed`, …
        reason: String,
        /// The assignor that was used.
        assignor: String,
        /// Whether this member computed the assignment.
        led: bool,
        /// From the first sign of the rebalance to the assignment: draining, joining and syncing.
        took_ms: f64,
    },
    /// A rebalance is over: what moved has been fetched here. What it was and what it cost this member.
    #[serde(rename = "group.rebalance.completed")]
    GroupRebalanceCompleted {
        /// All of it.
        #[serde(flatten)]
        rebalance: Box<Rebalance>,
    },
    /// The rebalances of the last hour advise something that was not advised before. At most one in ten minutes.
    #[serde(rename = "group.advised")]
    GroupAdvised {
        /// All that they advise: objects with `cause` (a word), `evidence` (what was seen) and `cure` (what to change).
        advice: Vec<Advised>,
    },
    /// The group gave this member partitions.
    #[serde(rename = "partitions.assigned")]
    PartitionsAssigned {
        /// The new ones: objects with `topic` and `index`.
        partitions: Vec<Partition>,
        /// The group's generation.
        generation: i32,
        /// How many are owned now.
        owned: usize,
    },
    /// The group took partitions back; they were drained and committed first.
    #[serde(rename = "partitions.revoked")]
    PartitionsRevoked {
        /// The ones that were given up.
        partitions: Vec<Partition>,
        /// How long draining and committing took.
        took_ms: f64,
        /// How many could not be drained within the limit.
        undrained: usize,
    },
    /// The membership ended without us being asked: the partitions may be another's already, and nothing is
    /// committed for them.
    #[serde(rename = "partitions.lost")]
    PartitionsLost {
        /// The ones that were released at once.
        partitions: Vec<Partition>,
        /// `IllegalGeneration`, `UnknownMember`, `SessionExpired`, `DrainExpired` or `Fatal`.
        reason: String,
    },
    /// The group refuses this member for good; the process ends with 77.
    #[serde(rename = "member.refused")]
    MemberRefused {
        /// Why, and what would be needed.
        reason: String,
    },
    /// Offsets were stored.
    #[serde(rename = "checkpoint.committed")]
    CheckpointCommitted {
        /// How many partitions.
        partitions: usize,
        /// What it was for: `interval`, `revoke`, `respawn` or `retry`.
        occasion: &'static str,
        /// How long the coordinator took.
        took_ms: f64,
    },
    /// Offsets were not stored, or it is not known whether they were. They are kept and committed again.
    #[serde(rename = "checkpoint.failed")]
    CheckpointFailed {
        /// What it was for, as in `checkpoint.committed`.
        occasion: &'static str,
        /// How many partitions wait to be committed.
        partitions: usize,
        /// What went wrong: `connect`, `call` (no usable answer), `unverified` (the coordinator's address), or
        /// what the coordinator answered, by Kafka's name.
        #[serde(flatten)]
        failure: Failure,
    },
    /// A partition's first offset is known; it is fetched from there.
    #[serde(rename = "partition.started")]
    PartitionStarted {
        /// The partition.
        #[serde(flatten)]
        place: Place,
        /// Where it starts.
        #[serde(rename = "messaging.kafka.offset")]
        offset: Offset,
        /// `committed`, or `earliest` or `latest` where the group had committed nothing.
        source: &'static str,
        /// The offsets handed out under an earlier assignment and not committed: so much comes again at least.
        handed_again: i64,
    },
    /// Records wait, nothing is being processed and the position did not move for `fetch.stall_timeout`: the
    /// connection to the leader is replaced.
    #[serde(rename = "partition.stalled")]
    PartitionStalled {
        /// The partition.
        #[serde(flatten)]
        place: Place,
        /// The position that does not move.
        #[serde(rename = "messaging.kafka.offset")]
        position: Offset,
        /// For how long.
        stalled_ms: f64,
    },
    /// The leader refuses the partition, and not because of leadership. It is asked again every second.
    #[serde(rename = "partition.refused")]
    PartitionRefused {
        /// The partition.
        #[serde(flatten)]
        place: Place,
        /// What the broker answered, by Kafka's name.
        #[serde(rename = "error.type")]
        error: String,
    },
    /// What the leader sent cannot be decoded: a wrong checksum, an unknown format, a batch that is too large when
    /// decompressed. It is fetched again; nothing is skipped.
    #[serde(rename = "partition.undecodable")]
    PartitionUndecodable {
        /// The partition.
        #[serde(flatten)]
        place: Place,
        /// The position that was asked for.
        #[serde(rename = "messaging.kafka.offset")]
        position: Offset,
        /// What is wrong.
        #[serde(rename = "error.message")]
        error: String,
    },
    /// The leader's log does not have the position: it was deleted by retention, or the log was truncated
    /// (KIP-320). `offsets.out_of_range` in the configuration says what follows.
    #[serde(rename = "offsets.out_of_range")]
    OffsetsOutOfRange {
        /// Which position, and what is there.
        #[serde(flatten)]
        lost: LostPosition,
    },
    /// A handler failed a batch, rejected a record of it, or dropped it without an ack. The partition goes back to
    /// what was acked; after a rest the remainder is delivered again, in smaller pieces, until the bad record is known.
    #[serde(rename = "batch.returned")]
    BatchReturned {
        /// The partition.
        #[serde(flatten)]
        place: Place,
        /// The first offset of the batch.
        #[serde(rename = "messaging.kafka.offset")]
        from: Offset,
        /// `failed` or `rejected`, with what the handler said, or `dropped`.
        #[serde(flatten)]
        failure: Failure,
    },
    /// Where a partition's records are to go is away: a disk that is full, another cluster that does not answer. The
    /// partition rests, for longer each time, and tries again without end; no record is to blame.
    #[serde(rename = "sink.unavailable")]
    SinkUnavailable {
        /// The partition.
        #[serde(flatten)]
        place: Place,
        /// The first offset that waits.
        #[serde(rename = "messaging.kafka.offset")]
        from: Offset,
        /// `unavailable`, with what the handler said.
        #[serde(flatten)]
        failure: Failure,
        /// How often in a row.
        tries: u32,
    },
    /// Where a partition's records are to go is back: the first of them got there.
    #[serde(rename = "sink.recovered")]
    SinkRecovered {
        /// The partition.
        #[serde(flatten)]
        place: Place,
        /// For how long it was away.
        unavailable_ms: f64,
    },
    /// A bad record is where the dead letters go. It counts as processed.
    #[serde(rename = "record.dead_lettered")]
    RecordDeadLettered {
        /// The partition.
        #[serde(flatten)]
        place: Place,
        /// Its offset.
        #[serde(rename = "messaging.kafka.offset")]
        offset: Offset,
        /// The first offset after it: what cannot be read may stand for several.
        next: Offset,
        /// The type of the error and what it says.
        #[serde(flatten)]
        failure: Failure,
    },
    /// Where the dead letters go is away. The partition waits before its bad record, which is tried again without
    /// end, and is not acked before it is there; the other partitions go on.
    #[serde(rename = "deadletters.unavailable")]
    DeadLettersUnavailable {
        /// The partition.
        #[serde(flatten)]
        place: Place,
        /// The bad record's offset.
        #[serde(rename = "messaging.kafka.offset")]
        offset: Offset,
        /// `unavailable`, with what went wrong.
        #[serde(flatten)]
        failure: Failure,
        /// How often in a row.
        tries: u32,
    },
    /// Records were delivered again.
    #[serde(rename = "records.redelivered")]
    RecordsRedelivered {
        /// The partition.
        #[serde(flatten)]
        place: Place,
        /// How many.
        records: u64,
        /// `rewind`: under this assignment; `former_owner`: under an earlier one, here or elsewhere.
        reason: &'static str,
    },
    /// The partition stays owned and is not fetched any more; the others go on.
    #[serde(rename = "partition.quarantined")]
    PartitionQuarantined {
        /// The partition.
        #[serde(flatten)]
        place: Place,
        /// The first offset that is not processed.
        #[serde(rename = "messaging.kafka.offset")]
        acked: Offset,
        /// What is bad, what the handler died of last, or why the position cannot be fetched.
        reason: String,
    },
    /// A partition was released from quarantine: it is tried again with a new handler, as if nothing had failed.
    #[serde(rename = "partition.released")]
    PartitionReleased {
        /// The partition.
        #[serde(flatten)]
        place: Place,
        /// Where it goes on; none in a topic that was created anew: `partition.started` says it.
        #[serde(rename = "messaging.kafka.offset", skip_serializing_if = "Option::is_none")]
        acked: Option<Offset>,
    },
}

#[cfg(test)]
mod tests;
