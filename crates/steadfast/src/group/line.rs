//! A connection to the group coordinator that is opened when it is needed and left when it fails.

use std::sync::Arc;
use std::time::Duration;

use steadfast_core::endpoints::view::Address;
use steadfast_core::ids::{ClusterId, NodeId};
use steadfast_kafka::api::Api;
use steadfast_kafka::connection::{CallError, ConnectError, Connection};
use steadfast_watch as watch;
use tokio::sync::Mutex;
use tokio::time::timeout;

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
    open: Arc<Mutex<Option<Connection>>>,
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

    async fn connection(&self, to: &Coordinator) -> Result<Connection, ConnectError> {
        let mut open = self.open.lock().await;
        if let Some(connection) = &*open
            && connection.address() == &to.address
            && !connection.is_closed()
        {
            return Ok(connection.clone());
        }
        let connection = self.dialler.open(to.address.clone(), Some(to.node), to.pin.clone()).await?;
        *open = Some(connection.clone());
        Ok(connection)
    }
}
