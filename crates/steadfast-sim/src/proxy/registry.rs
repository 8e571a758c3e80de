//! What all connections of one proxy share: which broker stands where, who is connected, what was asked.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::net::{TcpListener, TcpSocket};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::door::{Door, Keeper, Leads, Opened};
use super::gate::Gate;
use super::listener::{Port, listen};
use super::ports::Ports;
use super::relay::Exchange;
use super::rewrite::Advertise;
use super::words::Words;
use crate::port::BACKLOG;

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
    /// When the first answer went out to it, by api key.
    pub first_answers: BTreeMap<i16, Instant>,
}

/// Where one broker is reached through the proxy, and where it really is.
pub(super) struct Place {
    pub(super) upstream: (String, u16),
    pub(super) address: SocketAddr,
}

pub(super) struct State {
    pub(super) generation: u64,
    pub(super) places: BTreeMap<i32, Place>,
    pub(super) doors: BTreeMap<SocketAddr, Opened>,
    /// The bootstrap address counts as an old one.
    pub(super) fenced: bool,
    /// What answers say of brokers that is not so.
    pub(super) words: Words,
    pub(super) tasks: JoinSet<()>,
    ports: Ports,
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
            words: Words::default(),
            tasks: JoinSet::new(),
            ports,
            connections: BTreeMap::new(),
            admitted: 0,
            requests: BTreeMap::new(),
            reserved: VecDeque::new(),
            closed: false,
        }
    }

    /// Who keeps these addresses.
    pub(super) fn keepers(&self, of: &[SocketAddr]) -> Vec<Keeper> {
        of.iter().filter_map(|address| Some(self.doors.get(address)?.keeper.clone())).collect()
    }

    /// Where every broker is reached now.
    pub(super) fn endpoints(&self) -> BTreeMap<i32, SocketAddr> {
        self.places.iter().map(|(node, place)| (*node, place.address)).collect()
    }

    /// These addresses are old ones, in whose time everybody was where `before` says, and lead where `leads` says.
    pub(super) fn age(
        &mut self,
        addresses: impl IntoIterator<Item = SocketAddr>,
        before: BTreeMap<i32, SocketAddr>,
        leads: &Leads,
    ) {
        let before = Arc::new(before);
        for address in addresses {
            let Some(opened) = self.doors.get_mut(&address) else { continue };
            opened.before = Some(before.clone());
            opened.leads = leads.clone();
        }
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
            let address = listener.local_addr()?;
            return Ok((listener, address));
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
        let keeper = self.attend(state, listener, address, Gate::Open);
        state.doors.insert(address, Opened::new(door, keeper));
        Ok(address)
    }

    /// Has the old addresses that refuse listen again, behind this gate.
    pub(super) fn reopen(self: &Arc<Self>, gate: Gate, leads: &Leads) -> io::Result<()> {
        let mut state = self.state();
        for (address, socket) in std::mem::take(&mut state.reserved) {
            if !state.doors.contains_key(&address) {
                continue;
            }
            let listener = socket.listen(BACKLOG)?;
            let keeper = self.attend(&mut state, listener, address, gate);
            if let Some(opened) = state.doors.get_mut(&address) {
                opened.keeper = keeper;
                opened.leads = leads.clone();
            }
        }
        Ok(())
    }

    fn attend(
        self: &Arc<Self>,
        state: &mut State,
        listener: TcpListener,
        address: SocketAddr,
        gate: Gate,
    ) -> Keeper {
        let (gate, watched) = watch::channel(gate);
        let (fills, ordered) = mpsc::channel(1);
        let port = Port { listener, address, gate: watched, fills: ordered };
        state.tasks.spawn(listen(self.clone(), port));
        Keeper { gate, fills }
    }

    /// Where a connection may be led, the best address first.
    pub(super) fn upstream(&self, ticket: &Ticket) -> Vec<(String, u16)> {
        let state = self.state();
        let Some(opened) = state.doors.get(&ticket.0.address) else { return Vec::new() };
        let named = |at: &SocketAddr| (at.ip().to_string(), at.port());
        match (&opened.leads, opened.door) {
            (Leads::Elsewhere(cluster), _) => cluster.iter().map(named).collect(),
            (Leads::Here | Leads::Stale, Door::Broker { node, .. }) => {
                state.places.get(&node).map(|at| at.upstream.clone()).into_iter().collect()
            }
            (Leads::Here | Leads::Stale, Door::Bootstrap) => {
                let brokers = state.places.values().map(|place| place.upstream.clone());
                let mut all: Vec<_> = self.seeds.iter().map(named).chain(brokers).collect();
                let first = usize::try_from(state.admitted).unwrap_or_default() % all.len().max(1);
                all.rotate_left(first);
                all
            }
        }
    }

    /// Notes a new connection; it is forgotten with the last clone of the ticket. None: the address was given up.
    pub(super) fn admit(self: &Arc<Self>, address: SocketAddr, peer: SocketAddr) -> Option<Admitted> {
        let mut state = self.state();
        let opened = state.doors.get(&address)?;
        let (door, standing, held) = (opened.door, opened.standing(), opened.held());
        state.admitted += 1;
        let id = state.admitted;
        let (requests, first_answers) = (BTreeMap::new(), BTreeMap::new());
        let connection = Connection { door, peer, client_id: None, requests, first_answers };
        state.connections.insert(id, connection);
        drop(state);
        let ticket = Ticket(Arc::new(Admission { id, address, held, registry: self.clone() }));
        Some(Admitted { ticket, door, standing })
    }

    /// Has the connections that stand on these addresses end so, and none that comes later. Says how many.
    pub(super) fn end_standing(&self, addresses: &[SocketAddr], how: Gate) -> usize {
        let mut state = self.state();
        let mut ended = 0;
        for address in addresses {
            ended += state.doors.get_mut(address).map_or(0, |opened| opened.end_standing(how));
        }
        ended
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

    /// Gives every broker of a cluster that is known already its address.
    pub(super) fn know(self: &Arc<Self>, brokers: BTreeMap<i32, (String, u16)>) -> io::Result<()> {
        brokers.into_iter().try_for_each(|(node, (host, port))| self.place(node, &host, port).map(drop))
    }

    /// Learns brokers from the answer to a request that the proxy made itself.
    pub(super) fn learner(self: &Arc<Self>) -> impl FnMut(i32, &str, u16) -> io::Result<SocketAddr> {
        let registry = self.clone();
        move |node, host, port| registry.place(node, host, port)
    }

    /// Where answers that come by `address` say that `node` is. None: where its cluster says.
    fn named_at(
        self: &Arc<Self>,
        address: SocketAddr,
        node: i32,
        host: &str,
        port: u16,
    ) -> io::Result<Option<SocketAddr>> {
        let elsewhere = |opened: &Opened| matches!(opened.leads, Leads::Elsewhere(_));
        if self.state().doors.get(&address).is_some_and(elsewhere) {
            return Ok(None); // another cluster's brokers are none of ours
        }
        let now = self.place(node, host, port)?;
        let state = self.state();
        let now = state.words.instead_of(node, now);
        Ok(state.doors.get(&address).map_or(Some(now), |opened| opened.names(node, now)))
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

/// A connection that was let in.
pub(super) struct Admitted {
    pub(super) ticket: Ticket,
    pub(super) door: Door,
    /// What becomes of it, apart from what becomes of the address.
    pub(super) standing: watch::Receiver<Gate>,
}

struct Admission {
    id: u64,
    address: SocketAddr,
    held: watch::Receiver<bool>,
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
    fn advertise(&mut self, node: i32, host: &str, port: u16) -> io::Result<Option<SocketAddr>> {
        self.0.registry.named_at(self.0.address, node, host, port)
    }

    fn names_nobody(&self) -> bool {
        let state = self.0.registry.state();
        state.doors.get(&self.0.address).is_some_and(|opened| state.words.are_none_of(opened.door))
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

    fn answered(&mut self, api: i16) {
        let mut state = self.0.registry.state();
        let Some(connection) = state.connections.get_mut(&self.0.id) else { return };
        connection.first_answers.entry(api).or_insert_with(Instant::now);
    }

    fn held(&self) -> watch::Receiver<bool> {
        self.0.held.clone()
    }
}
