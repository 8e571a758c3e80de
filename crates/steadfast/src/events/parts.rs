//! What several events have in common, named as OpenTelemetry's conventions name it.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use steadfast_core::cluster;
use steadfast_core::endpoints::view::Address;
use steadfast_core::ids::{NodeId, Offset, Partition};
use steadfast_supervision::ExitReason;

/// The partition that an event is about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Place {
    /// The topic.
    #[serde(rename = "messaging.destination.name")]
    pub topic: Arc<str>,
    /// The partition's number.
    #[serde(rename = "messaging.destination.partition.id")]
    pub partition: i32,
}

impl Place {
    /// Partition `partition` of `topic`.
    pub fn new(topic: impl Into<Arc<str>>, partition: i32) -> Place {
        Place { topic: topic.into(), partition }
    }
}

impl From<&Partition> for Place {
    fn from(partition: &Partition) -> Place {
        Place { topic: Arc::clone(&partition.topic), partition: partition.index }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.topic, self.partition)
    }
}

/// The endpoint that an event is about, as it is advertised.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Server {
    /// The endpoint's host, as it is advertised.
    #[serde(rename = "server.address")]
    pub host: String,
    /// Its port.
    #[serde(rename = "server.port")]
    pub port: u16,
}

impl From<Address> for Server {
    fn from(Address { host, port }: Address) -> Server {
        Server { host, port }
    }
}

impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Address::new(self.host.as_str(), self.port).fmt(f)
    }
}

/// A topic that was deleted and created again under its name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Recreated {
    /// The topic.
    #[serde(rename = "messaging.destination.name")]
    pub topic: Arc<str>,
    /// The id of the one that is gone, as Kafka's tools write it.
    pub before: String,
    /// The id of the one that has its name now.
    pub after: String,
}

impl From<&cluster::Recreated> for Recreated {
    fn from(cluster::Recreated { topic, from, to }: &cluster::Recreated) -> Recreated {
        Recreated { topic: Arc::clone(topic), before: from.to_string(), after: to.to_string() }
    }
}

/// A connection in whose place another one came, to the same address.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Replaced {
    /// The endpoint.
    #[serde(flatten)]
    pub server: Server,
    /// The broker's id.
    pub node: NodeId,
    /// Which answer it owed, and for how long.
    pub reason: String,
}

impl fmt::Display for Replaced {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the connection to {} is replaced: {}", self.server, self.reason)
    }
}

/// A run that is over.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Run {
    /// Why: `signal`, `until_end`, or what failed.
    pub reason: String,
    /// Records delivered to handlers.
    pub records: u64,
    /// Bytes of the delivered batches, decompressed.
    pub bytes: u64,
    /// Records delivered again, by this process or after a former owner.
    pub redelivered: u64,
    /// The run's length.
    pub elapsed_ms: f64,
    /// Partitions given up, in the whole run, before everything delivered was acked.
    pub unfinished: usize,
}

/// A position that is not in the leader's log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LostPosition {
    /// The partition.
    #[serde(flatten)]
    pub place: Place,
    /// The position that the leader does not have.
    pub position: Offset,
    /// The log's first offset, or the end of the history that it shares with us.
    pub available: Offset,
    /// `deleted` or `truncated`.
    pub cause: &'static str,
    /// `resume` at `available`, or `stop`: the partition is quarantined.
    pub action: &'static str,
}

/// What makes rebalances frequent, slow or costly, and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Advised {
    /// The cause in a word: `heartbeats`, `network`, `handlers`, `restarts`, `draining`, `eager`, `other_members`,
    /// `initialisation`, `brokers`, `undrained`, `uncommitted` or `idle_members`.
    pub cause: String,
    /// What was seen.
    pub evidence: String,
    /// What to change.
    pub cure: String,
}

/// A rebalance that is over, and what it cost this member. Read again from the history, where what is missing is 0.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Rebalance {
    /// The group's generation (classic) or this member's epoch (consumer protocol) that it ended in.
    pub generation: i32,
    /// What began it, in a word: `start`, `round_began` (the group began it), `subscription_changed`, `partitions_changed`,
    /// `session_expired`, `unknown_member`, `illegal_generation`, `round_expired`, `restarted`.
    pub reason: String,
    /// Why its last round was joined: as `reason`, or `released` (what went to others had been given up).
    pub latest_reason: String,
    /// What set it off, as far as this member could see as the group's leader: who joined, left or changed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trigger: Option<String>,
    /// How members went through it: `eager`, `cooperative` or `consumer`.
    pub protocol: String,
    /// The assignor that was used.
    pub assignor: String,
    /// Whether this member computed the assignment.
    pub led: bool,
    /// The id of the member that did; absent where a broker does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub led_by: Option<String>,
    /// As leader: how many members the group has.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub members: Option<usize>,
    /// As leader: how many of them were given nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub idle_members: Option<usize>,
    /// How many rounds it took.
    pub rounds: u32,
    /// Giving everything up before the join, commits included: eager members only.
    #[serde(rename = "phase.drain_ms")]
    pub drain_ms: f64,
    /// From there until the coordinator named the generation.
    #[serde(rename = "phase.join_ms")]
    pub join_ms: f64,
    /// From there until the assignment was known; of the consumer protocol the reconciliation.
    #[serde(rename = "phase.sync_ms")]
    pub sync_ms: f64,
    /// After an assignment that took partitions away: until they were given up, commits included.
    #[serde(rename = "phase.revoke_ms", skip_serializing_if = "Option::is_none")]
    pub revoke_ms: Option<f64>,
    /// Of giving up: from the handlers' end to the stored commit.
    #[serde(rename = "phase.commit_ms", skip_serializing_if = "Option::is_none")]
    pub commit_ms: Option<f64>,
    /// From the assignment until the last handler of what was taken up had begun its life.
    #[serde(rename = "phase.handlers_ms", skip_serializing_if = "Option::is_none")]
    pub handlers_ms: Option<f64>,
    /// From the assignment to the first answered fetch, empty or not, of the last partition that was taken up.
    #[serde(rename = "phase.first_record_ms", skip_serializing_if = "Option::is_none")]
    pub first_record_ms: Option<f64>,
    /// From the first sign to the end of the last phase.
    pub took_ms: f64,
    /// How many partitions are this member's now and were not before.
    pub taken_up: usize,
    /// Which, in short: `orders 0-5 7`.
    pub taken_up_partitions: String,
    /// How many were this member's before and are not now.
    pub given_up: usize,
    /// Which.
    pub given_up_partitions: String,
    /// How many were this member's before and are now.
    pub kept: usize,
    /// How many were lost on the way: nothing was committed for them.
    pub lost: usize,
    /// How many of those given up still held what was delivered and not acked: that comes again.
    pub undrained: usize,
    /// How many had not been fetched here 30 s after the assignment, or when the next rebalance began.
    pub unseen: usize,
    /// Of all partitions that are this member's now, the time from when they were delivered nowhere that it knows of (it
    /// stopped, or the round began) to their first fetch here, in seconds, added up.
    pub unavailable_partition_seconds: f64,
    /// Offsets that are delivered again: the former owners had been handed them and had not committed them.
    pub handed_again: u64,
    /// How well that is known: `exact`, `at_least` (a former owner crashed, or was idle), `unknown` (it was another program).
    pub handed_again_certainty: String,
    /// How often the connections to the coordinator were left since the rebalance before.
    pub coordinator_losses: u32,
    /// Requests to the coordinator meanwhile, heartbeats and commits included.
    pub requests: u64,
    /// Their bytes and those of the answers.
    pub bytes: u64,
}

/// What went wrong: a class to group and count by, and a sentence to read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Failure {
    /// The class of what went wrong: one of few words.
    #[serde(rename = "error.type")]
    pub class: Cow<'static, str>,
    /// What went wrong, in a sentence.
    #[serde(rename = "error.message")]
    pub message: String,
}

impl Failure {
    /// A failure of this class. The class is one of few, whatever happens; what differs belongs in the message.
    pub fn new(class: impl Into<Cow<'static, str>>, message: impl fmt::Display) -> Failure {
        Failure { class: class.into(), message: message.to_string() }
    }
}

impl From<&ExitReason> for Failure {
    fn from(reason: &ExitReason) -> Failure {
        let class = match reason {
            ExitReason::Stopped => "stopped",
            ExitReason::Panicked { .. } => "panicked",
            ExitReason::ArbiterGone => "arbiter_gone",
            ExitReason::Abandoned => "abandoned",
            ExitReason::Escalated { .. } => "escalated",
        };
        Failure::new(class, reason)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}
