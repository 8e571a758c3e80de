//! Every key of the configuration, once: what is read, suggested, taken from the environment and
//! documented all comes from this list.

use std::fmt;
use std::time::Duration;

use super::choices::{
    AutoOffsetReset, IsolationLevel, LogFormat, LogLevel, OutOfRange, SecurityProtocol, SinkType,
};
use super::{durations, sizes};

/// One key of the configuration.
#[derive(Debug, Clone, Copy)]
pub struct Key {
    /// Its full name, as in `--set`: `drift.threshold`.
    pub path: &'static str,
    /// What may stand there.
    pub kind: Kind,
    /// What holds when nobody sets it.
    pub default: Fallback,
    /// When a change of the file takes effect.
    pub applies: Applies,
    /// What it does.
    pub meaning: &'static str,
}

impl Key {
    /// Its name in the environment: `STEADFAST_DRIFT_THRESHOLD`.
    pub fn variable(&self) -> String {
        variable(self.path)
    }
}

/// What may stand under a key.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Kind {
    /// Any text that is not empty.
    Text,
    /// A name under Kafka's rules for topics.
    Name,
    /// Topic names, none twice.
    Names,
    /// A list of `host:port`.
    Addresses,
    /// A table from advertised `host:port` to the one to dial.
    AddressMap,
    /// One of these words.
    OneOf(&'static [&'static str]),
    /// A list of assignors' names.
    Assignors,
    /// A duration no shorter than this.
    Duration(Duration),
    /// A whole number, from and to.
    Integer(i64, i64),
    /// A number of bytes, from and to.
    Bytes(u64, u64),
    /// A number from 0 to 1.
    Share,
    /// Yes or no.
    Flag,
    /// A file or directory.
    Path,
    /// Java's name for another key of this list.
    SameAs(&'static str),
}

impl fmt::Display for Kind {
    /// What is expected, after the words "must be".
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Kind::Text => f.write_str("a text that is not empty"),
            Kind::Name => f.write_str("a name of letters, digits, `.`, `_` and `-`, at most 249 of them"),
            Kind::Names => f.write_str("a list of topic names"),
            Kind::Addresses => f.write_str("a list of host:port"),
            Kind::AddressMap => f.write_str("a table of host:port to host:port"),
            Kind::OneOf(words) => write!(f, "one of {}", words.join(", ")),
            Kind::Assignors => f.write_str("a list of range, cooperative-sticky"),
            Kind::Duration(least) => write!(f, "a duration from {} to 24days", durations::to_text(*least)),
            Kind::Integer(least, most) => write!(f, "a whole number from {least} to {most}"),
            Kind::Bytes(least, most) => {
                write!(f, "a size from {} to {}", sizes::to_text(*least), sizes::to_text(*most))
            }
            Kind::Share => f.write_str("a number from 0 to 1"),
            Kind::Flag => f.write_str("true or false"),
            Kind::Path => f.write_str("a path"),
            Kind::SameAs(ours) => write!(f, "what `{ours}` takes"),
        }
    }
}

/// What holds when nobody sets a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fallback {
    /// This, written as in the environment.
    Is(&'static str),
    /// Nothing is set; this says what that means.
    Unset(&'static str),
    /// Found in the surroundings; this says how.
    Found(&'static str),
    /// Somebody has to set it.
    Required,
}

/// When a changed file takes effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Applies {
    /// At once, as drift: nothing restarts.
    AsDrift,
    /// At once.
    AtOnce,
    /// When the process is started again.
    AtStart,
}

impl fmt::Display for Applies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Applies::AsDrift => "as drift",
            Applies::AtOnce => "at once",
            Applies::AtStart => "at start",
        })
    }
}

/// The environment's name for a key, or for a beginning of keys.
pub(super) fn variable(path: &str) -> String {
    let name: String =
        path.chars().map(|c| if c.is_alphanumeric() { c.to_ascii_uppercase() } else { '_' }).collect();
    format!("STEADFAST_{name}")
}

/// The key of this name.
pub fn key(path: &str) -> Option<&'static Key> {
    KEYS.iter().find(|key| key.path == path)
}

const fn key_of(
    path: &'static str,
    kind: Kind,
    default: Fallback,
    applies: Applies,
    meaning: &'static str,
) -> Key {
    Key { path, kind, default, applies, meaning }
}

const INSTANT: Kind = Kind::Duration(Duration::ZERO);
const MOMENT: Kind = Kind::Duration(Duration::from_millis(1));
const SECOND: Kind = Kind::Duration(Duration::from_secs(1));
const FRAME: Kind = Kind::Bytes(1, i32::MAX as u64);

use Applies::{AsDrift, AtOnce, AtStart};
use Fallback::{Found, Is, Required, Unset};

/// Every key, in the order of the documentation.
pub const KEYS: &[Key] = &[
    key_of("topics", Kind::Names, Required, AtStart, "The topics to consume."),
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
        "Time between heartbeats: at most a third of the session timeout.",
    ),
    key_of(
        "kafka.max.poll.interval.ms",
        SECOND,
        Is("5m"),
        AtStart,
        "How long the group waits for this member in a rebalance.",
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
        "kafka.security.protocol",
        Kind::OneOf(SecurityProtocol::WORDS),
        Is("PLAINTEXT"),
        AtStart,
        "How connections are secured: only PLAINTEXT in this version.",
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
    key_of(
        "endpoints.override",
        Kind::AddressMap,
        Is(""),
        AsDrift,
        "What a broker advertises, and where it is reached instead. Applied once, to advertised addresses only.",
    ),
    key_of(
        "drift.threshold",
        Kind::Share,
        Is("0.5"),
        AtStart,
        "The consumer is replaced when more than this share of the endpoints in use has moved; up to it the \
         consumer adapts in place.",
    ),
    key_of(
        "drift.settle",
        INSTANT,
        Is("2s"),
        AtStart,
        "How long an undisputed view must stand that no majority of brokers confirms.",
    ),
    key_of(
        "drift.poll_interval",
        Kind::Duration(Duration::from_millis(50)),
        Is("5s"),
        AtOnce,
        "Time between routine questions for the cluster's endpoints.",
    ),
    key_of(
        "drift.sweep_interval",
        SECOND,
        Is("1h"),
        AtOnce,
        "Time between questions to every broker at once.",
    ),
    key_of(
        "drift.cluster_id",
        Kind::Text,
        Unset("pinned from the first agreed view"),
        AtStart,
        "The only cluster that is ever consumed from: another one is refused.",
    ),
    key_of(
        "respawn.budget",
        Kind::Integer(1, 10_000),
        Is("3"),
        AtStart,
        "At most this many replacements of the consumer per `respawn.window`; past it steadfast adapts in \
         place.",
    ),
    key_of("respawn.window", SECOND, Is("10m"), AtStart, "The time in which `respawn.budget` counts."),
    key_of(
        "respawn.drain",
        INSTANT,
        Is("1s"),
        AtStart,
        "How long a replaced consumer may take to end after its successor has taken over.",
    ),
    key_of(
        "checkpoint.enabled",
        Kind::Flag,
        Is("true"),
        AtStart,
        "Whether progress is committed to the group at all.",
    ),
    key_of(
        "checkpoint.interval",
        Kind::Duration(Duration::from_millis(10)),
        Is("5s"),
        AtOnce,
        "Time between commits of what was processed.",
    ),
    key_of(
        "checkpoint.drain",
        INSTANT,
        Is("5s"),
        AtStart,
        "How long handlers may finish what they hold before partitions are released or the process ends.",
    ),
    key_of(
        "fetch.buffer_bytes",
        Kind::Bytes(1 << 16, 1 << 36),
        Is("32MiB"),
        AtStart,
        "All fetched bytes that may be in memory at once, in flight and in handlers.",
    ),
    key_of(
        "fetch.stall_timeout",
        SECOND,
        Is("30s"),
        AtStart,
        "A partition that has records but does not move for this long gets a new connection.",
    ),
    key_of(
        "offsets.out_of_range",
        Kind::OneOf(OutOfRange::WORDS),
        Is("stop"),
        AtStart,
        "When a position is not in the log: `stop` quarantines the partition, `earliest` goes on at the \
         oldest record left and reports the lost range.",
    ),
    key_of(
        "sink.type",
        Kind::OneOf(SinkType::WORDS),
        Is("stdout"),
        AtStart,
        "Where records go when the program brings no handler of its own.",
    ),
    key_of("sink.path", Kind::Path, Unset("required by `file`"), AtStart, "`file`: the file to append to."),
    key_of(
        "sink.max_bytes",
        Kind::Bytes(1 << 10, 1 << 40),
        Is("100MiB"),
        AtStart,
        "`file`: the size past which the file is rotated to `path.1`. A line is never split.",
    ),
    key_of(
        "sink.keep",
        Kind::Integer(0, 1000),
        Is("10"),
        AtStart,
        "`file`: how many rotated files are kept.",
    ),
    key_of(
        "sink.topic",
        Kind::Name,
        Unset("required by `kafka`"),
        AtStart,
        "`kafka`: the topic to write to.",
    ),
    key_of(
        "sink.bootstrap_servers",
        Kind::Addresses,
        Unset("the cluster that is consumed"),
        AtStart,
        "`kafka`: where the cluster to write to is found.",
    ),
    key_of(
        "state.dir",
        Kind::Path,
        Found("$STATE_DIRECTORY, else $XDG_STATE_HOME/steadfast, else ~/.local/state/steadfast"),
        AtStart,
        "What survives the process: the pinned cluster id, the last good endpoints.",
    ),
    key_of(
        "log.level",
        Kind::OneOf(LogLevel::WORDS),
        Is("info"),
        AtStart,
        "The least important events logged.",
    ),
    key_of(
        "log.format",
        Kind::OneOf(LogFormat::WORDS),
        Is("auto"),
        AtStart,
        "JSON or text on stderr; `auto` is text on a terminal and JSON elsewhere.",
    ),
];
