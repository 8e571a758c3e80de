//! The clients.

use std::io;

use clap::ValueEnum;
use steadfast_tests::checker::Checker;
use steadfast_tests::kafka::Version;

use super::{java, rskafka, steadfast};

/// A client of Kafka.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Client {
    /// `steadfast run`, as a process.
    Steadfast,
    /// Java's `KafkaConsumer`, as a process, in a group of the classic protocol.
    JavaClassic,
    /// The same in a group of KIP-848.
    #[value(name = "java-848")]
    Java848,
    /// librdkafka on a thread, by rdkafka's `BaseConsumer`, in a group of the classic protocol.
    LibrdkafkaClassic,
    /// The same in a group of KIP-848.
    #[value(name = "librdkafka-848")]
    Librdkafka848,
    /// rskafka, one `StreamConsumer` for each partition. It knows no groups.
    Rskafka,
    /// krafka, on a runtime of its own, in a group of the classic protocol.
    Krafka,
}

/// A client that consumes a topic as the only member of a group.
pub trait Consumer {
    /// All that it has been given so far.
    fn seen(&mut self) -> Checker;

    /// Ends it. Where that takes long it is not waited for.
    fn end(self: Box<Self>);
}

/// What is consumed, and how.
#[derive(Debug, Clone, Copy)]
pub struct Place<'a> {
    /// The stable address.
    pub bootstrap: &'a str,
    /// Names topic and group.
    pub name: &'a str,
}

/// What chooses KIP-848, in Java and in librdkafka.
const NEXT_GENERATION: (&str, &str) = ("group.protocol", "consumer");
const LOCK: &str = include_str!("../../../../Cargo.lock");

impl Client {
    /// Those that this program was built with, in their order.
    pub fn available() -> Vec<Client> {
        let built = |client: &&Client| match client {
            Client::LibrdkafkaClassic | Client::Librdkafka848 => cfg!(feature = "librdkafka"),
            Client::Krafka => cfg!(feature = "krafka"),
            _ => true,
        };
        Client::value_variants().iter().filter(built).copied().collect()
    }

    /// Its name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Client::Steadfast => "steadfast",
            Client::JavaClassic => "java-classic",
            Client::Java848 => "java-848",
            Client::LibrdkafkaClassic => "librdkafka-classic",
            Client::Librdkafka848 => "librdkafka-848",
            Client::Rskafka => "rskafka",
            Client::Krafka => "krafka",
        }
    }

    /// Its name in a text.
    pub fn title(self) -> &'static str {
        match self {
            Client::Steadfast => "steadfast",
            Client::JavaClassic => "Java, classic group",
            Client::Java848 => "Java, KIP-848",
            Client::LibrdkafkaClassic => "librdkafka, classic group",
            Client::Librdkafka848 => "librdkafka, KIP-848",
            Client::Rskafka => "rskafka, no group",
            Client::Krafka => "krafka, classic group",
        }
    }

    /// What is set beside bootstrap servers, group, topic and deserializers; all else is at its default.
    pub fn settings(self) -> &'static str {
        match self {
            Client::Steadfast => "nothing",
            Client::JavaClassic => "auto.offset.reset=earliest",
            Client::Java848 => "auto.offset.reset=earliest, group.protocol=consumer",
            Client::LibrdkafkaClassic => {
                "auto.offset.reset=earliest, enable.auto.offset.store=false (stored after each record instead)"
            }
            Client::Librdkafka848 => "as librdkafka-classic, group.protocol=consumer",
            Client::Rskafka => "from the earliest offset; a stream that ends is begun anew at its offset",
            Client::Krafka => "auto.offset.reset=earliest; poll is called again after an error",
        }
    }

    /// Its version.
    pub fn version(self) -> String {
        match self {
            Client::Steadfast => env!("CARGO_PKG_VERSION").to_owned(),
            Client::JavaClassic | Client::Java848 => format!("kafka-clients {}", Version::chosen()),
            Client::LibrdkafkaClassic | Client::Librdkafka848 => librdkafka_version(),
            Client::Rskafka => locked("rskafka").to_owned(),
            Client::Krafka => locked("krafka").to_owned(),
        }
    }

    /// Begins to consume.
    ///
    /// # Errors
    /// It cannot be started, or is not built in.
    pub fn start(self, place: Place<'_>) -> io::Result<Box<dyn Consumer>> {
        match self {
            Client::Steadfast => Ok(Box::new(steadfast::Process::start(place)?)),
            Client::JavaClassic => Ok(Box::new(java::Process::start(place, &[])?)),
            Client::Java848 => Ok(Box::new(java::Process::start(place, &[NEXT_GENERATION])?)),
            Client::LibrdkafkaClassic => librdkafka(place, &[]),
            Client::Librdkafka848 => librdkafka(place, &[NEXT_GENERATION]),
            Client::Rskafka => Ok(Box::new(rskafka::Streams::start(place)?)),
            Client::Krafka => krafka(place),
        }
    }

    /// Whether its rejoins are seen from outside: those of a classic group are.
    pub fn is_in_a_classic_group(self) -> bool {
        matches!(self, Client::Steadfast | Client::JavaClassic | Client::LibrdkafkaClassic | Client::Krafka)
    }
}

#[cfg(feature = "librdkafka")]
fn librdkafka(place: Place<'_>, settings: &[(&str, &str)]) -> io::Result<Box<dyn Consumer>> {
    Ok(Box::new(super::librdkafka::Member::start(place, settings)?))
}

#[cfg(not(feature = "librdkafka"))]
fn librdkafka(_: Place<'_>, _: &[(&str, &str)]) -> io::Result<Box<dyn Consumer>> {
    let missing = "this was built without librdkafka: cargo build --package steadfast-bench --features librdkafka \
                   (just bench recovery does)";
    Err(io::Error::new(io::ErrorKind::Unsupported, missing))
}

#[cfg(feature = "krafka")]
fn krafka(place: Place<'_>) -> io::Result<Box<dyn Consumer>> {
    Ok(Box::new(super::krafka::Member::start(place)?))
}

#[cfg(not(feature = "krafka"))]
fn krafka(_: Place<'_>) -> io::Result<Box<dyn Consumer>> {
    let missing = "this was built without krafka: cargo build --package steadfast-bench --features krafka (just bench \
                   recovery does)";
    Err(io::Error::new(io::ErrorKind::Unsupported, missing))
}

#[cfg(feature = "librdkafka")]
fn librdkafka_version() -> String {
    format!("{} (rdkafka {})", steadfast_tests::reader::version(), locked("rdkafka"))
}

#[cfg(not(feature = "librdkafka"))]
fn librdkafka_version() -> String {
    "not built in".to_owned()
}

/// The version of a package that Cargo.lock names.
fn locked(package: &str) -> &'static str {
    let entry = format!("name = \"{package}\"\nversion = \"");
    let version = LOCK.split_once(&entry).and_then(|(_, rest)| rest.split_once('"'));
    version.map_or("of an unknown version", |(version, _)| version)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_what_the_command_line_takes() {
        for client in Client::value_variants() {
            assert_eq!(Client::from_str(client.name(), false), Ok(*client));
        }
    }

    #[test]
    fn a_version_is_the_locked_one() {
        assert!(
            locked("rskafka").split('.').all(|part| part.parse::<u32>().is_ok()),
            "{}",
            locked("rskafka")
        );
        assert_eq!(locked("no-such-package"), "of an unknown version");
    }
}
