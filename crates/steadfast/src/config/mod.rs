//! Configuration: one TOML file, over it the environment, over that `--set`; validated once into types that
//! cannot be wrong.
//!
//! ```text
//! document, layer ──► raw (every key known) ──► read (each value right) ──► valid (right together) ──► Config
//!        └──────────────── reference: the one list of keys ────────────────┘
//! ```

pub mod import;
pub mod reference;

mod changes;
mod choices;
mod document;
mod durations;
mod files;
mod jaas;
mod kafka_keys;
mod layer;
mod load;
mod names;
mod pem;
mod problem;
mod raw;
mod read;
mod secrets;
mod shown;
mod sizes;
mod topics;
mod valid;
pub mod watcher;

#[cfg(test)]
mod tests;

pub use changes::Changes;
pub use choices::{
    Assignor, AutoOffsetReset, GroupProtocol, IsolationLevel, LeaveOnStop, LogFormat, LogLevel, OnStall,
    OutOfRange, RemoteAssignor, SaslMechanism, SecurityProtocol, SinkType, Tolerance,
};
pub(crate) use files::read as read_file;
pub use problem::{ConfigError, Place, Problem};
pub use shown::Shown;
pub use topics::{TopicPattern, Topics};
pub use valid::{
    Checkpoint, Config, DeadLetterTopic, DeadLetters, Drift, Elsewhere, Errors, Fetch, FileSink, Group,
    Handling, Http, Kafka, KafkaSink, Log, Offsets, Respawn, SecuritySettings, Sink, State,
};
