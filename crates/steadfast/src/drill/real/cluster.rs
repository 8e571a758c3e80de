//! The user's cluster: whether it can be drilled, and who is in it.

use std::collections::BTreeMap;
use std::time::Duration;

use steadfast_kafka::api::ErrorCode;
use steadfast_kafka::api::metadata::Metadata;
use steadfast_kafka::connection::{ConnectError, ConnectFailure, Connection};

use super::RealError;
use crate::config::Config;
use crate::dialler::open_once;

/// What each step may take.
const LIMIT: Duration = Duration::from_secs(5);

/// The cluster as it says itself.
pub(super) struct Upstream {
    /// The brokers as they advertise themselves.
    pub(super) brokers: BTreeMap<i32, (String, u16)>,
    /// How many partitions the user's topics have.
    pub(super) partitions: usize,
    /// How long a connection takes until it can be used.
    pub(super) opening: Duration,
}

/// Whether the proxy can stand in front of such a cluster.
pub(super) fn admissible(config: &Config) -> Result<(), RealError> {
    let protocol = config.kafka.security.protocol();
    if protocol.has_tls() {
        return Err(RealError::Encrypted { protocol });
    }
    if config.endpoint_overrides.is_empty() { Ok(()) } else { Err(RealError::Overridden) }
}

/// Asks one bootstrap address after the other who is in the cluster, with the user's credentials.
pub(super) async fn ask(config: &Config) -> Result<Upstream, RealError> {
    learn(config, &connect(config).await?).await
}

/// A connection to the first bootstrap address that can be used.
pub(super) async fn connect(config: &Config) -> Result<Connection, RealError> {
    let mut failed = RealError::Unreachable("no bootstrap address".to_owned());
    for address in &config.kafka.bootstrap_servers {
        match open_once(config, address, LIMIT).await {
            Ok(connection) => return Ok(connection),
            Err(error) => failed = told(error),
        }
    }
    Err(failed)
}

fn told(error: ConnectError) -> RealError {
    if error.is_denied() {
        return RealError::Denied(error.to_string());
    }
    match error.failure {
        ConnectFailure::WrongCluster { expected, found } => {
            RealError::OtherCluster { address: error.address, expected, found }
        }
        _ => RealError::Unreachable(error.to_string()),
    }
}

async fn learn(config: &Config, connection: &Connection) -> Result<Upstream, RealError> {
    let opened = connection.opened();
    let endpoints = &opened.view.endpoints;
    let brokers = endpoints
        .iter()
        .map(|(node, endpoint)| (node.0, (endpoint.address.host.to_string(), endpoint.address.port)));
    let brokers = brokers.collect();
    let question = Metadata { topics: config.topics.question() };
    let answer = connection.call(question, LIMIT).await;
    let answer = answer.map_err(|error| RealError::Unreachable(error.to_string()))?;
    let mut partitions = 0;
    for topic in answer.topics.into_iter().filter(|topic| config.topics.take(topic)) {
        if topic.error != ErrorCode::NONE {
            return Err(RealError::Topic { topic: topic.name.to_string(), reason: topic.error.to_string() });
        }
        partitions += topic.partitions.len();
    }
    Ok(Upstream { brokers, partitions, opening: opened.connected_in + opened.handshake_in })
}
