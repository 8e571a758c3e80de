//! `[sink]`: where records go.

use std::path::PathBuf;

use steadfast_core::endpoints::view::Address;

use super::super::choices::SecurityProtocol;
use super::super::choices::SinkType;
use super::super::problem::Problem;
use super::super::read::Reader;
use super::super::reference::KEYS;
use super::super::topics::Topics;
use super::Kafka;
use super::security::{SecuritySettings, security};

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

    /// The other cluster that it writes to, if it does.
    pub fn elsewhere(&self) -> Option<&Elsewhere> {
        match self {
            Sink::Kafka(sink) => sink.elsewhere.as_ref(),
            Sink::Stdout | Sink::Discard | Sink::File(_) => None,
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
    pub elsewhere: Option<Elsewhere>,
}

/// Another cluster than the one that is consumed.
#[derive(Debug, Clone, PartialEq)]
pub struct Elsewhere {
    /// Where it is found: at least one.
    pub bootstrap_servers: Vec<Address>,
    /// How connections to it are secured.
    pub security: SecuritySettings,
}

pub(super) fn sink(from: &mut Reader<'_>) -> Option<Sink> {
    let sink_type = from.choice("sink.type")?;
    let secured =
        KEYS.iter().filter(|key| key.path.starts_with(SECURED)).map(|key| (key.path, SinkType::Kafka));
    for (key, owner) in SINK_KEYS.iter().copied().chain(secured) {
        if let Some(place) = from.set_at(key).filter(|_| sink_type != owner) {
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
            let elsewhere = elsewhere(from);
            Some(Sink::Kafka(KafkaSink { topic: topic?, elsewhere: elsewhere? }))
        }
    }
}

/// The table of another cluster's security.
const SECURED: &str = "sink.kafka.";

fn elsewhere(from: &mut Reader<'_>) -> Option<Option<Elsewhere>> {
    if let Some(bootstrap_servers) = from.addresses_if_set("sink.bootstrap_servers")? {
        let security = security(from, "sink.kafka")?;
        return Some(Some(Elsewhere { bootstrap_servers, security }));
    }
    for key in KEYS.iter().filter(|key| key.path.starts_with(SECURED)) {
        if from.set_at(key.path).is_some() {
            let what = format!("`{}` is set, but `sink.bootstrap_servers` is not", key.path);
            from.refuse(
                key.path,
                what,
                "leave it out: the cluster that is consumed is written to as it is read",
            );
        }
    }
    Some(None)
}

/// Keys that mean something to one type of sink only.
const SINK_KEYS: &[(&str, SinkType)] = &[
    ("sink.path", SinkType::File),
    ("sink.max_bytes", SinkType::File),
    ("sink.keep", SinkType::File),
    ("sink.topic", SinkType::Kafka),
    ("sink.bootstrap_servers", SinkType::Kafka),
];

pub(super) fn check_loop(from: &mut Reader<'_>, topics: &Topics, kafka: &Kafka, sink: &KafkaSink) {
    let is_ours = |server: &Address| kafka.bootstrap_servers.contains(server);
    let same_cluster =
        sink.elsewhere.as_ref().is_none_or(|elsewhere| elsewhere.bootstrap_servers.iter().any(is_ours));
    let consumed = topics.include(&sink.topic);
    from.require(
        !(same_cluster && consumed),
        "sink.topic",
        format!("`sink.topic` {:?} is one of `{}`", sink.topic, topics.key()),
        "write to another topic: every record would come back for ever",
    );
}

/// Nobody's credentials are sent elsewhere unasked, and nothing that was meant to be secured goes in plain text.
pub(super) fn check_secured(from: &mut Reader<'_>, kafka: &Kafka, sink: &KafkaSink) {
    const KEY: &str = "sink.kafka.security.protocol";
    let secured = kafka.security.protocol() != SecurityProtocol::Plaintext;
    if sink.elsewhere.is_some() && secured && from.set_at(KEY).is_none() {
        from.refuse(
            "sink.bootstrap_servers",
            format!("`sink.bootstrap_servers` names another cluster, and `{KEY}` is not set"),
            "say under [sink.kafka] how that cluster is secured, with the keys that [kafka] has",
        );
    }
}
