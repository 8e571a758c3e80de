//! How steadfast connects: as whom, how secured, to which cluster, within which limits.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use steadfast_core::endpoints::view::Address;
use steadfast_core::ids::{ClusterId, NodeId};
use steadfast_kafka::connection::{ConnectError, Connection, Dial};
use steadfast_kafka::transport::{Stream, Transport};
use steadfast_watch as watch;

use crate::config::{Config, SecuritySettings};

pub(crate) use refusals::Refusals;

mod refusals;

/// Opens connections, each secured as the configuration says when it is opened. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Dialler {
    pub(crate) transport: Arc<dyn Transport>,
    pub(crate) client_id: Arc<str>,
    pub(crate) config: watch::Receiver<Arc<Config>>,
    /// What every connection is secured by, if that is settled for good.
    pub(crate) settled: Option<SecuritySettings>,
    pub(crate) refusals: Arc<Refusals>,
}

/// How long a TCP connection, and each answer of the handshake, may take.
const LIMIT: Duration = Duration::from_secs(1);

impl Dialler {
    /// How the next connection would be secured.
    pub(crate) fn security(&self) -> SecuritySettings {
        self.settled.clone().unwrap_or_else(|| self.config.borrow().kafka.security.clone())
    }

    /// Whom to dial; with a pin, whoever belongs to another cluster is refused before anything else is asked.
    pub(crate) fn dial(&self, address: Address, node: Option<NodeId>, pin: Option<ClusterId>) -> Dial {
        let config = Arc::clone(&self.config.borrow());
        Dial {
            security: self.security().security().clone(),
            server_name: advertised_host(&config, &address),
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
        let opened = Connection::open(&*self.transport, self.dial(address.clone(), node, pin)).await;
        match &opened {
            Ok(_) => self.refusals.accepted(&address),
            Err(error) => self.refusals.failed(error),
        }
        opened
    }

    /// The same settings for good: who was made with them opens nothing more when others are in force. A listener
    /// may speak TLS by then, and must not be spoken to in plain text.
    pub(crate) fn with_settings_of_now(&self) -> Dialler {
        let settings = self.security();
        let transport = WhileInForce {
            transport: Arc::clone(&self.transport),
            settings: settings.clone(),
            config: self.config.clone(),
        };
        Dialler { transport: Arc::new(transport), settled: Some(settings), ..self.clone() }
    }
}

/// The host that a broker advertises which is reached at `address` by `[endpoints.override]`: its certificate
/// names that one.
pub(crate) fn advertised_host(config: &Config, address: &Address) -> Option<Arc<str>> {
    let mut overrides = config.endpoint_overrides.iter();
    overrides
        .find(|(_, reached)| *reached == address)
        .map(|(advertised, _)| Arc::from(advertised.host.as_str()))
}

/// A transport for as long as the settings stay in force that its user was made with.
struct WhileInForce {
    transport: Arc<dyn Transport>,
    settings: SecuritySettings,
    config: watch::Receiver<Arc<Config>>,
}

impl Transport for WhileInForce {
    fn connect<'a>(&'a self, to: &'a Address) -> BoxFuture<'a, io::Result<Stream>> {
        if self.config.borrow().kafka.security == self.settings {
            return self.transport.connect(to);
        }
        let reason = "other security settings are in force by now: whoever is made with them takes over";
        std::future::ready(Err(io::Error::new(io::ErrorKind::PermissionDenied, reason))).boxed()
    }
}
