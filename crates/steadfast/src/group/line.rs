//! A connection to the group coordinator that is opened when it is needed and left when it fails.

mod silence;
#[cfg(test)]
mod tests;

use std::panic::resume_unwind;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::FutureExt;
use steadfast_core::endpoints::race::Evidence;
use steadfast_core::endpoints::view::Address;
use steadfast_core::ids::{ClusterId, NodeId};
use steadfast_core::patience::Patience;
use steadfast_kafka::api::Api;
use steadfast_kafka::api::metadata::Metadata;
use steadfast_kafka::connection::{CallError, CloseReason, ConnectError, ConnectFailure, Connection};
use steadfast_supervision::Route;
use steadfast_watch as watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};

use crate::config::SecuritySettings;
use crate::dialler::Dialler;
use crate::drift::published::Cluster;
use crate::group::traffic::Traffic;
use crate::locked::locked;
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
    /// Where nothing stands: who holds it dials, the others wait for that. A dial outlives the request that began it,
    /// whose limit may be shorter, and is there for the next one.
    dial: Arc<tokio::sync::Mutex<Option<Attempt>>>,
    /// What this coordinator usually takes to answer.
    patience: Arc<Mutex<Patience>>,
    /// Another line to the same coordinator, which is to be left when this one is found silent.
    beside: Option<Arc<Mutex<Option<Open>>>>,
    traffic: Traffic,
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
    address: Address,
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

const SILENT: CloseReason = CloseReason::Requested("it is silent, a fresh one works");

/// An answer is overdue after this, or what the coordinator usually takes.
const OVERDUE_FLOOR: Duration = Duration::from_millis(500);

/// However slow a coordinator is known to be, an answer is overdue after this.
const OVERDUE_LIMIT: Duration = Duration::from_secs(30);

/// A request whose answer may be held back goes out unproven over a connection that was heard so lately.
const HEARD_LATELY: Duration = Duration::from_secs(1);

/// Who does not prove within this that the connection works is not asked.
const PROVEN_WITHIN: Duration = Duration::from_secs(5);

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
        Line {
            dialler,
            suspect,
            events,
            open: Arc::default(),
            dial: Arc::default(),
            patience: Arc::new(patience.into()),
            beside: None,
            traffic: Traffic::default(),
        }
    }

    /// This line, whose requests and answers are counted there.
    pub(crate) fn counted(self, traffic: &Traffic) -> Line {
        Line { traffic: traffic.clone(), ..self }
    }

    /// This line, watching over another one to the same coordinator, on which answers are held back: when this one is
    /// found silent, whatever made it so is taken to have silenced the other one too.
    pub(crate) fn beside(self, other: &Line) -> Line {
        Line { beside: Some(Arc::clone(&other.open)), ..self }
    }

    /// Sends a request whose answer may be held back and that may be asked twice, over the standing connection if it
    /// leads there. Its silence says nothing, so a connection that was not heard lately has to prove first that it
    /// works. A connection on which a request came to nothing is closed: nobody asks again while it may go on.
    pub(crate) async fn call<A: Api + Clone>(
        &self,
        to: &Coordinator,
        request: A,
        limit: Duration,
    ) -> Result<A::Answer, LineError> {
        let until = Instant::now() + limit;
        loop {
            self.prove(to, left(until)).await?;
            let connection = self.connection(to, left(until)).await?;
            match self.exchange(&connection, &request, left(until)).await {
                Ok(answer) => return Ok(answer),
                Err(error) => match came_to_nothing(&connection, error.into()) {
                    LineError::Silent { .. } if Instant::now() < until => {}
                    error => return Err(error),
                },
            }
        }
    }

    async fn exchange<A: Api>(
        &self,
        connection: &Connection,
        request: &A,
        limit: Duration,
    ) -> Result<A::Answer, CallError> {
        let pending = connection.send(request, limit)?;
        self.traffic.sent(A::NAME, pending.bytes());
        let raw = pending.raw().await?;
        self.traffic.answered(A::NAME, raw.body().len());
        raw.decode()
    }

    /// A question that is answered at once, where the connection was not heard lately.
    async fn prove(&self, to: &Coordinator, limit: Duration) -> Result<(), LineError> {
        let doubtful = |open: &Open| {
            open.leads_to(&to.address) && open.connection.last_activity().elapsed() >= HEARD_LATELY
        };
        if locked(&self.open).as_ref().is_some_and(doubtful) {
            self.insist(to, Metadata { topics: Some(Vec::new()) }, limit.min(PROVEN_WITHIN)).await?;
        }
        Ok(())
    }

    /// A connection that leads there, within `limit`.
    async fn connection(&self, to: &Coordinator, limit: Duration) -> Result<Connection, LineError> {
        let connected = async {
            if let Some(standing) = self.standing(to) {
                return Ok(standing);
            }
            let mut dial = self.dial.lock().await;
            match self.standing(to) {
                Some(standing) => Ok(standing),
                None => self.dialled(to, &mut dial).await,
            }
        };
        let late =
            || ConnectError { address: to.address.clone(), failure: ConnectFailure::Timeout { limit } };
        Ok(timeout(limit, connected).await.map_err(|_| late())??)
    }

    /// The standing connection is left when other security settings are in force, or the broker's name leads
    /// elsewhere, and a connection under these terms is ready, not before: a broker may know a new password later than
    /// we do, a token may be long in coming, and an endpoint that listens no longer as it did is left when the agreed
    /// view names another.
    fn standing(&self, to: &Coordinator) -> Option<Connection> {
        let (dialler, terms) = self.terms(to);
        let mut slot = locked(&self.open);
        let open = slot.as_mut()?;
        open.settle(&terms);
        if !open.leads_to(&to.address) {
            *slot = None;
            return None;
        }
        if open.wants(&terms) {
            open.attempt = Some(Attempt::begin(dialler, terms, to));
        }
        Some(open.connection.clone())
    }

    async fn dialled(
        &self,
        to: &Coordinator,
        dial: &mut Option<Attempt>,
    ) -> Result<Connection, ConnectError> {
        let (dialler, terms) = self.terms(to);
        drop(dial.take_if(|attempt| attempt.terms != terms || attempt.address != to.address));
        let attempt = dial.get_or_insert_with(|| Attempt::begin(dialler, terms.clone(), to));
        let opened = (&mut attempt.task).await;
        *dial = None;
        let connection = opened.unwrap_or_else(|error| resume_unwind(error.into_panic()))?;
        *locked(&self.open) = Some(Open::new(connection.clone(), terms));
        Ok(connection)
    }

    fn terms(&self, to: &Coordinator) -> (Dialler, Terms) {
        let dialler = self.dialler.with_settings_of_now();
        let terms = Terms { security: dialler.security(), resolution: to.resolution };
        (dialler, terms)
    }
}

/// The connection is closed, unless another request found it silent before.
fn came_to_nothing(connection: &Connection, error: LineError) -> LineError {
    match error {
        LineError::Call(error) if connection.close_reason() == Some(SILENT) => {
            LineError::Silent { reason: error.to_string() }
        }
        error => {
            connection.close(CAME_TO_NOTHING);
            error
        }
    }
}

fn left(until: Instant) -> Duration {
    until.saturating_duration_since(Instant::now())
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
    fn settle(&mut self, terms: &Terms) {
        drop(self.attempt.take_if(|attempt| attempt.terms != *terms));
        let Some(outcome) = self.attempt.as_mut().and_then(|attempt| (&mut attempt.task).now_or_never())
        else {
            return;
        };
        match outcome {
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
        Attempt { address: to.address.clone(), terms, task }
    }
}
