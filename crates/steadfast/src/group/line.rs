//! A connection to the group coordinator that is opened when it is needed and left when it fails.

use std::sync::Arc;
use std::time::Duration;

use steadfast_core::endpoints::race::Evidence;
use steadfast_core::endpoints::view::Address;
use steadfast_core::ids::{ClusterId, NodeId};
use steadfast_kafka::api::Api;
use steadfast_kafka::connection::{CallError, ConnectError, Connection};
use steadfast_watch as watch;
use tokio::sync::Mutex;
use tokio::task::JoinHandle;
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
    /// A connection with other settings that is being opened beside it.
    attempt: Option<Attempt>,
    /// When other settings were last tried in vain.
    tried: Option<Instant>,
}

/// The opening of a connection: it ends with this value.
struct Attempt {
    /// What it is opened with.
    security: SecuritySettings,
    task: JoinHandle<Result<Connection, ConnectError>>,
}

impl Drop for Attempt {
    fn drop(&mut self) {
        self.task.abort();
    }
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

    /// What it says of the endpoint.
    pub(crate) fn evidence(&self) -> Evidence {
        match self {
            LineError::Connect(error) => error.evidence(),
            LineError::Call(error) => error.evidence(),
            LineError::Unverified(_) => Evidence::Broken,
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

    /// The standing connection is left when other security settings are in force and a connection with them is
    /// ready, not before: a broker may know a new password later than we do, a token may be long in coming, and an
    /// endpoint that listens no longer as it did is left when the agreed view names another.
    async fn connection(&self, to: &Coordinator) -> Result<Connection, ConnectError> {
        let mut open = self.open.lock().await;
        let dialler = self.dialler.with_settings_of_now();
        let security = dialler.security();
        if let Some(open) = open.as_mut() {
            open.settle(&security).await;
            if open.leads_to(&to.address) {
                if open.wants(&security) {
                    open.attempt = Some(Attempt::begin(dialler, security, to));
                }
                return Ok(open.connection.clone());
            }
            open.attempt = None;
        }
        let connection = dialler.open(to.address.clone(), Some(to.node), to.pin.clone()).await?;
        *open = Some(Open::new(connection.clone(), security));
        Ok(connection)
    }
}

impl Open {
    fn new(connection: Connection, security: SecuritySettings) -> Open {
        Open { connection, security, attempt: None, tried: None }
    }

    fn leads_to(&self, address: &Address) -> bool {
        self.connection.address() == address && !self.connection.is_closed()
    }

    /// Changes over to the connection that was opened beside this one, if it is ready. An attempt with settings
    /// that are no longer in force is given up.
    async fn settle(&mut self, security: &SecuritySettings) {
        drop(self.attempt.take_if(|attempt| attempt.security != *security));
        let Some(attempt) = self.attempt.as_mut().filter(|attempt| attempt.task.is_finished()) else {
            return;
        };
        match (&mut attempt.task).await {
            Ok(Ok(connection)) if !connection.is_closed() => *self = Open::new(connection, security.clone()),
            Ok(_) | Err(_) => {
                self.attempt = None;
                self.tried = Some(Instant::now());
            }
        }
    }

    /// Whether other settings are in force, and are neither being tried nor were just now.
    fn wants(&self, security: &SecuritySettings) -> bool {
        self.security != *security
            && self.attempt.is_none()
            && self.tried.is_none_or(|tried| tried.elapsed() >= TRIED_AGAIN)
    }
}

impl Attempt {
    fn begin(dialler: Dialler, security: SecuritySettings, to: &Coordinator) -> Attempt {
        let (address, node, pin) = (to.address.clone(), to.node, to.pin.clone());
        let task = tokio::spawn(async move { dialler.open(address, Some(node), pin).await });
        Attempt { security, task }
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

    use futures::FutureExt;
    use futures::future::BoxFuture;
    use steadfast_kafka::api::find_coordinator::FindCoordinator;
    use steadfast_kafka::transport::{Stream, Transport};
    use steadfast_sim::cluster::Cluster as Brokers;
    use steadfast_sim::network::{Door, Machine, Network};
    use steadfast_sim::serve::Served;

    use super::*;
    use crate::config::Config;
    use crate::dialler::Refusals;
    use crate::observers::Events;

    const NODE: NodeId = NodeId(1);

    /// A network on which connecting may come to take for ever. Counts who begins to connect.
    #[derive(Default)]
    struct Wire {
        network: Network,
        stuck: AtomicBool,
        begun: AtomicU32,
        given_up: Arc<AtomicU32>,
    }

    /// Counts that a connecting ended.
    struct Ends(Arc<AtomicU32>);

    impl Drop for Ends {
        fn drop(&mut self) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    impl Wire {
        fn begun(&self) -> u32 {
            self.begun.load(Ordering::Relaxed)
        }
    }

    impl Transport for Wire {
        fn connect<'a>(&'a self, to: &'a Address) -> BoxFuture<'a, io::Result<Stream>> {
            self.begun.fetch_add(1, Ordering::Relaxed);
            async move {
                if self.stuck.load(Ordering::Relaxed) {
                    let _ends = Ends(Arc::clone(&self.given_up));
                    std::future::pending::<()>().await;
                }
                Ok(Stream { io: Box::new(self.network.connect(to).await?), peer: None })
            }
            .boxed()
        }
    }

    /// With settings that differ in nothing that a broker sees.
    fn config(token_timeout: &str) -> Arc<Config> {
        let text = format!(
            "topics = [\"t\"]\nstate.dir = \"/s\"\nkafka.bootstrap.servers = \"k:1\"\nkafka.group.id = \"g\"\n\
             kafka.sasl.oauthbearer.token.timeout.ms = \"{token_timeout}\""
        );
        Arc::new(Config::from_toml_str(&text).unwrap())
    }

    struct Setting {
        wire: Arc<Wire>,
        configured: watch::Sender<Arc<Config>>,
        line: Line,
        to: Coordinator,
    }

    impl Setting {
        fn new() -> Setting {
            let wire = Arc::<Wire>::default();
            let address = Address::new("k", 1);
            let served = Served::start(Brokers::new("c", [(NODE, address.clone())]));
            wire.network.lead(&address, Door::Open(Arc::new(Machine::new(served, NODE, 7)), None));
            let (configured, view) = watch::channel(config("10s"));
            let line = Line::new(Dialler {
                transport: wire.clone(),
                client_id: "test".into(),
                config: view,
                settled: None,
                refusals: Arc::new(Refusals::new(Events::new("test", Vec::new()))),
            });
            Setting { wire, configured, line, to: Coordinator { node: NODE, address, pin: None } }
        }

        /// Whether a request is answered, which has to be soon.
        async fn is_answered(&self) -> bool {
            let asked = Instant::now();
            let question = FindCoordinator { group: "g".into() };
            let answer = self.line.call(&self.to, question, Duration::from_secs(5)).await;
            answer.is_ok() && asked.elapsed() < Duration::from_millis(100)
        }

        async fn connection(&self) -> Connection {
            self.line.connection(&self.to).await.unwrap()
        }
    }

    #[tokio::test(start_paused = true)]
    async fn while_other_settings_are_tried_the_standing_connection_answers() {
        let setting = Setting::new();
        assert!(setting.is_answered().await);
        let standing = setting.connection().await;
        assert_eq!(setting.wire.begun(), 1);

        // A try takes a second, and a second's rest follows.
        setting.wire.stuck.store(true, Ordering::Relaxed);
        setting.configured.send_replace(config("20s"));
        for _ in 0..100 {
            assert!(setting.is_answered().await);
            tokio::time::sleep(Duration::from_millis(200)).await;
            let (begun, given_up) = (setting.wire.begun() - 1, setting.wire.given_up.load(Ordering::Relaxed));
            assert!(begun - given_up <= 1, "one at a time");
        }
        assert!((7..=11).contains(&setting.wire.begun()), "{} tries", setting.wire.begun());
        assert!(!standing.is_closed());

        setting.wire.stuck.store(false, Ordering::Relaxed);
        drop(standing);
        let tries = setting.wire.begun();
        for _ in 0..20 {
            assert!(setting.is_answered().await);
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        assert_eq!(setting.wire.begun(), tries + 1, "changed over, and it is not tried any more");
        let open = setting.line.open.lock().await;
        assert!(open.as_ref().unwrap().security == config("20s").kafka.security);
    }

    #[tokio::test(start_paused = true)]
    async fn a_try_ends_with_its_line_and_with_its_settings() {
        let setting = Setting::new();
        assert!(setting.is_answered().await);
        setting.wire.stuck.store(true, Ordering::Relaxed);
        let given_up = Arc::clone(&setting.wire.given_up);
        for (settings, earlier) in [("20s", 0), ("30s", 1)] {
            setting.configured.send_replace(config(settings));
            assert!(setting.is_answered().await);
            assert_eq!(given_up.load(Ordering::Relaxed), earlier);
        }
        drop(setting);
        tokio::time::sleep(Duration::from_millis(1)).await;
        assert_eq!(given_up.load(Ordering::Relaxed), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn without_a_connection_that_works_the_settings_in_force_are_waited_for() {
        let setting = Setting::new();
        let standing = setting.connection().await;
        setting.configured.send_replace(config("20s"));
        standing.close(steadfast_kafka::connection::CloseReason::Dropped);
        assert!(setting.is_answered().await);
        let open = setting.line.open.lock().await;
        assert!(open.as_ref().unwrap().security == config("20s").kafka.security);
    }
}
