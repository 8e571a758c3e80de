//! The drift proxy: stands in front of a real Kafka cluster and moves its advertised endpoints on command,
//! which a running KRaft broker cannot do.
//!
//! Clients are given the stable [bootstrap](DriftProxy::bootstrap) address. Every broker has an address of its
//! own, where [`Ports`] says. The answers to Metadata, FindCoordinator and
//! DescribeCluster, and those to Produce (v10 and newer) and Fetch (v16 and newer) that name new leaders
//! (KIP-951), are rewritten so that they name these addresses and no others; all else passes as it is. Share
//! groups' answers and those about controllers are not rewritten.
//!
//! A [move](DriftProxy::move_endpoints) begins an endpoint generation: the moved brokers are given new addresses,
//! and the old ones end as [`Old`] says. That may be [changed](DriftProxy::turn_old) later.
//!
//! What is encrypted cannot be rewritten: the cluster's listener must be plain text.

mod bootstrap;
mod frame;
mod gate;
mod listener;
mod ports;
mod registry;
mod relay;
mod request;
mod rewrite;
mod walk;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::sync::watch;

use gate::Gate;
use registry::{Opened, Registry};

pub use ports::{Ports, PortsError};
pub use registry::{Connection, Door};

/// How long an old port may take to close. It is a matter of microseconds, unless the runtime is stalled.
const CLOSE_LIMIT: Duration = Duration::from_secs(5);

/// Which brokers move.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Nodes {
    /// Every broker that the proxy knows.
    All,
    /// The brokers with these node ids.
    Some(BTreeSet<i32>),
}

/// What becomes of the old addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Old {
    /// They refuse, and the connections that stand are reset (RST).
    Refuse,
    /// They still accept, and the connections that stand stay open, but nothing is forwarded or answered
    /// any more. (Towards the broker those connections are closed.)
    BlackHole,
    /// They go on proxying for this long, naming the new addresses; then they refuse.
    Grace(Duration),
}

/// A move that happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Moved {
    /// When the new addresses became the ones that answers name. The old ones ended after that.
    pub at: SystemTime,
    /// The endpoint generation that began.
    pub generation: u64,
    /// Where the brokers that moved were reached before.
    pub from: BTreeMap<i32, SocketAddr>,
    /// Where they are reached now.
    pub to: BTreeMap<i32, SocketAddr>,
}

/// What an address does that no answer names any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Now {
    /// It leads to the cluster.
    Leads,
    /// It accepts and is silent.
    Silent,
    /// It refuses.
    Refuses,
}

/// A proxy in front of a cluster. It ends when it is dropped.
pub struct DriftProxy {
    registry: Arc<Registry>,
    bootstrap: SocketAddr,
}

impl DriftProxy {
    /// Asks the cluster at `upstream` for its brokers and begins to stand in front of them, on loopback, at ports
    /// that the system chooses. Its tasks run on the runtime that this is called on.
    ///
    /// # Errors
    /// No address of `upstream` names brokers within five seconds, or no port could be bound.
    pub async fn start(upstream: Vec<SocketAddr>) -> io::Result<DriftProxy> {
        DriftProxy::start_at(upstream, Ports::default()).await
    }

    /// The same at these ports. The bootstrap address is the first that is free.
    ///
    /// # Errors
    /// As with [`start`](DriftProxy::start).
    pub async fn start_at(upstream: Vec<SocketAddr>, ports: Ports) -> io::Result<DriftProxy> {
        let registry = Arc::new(Registry::new(upstream.clone(), ports));
        let bootstrap = registry.open(&mut registry.state(), Door::Bootstrap)?;
        let proxy = DriftProxy { registry, bootstrap };
        bootstrap::learn(&proxy.registry, &upstream).await?;
        Ok(proxy)
    }

    /// The stable address, which does not move. Each connection goes to another broker that can be reached.
    pub fn bootstrap(&self) -> SocketAddr {
        self.bootstrap
    }

    /// Where every broker seen so far is reached now.
    pub fn endpoints(&self) -> BTreeMap<i32, SocketAddr> {
        self.registry.state().places.iter().map(|(node, place)| (*node, place.address)).collect()
    }

    /// Where the brokers behind the proxy really are, as they advertise it.
    pub fn upstream(&self) -> BTreeMap<i32, (String, u16)> {
        self.registry.state().places.iter().map(|(node, place)| (*node, place.upstream.clone())).collect()
    }

    /// The addresses that no answer names any more, whose they were, and what they do now.
    pub fn old_endpoints(&self) -> BTreeMap<SocketAddr, (Door, Now)> {
        let state = self.registry.state();
        let does = |opened: &Opened| match *opened.gate.borrow() {
            Gate::Open => Now::Leads,
            Gate::Silent => Now::Silent,
            Gate::Shut => Now::Refuses,
        };
        let old = state.old().into_iter().filter_map(|address| Some((address, state.doors.get(&address)?)));
        old.map(|(address, opened)| (address, (opened.door, does(opened)))).collect()
    }

    /// How many moves there were.
    pub fn generation(&self) -> u64 {
        self.registry.state().generation
    }

    /// Gives `nodes` new addresses and ends their old ones. The new ones are bound before anything changes; when
    /// this returns, the old ones are closed, silent, or in their time of grace.
    ///
    /// # Errors
    /// A node is unknown or no port could be bound, and nothing has changed; or an old port did not close.
    pub async fn move_endpoints(&self, nodes: Nodes, old: Old) -> io::Result<Moved> {
        let (moved, gates) = self.begin_generation(&nodes)?;
        self.end(gates, old).await?;
        Ok(moved)
    }

    /// Has the bootstrap address end too: by [`Old::Grace`] later, otherwise when this returns. From now on it is one
    /// of the old addresses.
    ///
    /// # Errors
    /// The port did not close.
    pub async fn fence_bootstrap(&self, how: Old) -> io::Result<()> {
        let gates = {
            let mut state = self.registry.state();
            state.fenced = true;
            state.gates([self.bootstrap])
        };
        self.end(gates, how).await
    }

    /// Has all old addresses end in another way than they did. Connections that a black hole held are reset.
    ///
    /// # Errors
    /// A port did not close, or could not be opened again.
    pub async fn turn_old(&self, how: Old) -> io::Result<()> {
        self.shut_old().await?;
        match how {
            Old::Refuse => Ok(()),
            Old::BlackHole => self.registry.reopen(Gate::Silent),
            Old::Grace(_) => {
                self.registry.reopen(Gate::Open)?;
                let gates = self.old_gates();
                self.end(gates, how).await
            }
        }
    }

    /// Has all old addresses lead to the cluster again, beside the new ones. Answers go on naming the new ones. A
    /// fenced bootstrap address is one no longer.
    ///
    /// # Errors
    /// A port did not close, or could not be opened again.
    pub async fn heal(&self) -> io::Result<()> {
        self.shut_old().await?;
        self.registry.state().fenced = false;
        self.registry.reopen(Gate::Open)
    }

    /// Has the connections that stand on the bootstrap address end, while the address goes on: as when it is a name
    /// or a load balancer, and what they lead to has moved. [`Old::Grace`] leaves them as they are.
    pub fn end_bootstrap_connections(&self, how: Old) {
        match how {
            Old::Refuse => self.registry.end_standing(Gate::Shut),
            Old::BlackHole => self.registry.end_standing(Gate::Silent),
            Old::Grace(_) => {}
        }
    }

    /// The connections that stand, and those that a black hole holds.
    pub fn connections(&self) -> Vec<Connection> {
        self.registry.connections()
    }

    /// How many requests came in by each door since the start, by api key.
    pub fn requests(&self) -> BTreeMap<Door, BTreeMap<i16, u64>> {
        self.registry.requests()
    }

    /// How many requests of one api came in by all doors since the start.
    pub fn requests_of(&self, api: i16) -> u64 {
        self.requests().values().filter_map(|seen| seen.get(&api)).sum()
    }

    fn begin_generation(&self, nodes: &Nodes) -> io::Result<(Moved, Vec<watch::Sender<Gate>>)> {
        let mut state = self.registry.state();
        let moving: BTreeSet<i32> = match nodes {
            Nodes::All => state.places.keys().copied().collect(),
            Nodes::Some(nodes) => nodes.clone(),
        };
        if let Some(unknown) = moving.iter().find(|node| !state.places.contains_key(node)) {
            return Err(io::Error::new(
                io::ErrorKind::NotFound,
                format!("no broker {unknown} was seen so far"),
            ));
        }
        let generation = state.generation + 1;
        let mut opened: BTreeMap<i32, SocketAddr> = BTreeMap::new();
        for node in moving {
            match self.registry.open(&mut state, Door::Broker { node, generation }) {
                Ok(address) => opened.insert(node, address),
                Err(error) => {
                    for unused in opened.values().filter_map(|address| state.doors.remove(address)) {
                        unused.gate.send_replace(Gate::Shut);
                    }
                    return Err(error);
                }
            };
        }
        let mut moved = Moved { at: now(), generation, from: BTreeMap::new(), to: BTreeMap::new() };
        for (node, address) in opened {
            let Some(place) = state.places.get_mut(&node) else { continue };
            moved.to.insert(node, address);
            moved.from.insert(node, std::mem::replace(&mut place.address, address));
        }
        state.generation = generation;
        let gates = state.gates(moved.from.values().copied());
        Ok((moved, gates))
    }

    async fn end(&self, gates: Vec<watch::Sender<Gate>>, how: Old) -> io::Result<()> {
        match how {
            Old::Refuse => shut(&gates).await,
            Old::BlackHole => {
                set(&gates, Gate::Silent);
                Ok(())
            }
            Old::Grace(time) => {
                self.registry.state().tasks.spawn(async move {
                    tokio::time::sleep(time).await;
                    set(&gates, Gate::Shut);
                });
                Ok(())
            }
        }
    }

    async fn shut_old(&self) -> io::Result<()> {
        shut(&self.old_gates()).await
    }

    fn old_gates(&self) -> Vec<watch::Sender<Gate>> {
        let state = self.registry.state();
        state.gates(state.old())
    }
}

impl Drop for DriftProxy {
    fn drop(&mut self) {
        self.registry.close();
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "the proxy's clock is the measure that others are compared with"
)]
fn now() -> SystemTime {
    SystemTime::now()
}

fn set<'a>(gates: impl IntoIterator<Item = &'a watch::Sender<Gate>>, to: Gate) {
    for gate in gates {
        gate.send_replace(to);
    }
}

/// Shuts the gates and waits until nobody is behind them any more.
async fn shut(gates: &[watch::Sender<Gate>]) -> io::Result<()> {
    set(gates, Gate::Shut);
    let closed = async {
        for gate in gates {
            gate.closed().await;
        }
    };
    tokio::time::timeout(CLOSE_LIMIT, closed).await.map_err(io::Error::from)
}
