//! How steadfast connects: as whom, how secured, to which cluster, within which limits.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use steadfast_core::endpoints::view::Address;
use steadfast_core::ids::{ClusterId, NodeId};
use steadfast_kafka::connection::{ConnectError, Connection, Dial};
use steadfast_kafka::transport::{Stream, SystemResolver, Tcp, Transport};
use steadfast_watch as watch;

use crate::config::{Config, SecuritySettings};
use crate::observers::Events;

pub(crate) use peers::Peers;
pub(crate) use refusals::Refusals;

mod peers;
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
    /// For a command that ends soon: its configuration stays as it is, and refusals are told by nobody but itself.
    pub(crate) fn of_command(transport: Arc<dyn Transport>, config: Arc<Config>) -> Dialler {
        let refusals = Refusals::new(Events::new(config.instance(), Vec::new()));
        Dialler {
            transport,
            client_id: config.kafka.client_id.as_str().into(),
            config: watch::channel(config).1,
            settled: None,
            refusals: Arc::new(refusals),
        }
    }

    /// How the next connection would be secured.
    pub(crate) fn security(&self) -> SecuritySettings {
        self.settled.clone().unwrap_or_else(|| self.config.borrow().kafka.security.clone())
    }

    /// Whom to dial; with a pin, whoever belongs to another cluster is refused before anything else is asked.
    pub(crate) fn dial(&self, address: Address, node: Option<NodeId>, pin: Option<ClusterId>) -> Dial {
        let config = Arc::clone(&self.config.borrow());
        let settings = self.settled.as_ref().unwrap_or(&config.kafka.security);
        Dial {
            node_hint: node,
            client_id: Arc::clone(&self.client_id),
            expect_cluster: pin,
            ..dial(&config, settings, address, LIMIT)
        }
    }

    /// Opens a fresh connection.
    pub(crate) async fn open(
        &self,
        address: Address,
        node: Option<NodeId>,
        pin: Option<ClusterId>,
    ) -> Result<Connection, ConnectError> {
        self.opened(self.dial(address, node, pin)).await
    }

    /// Opens a fresh connection to one of the addresses that `name` resolves to: the certificate has to be for the name.
    pub(crate) async fn open_one_of(
        &self,
        name: &Address,
        address: Address,
    ) -> Result<Connection, ConnectError> {
        let named = advertised_host(&self.config.borrow(), name).unwrap_or_else(|| name.host.as_str().into());
        self.opened(Dial { server_name: Some(named), ..self.dial(address, None, None) }).await
    }

    async fn opened(&self, dial: Dial) -> Result<Connection, ConnectError> {
        let address = dial.address.clone();
        let opened = Connection::open(&*self.transport, dial).await;
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

/// Opens one connection, for a command that looks once: `limit` is that of TCP and of each answer of the handshake.
pub(crate) async fn open_once(
    config: &Config,
    address: &Address,
    limit: Duration,
) -> Result<Connection, ConnectError> {
    let once = dial(config, &config.kafka.security, address.clone(), limit);
    let once = Dial { expect_cluster: config.drift.cluster_id.clone(), ..once };
    Connection::open(&Tcp::new(SystemResolver), once).await
}

fn dial(config: &Config, settings: &SecuritySettings, address: Address, limit: Duration) -> Dial {
    Dial {
        security: settings.security().clone(),
        server_name: advertised_host(config, &address),
        client_id: Arc::from(config.kafka.client_id.as_str()),
        connect_limit: limit,
        token_limit: settings.token_limit(),
        answer_limit: limit,
        ..Dial::new(address)
    }
}

/// The host that a broker advertises which is reached at `address` by `[endpoints.override]`: its certificate
/// names that one.
fn advertised_host(config: &Config, address: &Address) -> Option<Arc<str>> {
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

    fn resolve<'a>(&'a self, to: &'a Address) -> BoxFuture<'a, io::Result<Vec<SocketAddr>>> {
        self.transport.resolve(to)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    /// Counts who comes, and lets nobody in.
    #[derive(Default)]
    struct Closed(AtomicU32);

    impl Transport for Closed {
        fn connect<'a>(&'a self, _: &'a Address) -> BoxFuture<'a, io::Result<Stream>> {
            self.0.fetch_add(1, Ordering::Relaxed);
            std::future::ready(Err(io::ErrorKind::ConnectionRefused.into())).boxed()
        }
    }

    fn config(lines: &str) -> Arc<Config> {
        let text = format!(
            "topics = [\"t\"]\nstate.dir = \"/s\"\nkafka.bootstrap.servers = \"k:1\"\nkafka.group.id = \"g\"\n{lines}"
        );
        Arc::new(Config::from_toml_str(&text).unwrap())
    }

    fn dialler(config: watch::Receiver<Arc<Config>>) -> (Arc<Closed>, Dialler) {
        let transport = Arc::<Closed>::default();
        let refusals = Arc::new(Refusals::new(Events::new("test", Vec::new())));
        let dialler = Dialler {
            transport: transport.clone(),
            client_id: "test".into(),
            config,
            settled: None,
            refusals,
        };
        (transport, dialler)
    }

    #[tokio::test]
    async fn whoever_was_made_with_other_settings_opens_nothing_more() {
        let (configured, view) = watch::channel(config(""));
        let (transport, dialler) = dialler(view);
        let earlier = dialler.with_settings_of_now();
        let at = || Address::new("k", 1);
        assert!(earlier.open(at(), None, None).await.is_err());
        assert_eq!(transport.0.load(Ordering::Relaxed), 1);

        // Other settings of another kind change nothing.
        configured.send_replace(config("drift.threshold = 0.25"));
        assert!(earlier.open(at(), None, None).await.is_err());
        assert_eq!(transport.0.load(Ordering::Relaxed), 2);

        let sasl = "kafka.security.protocol = \"SASL_PLAINTEXT\"\nkafka.sasl.mechanism = \"PLAIN\"\n\
                    kafka.sasl.username = \"u\"\nkafka.sasl.password = \"p\"";
        configured.send_replace(config(sasl));
        let refused = earlier.open(at(), None, None).await.unwrap_err().to_string();
        assert!(refused.contains("other security settings are in force"), "{refused}");
        assert_eq!(transport.0.load(Ordering::Relaxed), 2);
        assert!(dialler.dial(at(), None, None).security.sasl.is_some());
        assert!(earlier.dial(at(), None, None).security.sasl.is_none());
    }

    #[test]
    fn a_token_may_take_as_long_as_its_command() {
        let (_, view) = watch::channel(config("kafka.sasl.oauthbearer.token.timeout.ms = \"40s\""));
        let dial = dialler(view).1.dial(Address::new("k", 1), None, None);
        assert_eq!(dial.token_limit, Duration::from_secs(41));
    }

    #[test]
    fn a_certificate_has_to_name_the_advertised_host() {
        let config = config("[endpoints.override]\n\"kafka-1.internal:9093\" = \"127.0.0.1:19093\"");
        let name = |address: Address| advertised_host(&config, &address);
        assert_eq!(name(Address::new("127.0.0.1", 19093)).as_deref(), Some("kafka-1.internal"));
        assert_eq!(name(Address::new("kafka-2.internal", 9093)), None);
    }
}
