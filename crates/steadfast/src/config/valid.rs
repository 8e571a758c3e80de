//! The configuration as the service uses it: made once, from settings that were all found right.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use steadfast_core::endpoints::drift::Threshold;
use steadfast_core::endpoints::view::{Address, View};
use steadfast_core::ids::{ClusterId, NodeId};

use super::choices::{LeaveOnStop, LogFormat, LogLevel, OnStall, OutOfRange};
use super::problem::{ConfigError, Problem};
use super::raw::Raw;
use super::read::Reader;
use super::topics::Topics;

pub use errors::{DeadLetterTopic, DeadLetters, Errors};
pub use kafka::Kafka;
pub use security::SecuritySettings;
pub use sink::{Elsewhere, FileSink, KafkaSink, Sink};

mod errors;
mod kafka;
mod security;
mod sink;

/// Everything that steadfast can be told, valid as a whole.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Config {
    /// What to consume.
    pub topics: Topics,
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
    /// What handlers may cost.
    pub handler: Handling,
    /// What happens to positions that are not in the log.
    pub offsets: Offsets,
    /// How the group is treated.
    pub group: Group,
    /// Where records go.
    pub sink: Sink,
    /// What becomes of bad records.
    pub errors: Errors,
    /// Where the service answers questions about itself.
    pub http: Http,
    /// Where state survives the process.
    pub state: State,
    /// What is logged, and how.
    pub log: Log,
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

/// `[handler]`.
#[derive(Debug, Clone, PartialEq)]
pub struct Handling {
    /// What one costs that stands still for `kafka.max.poll.interval.ms`.
    pub on_stall: OnStall,
}

/// `[offsets]`.
#[derive(Debug, Clone, PartialEq)]
pub struct Offsets {
    /// What happens to a position that is not in the log.
    pub out_of_range: OutOfRange,
}

/// `[group]`.
#[derive(Debug, Clone, PartialEq)]
pub struct Group {
    /// Whether a stop leaves the group.
    pub leave_on_stop: LeaveOnStop,
}

/// `[http]`.
#[derive(Debug, Clone, PartialEq)]
pub struct Http {
    /// None: nowhere.
    pub listen: Option<SocketAddr>,
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
    /// Where a broker is reached that advertises this: `[endpoints.override]` stands between the two.
    pub(crate) fn reached<'a>(&'a self, advertised: &'a Address) -> &'a Address {
        self.endpoint_overrides.get(advertised).unwrap_or(advertised)
    }

    /// The view as we reach it.
    pub(crate) fn as_reached(&self, mut view: View<NodeId>) -> View<NodeId> {
        for endpoint in view.endpoints.values_mut() {
            endpoint.address = self.reached(&endpoint.address).clone();
        }
        view
    }

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
    let topics = from.topics();
    let kafka = kafka::kafka(from);
    let endpoint_overrides = from.address_map("endpoints.override");
    let (drift, respawn, checkpoint) = (drift(from), respawn(from), checkpoint(from));
    let fetch = fetch(from);
    let handler = from.choice("handler.on_stall").map(|on_stall| Handling { on_stall });
    let offsets = from.choice("offsets.out_of_range").map(|out_of_range| Offsets { out_of_range });
    let group = from.choice("group.leave_on_stop").map(|leave_on_stop| Group { leave_on_stop });
    let sink = sink::sink(from);
    let errors = errors::errors(from);
    let http = from.listen("http.listen").map(|listen| Http { listen });
    let state = from.path("state.dir").map(|dir| State { dir });
    let log = log(from);
    if let (Some(kafka), Some(checkpoint)) = (&kafka, &checkpoint) {
        check_drain(from, kafka, checkpoint);
    }
    if let (Some(kafka), Some(fetch)) = (&kafka, &fetch) {
        check_fetch(from, kafka, fetch);
    }
    if let (Some(topics), Some(kafka), Some(Sink::Kafka(sink))) = (&topics, &kafka, &sink) {
        sink::check_loop(from, topics, kafka, sink);
        sink::check_secured(from, kafka, sink);
    }
    if let (Some(topics), Some(errors)) = (&topics, &errors) {
        errors::check_loop(from, topics, errors);
    }
    Some(Config {
        topics: topics?,
        kafka: kafka?,
        endpoint_overrides: endpoint_overrides?,
        drift: drift?,
        respawn: respawn?,
        checkpoint: checkpoint?,
        fetch: fetch?,
        handler: handler?,
        offsets: offsets?,
        group: group?,
        sink: sink?,
        errors: errors?,
        http: http?,
        state: state?,
        log: log?,
    })
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

fn log(from: &mut Reader<'_>) -> Option<Log> {
    let level = from.choice("log.level");
    let format = from.choice("log.format");
    Some(Log { level: level?, format: format? })
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
