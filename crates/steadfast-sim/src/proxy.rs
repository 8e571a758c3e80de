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
//! and the old ones end as [`Old`] says. That may be [changed](DriftProxy::turn_old) later. Brokers may also
//! [swap](DriftProxy::swap) addresses, and connections may fall [silent](DriftProxy::silence) while addresses go on.
//! Answers may be [held back](DriftProxy::hold_answers) while requests arrive, name brokers
//! [where they were](DriftProxy::hold_names), or name [nobody](DriftProxy::name_nobody).
//!
//! What is encrypted cannot be rewritten: the cluster's listener must be plain text.

mod bootstrap;
mod door;
mod frame;
mod gate;
mod listener;
mod ports;
mod queue;
mod registry;
mod relay;
mod request;
mod rewrite;
mod walk;
mod words;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::sync::oneshot;

use door::{Keeper, Leads, Opened};
use gate::Gate;
use registry::{Registry, State};

pub use door::Door;
pub use ports::{Ports, PortsError};
pub use registry::Connection;

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
    /// No SYN is answered there, and the connections that stand stay open and silent: as when a firewall drops all
    /// packets. On Linux only.
    Drop,
    /// They go on proxying for this long, naming the new addresses; then they refuse.
    Grace(Duration),
    /// They go on proxying for this long, naming each other, as brokers do that are cut off from their controllers;
    /// then they refuse.
    Stale(Duration),
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
    /// It leads to the cluster, and answers name the brokers where they were.
    Stale,
    /// It leads to another cluster.
    Elsewhere,
    /// It accepts and is silent.
    Silent,
    /// It answers no SYN.
    Drops,
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

    /// Begins to stand in front of these brokers without asking anything: their listener may want credentials, which
    /// only clients have. The bootstrap address leads to any of them. Its tasks run on the runtime that this is called
    /// on.
    ///
    /// # Errors
    /// No port could be bound.
    pub fn before(brokers: BTreeMap<i32, (String, u16)>, ports: Ports) -> io::Result<DriftProxy> {
        let registry = Arc::new(Registry::new(Vec::new(), ports));
        let bootstrap = registry.open(&mut registry.state(), Door::Bootstrap)?;
        let proxy = DriftProxy { registry, bootstrap };
        proxy.registry.know(brokers)?;
        Ok(proxy)
    }

    /// The stable address, which does not move. Each connection goes to another broker that can be reached.
    pub fn bootstrap(&self) -> SocketAddr {
        self.bootstrap
    }

    /// Where every broker seen so far is reached now.
    pub fn endpoints(&self) -> BTreeMap<i32, SocketAddr> {
        self.registry.state().endpoints()
    }

    /// Where the brokers behind the proxy really are, as they advertise it.
    pub fn upstream(&self) -> BTreeMap<i32, (String, u16)> {
        self.registry.state().places.iter().map(|(node, place)| (*node, place.upstream.clone())).collect()
    }

    /// The addresses that no answer names any more, whose they were, and what they do now.
    pub fn old_endpoints(&self) -> BTreeMap<SocketAddr, (Door, Now)> {
        let state = self.registry.state();
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
    /// A node is unknown or no port could be bound, and nothing has changed; or an old port did not close, or this
    /// system cannot drop packets.
    pub async fn move_endpoints(&self, nodes: Nodes, old: Old) -> io::Result<Moved> {
        let moved = self.begin_generation(&nodes, &leads(old))?;
        self.end(moved.from.values().copied().collect(), old).await?;
        Ok(moved)
    }

    /// Gives two brokers each other's address. The connections that stand there are reset.
    ///
    /// # Errors
    /// One is unknown, or both are the same, and nothing has changed.
    pub fn swap(&self, one: i32, other: i32) -> io::Result<Moved> {
        let mut state = self.registry.state();
        for node in [one, other] {
            known(&state, node)?;
        }
        if one == other {
            let alone = format!("broker {one} alone has nobody to swap with");
            return Err(io::Error::new(io::ErrorKind::InvalidInput, alone));
        }
        let from: BTreeMap<i32, SocketAddr> =
            state.endpoints().into_iter().filter(|(node, _)| [one, other].contains(node)).collect();
        let to: BTreeMap<i32, SocketAddr> =
            from.iter().map(|(node, address)| (if *node == one { other } else { one }, *address)).collect();
        let moved = Moved { at: now(), generation: state.generation + 1, from, to };
        state.generation = moved.generation;
        for (node, address) in &moved.to {
            if let Some(place) = state.places.get_mut(node) {
                place.address = *address;
            }
            if let Some(opened) = state.doors.get_mut(address) {
                opened.door = Door::Broker { node: *node, generation: moved.generation };
                opened.end_standing(Gate::Shut);
            }
        }
        Ok(moved)
    }

    /// Has the connections that stand fall silent and stay open, while the addresses go on: as when a NAT or a load
    /// balancer forgets them. Those to these brokers' addresses of now, or, with [`Nodes::All`], all that there are.
    /// Says how many.
    ///
    /// # Errors
    /// A node is unknown.
    pub fn silence(&self, nodes: &Nodes) -> io::Result<usize> {
        let addresses: Vec<SocketAddr> = {
            let state = self.registry.state();
            match nodes {
                Nodes::All => state.doors.keys().copied().collect(),
                Nodes::Some(nodes) => {
                    let known = nodes.iter().map(|node| known(&state, *node));
                    known.collect::<io::Result<_>>()?
                }
            }
        };
        Ok(self.registry.end_standing(&addresses, Gate::Silent))
    }

    /// Has the bootstrap address end too: by [`Old::Grace`] and [`Old::Stale`] later, otherwise when this returns. From
    /// now on it is one of the old addresses.
    ///
    /// # Errors
    /// The port did not close.
    pub async fn fence_bootstrap(&self, how: Old) -> io::Result<()> {
        {
            let mut state = self.registry.state();
            state.fenced = true;
            let before = state.endpoints();
            state.age([self.bootstrap], before, &leads(how));
        }
        self.end(vec![self.bootstrap], how).await
    }

    /// Has all old addresses end in another way than they did. Connections that a black hole held are reset.
    ///
    /// # Errors
    /// A port did not close, or could not be opened again.
    pub async fn turn_old(&self, how: Old) -> io::Result<()> {
        self.shut_old().await?;
        match how {
            Old::Refuse => return Ok(()),
            Old::BlackHole | Old::Drop => self.registry.reopen(Gate::Silent, &Leads::Here)?,
            Old::Grace(_) | Old::Stale(_) => self.registry.reopen(Gate::Open, &leads(how))?,
        }
        let old = self.registry.state().old();
        self.end(old, how).await
    }

    /// Has all old addresses lead to another cluster, as when they were given to somebody else: connections that stood
    /// there are reset. The other cluster's answers pass as they are.
    ///
    /// # Errors
    /// A port did not close, or could not be opened again.
    pub async fn give_old_to(&self, cluster: Vec<SocketAddr>) -> io::Result<()> {
        self.shut_old().await?;
        self.registry.reopen(Gate::Open, &Leads::Elsewhere(cluster))
    }

    /// Has all old addresses lead to the cluster again, beside the new ones. Answers go on naming the new ones. A
    /// fenced bootstrap address is one no longer.
    ///
    /// # Errors
    /// A port did not close, or could not be opened again.
    pub async fn heal(&self) -> io::Result<()> {
        self.shut_old().await?;
        self.registry.state().fenced = false;
        self.registry.reopen(Gate::Open, &Leads::Here)
    }

    /// Has the connections that stand on the bootstrap address end, while the address goes on: as when it is a name
    /// or a load balancer, and what they lead to has moved. [`Old::Grace`] and [`Old::Stale`] leave them as they are.
    pub fn end_bootstrap_connections(&self, how: Old) {
        let how = match how {
            Old::Refuse => Gate::Shut,
            Old::BlackHole | Old::Drop => Gate::Silent,
            Old::Grace(_) | Old::Stale(_) => return,
        };
        self.registry.end_standing(&[self.bootstrap], how);
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

    fn begin_generation(&self, nodes: &Nodes, leads: &Leads) -> io::Result<Moved> {
        let mut state = self.registry.state();
        let before = state.endpoints();
        let moving: BTreeSet<i32> = match nodes {
            Nodes::All => before.keys().copied().collect(),
            Nodes::Some(nodes) => nodes.clone(),
        };
        for node in &moving {
            known(&state, *node)?;
        }
        let generation = state.generation + 1;
        let to = self.open_all(&mut state, &moving, generation)?;
        let mut moved = Moved { at: now(), generation, from: BTreeMap::new(), to };
        for (node, address) in &moved.to {
            let Some(place) = state.places.get_mut(node) else { continue };
            moved.from.insert(*node, std::mem::replace(&mut place.address, *address));
        }
        state.generation = generation;
        state.age(moved.from.values().copied(), before, leads);
        Ok(moved)
    }

    /// A new address for each of these brokers, or none at all.
    fn open_all(
        &self,
        state: &mut State,
        nodes: &BTreeSet<i32>,
        generation: u64,
    ) -> io::Result<BTreeMap<i32, SocketAddr>> {
        let mut opened: BTreeMap<i32, SocketAddr> = BTreeMap::new();
        for node in nodes {
            match self.registry.open(state, Door::Broker { node: *node, generation }) {
                Ok(address) => opened.insert(*node, address),
                Err(error) => {
                    for unused in opened.values().filter_map(|address| state.doors.remove(address)) {
                        unused.keeper.gate.send_replace(Gate::Shut);
                    }
                    return Err(error);
                }
            };
        }
        Ok(opened)
    }

    async fn end(&self, addresses: Vec<SocketAddr>, how: Old) -> io::Result<()> {
        let keepers = self.registry.state().keepers(&addresses);
        match how {
            Old::Refuse => shut(&keepers).await,
            Old::BlackHole => {
                set(&keepers, Gate::Silent);
                Ok(())
            }
            Old::Drop => {
                set(&keepers, Gate::Silent);
                fill(&keepers).await
            }
            Old::Grace(time) | Old::Stale(time) => {
                self.registry.state().tasks.spawn(async move {
                    tokio::time::sleep(time).await;
                    set(&keepers, Gate::Shut);
                });
                Ok(())
            }
        }
    }

    async fn shut_old(&self) -> io::Result<()> {
        let keepers = {
            let state = self.registry.state();
            state.keepers(&state.old())
        };
        shut(&keepers).await
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

/// Where old addresses lead that end so.
fn leads(how: Old) -> Leads {
    match how {
        Old::Stale(_) => Leads::Stale,
        Old::Refuse | Old::BlackHole | Old::Drop | Old::Grace(_) => Leads::Here,
    }
}

fn does(opened: &Opened) -> Now {
    match (*opened.keeper.gate.borrow(), &opened.leads) {
        (Gate::Open, Leads::Here) => Now::Leads,
        (Gate::Open, Leads::Stale) => Now::Stale,
        (Gate::Open, Leads::Elsewhere(_)) => Now::Elsewhere,
        (Gate::Silent, _) => Now::Silent,
        (Gate::Full, _) => Now::Drops,
        (Gate::Shut, _) => Now::Refuses,
    }
}

/// Where this broker is reached now.
fn known(state: &State, node: i32) -> io::Result<SocketAddr> {
    let place = state.places.get(&node);
    place
        .map(|place| place.address)
        .ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, format!("no broker {node} was seen so far")))
}

fn set(keepers: &[Keeper], to: Gate) {
    for keeper in keepers {
        keeper.gate.send_replace(to);
    }
}

/// Shuts the ports and waits until nobody is behind them any more.
async fn shut(keepers: &[Keeper]) -> io::Result<()> {
    set(keepers, Gate::Shut);
    let closed = async {
        for keeper in keepers {
            keeper.gate.closed().await;
        }
    };
    tokio::time::timeout(CLOSE_LIMIT, closed).await.map_err(io::Error::from)
}

/// Has the ports answer no SYN any more.
async fn fill(keepers: &[Keeper]) -> io::Result<()> {
    let ordered = async {
        let gone = || io::Error::new(io::ErrorKind::BrokenPipe, "the port is shut");
        let mut outcomes = Vec::new();
        for keeper in keepers {
            let (filled, outcome) = oneshot::channel();
            keeper.fills.send(filled).await.map_err(|_| gone())?;
            outcomes.push((keeper, outcome));
        }
        for (keeper, outcome) in outcomes {
            outcome.await.map_err(|_| gone())??;
            keeper.gate.send_if_modified(|gate| {
                let silent = *gate == Gate::Silent;
                if silent {
                    *gate = Gate::Full;
                }
                silent
            });
        }
        Ok(())
    };
    tokio::time::timeout(CLOSE_LIMIT, ordered).await?
}
