//! The drill on the user's own cluster: the drift proxy stands between it and the service, and moves endpoints there.
//!
//! The service is the user's, with these differences: it joins a group of its own, commits nothing, begins at the end of
//! the user's topics, throws away what it reads, keeps its state in a directory that is deleted, and reaches the brokers
//! through the proxy only. So nothing is written to the user's topics, nor to the user's group; the drill's group is left
//! again, and brokers clear it away, since it has no offsets. Producers and other consumers notice nothing.

mod cluster;
mod holes;
mod notes;
mod played;
mod row;
mod scenario;
mod stage;

use std::io;
use std::time::Duration;

use steadfast_core::endpoints::view::Address;
use steadfast_core::ids::ClusterId;

use crate::config::{Config, SecurityProtocol};
use crate::exit::Exit;
use cluster::Upstream;
use stage::Stage;

pub use row::{Evidence, Row};
pub use scenario::Scenario;

/// Why there is no drill.
#[derive(Debug, thiserror::Error)]
pub enum RealError {
    /// What brokers answer is encrypted.
    #[error(
        "kafka.security.protocol is {protocol}: the drift proxy has to rewrite the brokers' answers, and cannot when \
         they are encrypted. Use a plain-text listener (PLAINTEXT or SASL_PLAINTEXT), or the drill without --real"
    )]
    Encrypted {
        /// `security.protocol`.
        protocol: SecurityProtocol,
    },
    /// Brokers are not reached where they say.
    #[error(
        "brokers are reached by [endpoints.override], and the drift proxy goes to the addresses that they advertise: \
         run the drill where these are reached, without the override"
    )]
    Overridden,
    /// Nobody answers at the bootstrap addresses.
    #[error("the cluster is not reached: {0}")]
    Unreachable(String),
    /// They answer as another cluster than the configuration names.
    #[error(
        "{address} belongs to cluster {found}, and drift.cluster_id is {expected}: nothing is drilled there"
    )]
    OtherCluster {
        /// Where it was asked.
        address: Address,
        /// `drift.cluster_id`.
        expected: ClusterId,
        /// What it is.
        found: ClusterId,
    },
    /// The brokers do not let us in.
    #[error("the cluster does not let us in: {0}")]
    Denied(String),
    /// The brokers do not let the drill's own group in.
    #[error(
        "the cluster refused the drill's group, or fenced it: allow READ on groups that begin with steadfast-drill-"
    )]
    Refused,
    /// A topic cannot be consumed.
    #[error("topic {topic}: {reason}")]
    Topic {
        /// Which one.
        topic: String,
        /// Why.
        reason: String,
    },
    /// This machine hinders it.
    #[error("no runtime, directory, port or thread: {0}")]
    Io(#[from] io::Error),
    /// It was asked to end.
    #[error("the drill was interrupted")]
    Interrupted,
}

impl RealError {
    /// What the command ends with.
    pub fn exit(&self) -> Exit {
        match self {
            RealError::Encrypted { .. } | RealError::Overridden => Exit::Configuration,
            RealError::Unreachable(_) => Exit::Unreachable,
            RealError::Denied(_) | RealError::Refused => Exit::Denied,
            RealError::OtherCluster { .. } | RealError::Topic { .. } => Exit::Found,
            RealError::Io(_) => Exit::Internal,
            RealError::Interrupted => Exit::Interrupted,
        }
    }
}

/// Plays these scenarios one after the other on the cluster that `config` names, and hands each row to `told` as soon as
/// it is known. Blocks: a scenario takes some seconds, or up to two minutes when the service does not come back. Not to
/// be called from async code.
///
/// # Errors
/// The cluster cannot be drilled, or not go on. Rows that were told stand.
pub fn play(config: &Config, scenarios: &[Scenario], mut told: impl FnMut(&Row)) -> Result<(), RealError> {
    cluster::admissible(config)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let played = runtime.block_on(async {
        let upstream = cluster::ask(config).await?;
        for scenario in scenarios {
            told(&rehearse(config, &upstream, *scenario).await?);
        }
        Ok(())
    });
    runtime.shutdown_timeout(Duration::from_millis(100));
    played
}

/// One scenario, with a proxy and a service of its own.
async fn rehearse(config: &Config, upstream: &Upstream, scenario: Scenario) -> Result<Row, RealError> {
    if let Some(reason) = scenario.hindered(upstream.brokers.len()) {
        return Ok(Row::skipped(scenario.title(), reason));
    }
    let mut stage = Stage::open(config, upstream, scenario).await?;
    let row = match stage.play(scenario).await {
        Ok(played) => Row::of(scenario.title(), &played),
        Err(stage::StageError::Interrupted) => return Err(RealError::Interrupted),
        Err(stage::StageError::Ended(Exit::Denied)) => return Err(RealError::Refused),
        Err(error) if error.is_no_fault() => Row::skipped(scenario.title(), error.to_string()),
        Err(error) => Row::failed(scenario.title(), error.to_string()),
    };
    let ended = stage.end().await;
    Ok(row.with_end(ended))
}
