//! How steadfast connects: as whom, to which cluster, within which limits.

use std::sync::Arc;
use std::time::Duration;

use steadfast_core::endpoints::view::Address;
use steadfast_core::ids::{ClusterId, NodeId};
use steadfast_kafka::connection::{ConnectError, Connection, Dial};
use steadfast_kafka::transport::Transport;

/// Opens connections. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Dialler {
    pub(crate) transport: Arc<dyn Transport>,
    pub(crate) client_id: Arc<str>,
}

/// How long a TCP connection, and each answer of the handshake, may take.
const LIMIT: Duration = Duration::from_secs(1);

impl Dialler {
    /// Whom to dial; with a pin, whoever belongs to another cluster is refused before anything else is asked.
    pub(crate) fn dial(&self, address: Address, node: Option<NodeId>, pin: Option<ClusterId>) -> Dial {
        Dial {
            node_hint: node,
            client_id: Arc::clone(&self.client_id),
            expect_cluster: pin,
            connect_limit: LIMIT,
            answer_limit: LIMIT,
            ..Dial::new(address)
        }
    }

    /// Opens a fresh connection.
    pub(crate) async fn open(
        &self,
        address: Address,
        node: Option<NodeId>,
        pin: Option<ClusterId>,
    ) -> Result<Connection, ConnectError> {
        Connection::open(&*self.transport, self.dial(address, node, pin)).await
    }
}
