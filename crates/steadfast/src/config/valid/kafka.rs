//! `[kafka]`.

use std::time::Duration;

use steadfast_core::endpoints::view::Address;

use super::super::choices::{Assignor, AutoOffsetReset, GroupProtocol, IsolationLevel, RemoteAssignor};
use super::super::read::Reader;
use super::security::{SecuritySettings, security};

/// `[kafka]`: settings by Java's names.
#[derive(Debug, Clone, PartialEq)]
pub struct Kafka {
    /// At least one.
    pub bootstrap_servers: Vec<Address>,
    /// Not empty.
    pub group_id: String,
    /// Not empty.
    pub client_id: String,
    /// Set for a static member (KIP-345).
    pub group_instance_id: Option<String>,
    /// Who shares the partitions out.
    pub group_protocol: GroupProtocol,
    /// Of the consumer protocol; none leaves the coordinator the choice.
    pub group_remote_assignor: Option<RemoteAssignor>,
    /// At least a second.
    pub session_timeout: Duration,
    /// At most a third of the session timeout; none when steadfast chooses.
    pub heartbeat_interval: Option<Duration>,
    /// The rebalance timeout.
    pub max_poll_interval: Duration,
    /// The most records of one batch that a handler is given, at least 1.
    pub max_poll_records: usize,
    /// In order of preference, at least one.
    pub partition_assignment_strategy: Vec<Assignor>,
    /// Where to begin without a committed offset.
    pub auto_offset_reset: AutoOffsetReset,
    /// What to read of transactions.
    pub isolation_level: IsolationLevel,
    /// Bytes, at least 1.
    pub fetch_min_bytes: i32,
    /// Bytes, at least `fetch_min_bytes`.
    pub fetch_max_bytes: i32,
    /// Bytes, at most `fetch.buffer_bytes`.
    pub max_partition_fetch_bytes: i32,
    /// Below the request timeout.
    pub fetch_max_wait: Duration,
    /// For one request.
    pub request_timeout: Duration,
    /// How connections are secured.
    pub security: SecuritySettings,
}

pub(super) fn kafka(from: &mut Reader<'_>) -> Option<Kafka> {
    let bootstrap_servers = from.addresses("kafka.bootstrap.servers");
    let group_id = from.text("kafka.group.id");
    let client_id = from.text("kafka.client.id");
    let group_instance_id = from.name_if_set("kafka.group.instance.id");
    let group_protocol = from.choice("kafka.group.protocol");
    let group_remote_assignor = from.choice_if_set("kafka.group.remote.assignor");
    let session_timeout = from.duration("kafka.session.timeout.ms");
    let heartbeat_interval = from.duration_if_set("kafka.heartbeat.interval.ms");
    let max_poll_interval = from.duration("kafka.max.poll.interval.ms");
    let max_poll_records = from.integer("kafka.max.poll.records");
    let partition_assignment_strategy = from.assignors("kafka.partition.assignment.strategy");
    let auto_offset_reset = from.choice("kafka.auto.offset.reset");
    let isolation_level = from.choice("kafka.isolation.level");
    let fetch_min_bytes = from.bytes("kafka.fetch.min.bytes");
    let fetch_max_bytes = from.bytes("kafka.fetch.max.bytes");
    let max_partition_fetch_bytes = from.bytes("kafka.max.partition.fetch.bytes");
    let fetch_max_wait = from.duration("kafka.fetch.max.wait.ms");
    let request_timeout = from.duration("kafka.request.timeout.ms");
    let security = security(from, "kafka");
    let kafka = Kafka {
        bootstrap_servers: bootstrap_servers?,
        group_id: group_id?,
        client_id: client_id?,
        group_instance_id: group_instance_id?,
        group_protocol: group_protocol?,
        group_remote_assignor: group_remote_assignor?,
        session_timeout: session_timeout?,
        heartbeat_interval: heartbeat_interval?,
        max_poll_interval: max_poll_interval?,
        max_poll_records: max_poll_records?,
        partition_assignment_strategy: partition_assignment_strategy?,
        auto_offset_reset: auto_offset_reset?,
        isolation_level: isolation_level?,
        fetch_min_bytes: fetch_min_bytes?,
        fetch_max_bytes: fetch_max_bytes?,
        max_partition_fetch_bytes: max_partition_fetch_bytes?,
        fetch_max_wait: fetch_max_wait?,
        request_timeout: request_timeout?,
        security: security?,
    };
    check_kafka(from, &kafka);
    check_protocol(from, &kafka);
    Some(kafka)
}

fn check_kafka(from: &mut Reader<'_>, kafka: &Kafka) {
    from.require(
        kafka.heartbeat_interval.is_none_or(|interval| interval <= kafka.session_timeout / 3),
        "kafka.heartbeat.interval.ms",
        "`kafka.heartbeat.interval.ms` is over a third of `kafka.session.timeout.ms`",
        "make it shorter or leave it out, or raise `kafka.session.timeout.ms`: two lost heartbeats must not cost the \
         membership. Raise the session where the network jitters or the process pauses; crashes are then noticed later",
    );
    from.require(
        kafka.fetch_min_bytes <= kafka.fetch_max_bytes,
        "kafka.fetch.min.bytes",
        "`kafka.fetch.min.bytes` is over `kafka.fetch.max.bytes`",
        "make it smaller",
    );
    from.require(
        kafka.fetch_max_wait < kafka.request_timeout,
        "kafka.fetch.max.wait.ms",
        "`kafka.fetch.max.wait.ms` is not below `kafka.request.timeout.ms`",
        "make it shorter: an idle partition's fetches would all time out",
    );
}

/// What the classic protocol alone, or the consumer protocol alone, leaves to the client: as Java has it.
fn check_protocol(from: &mut Reader<'_>, kafka: &Kafka) {
    match kafka.group_protocol {
        GroupProtocol::Classic => from.require(
            kafka.group_remote_assignor.is_none(),
            "kafka.group.remote.assignor",
            "`kafka.group.remote.assignor` is set without `kafka.group.protocol = \"consumer\"`",
            "leave it out, or set the protocol",
        ),
        GroupProtocol::Consumer => {
            for key in OF_THE_CLASSIC_PROTOCOL {
                from.require(
                    from.set_at(key).is_none(),
                    key,
                    format!("`{key}` is set with `kafka.group.protocol = \"consumer\"`"),
                    "leave it out: under the consumer protocol the brokers say so (group.consumer.*)",
                );
            }
        }
    }
}

const OF_THE_CLASSIC_PROTOCOL: [&str; 3] =
    ["kafka.session.timeout.ms", "kafka.heartbeat.interval.ms", "kafka.partition.assignment.strategy"];
