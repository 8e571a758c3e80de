//! What several events have in common, named as OpenTelemetry's conventions name it.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use serde::Serialize;
use steadfast_core::cluster;
use steadfast_core::endpoints::view::Address;
use steadfast_core::ids::{NodeId, Partition};
use steadfast_supervision::ExitReason;

/// The partition that an event is about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Place {
    /// The topic.
    #[serde(rename = "messaging.destination.name")]
    pub topic: Arc<str>,
    /// The partition's number.
    #[serde(rename = "messaging.destination.partition.id")]
    pub partition: i32,
}

impl Place {
    /// Partition `partition` of `topic`.
    pub fn new(topic: impl Into<Arc<str>>, partition: i32) -> Place {
        Place { topic: topic.into(), partition }
    }
}

impl From<&Partition> for Place {
    fn from(partition: &Partition) -> Place {
        Place { topic: Arc::clone(&partition.topic), partition: partition.index }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.topic, self.partition)
    }
}

/// The endpoint that an event is about, as it is advertised.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Server {
    /// The endpoint's host, as it is advertised.
    #[serde(rename = "server.address")]
    pub host: String,
    /// Its port.
    #[serde(rename = "server.port")]
    pub port: u16,
}

impl From<Address> for Server {
    fn from(Address { host, port }: Address) -> Server {
        Server { host, port }
    }
}

impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Address::new(self.host.as_str(), self.port).fmt(f)
    }
}

/// A topic that was deleted and created again under its name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Recreated {
    /// The topic.
    #[serde(rename = "messaging.destination.name")]
    pub topic: Arc<str>,
    /// The id of the one that is gone, as Kafka's tools write it.
    pub before: String,
    /// The id of the one that has its name now.
    pub after: String,
}

impl From<&cluster::Recreated> for Recreated {
    fn from(cluster::Recreated { topic, from, to }: &cluster::Recreated) -> Recreated {
        Recreated { topic: Arc::clone(topic), before: from.to_string(), after: to.to_string() }
    }
}

/// A connection in whose place another one came, to the same address.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Replaced {
    /// The endpoint.
    #[serde(flatten)]
    pub server: Server,
    /// The broker's id.
    pub node: NodeId,
    /// Which answer it owed, and for how long.
    pub reason: String,
}

impl fmt::Display for Replaced {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the connection to {} is replaced: {}", self.server, self.reason)
    }
}

/// What went wrong: a class to group and count by, and a sentence to read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Failure {
    /// The class of what went wrong: one of few words.
    #[serde(rename = "error.type")]
    pub class: Cow<'static, str>,
    /// What went wrong, in a sentence.
    #[serde(rename = "error.message")]
    pub message: String,
}

impl Failure {
    /// A failure of this class. The class is one of few, whatever happens; what differs belongs in the message.
    pub fn new(class: impl Into<Cow<'static, str>>, message: impl fmt::Display) -> Failure {
        Failure { class: class.into(), message: message.to_string() }
    }
}

impl From<&ExitReason> for Failure {
    fn from(reason: &ExitReason) -> Failure {
        let class = match reason {
            ExitReason::Stopped => "stopped",
            ExitReason::Panicked { .. } => "panicked",
            ExitReason::ArbiterGone => "arbiter_gone",
            ExitReason::Abandoned => "abandoned",
            ExitReason::Escalated { .. } => "escalated",
        };
        Failure::new(class, reason)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}
