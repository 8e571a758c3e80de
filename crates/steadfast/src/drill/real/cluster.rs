//! The user's cluster: whether it can be drilled, and who is in it.

use std::collections::BTreeMap;
use std::time::Duration;

use steadfast_kafka::api::ErrorCode;
use steadfast_kafka::api::metadata::Metadata;
use steadfast_kafka::connection::Connection;

use super::RealError;
use crate::config::Config;
use crate::dialler::open_once;

/// What each step may take.
const LIMIT: Duration = Duration::from_secs(5);

/// The brokers as they advertise themselves, and how many partitions the user's topics have.
pub(super) struct Upstream {
    pub(super) brokers: BTreeMap<i32, (String, u16)>,
    pub(super) partitions: usize,
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
    let mut failed = RealError::Unreachable("no bootstrap address".to_owned());
    for address in &config.kafka.bootstrap_servers {
        match open_once(config, address, LIMIT).await {
            Ok(connection) => return learn(config, &connection).await,
            Err(error) if error.is_denied() => failed = RealError::Denied(error.to_string()),
            Err(error) => failed = RealError::Unreachable(error.to_string()),
        }
    }
    Err(failed)
}

async fn learn(config: &Config, connection: &Connection) -> Result<Upstream, RealError> {
    let endpoints = &connection.opened().view.endpoints;
    let brokers = endpoints
        .iter()
        .map(|(node, endpoint)| (node.0, (endpoint.address.host.to_string(), endpoint.address.port)));
    let brokers = brokers.collect();
    let question = Metadata { topics: Some(config.topics.clone()) };
    let answer = connection.call(question, LIMIT).await;
    let answer = answer.map_err(|error| RealError::Unreachable(error.to_string()))?;
    let mut partitions = 0;
    for topic in answer.topics {
        if topic.error != ErrorCode::NONE {
            return Err(RealError::Topic { topic: topic.name.to_string(), reason: topic.error.to_string() });
        }
        partitions += topic.partitions.len();
    }
    Ok(Upstream { brokers, partitions })
}
