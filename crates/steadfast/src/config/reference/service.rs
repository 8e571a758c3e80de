//! What is steadfast's own.

use std::time::Duration;

use super::super::choices::{LeaveOnStop, LogFormat, LogLevel, OnStall, OutOfRange, SinkType, Tolerance};
use super::Applies::{AsDrift, AtOnce, AtStart};
use super::Fallback::{Found, Is, Required, Unset};
use super::{INSTANT, Key, Kind, MOMENT, SECOND, key_of};

pub(super) const TOPICS: &[Key] = &[
    key_of(
        "topics",
        Kind::Names,
        Required,
        AtOnce,
        "The topics to consume; or `topics_pattern` is set instead. Changing them in the file costs the group one rebalance.",
    ),
    key_of(
        "topics_pattern",
        Kind::Pattern,
        Unset("the topics are named"),
        AtOnce,
        "Instead of `topics`: consume every topic whose whole name matches, also those that are created later. \
         Internal topics match nothing.",
    ),
];

pub(super) const KEYS: &[Key] = &[
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
        "group.leave_on_stop",
        Kind::OneOf(LeaveOnStop::WORDS),
        Is("auto"),
        AtStart,
        "Whether the group is left at a stop, so that others take over at once: `auto` says no for a static member, which \
         is taken to come back within its session, and yes for others.",
    ),
    key_of(
        "handler.on_stall",
        Kind::OneOf(OnStall::WORDS),
        Is("quarantine"),
        AtStart,
        "When a handler has acked nothing of what it holds for `kafka.max.poll.interval.ms`: `quarantine` its \
         partition, and the others go on; `leave` the group, as Java's consumer does, and end with exit code 70.",
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
        "errors.tolerance",
        Kind::OneOf(Tolerance::WORDS),
        Is("none"),
        AtStart,
        "What becomes of a bad record: with `none` its partition is quarantined before it, with `all` it goes to the \
         dead letters and its partition goes on.",
    ),
    key_of(
        "errors.retry.timeout",
        INSTANT,
        Is("15s"),
        AtStart,
        "A record that fails alone, and that its handler does not reject, is tried again for this long before it \
         counts as bad.",
    ),
    key_of(
        "errors.retry.delay.max.ms",
        MOMENT,
        Is("5s"),
        AtStart,
        "The longest rest between two tries; the first is 50 ms, and each is twice the one before. It holds for \
         targets that are away too, which are tried without end.",
    ),
    key_of(
        "errors.deadletterqueue.topic.name",
        Kind::Name,
        Unset("no topic"),
        AtStart,
        "With `all`: the topic of the consumed cluster that bad records go to, with Connect's `__connect.errors.*` \
         headers. It has to exist.",
    ),
    key_of(
        "errors.deadletterqueue.context.headers.enable",
        Kind::Flag,
        Is("true"),
        AtStart,
        "Whether the records of that topic say where they are from and what is wrong with them.",
    ),
    key_of(
        "errors.deadletterqueue.file",
        Kind::Path,
        Unset("no file"),
        AtStart,
        "With `all`, instead of a topic: the file to which bad records are appended as lines of JSON, each on the \
         disk before its record is acked.",
    ),
    key_of(
        "http.listen",
        Kind::Listen,
        Is("127.0.0.1:9404"),
        AtStart,
        "Where the endpoints /livez, /readyz, /metrics and /status answer (port 0: any free one); `off` for none.",
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
