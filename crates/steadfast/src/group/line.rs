//! A connection to the group coordinator that is opened when it is needed and left when it fails.

use std::sync::Arc;
use std::time::Duration;

use steadfast_core::endpoints::view::Address;
use steadfast_core::ids::{ClusterId, NodeId};
use steadfast_kafka::api::Api;
use steadfast_kafka::connection::{CallError, ConnectError, Connection};
use tokio::sync::Mutex;

use crate::dialler::Dialler;

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
