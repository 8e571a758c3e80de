//! A connection to the group coordinator that is opened when it is needed and left when it fails.

mod silence;

use std::sync::Arc;
use std::time::Duration;

use steadfast_core::endpoints::race::Evidence;
use steadfast_core::endpoints::view::Address;
use steadfast_core::ids::{ClusterId, NodeId};
use steadfast_core::patience::Patience;
use steadfast_kafka::api::Api;
use steadfast_kafka::connection::{CallError, CloseReason, ConnectError, Connection};
use steadfast_supervision::Route;
use steadfast_watch as watch;
use tokio::sync::Mutex;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};

use crate::config::SecuritySettings;
use crate::dialler::Dialler;
use crate::drift::published::Cluster;
use crate::messages::Suspect;
use crate::observers::Events;

/// Where the coordinator is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Coordinator {
    pub(crate) node: NodeId,
    pub(crate) address: Address,
    pub(crate) pin: Option<ClusterId>,
    /// See [`Cluster::resolution`].
    pub(crate) resolution: u64,
}

/// One connection, shared by the requests that go through it. A clone is the same line.
#[derive(Clone)]
pub(crate) struct Line {
    dialler: Dialler,
    suspect: Route<Suspect>,
    events: Events,
    open: Arc<Mutex<Option<Open>>>,
    /// What this coordinator usually takes to answer.
    patience: Arc<std::sync::Mutex<Patience>>,
}

struct Open {
    connection: Connection,
    terms: Terms,
    /// A connection under other terms that is being opened beside it.
    attempt: Option<Attempt>,
    /// When other terms were last tried in vain.
    tried: Option<Instant>,
}

/// What a connection is opened under.
#[derive(Clone, PartialEq)]
struct Terms {
    security: SecuritySettings,
    /// What the broker's name led to: see [`Cluster::resolution`].
    resolution: u64,
}

/// The opening of a connection: it ends with this value.
struct Attempt {
    terms: Terms,
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
    #[error("{reason}: the connection is replaced")]
    Silent { reason: String },
}

impl LineError {
    /// What kind of failure it is, in a word.
    pub(crate) fn class(&self) -> &'static str {
        match self {
            LineError::Connect(_) => "connect",
            LineError::Call(_) => "call",
            LineError::Unverified(_) => "unverified",
            LineError::Silent { .. } => "silent",
        }
    }

    /// What it says of the endpoint.
    pub(crate) fn evidence(&self) -> Evidence {
        match self {
            LineError::Connect(error) => error.evidence(),
            LineError::Call(error) => error.evidence(),
            LineError::Unverified(_) => Evidence::Broken,
            LineError::Silent { .. } => Evidence::Silent,
        }
    }
}

const CAME_TO_NOTHING: CloseReason = CloseReason::Requested("a request on it came to nothing");

/// An answer is overdue after this, or what the coordinator usually takes.
const OVERDUE_FLOOR: Duration = Duration::from_millis(500);

/// However slow a coordinator is known to be, an answer is overdue after this.
const OVERDUE_LIMIT: Duration = Duration::from_secs(30);

/// How long a coordinator may stay unverified before it is asked for again.
const VERIFIED_WITHIN: Duration = Duration::from_secs(1);

/// What was tried in vain, other terms or a fresh connection, is not tried again for so long.
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
    let resolution = cluster.resolution(node);
    Ok(Coordinator { node, address, pin: cluster.pin.clone(), resolution })
}

impl Line {
    /// A line that is not open yet.
    pub(crate) fn new(dialler: Dialler, suspect: Route<Suspect>, events: Events) -> Line {
        let patience = Patience::new(OVERDUE_FLOOR, OVERDUE_LIMIT);
        Line { dialler, suspect, events, open: Arc::default(), patience: Arc::new(patience.into()) }
    }

    /// Sends a request whose answer may be held back, over the standing connection if it leads there. A connection on
    /// which a request came to nothing is closed: nobody asks again while it may go on.
    pub(crate) async fn call<A: Api>(
        &self,
        to: &Coordinator,
        request: A,
        limit: Duration,
    ) -> Result<A::Answer, LineError> {
        let connection = self.connection(to).await?;
        let answer = connection.call(request, limit).await;
        if answer.is_err() {
            connection.close(CAME_TO_NOTHING);
        }
        Ok(answer?)
    }

    /// The standing connection is left when other security settings are in force, or the broker's name leads
    /// elsewhere, and a connection under these terms is ready, not before: a broker may know a new password later than
    /// we do, a token may be long in coming, and an endpoint that listens no longer as it did is left when the agreed
    /// view names another.
    async fn connection(&self, to: &Coordinator) -> Result<Connection, ConnectError> {
        let mut open = self.open.lock().await;
        let dialler = self.dialler.with_settings_of_now();
        let terms = Terms { security: dialler.security(), resolution: to.resolution };
        if let Some(open) = open.as_mut() {
            open.settle(&terms).await;
            if open.leads_to(&to.address) {
                if open.wants(&terms) {
                    open.attempt = Some(Attempt::begin(dialler, terms, to));
                }
                return Ok(open.connection.clone());
            }
            open.attempt = None;
        }
        let connection = dialler.open(to.address.clone(), Some(to.node), to.pin.clone()).await?;
        *open = Some(Open::new(connection.clone(), terms));
        Ok(connection)
    }
}

impl Open {
    fn new(connection: Connection, terms: Terms) -> Open {
        Open { connection, terms, attempt: None, tried: None }
    }

    fn leads_to(&self, address: &Address) -> bool {
        self.connection.address() == address && !self.connection.is_closed()
    }

    /// Changes over to the connection that was opened beside this one, if it is ready. An attempt under terms that
    /// are no longer in force is given up.
    async fn settle(&mut self, terms: &Terms) {
        drop(self.attempt.take_if(|attempt| attempt.terms != *terms));
        let Some(attempt) = self.attempt.as_mut().filter(|attempt| attempt.task.is_finished()) else {
            return;
        };
        match (&mut attempt.task).await {
            Ok(Ok(connection)) if !connection.is_closed() => *self = Open::new(connection, terms.clone()),
            Ok(_) | Err(_) => {
                self.attempt = None;
                self.tried = Some(Instant::now());
            }
        }
    }

    /// Whether other terms are in force, and are neither being tried nor were just now.
    fn wants(&self, terms: &Terms) -> bool {
        self.terms != *terms
            && self.attempt.is_none()
            && self.tried.is_none_or(|tried| tried.elapsed() >= TRIED_AGAIN)
    }
}

impl Attempt {
    fn begin(dialler: Dialler, terms: Terms, to: &Coordinator) -> Attempt {
        let (address, node, pin) = (to.address.clone(), to.node, to.pin.clone());
        let task = tokio::spawn(async move { dialler.open(address, Some(node), pin).await });
        Attempt { terms, task }
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
        machine: Arc<Machine>,
        configured: watch::Sender<Arc<Config>>,
        line: Line,
        to: Coordinator,
    }

    impl Setting {
        fn new() -> Setting {
            let wire = Arc::<Wire>::default();
            let address = Address::new("k", 1);
            let served = Served::start(Brokers::new("c", [(NODE, address.clone())]));
            let machine = Arc::new(Machine::new(served, NODE, 7));
            wire.network.lead(&address, Door::Open(Arc::clone(&machine), None));
            let (configured, view) = watch::channel(config("10s"));
            let events = Events::new("test", Vec::new());
            let dialler = Dialler {
                transport: wire.clone(),
                client_id: "test".into(),
                config: view,
                settled: None,
                refusals: Arc::new(Refusals::new(events.clone())),
            };
            let line = Line::new(dialler, Route::channel().1, events);
            Setting {
                wire,
                machine,
                configured,
                line,
                to: Coordinator { node: NODE, address, pin: None, resolution: 0 },
            }
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
        assert!(open.as_ref().unwrap().terms.security == config("20s").kafka.security);
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
    async fn a_name_that_leads_elsewhere_is_followed_without_a_request_that_waits() {
        let mut setting = Setting::new();
        let standing = setting.connection().await;
        setting.to.resolution += 1;
        assert!(setting.is_answered().await);
        tokio::time::sleep(Duration::from_millis(1)).await;
        assert!(setting.is_answered().await && setting.is_answered().await);
        assert_eq!(setting.wire.begun(), 2);
        assert!(!standing.is_closed(), "whoever still waits for an answer there gets it");
    }

    #[tokio::test(start_paused = true)]
    async fn without_a_connection_that_works_the_settings_in_force_are_waited_for() {
        let setting = Setting::new();
        let standing = setting.connection().await;
        setting.configured.send_replace(config("20s"));
        standing.close(steadfast_kafka::connection::CloseReason::Dropped);
        assert!(setting.is_answered().await);
        let open = setting.line.open.lock().await;
        assert!(open.as_ref().unwrap().terms.security == config("20s").kafka.security);
    }

    const QUESTION_LIMIT: Duration = Duration::from_secs(10);

    fn question() -> FindCoordinator {
        FindCoordinator { group: "g".into() }
    }

    fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    #[tokio::test(start_paused = true)]
    async fn a_silent_connection_is_closed_and_the_question_repeated_over_a_fresh_one() {
        let setting = Setting::new();
        let standing = setting.connection().await;
        setting.machine.silence();
        let asked = Instant::now();
        setting.line.insist(&setting.to, question(), QUESTION_LIMIT).await.unwrap();
        assert_eq!(asked.elapsed(), OVERDUE_FLOOR);
        assert!(standing.is_closed());
        assert!(setting.is_answered().await);
        assert_eq!(setting.wire.begun(), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn what_must_not_be_repeated_unseen_comes_back_with_its_connection_closed() {
        let setting = Setting::new();
        let standing = setting.connection().await;
        setting.machine.silence();
        let (first, second) = (question(), question());
        let (first, second) = futures::join!(
            setting.line.ask(&setting.to, &first, QUESTION_LIMIT),
            setting.line.ask(&setting.to, &second, QUESTION_LIMIT),
        );
        for outcome in [first, second] {
            assert!(matches!(outcome, Err(LineError::Silent { .. })), "{outcome:?}");
        }
        assert!(standing.is_closed());
        setting.line.ask(&setting.to, &question(), ms(1)).await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn a_coordinator_that_is_slow_is_not_left_and_is_known_to_be_slow() {
        let setting = Setting::new();
        let standing = setting.connection().await;
        setting.machine.change_link(|link| link.latency = ms(400));
        for _ in 0..20 {
            setting.line.insist(&setting.to, question(), QUESTION_LIMIT).await.unwrap();
        }
        assert!(!standing.is_closed());
        assert_eq!(setting.wire.begun(), 2, "overdue once");
    }

    #[tokio::test(start_paused = true)]
    async fn where_no_fresh_connection_can_be_had_the_answer_is_waited_for() {
        let setting = Setting::new();
        let standing = setting.connection().await;
        setting.machine.silence();
        setting.wire.stuck.store(true, Ordering::Relaxed);
        let asked = Instant::now();
        let outcome = setting.line.insist(&setting.to, question(), QUESTION_LIMIT).await;
        assert!(matches!(&outcome, Err(LineError::Call(_))), "{outcome:?}");
        assert_eq!((asked.elapsed(), standing.is_closed()), (QUESTION_LIMIT, true));
        assert!((5..=7).contains(&setting.wire.begun()), "{} tries", setting.wire.begun());
    }
}
