//! The clients, each in the groups that it can form.

use std::io;

use clap::ValueEnum;
use steadfast_tests::kafka::Version;

#[cfg(feature = "librdkafka")]
use super::member::Librdkafka;
use super::member::{Java, Member, Place, Steadfast};

/// A client of Kafka with a way of sharing partitions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub enum Client {
    /// `steadfast run` at its defaults: eager.
    Steadfast,
    /// The same with `cooperative-sticky`.
    SteadfastCooperative,
    /// Java's `KafkaConsumer` with `range`: eager.
    JavaRange,
    /// The same with `cooperative-sticky`.
    JavaCooperative,
    /// The same in a group of KIP-848.
    #[value(name = "java-848")]
    Java848,
    /// librdkafka at its defaults: eager.
    Librdkafka,
    /// The same with `cooperative-sticky`.
    LibrdkafkaCooperative,
    /// The same in a group of KIP-848.
    #[value(name = "librdkafka-848")]
    Librdkafka848,
}

const NEXT_GENERATION: (&str, &str) = ("group.protocol", "consumer");
const ASSIGNOR: &str = "partition.assignment.strategy";
const JAVA_RANGE: (&str, &str) = (ASSIGNOR, "org.apache.kafka.clients.consumer.RangeAssignor");
const JAVA_COOPERATIVE: (&str, &str) =
    (ASSIGNOR, "org.apache.kafka.clients.consumer.CooperativeStickyAssignor");
const COOPERATIVE: (&str, &str) = (ASSIGNOR, "cooperative-sticky");

impl Client {
    /// Those that this program was built with, in their order.
    pub fn available() -> Vec<Client> {
        let built = |client: &&Client| cfg!(feature = "librdkafka") || !client.is_librdkafka();
        Client::value_variants().iter().filter(built).copied().collect()
    }

    /// Its name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Client::Steadfast => "steadfast",
            Client::SteadfastCooperative => "steadfast-cooperative",
            Client::JavaRange => "java-range",
            Client::JavaCooperative => "java-cooperative",
            Client::Java848 => "java-848",
            Client::Librdkafka => "librdkafka",
            Client::LibrdkafkaCooperative => "librdkafka-cooperative",
            Client::Librdkafka848 => "librdkafka-848",
        }
    }

    /// Its name in a text.
    pub fn title(self) -> &'static str {
        match self {
            Client::Steadfast => "steadfast, defaults (eager)",
            Client::SteadfastCooperative => "steadfast, cooperative-sticky",
            Client::JavaRange => "Java, range (eager)",
            Client::JavaCooperative => "Java, cooperative-sticky",
            Client::Java848 => "Java, KIP-848",
            Client::Librdkafka => "librdkafka, defaults (eager)",
            Client::LibrdkafkaCooperative => "librdkafka, cooperative-sticky",
            Client::Librdkafka848 => "librdkafka, KIP-848",
        }
    }

    /// What is set beside bootstrap servers, group, topic, the reset to the earliest offset and deserializers.
    pub fn settings(self) -> Vec<(&'static str, &'static str)> {
        match self {
            Client::Steadfast | Client::Librdkafka => vec![],
            Client::SteadfastCooperative | Client::LibrdkafkaCooperative => vec![COOPERATIVE],
            Client::JavaRange => vec![JAVA_RANGE],
            Client::JavaCooperative => vec![JAVA_COOPERATIVE],
            Client::Java848 | Client::Librdkafka848 => vec![NEXT_GENERATION],
        }
    }

    /// Its version.
    pub fn version(self) -> String {
        match self {
            Client::Steadfast | Client::SteadfastCooperative => env!("CARGO_PKG_VERSION").to_owned(),
            Client::JavaRange | Client::JavaCooperative | Client::Java848 => Version::chosen().to_string(),
            Client::Librdkafka | Client::LibrdkafkaCooperative | Client::Librdkafka848 => {
                librdkafka_version()
            }
        }
    }

    /// Whether targets are held against it.
    pub fn is_ours(self) -> bool {
        matches!(self, Client::Steadfast | Client::SteadfastCooperative)
    }

    fn is_librdkafka(self) -> bool {
        matches!(self, Client::Librdkafka | Client::LibrdkafkaCooperative | Client::Librdkafka848)
    }

    /// One that is ready to join when it is told to: a JVM runs by then.
    ///
    /// # Errors
    /// It cannot be made ready, or is not built in.
    pub fn prepare(self, place: &Place) -> io::Result<Box<dyn Member>> {
        let settings = [self.settings(), place.further.clone()].concat();
        if self.is_librdkafka() {
            return librdkafka(place, settings);
        }
        Ok(match self.is_ours() {
            true => Box::new(Steadfast::prepare(place, &settings)?),
            false => Box::new(Java::prepare(place, &settings)?),
        })
    }
}

#[cfg(feature = "librdkafka")]
fn librdkafka(place: &Place, settings: Vec<(&'static str, &'static str)>) -> io::Result<Box<dyn Member>> {
    Ok(Box::new(Librdkafka::prepare(place, settings)))
}

#[cfg(not(feature = "librdkafka"))]
fn librdkafka(_: &Place, _: Vec<(&'static str, &'static str)>) -> io::Result<Box<dyn Member>> {
    Err(io::Error::new(
        io::ErrorKind::Unsupported,
        "this was built without librdkafka (just bench rebalance has it)",
    ))
}

#[cfg(feature = "librdkafka")]
fn librdkafka_version() -> String {
    steadfast_tests::reader::version()
}

#[cfg(not(feature = "librdkafka"))]
fn librdkafka_version() -> String {
    "not built in".to_owned()
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
}
