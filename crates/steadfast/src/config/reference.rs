//! Every key of the configuration, once: what is read, suggested, taken from the environment and
//! documented all comes from this list.

use std::fmt;
use std::sync::LazyLock;
use std::time::Duration;

use super::choices::Assignor;
use super::{durations, sizes};

mod kafka;
mod security;
mod service;

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
    /// A regular expression over topic names.
    Pattern,
    /// A list of `host:port`.
    Addresses,
    /// An IP address with a port, or `off`.
    Listen,
    /// A table from advertised `host:port` to the one to dial.
    AddressMap,
    /// One of these words.
    OneOf(&'static [&'static str]),
    /// This word, or an empty text.
    OrEmpty(&'static str),
    /// A program and its arguments.
    Words,
    /// A text that is never shown.
    Secret,
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
            Kind::Pattern => f.write_str("a regular expression in RE2's syntax"),
            Kind::Addresses => f.write_str("a list of host:port"),
            Kind::Listen => f.write_str("an IP address with a port, or off"),
            Kind::AddressMap => f.write_str("a table of host:port to host:port"),
            Kind::OneOf(words) => write!(f, "one of {}", words.join(", ")),
            Kind::OrEmpty(word) => write!(f, "{word}, or an empty text"),
            Kind::Words => f.write_str("a list of words"),
            Kind::Secret => f.write_str("a secret, or `${file:/path}` or `${env:NAME}`"),
            Kind::Assignors => write!(f, "a list of {}", Assignor::WORDS.join(", ")),
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
    /// At once, as credentials: connections are made anew, the consumer is replaced, nothing restarts.
    AsCredentials,
    /// At once.
    AtOnce,
    /// When the process is started again.
    AtStart,
}

impl fmt::Display for Applies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Applies::AsDrift => "as drift",
            Applies::AsCredentials => "as credentials",
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

/// Every key, in the order of the documentation.
pub static KEYS: LazyLock<Vec<Key>> = LazyLock::new(|| {
    [service::TOPICS, kafka::KEYS, security::CONSUMED, service::KEYS, security::WRITTEN_TO].concat()
});

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
