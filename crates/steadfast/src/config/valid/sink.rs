//! `[sink]`: where records go.

use std::path::PathBuf;
use std::sync::Arc;

use steadfast_core::endpoints::view::Address;

use super::super::choices::SinkType;
use super::super::problem::Problem;
use super::super::read::Reader;
use super::Kafka;

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

pub(super) fn sink(from: &mut Reader<'_>) -> Option<Sink> {
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

pub(super) fn check_loop(from: &mut Reader<'_>, topics: &[Arc<str>], kafka: &Kafka, sink: &KafkaSink) {
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
