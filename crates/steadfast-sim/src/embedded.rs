//! A cluster and the network around it as one handle.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use steadfast_core::endpoints::view::Address;
use steadfast_core::ids::{ClusterId, NodeId};

use crate::cluster::Cluster;
use crate::network::{Door, Machine, Machines, Network, Stream};
use crate::serve::Served;
use crate::tcp::{Loopback, PortError};

/// The port of every broker in memory.
const PORT: u16 = 9092;

/// How many hosts a subnet of the network in memory has.
const SUBNET: u8 = 250;

/// Where clients in memory begin.
const BOOTSTRAP: &str = "bootstrap";

/// What cluster is wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spec {
    /// How many brokers it has at first, numbered from 1.
    pub brokers: u16,
    /// Its identity.
    pub cluster: ClusterId,
    /// What jitter and corrupt bytes come from.
    pub seed: u64,
}

impl Default for Spec {
    /// Three brokers.
    fn default() -> Spec {
        Spec { brokers: 3, cluster: ClusterId::from("embedded"), seed: 1 }
    }
}

/// Which brokers.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Nodes {
    /// All that the cluster has.
    All,
    /// These.
    Some(BTreeSet<NodeId>),
}

/// What becomes of the old address of a broker that moved.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Old {
    /// It refuses, and the connections that stand are reset.
    Refuse,
    /// It still accepts and the connections stay, but nothing is answered any more.
    BlackHole,
    /// Connecting never ends, and the connections that stand fall silent.
    Drop,
    /// It goes on serving for this long, naming the new addresses; then it refuses.
    Grace(Duration),
}

/// A move that happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Moved {
    /// Where the brokers that moved were reached before.
    pub from: BTreeMap<NodeId, Address>,
    /// Where they are reached now.
    pub to: BTreeMap<NodeId, Address>,
}

/// A command cannot be carried out.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    /// There is no such broker.
    #[error("expected a broker of the cluster, found {node}")]
    NoSuchBroker {
        /// The broker.
        node: NodeId,
    },
    /// On loopback no packet can be dropped.
    #[error("expected a fate of the old addresses that TCP knows, found Drop")]
    NoDropOverTcp,
    /// TCP has no such door, or no port.
    #[error(transparent)]
    Port(#[from] PortError),
}

/// A running cluster. Cheap to clone; it ends with the last handle.
#[derive(Debug, Clone)]
pub struct Embedded(Arc<House>);

#[derive(Debug)]
struct House {
    served: Arc<Served>,
    machines: Arc<Machines>,
    medium: Medium,
    bootstrap: Address,
    seed: u64,
}

#[derive(Debug)]
enum Medium {
    Memory(Network, Mutex<Subnet>),
    Tcp(Loopback),
}

/// Addresses in memory: `10.0.0.1` and so on, each move in a subnet of its own.
#[derive(Debug, Default)]
struct Subnet {
    number: u16,
    hosts: u8,
}

impl Subnet {
    fn begin(&mut self) {
        self.number = self.number.wrapping_add(1);
        self.hosts = 0;
    }

    fn next(&mut self) -> Address {
        if self.hosts == SUBNET {
            self.begin();
        }
        self.hosts += 1;
        let [high, low] = self.number.to_be_bytes();
        Address::new(format!("10.{high}.{low}.{}", self.hosts), PORT)
    }
}

impl Medium {
    fn begin_subnet(&self) {
        if let Medium::Memory(_, subnet) = self {
            subnet.lock().unwrap_or_else(PoisonError::into_inner).begin();
        }
    }

    fn open(&self, door: Door) -> Result<Address, PortError> {
        match self {
            Medium::Memory(network, subnet) => {
                let address = subnet.lock().unwrap_or_else(PoisonError::into_inner).next();
                network.lead(&address, door);
                Ok(address)
            }
            Medium::Tcp(ports) => ports.open(door),
        }
    }

    fn lead(&self, address: &Address, door: Door) -> Result<(), PortError> {
        match self {
            Medium::Memory(network, _) => {
                network.lead(address, door);
                Ok(())
            }
            Medium::Tcp(ports) => ports.lead(address, door),
        }
    }
}

impl Embedded {
    /// Starts a cluster on the network in memory, under whatever time the runtime has.
    pub fn in_memory(spec: &Spec) -> Embedded {
        let network = Network::default();
        let medium = Medium::Memory(network.clone(), Mutex::default());
        let (served, machines) = parts(spec);
        let bootstrap = Address::new(BOOTSTRAP, PORT);
        network.lead(&bootstrap, Door::Any(machines.clone()));
        let embedded = Embedded::new(House { served, machines, medium, bootstrap, seed: spec.seed });
        for _ in 0..spec.brokers {
            // In memory an address is always to be had.
            drop(embedded.add_broker());
        }
        embedded
    }

    /// Starts a cluster on loopback TCP, at ports that the system chooses.
    ///
    /// # Errors
    /// No port could be bound.
    pub fn on_loopback(spec: &Spec) -> Result<Embedded, CommandError> {
        let ports = Loopback::default();
        let (served, machines) = parts(spec);
        let bootstrap = ports.open(Door::Any(machines.clone()))?;
        let medium = Medium::Tcp(ports);
        let embedded = Embedded::new(House { served, machines, medium, bootstrap, seed: spec.seed });
        for _ in 0..spec.brokers {
            embedded.add_broker()?;
        }
        Ok(embedded)
    }

    fn new(house: House) -> Embedded {
        Embedded(Arc::new(house))
    }

    /// The stable address: it leads to any broker that runs, another one each time, as a load balancer or a DNS name
    /// does.
    pub fn bootstrap(&self) -> Address {
        self.0.bootstrap.clone()
    }

    /// Changes or looks at the cluster at its present time.
    pub fn with<R>(&self, change: impl FnOnce(&mut Cluster) -> R) -> R {
        self.0.served.with(change)
    }

    /// The cluster behind its lock, and its clock.
    pub fn served(&self) -> &Arc<Served> {
        &self.0.served
    }

    /// The network in memory; none over TCP.
    pub fn network(&self) -> Option<&Network> {
        match &self.0.medium {
            Medium::Memory(network, _) => Some(network),
            Medium::Tcp(_) => None,
        }
    }

    /// Opens a connection over the network in memory. It sets no deadline: its caller does.
    ///
    /// # Errors
    /// As [`Network::connect`]; `Unsupported` over TCP, where clients dial for themselves.
    pub async fn connect(&self, to: &Address) -> io::Result<Stream> {
        match self.network() {
            Some(network) => network.connect(to).await,
            None => Err(io::ErrorKind::Unsupported.into()),
        }
    }

    /// What every broker advertises, the dead ones too.
    pub fn endpoints(&self) -> BTreeMap<NodeId, Address> {
        self.with(|cluster| {
            let brokers = cluster.brokers().iter();
            brokers.map(|(node, broker)| (*node, broker.address.clone())).collect()
        })
    }

    /// The machine of one broker: its link, and damages to its answers.
    ///
    /// # Errors
    /// There is no such broker.
    pub fn machine(&self, node: NodeId) -> Result<Arc<Machine>, CommandError> {
        self.0.machines.get(node).ok_or(CommandError::NoSuchBroker { node })
    }

    /// Adds a broker under the next number.
    ///
    /// # Errors
    /// No port could be bound.
    pub fn add_broker(&self) -> Result<NodeId, CommandError> {
        let house = &self.0;
        let last = self.with(|cluster| cluster.brokers().keys().next_back().map_or(0, |node| node.0));
        let node = NodeId(last.saturating_add(1));
        let machine = Arc::new(Machine::new(house.served.clone(), node, house.seed));
        let address = house.medium.open(Door::Open(machine.clone(), None))?;
        house.machines.add(machine);
        self.with(|cluster| cluster.add_broker(node, address));
        Ok(node)
    }

    /// Gives these brokers new addresses and ends the old ones as `old` says. New connections
    /// to the old addresses see that at once, standing ones (and TCP's ports) as soon as the runtime gets to them.
    ///
    /// # Errors
    /// A broker is unknown, a port could not be bound, or TCP has no such door; nothing has changed then.
    pub fn move_endpoints(&self, nodes: &Nodes, old: Old) -> Result<Moved, CommandError> {
        let house = &self.0;
        let endpoints = self.endpoints();
        let moving: BTreeSet<NodeId> = match nodes {
            Nodes::All => endpoints.keys().copied().collect(),
            Nodes::Some(nodes) => nodes.clone(),
        };
        let mut moved = Moved { from: BTreeMap::new(), to: BTreeMap::new() };
        if let (Medium::Tcp(_), Old::Drop) = (&house.medium, old) {
            return Err(CommandError::NoDropOverTcp);
        }
        house.medium.begin_subnet();
        for node in moving {
            let machine = self.machine(node)?;
            let from = endpoints.get(&node).cloned().ok_or(CommandError::NoSuchBroker { node })?;
            moved.to.insert(node, house.medium.open(Door::Open(machine, None))?);
            moved.from.insert(node, from);
        }
        self.with(|cluster| {
            for (node, address) in &moved.to {
                cluster.advertise(*node, address.clone());
            }
        });
        for address in moved.from.values() {
            self.end(address, old)?;
        }
        Ok(moved)
    }

    /// Ends an address.
    fn end(&self, address: &Address, old: Old) -> Result<(), CommandError> {
        let door = match old {
            Old::Refuse => Door::Refuse,
            Old::BlackHole => Door::BlackHole,
            Old::Drop => Door::Drop,
            Old::Grace(time) => {
                let (house, address) = (Arc::downgrade(&self.0), address.clone());
                tokio::spawn(async move {
                    tokio::time::sleep(time).await;
                    if let Some(house) = house.upgrade() {
                        drop(house.medium.lead(&address, Door::Refuse));
                    }
                });
                return Ok(());
            }
        };
        Ok(self.0.medium.lead(address, door)?)
    }
}

/// A cluster without brokers, and no machines.
fn parts(spec: &Spec) -> (Arc<Served>, Arc<Machines>) {
    (Served::start(Cluster::new(spec.cluster.clone(), [])), Arc::default())
}
