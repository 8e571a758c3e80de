//! A connection to the group coordinator that is opened when it is needed and left when it fails.

use std::sync::Arc;
use std::time::Duration;

use steadfast_core::endpoints::view::Address;
use steadfast_core::ids::{ClusterId, NodeId};
use steadfast_kafka::api::Api;
use steadfast_kafka::connection::{CallError, ConnectError, Connection};
use steadfast_watch as watch;
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout};

use crate::config::SecuritySettings;
use crate::dialler::Dialler;
use crate::drift::published::Cluster;

/// Where the coordinator is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Coordinator {
    pub(crate) node: NodeId,
    pub(crate) address: Address,
    pub(crate) pin: Option<ClusterId>,
}

/// One connection, shared by the requests that go through it. A clone is the same line.
#[derive(Clone)]
pub(crate) struct Line {
    dialler: Dialler,
    open: Arc<Mutex<Option<Open>>>,
}

struct Open {
    connection: Connection,
    /// What it was opened with.
    security: SecuritySettings,
    /// When other settings were last tried in vain.
    tried: Option<Instant>,
}

/// Why a request came to nothing.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LineError {
    #[error(transparent)]
    Connect(#[from] ConnectError),
    #[error(transparent)]
    Call(#[from] CallError),
    #[error("broker {0} is not verified at any address")]
    Unverified(NodeId),
}

impl LineError {
    /// What kind of failure it is, in a word.
    pub(crate) fn class(&self) -> &'static str {
        match self {
            LineError::Connect(_) => "connect",
            LineError::Call(_) => "call",
            LineError::Unverified(_) => "unverified",
        }
    }
}

/// How long a coordinator may stay unverified before it is asked for again.
const VERIFIED_WITHIN: Duration = Duration::from_secs(1);

/// How long other security settings that were tried in vain are not tried again.
const TRIED_AGAIN: Duration = Duration::from_secs(1);

/// Where `node` is reached: as soon as it is a verified broker of the agreed view. At start-up the answer that
/// verifies it may come a little later than the agreement of the others.
pub(crate) async fn locate(
    mut cluster: watch::Receiver<Arc<Cluster>>,
    node: NodeId,
    limit: Duration,
) -> Result<Coordinator, LineError> {
    let verified = cluster.wait_for(|cluster| cluster.address(node).is_some());
    let cluster = match timeout(limit.min(VERIFIED_WITHIN), verified).await {
        Ok(Ok(cluster)) => Arc::clone(&cluster),
        Ok(Err(_)) | Err(_) => return Err(LineError::Unverified(node)),
    };
    let address = cluster.address(node).cloned().ok_or(LineError::Unverified(node))?;
    Ok(Coordinator { node, address, pin: cluster.pin.clone() })
}

impl Line {
    /// A line that is not open yet.
    pub(crate) fn new(dialler: Dialler) -> Line {
        Line { dialler, open: Arc::default() }
    }

    /// Sends the request to the coordinator, over the standing connection if it leads there.
    pub(crate) async fn call<A: Api>(
        &self,
        to: &Coordinator,
        request: A,
        limit: Duration,
    ) -> Result<A::Answer, LineError> {
        let connection = self.connection(to).await?;
        Ok(connection.call(request, limit).await?)
    }

    /// The standing connection is left when other security settings are in force and a connection with them can
    /// be had, not before: a broker may know a new password later than we do, and an endpoint that listens no
    /// longer as it did is left when the agreed view names another.
    async fn connection(&self, to: &Coordinator) -> Result<Connection, ConnectError> {
        let mut open = self.open.lock().await;
        let dialler = self.dialler.with_settings_of_now();
        let security = dialler.security();
        let mut standing = open.as_mut().filter(|open| open.leads_to(&to.address));
        if let Some(open) = standing.take_if(|open| open.suffices(&security)) {
            return Ok(open.connection.clone());
        }
        match (dialler.open(to.address.clone(), Some(to.node), to.pin.clone()).await, standing) {
            (Ok(connection), _) => {
                *open = Some(Open { connection: connection.clone(), security, tried: None });
                Ok(connection)
            }
            (Err(_), Some(standing)) => {
                standing.tried = Some(Instant::now());
                Ok(standing.connection.clone())
            }
            (Err(error), None) => Err(error),
        }
    }
}

impl Open {
    fn leads_to(&self, address: &Address) -> bool {
        self.connection.address() == address && !self.connection.is_closed()
    }

    /// Whether it is as the settings want it, or they were tried just now.
    fn suffices(&self, security: &SecuritySettings) -> bool {
        self.security == *security || self.tried.is_some_and(|tried| tried.elapsed() < TRIED_AGAIN)
    }
}
