//! What all connections of one proxy share: which broker stands where, who is connected, what was asked.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::net::{TcpListener, TcpSocket};
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::gate::Gate;
use super::listener::listen;
use super::ports::Ports;
use super::relay::Exchange;
use super::rewrite::Advertise;

/// Where a client came in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Door {
    /// The stable bootstrap address.
    Bootstrap,
    /// The address that stood for a broker from an endpoint generation on.
    Broker {
        /// The broker's node id.
        node: i32,
        /// The endpoint generation in which this address came up.
        generation: u64,
    },
}

impl fmt::Display for Door {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Door::Bootstrap => f.write_str("bootstrap"),
            Door::Broker { node, generation } => write!(f, "broker {node} of generation {generation}"),
        }
    }
}

/// A connection that stands, or that a black hole holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Connection {
    /// Where it came in.
    pub door: Door,
    /// The client's end.
    pub peer: SocketAddr,
    /// The client id of its requests, as last seen.
    pub client_id: Option<String>,
    /// How many requests it has made, by api key.
    pub requests: BTreeMap<i16, u64>,
}

/// Where one broker is reached through the proxy, and where it really is.
pub(super) struct Place {
    pub(super) upstream: (String, u16),
    pub(super) address: SocketAddr,
}

/// An address that was opened, and has not been given up since.
pub(super) struct Opened {
    pub(super) door: Door,
    pub(super) gate: watch::Sender<Gate>,
}

/// How many connections may wait to be accepted at an address that opens again.
const BACKLOG: u32 = 1024;

pub(super) struct State {
    pub(super) generation: u64,
    pub(super) places: BTreeMap<i32, Place>,
    pub(super) doors: BTreeMap<SocketAddr, Opened>,
    /// The bootstrap address counts as an old one.
    pub(super) fenced: bool,
    pub(super) tasks: JoinSet<()>,
    ports: Ports,
    /// What becomes of the connections that stand on the bootstrap address.
    standing: watch::Sender<Gate>,
    connections: BTreeMap<u64, Connection>,
    admitted: u64,
    requests: BTreeMap<Door, BTreeMap<i16, u64>>,
    /// Ports that refuse, those that do so for longest first.
    reserved: VecDeque<(SocketAddr, TcpSocket)>,
    closed: bool,
}

impl State {
    fn at(ports: Ports) -> State {
        State {
            generation: 0,
            places: BTreeMap::new(),
            doors: BTreeMap::new(),
            fenced: false,
            tasks: JoinSet::new(),
            ports,
            standing: watch::Sender::new(Gate::Open),
            connections: BTreeMap::new(),
            admitted: 0,
            requests: BTreeMap::new(),
            reserved: VecDeque::new(),
            closed: false,
        }
    }

    /// The gates of these addresses.
    pub(super) fn gates(&self, of: impl IntoIterator<Item = SocketAddr>) -> Vec<watch::Sender<Gate>> {
        of.into_iter().filter_map(|address| Some(self.doors.get(&address)?.gate.clone())).collect()
    }

    /// The addresses that no answer names any more.
    pub(super) fn old(&self) -> Vec<SocketAddr> {
        let is_old = |address: &SocketAddr, door: Door| match door {
            Door::Bootstrap => self.fenced,
            Door::Broker { node, .. } => self.places.get(&node).is_none_or(|place| place.address != *address),
        };
        let old = self.doors.iter().filter(|(address, opened)| is_old(address, opened.door));
        old.map(|(address, _)| *address).collect()
    }

    /// A new address. When none is left, the one that has refused for longest becomes new.
    fn bind(&mut self) -> io::Result<(TcpListener, SocketAddr)> {
        if let Some(listener) = self.ports.bind(|address| self.doors.contains_key(address))? {
            listener.set_nonblocking(true)?;
            let address = listener.local_addr()?;
            return Ok((TcpListener::from_std(listener)?, address));
        }
        let Some((address, socket)) = self.reserved.pop_front() else {
            let full = format!("{} are all in use, and no old one refuses", self.ports);
            return Err(io::Error::new(io::ErrorKind::AddrInUse, full));
        };
        Ok((socket.listen(BACKLOG)?, address))
    }
}

/// The state of one proxy, shared by its tasks.
pub(super) struct Registry {
    seeds: Vec<SocketAddr>,
    state: Mutex<State>,
}

impl Registry {
    pub(super) fn new(seeds: Vec<SocketAddr>, ports: Ports) -> Registry {
        Registry { seeds, state: Mutex::new(State::at(ports)) }
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Binds a new address for `door`.
    pub(super) fn open(self: &Arc<Self>, state: &mut State, door: Door) -> io::Result<SocketAddr> {
        if state.closed {
            return Err(io::Error::new(io::ErrorKind::BrokenPipe, "the proxy is gone"));
        }
        let (listener, address) = state.bind()?;
        self.attend(state, listener, address, door, Gate::Open);
        Ok(address)
    }

    /// Has the old addresses that refuse listen again, behind this gate.
    pub(super) fn reopen(self: &Arc<Self>, gate: Gate) -> io::Result<()> {
        let mut state = self.state();
        for (address, socket) in std::mem::take(&mut state.reserved) {
            let Some(door) = state.doors.get(&address).map(|opened| opened.door) else { continue };
            let listener = socket.listen(BACKLOG)?;
            self.attend(&mut state, listener, address, door, gate);
        }
        Ok(())
    }

    fn attend(
        self: &Arc<Self>,
        state: &mut State,
        listener: TcpListener,
        address: SocketAddr,
        door: Door,
        gate: Gate,
    ) {
        let (gate, watched) = watch::channel(gate);
        state.tasks.spawn(listen(self.clone(), listener, door, watched));
        state.doors.insert(address, Opened { door, gate });
    }

    /// Where the traffic of `door` may go, the best address first.
    pub(super) fn upstream(&self, door: Door) -> Vec<(String, u16)> {
        let state = self.state();
        match door {
            Door::Broker { node, .. } => {
                state.places.get(&node).map(|at| at.upstream.clone()).into_iter().collect()
            }
            Door::Bootstrap => {
                let brokers = state.places.values().map(|place| place.upstream.clone());
                let mut all: Vec<_> = self
                    .seeds
                    .iter()
                    .map(|seed| (seed.ip().to_string(), seed.port()))
                    .chain(brokers)
                    .collect();
                let first = usize::try_from(state.admitted).unwrap_or_default() % all.len().max(1);
                all.rotate_left(first);
                all
            }
        }
    }

    /// Notes a new connection; it is forgotten with the last clone of the ticket.
    pub(super) fn admit(self: &Arc<Self>, door: Door, peer: SocketAddr) -> Ticket {
        let mut state = self.state();
        state.admitted += 1;
        let id = state.admitted;
        let connection = Connection { door, peer, client_id: None, requests: BTreeMap::new() };
        state.connections.insert(id, connection);
        drop(state);
        Ticket(Arc::new(Admission { id, registry: self.clone() }))
    }

    /// What becomes of a connection that comes in by `door` now, apart from what becomes of the door.
    pub(super) fn standing(&self, door: Door) -> watch::Receiver<Gate> {
        match door {
            Door::Bootstrap => self.state().standing.subscribe(),
            Door::Broker { .. } => watch::Sender::new(Gate::Open).subscribe(),
        }
    }

    /// Ends the connections that stand on the bootstrap address, and none that comes later.
    pub(super) fn end_standing(&self, how: Gate) {
        std::mem::replace(&mut self.state().standing, watch::Sender::new(Gate::Open)).send_replace(how);
    }

    pub(super) fn connections(&self) -> Vec<Connection> {
        self.state().connections.values().cloned().collect()
    }

    pub(super) fn requests(&self) -> BTreeMap<Door, BTreeMap<i16, u64>> {
        self.state().requests.clone()
    }

    pub(super) fn reserve(&self, address: SocketAddr, socket: TcpSocket) {
        self.state().reserved.push_back((address, socket));
    }

    /// Ends all tasks. What they hold is closed with them.
    pub(super) fn close(&self) {
        let tasks = {
            let mut state = self.state();
            state.closed = true;
            std::mem::take(&mut state.tasks)
        };
        drop(tasks); // outside the lock: a task that ends takes it to strike its connection off
    }

    /// Learns brokers from the answer to a request that the proxy made itself.
    pub(super) fn learner(self: &Arc<Self>) -> impl FnMut(i32, &str, u16) -> io::Result<SocketAddr> {
        let registry = self.clone();
        move |node, host, port| registry.place(node, host, port)
    }

    /// The address of `node` through the proxy; a node that was not known is given one.
    fn place(self: &Arc<Self>, node: i32, host: &str, port: u16) -> io::Result<SocketAddr> {
        let mut state = self.state();
        let upstream = (host.to_owned(), port);
        if let Some(place) = state.places.get_mut(&node) {
            place.upstream = upstream;
            return Ok(place.address);
        }
        let generation = state.generation;
        let address = self.open(&mut state, Door::Broker { node, generation })?;
        state.places.insert(node, Place { upstream, address });
        Ok(address)
    }
}

struct Admission {
    id: u64,
    registry: Arc<Registry>,
}

impl Drop for Admission {
    fn drop(&mut self) {
        self.registry.state().connections.remove(&self.id);
    }
}

/// One connection's access to what is shared.
#[derive(Clone)]
pub(super) struct Ticket(Arc<Admission>);

impl Advertise for Ticket {
    fn advertise(&mut self, node: i32, host: &str, port: u16) -> io::Result<SocketAddr> {
        self.0.registry.place(node, host, port)
    }
}

impl Exchange for Ticket {
    fn requested(&mut self, api: i16, client_id: Option<&str>) {
        let mut state = self.0.registry.state();
        let Some(connection) = state.connections.get_mut(&self.0.id) else { return };
        *connection.requests.entry(api).or_default() += 1;
        if connection.client_id.as_deref() != client_id {
            connection.client_id = client_id.map(str::to_owned);
        }
        let door = connection.door;
        *state.requests.entry(door).or_default().entry(api).or_default() += 1;
    }
}
