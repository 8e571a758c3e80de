//! Configuration: one TOML file, over it the environment, over that `--set`; validated once into types that
//! cannot be wrong.
//!
//! ```text
//! document, layer ──► raw (every key known) ──► read (each value right) ──► valid (right together) ──► Config
//!        └──────────────── reference: the one list of keys ────────────────┘
//! ```

pub mod reference;

mod changes;
mod choices;
mod document;
mod durations;
mod kafka_keys;
mod layer;
mod load;
mod names;
mod problem;
mod raw;
mod read;
mod sizes;
mod valid;
pub mod watcher;

#[cfg(test)]
mod tests;

pub use changes::Changes;
pub use choices::{
    Assignor, AutoOffsetReset, IsolationLevel, LogFormat, LogLevel, OutOfRange, SecurityProtocol, SinkType,
    Tolerance,
};
pub use problem::{ConfigError, Place, Problem};
pub use valid::{
    Checkpoint, Config, DeadLetterTopic, DeadLetters, Drift, Errors, Fetch, FileSink, Kafka, KafkaSink, Log,
    Offsets, Respawn, Sink, State,
};
