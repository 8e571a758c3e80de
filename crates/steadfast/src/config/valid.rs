//! The configuration as the service uses it: made once, from settings that were all found right.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use steadfast_core::endpoints::drift::Threshold;
use steadfast_core::endpoints::view::Address;
use steadfast_core::ids::ClusterId;

use super::choices::{
    Assignor, AutoOffsetReset, IsolationLevel, LogFormat, LogLevel, OutOfRange, SecurityProtocol, SinkType,
};
use super::problem::{ConfigError, Problem};
use super::raw::Raw;
use super::read::Reader;

/// Everything that steadfast can be told, valid as a whole.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Config {
    /// The topics to consume: at least one, legal names, none twice.
    pub topics: Vec<Arc<str>>,
    /// Kafka's own settings.
    pub kafka: Kafka,
    /// `[endpoints.override]`: what a broker advertises, and where it is reached instead.
    pub endpoint_overrides: BTreeMap<Address, Address>,
    /// When the consumer follows the cluster's endpoints.
    pub drift: Drift,
    /// How often and how the consumer is replaced.
    pub respawn: Respawn,
    /// How progress is committed.
    pub checkpoint: Checkpoint,
    /// How records are fetched.
    pub fetch: Fetch,
    /// What happens to positions that are not in the log.
    pub offsets: Offsets,
    /// Where records go.
    pub sink: Sink,
    /// Where state survives the process.
    pub state: State,
    /// What is logged, and how.
    pub log: Log,
}

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
    /// At least a second.
    pub session_timeout: Duration,
    /// At most a third of the session timeout; none when steadfast chooses.
    pub heartbeat_interval: Option<Duration>,
    /// The rebalance timeout.
    pub max_poll_interval: Duration,
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
    pub security_protocol: SecurityProtocol,
}

/// `[drift]`.
#[derive(Debug, Clone, PartialEq)]
pub struct Drift {
    /// The consumer is replaced when the score is above this.
    pub threshold: Threshold,
    /// How long an undisputed view must stand without a majority.
    pub settle: Duration,
    /// Between routine questions.
    pub poll_interval: Duration,
    /// Between questions to every broker; at least `poll_interval`.
    pub sweep_interval: Duration,
    /// The only cluster that is consumed from; none when the first agreed view decides.
    pub cluster_id: Option<ClusterId>,
}

/// `[respawn]`.
#[derive(Debug, Clone, PartialEq)]
pub struct Respawn {
    /// Respawns per `window`, at least 1.
    pub budget: u32,
    /// At least a second.
    pub window: Duration,
    /// For the old consumer's end.
    pub drain: Duration,
}

/// `[checkpoint]`.
#[derive(Debug, Clone, PartialEq)]
pub struct Checkpoint {
    /// Whether progress is committed at all.
    pub enabled: bool,
    /// Between commits.
    pub interval: Duration,
    /// For handlers to finish, below `kafka.max.poll.interval.ms`.
    pub drain: Duration,
}

/// `[fetch]`.
#[derive(Debug, Clone, PartialEq)]
pub struct Fetch {
    /// All fetched bytes in memory.
    pub buffer_bytes: u64,
    /// Above `kafka.fetch.max.wait.ms`.
    pub stall_timeout: Duration,
}

/// `[offsets]`.
#[derive(Debug, Clone, PartialEq)]
pub struct Offsets {
    /// What happens to a position that is not in the log.
    pub out_of_range: OutOfRange,
}

/// `[sink]`: where records go when the program brings no handler of its own.
#[derive(Debug, Clone, PartialEq)]
pub enum Sink {
    /// JSON lines on standard output.
    Stdout,
    /// Nothing is done with the records.
    Discard,
    /// JSON lines in a file that is rotated by size.
    File(FileSink),
    /// Another topic.
    Kafka(KafkaSink),
}

impl Sink {
    /// Its type, as `sink.type` names it.
    pub fn sink_type(&self) -> SinkType {
        match self {
            Sink::Stdout => SinkType::Stdout,
            Sink::Discard => SinkType::Discard,
            Sink::File(_) => SinkType::File,
            Sink::Kafka(_) => SinkType::Kafka,
        }
    }
}

/// `[sink]` with `type = "file"`.
#[derive(Debug, Clone, PartialEq)]
pub struct FileSink {
    /// The file to append to.
    pub path: PathBuf,
    /// Past this size it becomes `path.1`.
    pub max_bytes: u64,
    /// How many rotated files are kept.
    pub keep: u32,
}

/// `[sink]` with `type = "kafka"`.
#[derive(Debug, Clone, PartialEq)]
pub struct KafkaSink {
    /// None of the consumed topics, if it is on the same cluster.
    pub topic: String,
    /// The cluster to write to; none for the one that is consumed.
    pub bootstrap_servers: Option<Vec<Address>>,
}

/// `[state]`.
#[derive(Debug, Clone, PartialEq)]
pub struct State {
    /// The directory; it need not exist yet.
    pub dir: PathBuf,
}

/// `[log]`.
#[derive(Debug, Clone, PartialEq)]
pub struct Log {
    /// The least important events.
    pub level: LogLevel,
    /// What a line looks like.
    pub format: LogFormat,
}

impl Config {
    /// The configuration that these settings make; or everything that is wrong with them, with what was
    /// wrong already.
    pub(super) fn of(raw: &Raw, problems: Vec<Problem>) -> Result<Config, ConfigError> {
        let mut reader = Reader::new(raw, problems);
        let config = config(&mut reader);
        match config {
            Some(config) if reader.problems.is_empty() => Ok(config),
            _ => Err(ConfigError::new(reader.problems)),
        }
    }

    /// What the service calls itself in its events: `group.instance.id`, else `client.id`.
    pub fn instance(&self) -> &str {
        self.kafka.group_instance_id.as_deref().unwrap_or(&self.kafka.client_id)
    }
}

// Each section reads all its settings before it gives up on one: every problem is told at once.

fn config(from: &mut Reader<'_>) -> Option<Config> {
    let topics = from.names("topics");
    let kafka = kafka(from);
    let endpoint_overrides = from.address_map("endpoints.override");
    let (drift, respawn, checkpoint) = (drift(from), respawn(from), checkpoint(from));
    let fetch = fetch(from);
    let offsets = from.choice("offsets.out_of_range").map(|out_of_range| Offsets { out_of_range });
    let sink = sink(from);
    let state = from.path("state.dir").map(|dir| State { dir });
    let log = log(from);
    if let (Some(kafka), Some(checkpoint)) = (&kafka, &checkpoint) {
        check_drain(from, kafka, checkpoint);
    }
    if let (Some(kafka), Some(fetch)) = (&kafka, &fetch) {
        check_fetch(from, kafka, fetch);
    }
    if let (Some(topics), Some(kafka), Some(Sink::Kafka(sink))) = (&topics, &kafka, &sink) {
        check_loop(from, topics, kafka, sink);
    }
    Some(Config {
        topics: topics?,
        kafka: kafka?,
        endpoint_overrides: endpoint_overrides?,
        drift: drift?,
        respawn: respawn?,
        checkpoint: checkpoint?,
        fetch: fetch?,
        offsets: offsets?,
        sink: sink?,
        state: state?,
        log: log?,
    })
}

fn kafka(from: &mut Reader<'_>) -> Option<Kafka> {
    let bootstrap_servers = from.addresses("kafka.bootstrap.servers");
    let group_id = from.text("kafka.group.id");
    let client_id = from.text("kafka.client.id");
    let group_instance_id = from.name_if_set("kafka.group.instance.id");
    let session_timeout = from.duration("kafka.session.timeout.ms");
    let heartbeat_interval = from.duration_if_set("kafka.heartbeat.interval.ms");
    let max_poll_interval = from.duration("kafka.max.poll.interval.ms");
    let partition_assignment_strategy = from.assignors("kafka.partition.assignment.strategy");
    let auto_offset_reset = from.choice("kafka.auto.offset.reset");
    let isolation_level = from.choice("kafka.isolation.level");
    let fetch_min_bytes = from.bytes("kafka.fetch.min.bytes");
    let fetch_max_bytes = from.bytes("kafka.fetch.max.bytes");
    let max_partition_fetch_bytes = from.bytes("kafka.max.partition.fetch.bytes");
    let fetch_max_wait = from.duration("kafka.fetch.max.wait.ms");
    let request_timeout = from.duration("kafka.request.timeout.ms");
    let security_protocol = from.choice("kafka.security.protocol");
    let kafka = Kafka {
        bootstrap_servers: bootstrap_servers?,
        group_id: group_id?,
        client_id: client_id?,
        group_instance_id: group_instance_id?,
        session_timeout: session_timeout?,
        heartbeat_interval: heartbeat_interval?,
        max_poll_interval: max_poll_interval?,
        partition_assignment_strategy: partition_assignment_strategy?,
        auto_offset_reset: auto_offset_reset?,
        isolation_level: isolation_level?,
        fetch_min_bytes: fetch_min_bytes?,
        fetch_max_bytes: fetch_max_bytes?,
        max_partition_fetch_bytes: max_partition_fetch_bytes?,
        fetch_max_wait: fetch_max_wait?,
        request_timeout: request_timeout?,
        security_protocol: security_protocol?,
    };
    check_kafka(from, &kafka);
    Some(kafka)
}

fn drift(from: &mut Reader<'_>) -> Option<Drift> {
    let threshold = from.share("drift.threshold");
    let settle = from.duration("drift.settle");
    let poll_interval = from.duration("drift.poll_interval");
    let sweep_interval = from.duration("drift.sweep_interval");
    let cluster_id = from.text_if_set("drift.cluster_id");
    let drift = Drift {
        threshold: threshold?,
        settle: settle?,
        poll_interval: poll_interval?,
        sweep_interval: sweep_interval?,
        cluster_id: cluster_id?.as_deref().map(ClusterId::from),
    };
    from.require(
        drift.sweep_interval >= drift.poll_interval,
        "drift.sweep_interval",
        "`drift.sweep_interval` is shorter than `drift.poll_interval`",
        "make it longer: a sweep asks every broker, a poll only one",
    );
    Some(drift)
}

fn respawn(from: &mut Reader<'_>) -> Option<Respawn> {
    let budget = from.integer("respawn.budget");
    let window = from.duration("respawn.window");
    let drain = from.duration("respawn.drain");
    Some(Respawn { budget: budget?, window: window?, drain: drain? })
}

fn checkpoint(from: &mut Reader<'_>) -> Option<Checkpoint> {
    let enabled = from.flag("checkpoint.enabled");
    let interval = from.duration("checkpoint.interval");
    let drain = from.duration("checkpoint.drain");
    Some(Checkpoint { enabled: enabled?, interval: interval?, drain: drain? })
}

fn fetch(from: &mut Reader<'_>) -> Option<Fetch> {
    let buffer_bytes = from.bytes("fetch.buffer_bytes");
    let stall_timeout = from.duration("fetch.stall_timeout");
    Some(Fetch { buffer_bytes: buffer_bytes?, stall_timeout: stall_timeout? })
}

fn sink(from: &mut Reader<'_>) -> Option<Sink> {
    let sink_type = from.choice("sink.type")?;
    for (key, owner) in SINK_KEYS {
        if let Some(place) = from.set_at(key).filter(|_| sink_type != *owner) {
            let what = format!("`{key}` is set, but `sink.type` is {sink_type}");
            let advice = format!("leave it out, or write type = \"{owner}\"");
            from.problems.push(Problem::new(what, place, advice));
        }
    }
    match sink_type {
        SinkType::Stdout => Some(Sink::Stdout),
        SinkType::Discard => Some(Sink::Discard),
        SinkType::File => {
            let (path, max_bytes) = (from.path("sink.path"), from.bytes("sink.max_bytes"));
            let keep = from.integer("sink.keep");
            Some(Sink::File(FileSink { path: path?, max_bytes: max_bytes?, keep: keep? }))
        }
        SinkType::Kafka => {
            let topic = from.name("sink.topic");
            let bootstrap_servers = from.addresses_if_set("sink.bootstrap_servers");
            Some(Sink::Kafka(KafkaSink { topic: topic?, bootstrap_servers: bootstrap_servers? }))
        }
    }
}

/// Keys that mean something to one type of sink only.
const SINK_KEYS: &[(&str, SinkType)] = &[
    ("sink.path", SinkType::File),
    ("sink.max_bytes", SinkType::File),
    ("sink.keep", SinkType::File),
    ("sink.topic", SinkType::Kafka),
    ("sink.bootstrap_servers", SinkType::Kafka),
];

fn log(from: &mut Reader<'_>) -> Option<Log> {
    let level = from.choice("log.level");
    let format = from.choice("log.format");
    Some(Log { level: level?, format: format? })
}

fn check_kafka(from: &mut Reader<'_>, kafka: &Kafka) {
    from.require(
        kafka.heartbeat_interval.is_none_or(|interval| interval <= kafka.session_timeout / 3),
        "kafka.heartbeat.interval.ms",
        "`kafka.heartbeat.interval.ms` is over a third of `kafka.session.timeout.ms`",
        "make it shorter or leave it out: two lost heartbeats must not cost the membership",
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

fn check_drain(from: &mut Reader<'_>, kafka: &Kafka, checkpoint: &Checkpoint) {
    from.require(
        checkpoint.drain < kafka.max_poll_interval,
        "checkpoint.drain",
        "`checkpoint.drain` is not below `kafka.max.poll.interval.ms`",
        "make it shorter: the group would go on without this member while it drains",
    );
}

fn check_fetch(from: &mut Reader<'_>, kafka: &Kafka, fetch: &Fetch) {
    from.require(
        u64::try_from(kafka.max_partition_fetch_bytes).is_ok_and(|bytes| bytes <= fetch.buffer_bytes),
        "fetch.buffer_bytes",
        "`fetch.buffer_bytes` is below `kafka.max.partition.fetch.bytes`",
        "make it larger: one partition's answer would not fit",
    );
    from.require(
        fetch.stall_timeout > kafka.fetch_max_wait,
        "fetch.stall_timeout",
        "`fetch.stall_timeout` is not over `kafka.fetch.max.wait.ms`",
        "make it longer: every quiet partition would count as stalled",
    );
}

fn check_loop(from: &mut Reader<'_>, topics: &[Arc<str>], kafka: &Kafka, sink: &KafkaSink) {
    let same_cluster = sink
        .bootstrap_servers
        .as_ref()
        .is_none_or(|servers| servers.iter().any(|server| kafka.bootstrap_servers.contains(server)));
    let consumed = topics.iter().any(|topic| **topic == *sink.topic);
    from.require(
        !(same_cluster && consumed),
        "sink.topic",
        format!("`sink.topic` {:?} is one of `topics`", sink.topic),
        "write to another topic: every record would come back for ever",
    );
}
