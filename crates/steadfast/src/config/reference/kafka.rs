//! `[kafka]`: Kafka's own settings, by their Java names.

use super::super::choices::{AutoOffsetReset, GroupProtocol, IsolationLevel, RemoteAssignor};
use super::Applies::{AsDrift, AtOnce, AtStart};
use super::Fallback::{Is, Required, Unset};
use super::{FRAME, INSTANT, Key, Kind, MOMENT, SECOND, key_of};

pub(super) const KEYS: &[Key] = &[
    key_of(
        "kafka.bootstrap.servers",
        Kind::Addresses,
        Required,
        AsDrift,
        "Where the cluster is asked for its brokers first. Changing it in the file is drift: no restart.",
    ),
    key_of("kafka.group.id", Kind::Text, Required, AtStart, "The consumer group to join."),
    key_of(
        "kafka.client.id",
        Kind::Text,
        Is("steadfast"),
        AtStart,
        "The name under which brokers log and limit this client.",
    ),
    key_of(
        "kafka.group.instance.id",
        Kind::Name,
        Unset("a dynamic member"),
        AtStart,
        "Makes this a static member (KIP-345): a restart within the session timeout causes no rebalance.",
    ),
    key_of(
        "kafka.group.protocol",
        Kind::OneOf(GroupProtocol::WORDS),
        Is("classic"),
        AtStart,
        "`classic`: the members share the partitions out. `consumer`: the coordinator does (KIP-848, Kafka 4.0 and \
         newer); it then says how often to heartbeat and how long a session is.",
    ),
    key_of(
        "kafka.group.remote.assignor",
        Kind::OneOf(RemoteAssignor::WORDS),
        Unset("chosen by the coordinator"),
        AtStart,
        "What the coordinator assigns with; only with `kafka.group.protocol = \"consumer\"`.",
    ),
    key_of(
        "kafka.session.timeout.ms",
        SECOND,
        Is("45s"),
        AtStart,
        "After this time without a heartbeat the coordinator gives the partitions to others.",
    ),
    key_of(
        "kafka.heartbeat.interval.ms",
        MOMENT,
        Unset("chosen by steadfast"),
        AtStart,
        "Time between heartbeats: at most a third of the session timeout. Unset, they come every 300ms, and every 150ms for \
         10s after any sign of a rebalance; set, that often whatever happens.",
    ),
    key_of(
        "kafka.max.poll.interval.ms",
        SECOND,
        Is("5m"),
        AtStart,
        "How long the group waits for this member in a rebalance; and how long a handler may hold records without \
         acking any before it counts as standing still, see `handler.on_stall`.",
    ),
    key_of(
        "kafka.max.poll.records",
        Kind::Integer(1, i32::MAX as i64),
        Is("500"),
        AtStart,
        "The most records in one batch that a handler is given, and acks. How much is fetched at once is another \
         matter.",
    ),
    key_of(
        "kafka.partition.assignment.strategy",
        Kind::Assignors,
        Is("range,cooperative-sticky"),
        AtStart,
        "Assignors in order of preference: short names or Java's class names. As in Java the default is \
         `range`, with `cooperative-sticky` offered for a later rolling change.",
    ),
    key_of(
        "kafka.auto.offset.reset",
        Kind::OneOf(AutoOffsetReset::WORDS),
        Is("earliest"),
        AtStart,
        "Where to begin when the group never committed an offset for a partition; only then.",
    ),
    key_of(
        "kafka.isolation.level",
        Kind::OneOf(IsolationLevel::WORDS),
        Is("read_committed"),
        AtStart,
        "Whether records of open and aborted transactions are read.",
    ),
    key_of(
        "kafka.fetch.min.bytes",
        FRAME,
        Is("1"),
        AtStart,
        "A broker answers a fetch when it has this much, or after `kafka.fetch.max.wait.ms`.",
    ),
    key_of(
        "kafka.fetch.max.bytes",
        FRAME,
        Is("50MiB"),
        AtStart,
        "The most that one fetch answer should hold.",
    ),
    key_of(
        "kafka.max.partition.fetch.bytes",
        FRAME,
        Is("1MiB"),
        AtStart,
        "The most that one fetch answer should hold of one partition; a larger batch still comes, alone.",
    ),
    key_of(
        "kafka.fetch.max.wait.ms",
        INSTANT,
        Is("500ms"),
        AtStart,
        "How long a broker may hold back a fetch answer while it waits for records.",
    ),
    key_of(
        "kafka.request.timeout.ms",
        MOMENT,
        Is("30s"),
        AtStart,
        "After this time an unanswered request has failed, whatever else is known.",
    ),
    key_of(
        "kafka.enable.auto.commit",
        Kind::SameAs("checkpoint.enabled"),
        Unset("see `checkpoint.enabled`"),
        AtStart,
        "Java's name for `checkpoint.enabled`: set one of them.",
    ),
    key_of(
        "kafka.auto.commit.interval.ms",
        Kind::SameAs("checkpoint.interval"),
        Unset("see `checkpoint.interval`"),
        AtOnce,
        "Java's name for `checkpoint.interval`: set one of them.",
    ),
];
