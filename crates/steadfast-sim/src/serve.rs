//! The cluster's IO side: one cluster behind a mutex, its clock, and the connections to its brokers.

mod connection;
mod frames;
mod guard;
mod request;
mod throttle;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};

use kafka_protocol::messages::{ApiKey, RequestKind, ResponseKind};
use steadfast_core::ids::NodeId;
use steadfast_core::tick::Tick;
use tokio::sync::{Notify, oneshot};
use tokio::time::Instant;

use crate::call::{Call, ConnectionId, Reply, Ticket};
use crate::cluster::Cluster;
use crate::notice::Notice;

pub(crate) use connection::{Ending, converse, swallow};

/// A cluster that is served: its lock, its clock, and those who wait for its answers. One task lets its time pass;
/// it ends with the last handle.
#[derive(Debug)]
pub struct Served {
    started: Instant,
    state: Mutex<State>,
    rearm: Arc<Notify>,
    noticed: OnceLock<Noticed>,
}

/// Whom the cluster's notices are told.
struct Noticed(Box<dyn Fn(Notice) + Send + Sync>);

impl fmt::Debug for Noticed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Noticed")
    }
}

/// What passed between brokers and clients, lengths of frames included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Traffic {
    /// Requests that came to a broker.
    pub requests: u64,
    /// Their bytes.
    pub received: u64,
    /// Bytes of the answers to them.
    pub sent: u64,
}

#[derive(Debug)]
struct State {
    cluster: Cluster,
    waiting: BTreeMap<Ticket, oneshot::Sender<ResponseKind>>,
    armed: Option<Tick>,
    tickets: u64,
    connections: u64,
    traffic: BTreeMap<i16, Traffic>,
}

/// Who asks, apart from the request.
#[derive(Debug, Clone)]
pub(crate) struct Asker {
    pub(crate) node: NodeId,
    pub(crate) connection: ConnectionId,
    pub(crate) client_id: Arc<str>,
    pub(crate) client_host: Arc<str>,
}

/// What became of a request.
#[derive(Debug)]
pub(crate) enum Outcome {
    Now(Box<ResponseKind>),
    Parked(Ticket, oneshot::Receiver<ResponseKind>),
    Never,
    Close,
}

impl Served {
    /// Serves `cluster`, whose time begins now, on the runtime that this is called on.
    pub fn start(cluster: Cluster) -> Arc<Served> {
        let state = State {
            cluster,
            waiting: BTreeMap::new(),
            armed: None,
            tickets: 0,
            connections: 0,
            traffic: BTreeMap::new(),
        };
        let served = Arc::new(Served {
            started: Instant::now(),
            state: Mutex::new(state),
            rearm: Arc::new(Notify::new()),
            noticed: OnceLock::new(),
        });
        tokio::spawn(pass_time(Arc::downgrade(&served), served.rearm.clone()));
        served
    }

    /// The cluster's time.
    pub fn now(&self) -> Tick {
        Tick::at(self.started.elapsed())
    }

    /// Tells `noticed` of every notice from now on, as soon as what gave rise to it is done and the cluster can be
    /// looked at. Only the first who asks is told; while there is nobody, notices are forgotten.
    pub fn on_notice(&self, noticed: impl Fn(Notice) + Send + Sync + 'static) {
        drop(self.noticed.set(Noticed(Box::new(noticed))));
    }

    /// Changes or looks at the cluster at its present time; answers that this lets go are delivered.
    pub fn with<R>(&self, change: impl FnOnce(&mut Cluster) -> R) -> R {
        let mut state = self.state();
        state.cluster.advance(self.now());
        let result = change(&mut state.cluster);
        self.settle(state);
        result
    }

    /// What passed since the begin, by api key.
    pub fn traffic(&self) -> BTreeMap<i16, Traffic> {
        self.state().traffic.clone()
    }

    pub(crate) fn came(&self, api: ApiKey, bytes: usize) {
        let mut state = self.state();
        let traffic = state.traffic.entry(api as i16).or_default();
        traffic.requests += 1;
        traffic.received += bytes as u64;
    }

    pub(crate) fn went(&self, api: ApiKey, bytes: usize) {
        self.state().traffic.entry(api as i16).or_default().sent += bytes as u64;
    }

    pub(crate) fn connected(&self) -> ConnectionId {
        let mut state = self.state();
        state.connections += 1;
        ConnectionId(state.connections)
    }

    pub(crate) fn request(&self, asker: &Asker, version: i16, request: RequestKind) -> Outcome {
        let mut state = self.state();
        state.tickets += 1;
        let ticket = Ticket(state.tickets);
        let call = Call {
            node: asker.node,
            connection: asker.connection,
            ticket,
            version,
            client_id: asker.client_id.clone(),
            client_host: asker.client_host.clone(),
        };
        let outcome = match state.cluster.request(&call, request, self.now()) {
            Reply::Now(answer) => Outcome::Now(answer),
            Reply::Never => Outcome::Never,
            Reply::Close => Outcome::Close,
            Reply::Later => {
                let (answer, awaited) = oneshot::channel();
                state.waiting.insert(ticket, answer);
                Outcome::Parked(ticket, awaited)
            }
        };
        self.settle(state);
        outcome
    }

    /// Nobody waits for the answer to `ticket` any more.
    pub(crate) fn abandon(&self, ticket: Ticket) {
        let mut state = self.state();
        if state.waiting.remove(&ticket).is_some() {
            state.cluster.abandon(ticket);
            self.settle(state);
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Delivers what is due, and has the driver wait for the deadline that is the next one now. Then, the cluster
    /// being unlocked, notices are told.
    fn settle(&self, mut state: MutexGuard<'_, State>) {
        for (ticket, answer) in state.cluster.take_answers() {
            if let Some(waiting) = state.waiting.remove(&ticket) {
                // Whoever waited may have gone in this very moment: then nobody misses the answer.
                drop(waiting.send(answer));
            }
        }
        let next = state.cluster.next_deadline();
        if next != state.armed {
            state.armed = next;
            self.rearm.notify_one();
        }
        let notices = state.cluster.take_notices();
        drop(state);
        if let Some(Noticed(noticed)) = self.noticed.get() {
            notices.into_iter().for_each(noticed);
        }
    }

    fn armed(&self) -> Option<Instant> {
        self.state().armed.map(|at| self.started + at.since_start())
    }

    fn pass(&self) {
        let mut state = self.state();
        state.cluster.advance(self.now());
        state.armed = None;
        self.settle(state);
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        self.rearm.notify_one();
    }
}

/// Waits for the cluster's next deadline, over and over.
async fn pass_time(served: Weak<Served>, rearm: Arc<Notify>) {
    loop {
        let Some(armed) = served.upgrade().map(|served| served.armed()) else { return };
        let due = async {
            match armed {
                Some(at) => tokio::time::sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            () = rearm.notified() => {}
            () = due => {
                let Some(served) = served.upgrade() else { return };
                served.pass();
            }
        }
    }
}
