//! A cluster and the network around it as one handle.

mod medium;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use steadfast_core::endpoints::view::Address;
use steadfast_core::ids::{ClusterId, NodeId};

use crate::cluster::Cluster;
use crate::guise::Guise;
use crate::network::{Authority, Door, Machine, Machines, Network, Opened, Stream, TlsError};
use crate::serve::Served;
use crate::tcp::PortError;

pub use crate::faults::{Nodes, Old};

pub(crate) use medium::Medium;
use medium::PORT;

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

/// A move that happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Moved {
    /// Where the brokers that moved were reached before.
    pub from: BTreeMap<NodeId, Address>,
    /// Where they are reached now.
    pub to: BTreeMap<NodeId, Address>,
}

/// A command or a fault cannot be carried out; nothing has changed.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    /// There is no such broker.
    #[error("expected a broker of the cluster, found {node}")]
    NoSuchBroker {
        /// The broker.
        node: NodeId,
    },
    /// There is such a broker already.
    #[error("expected the number of a new broker, found {node}")]
    KnownBroker {
        /// The broker.
        node: NodeId,
    },
    /// A cluster has at least one broker.
    #[error("broker {node} is the last one and cannot be removed")]
    LastBroker {
        /// The broker.
        node: NodeId,
    },
    /// A broker has no address but the one it had from the beginning.
    #[error("expected a broker that moved, found {node}")]
    NeverMoved {
        /// The broker.
        node: NodeId,
    },
    /// On loopback no packet can be dropped and no name changed.
    #[error("expected a fault that loopback TCP knows, found {fault}")]
    NotOverTcp {
        /// What was wanted.
        fault: String,
    },
    /// A listener cannot speak TLS.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// No port was to be had.
    #[error(transparent)]
    Port(#[from] PortError),
}

/// A running cluster. Cheap to clone; it ends with the last handle.
#[derive(Debug, Clone)]
pub struct Embedded(pub(crate) Arc<House>);

#[derive(Debug)]
pub(crate) struct House {
    pub(crate) served: Arc<Served>,
    pub(crate) machines: Arc<Machines>,
    pub(crate) medium: Arc<Medium>,
    bootstrap: Address,
    seed: u64,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// What a passage usually takes, and up to how much more.
    latency: (Duration, Duration),
    /// Where brokers were before they last moved.
    former: BTreeMap<NodeId, Address>,
    /// The other cluster, which takes over addresses.
    other: Option<Embedded>,
    /// Who issues the certificates of new listeners; none: they speak plain text.
    authority: Option<Arc<Authority>>,
}

impl Embedded {
    /// Starts a cluster on the network in memory, under whatever time the runtime has.
    pub fn in_memory(spec: &Spec) -> Embedded {
        let medium = Medium::memory();
        let bootstrap = Address::new(BOOTSTRAP, PORT);
        let embedded = Embedded::of(spec, medium.into(), bootstrap.clone());
        if let Some(network) = embedded.network() {
            network.lead(&bootstrap, Door::Any(embedded.0.machines.clone()));
        }
        for node in (1..=spec.brokers).map(|node| NodeId(i32::from(node))) {
            if let Err(error) = embedded.add_broker(node) {
                tracing::error!(%node, %error, "a broker could not be started");
            }
        }
        embedded
    }

    /// Starts a cluster on loopback TCP, at ports that the system chooses.
    ///
    /// # Errors
    /// No port could be bound.
    pub fn on_loopback(spec: &Spec) -> Result<Embedded, CommandError> {
        Embedded::at_new_addresses(spec, Medium::Tcp(Default::default()).into())
    }

    /// A cluster whose addresses, the bootstrap one too, are new on this medium.
    fn at_new_addresses(spec: &Spec, medium: Arc<Medium>) -> Result<Embedded, CommandError> {
        let bootstrap = medium.open(Door::Refuse)?;
        let embedded = Embedded::of(spec, medium, bootstrap.clone());
        for node in 1..=spec.brokers {
            embedded.add_broker(NodeId(i32::from(node)))?;
        }
        embedded.0.medium.lead(&bootstrap, Door::Any(embedded.0.machines.clone()))?;
        Ok(embedded)
    }

    fn of(spec: &Spec, medium: Arc<Medium>, bootstrap: Address) -> Embedded {
        Embedded(Arc::new(House {
            served: Served::start(Cluster::new(spec.cluster.clone(), [])),
            machines: Arc::default(),
            medium,
            bootstrap,
            seed: spec.seed,
            state: Mutex::default(),
        }))
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
        match &*self.0.medium {
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

    /// The same, with the TLS of its listener apart.
    ///
    /// # Errors
    /// As [`connect`](Embedded::connect).
    pub async fn open(&self, to: &Address) -> io::Result<Opened> {
        match self.network() {
            Some(network) => network.open(to).await,
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

    /// What a passage to or from any broker usually takes, and up to how much longer; nothing at first.
    pub fn set_latency(&self, latency: Duration, jitter: Duration) {
        self.0.state().latency = (latency, jitter);
        for machine in self.0.machines.all() {
            machine.change_link(|link| (link.latency, link.jitter) = (latency, jitter));
        }
    }

    /// Where this broker was before it last moved, if it ever did.
    pub fn former_address(&self, node: NodeId) -> Option<Address> {
        self.0.state().former.get(&node).cloned()
    }

    /// The cluster that took over addresses, once one was taken.
    pub fn other_cluster(&self) -> Option<Embedded> {
        self.0.state().other.clone()
    }

    /// Adds a broker, at a new address.
    ///
    /// # Errors
    /// There is one of this number, or no port could be bound.
    pub fn add_broker(&self, node: NodeId) -> Result<(), CommandError> {
        let house = &self.0;
        if house.machines.get(node).is_some() {
            return Err(CommandError::KnownBroker { node });
        }
        let machine = Arc::new(Machine::new(house.served.clone(), node, house.seed));
        machine.change_link(|link| (link.latency, link.jitter) = house.state().latency);
        let address = house.listen(machine.clone())?;
        house.machines.add(machine);
        self.with(|cluster| cluster.add_broker(node, address));
        Ok(())
    }

    /// Gives these brokers new addresses and ends the old ones as `old` says. New connections to the old addresses
    /// see that at once, standing ones (and TCP's ports) as soon as the runtime gets to them.
    ///
    /// # Errors
    /// A broker is unknown, a port could not be bound, or TCP has no such end; nothing has changed then.
    pub fn move_endpoints(&self, nodes: &Nodes, old: Old) -> Result<Moved, CommandError> {
        let house = &self.0;
        if let (Medium::Tcp(_), Old::Drop) = (&*house.medium, old) {
            return Err(CommandError::NotOverTcp { fault: old.to_string() });
        }
        let before = self.endpoints();
        let moving: BTreeSet<NodeId> = match nodes {
            Nodes::All => before.keys().copied().collect(),
            Nodes::Some(nodes) => nodes.clone(),
        };
        let mut moved = Moved { from: BTreeMap::new(), to: BTreeMap::new() };
        house.medium.begin_subnet();
        for node in moving {
            let machine = self.machine(node)?;
            let from = before.get(&node).cloned().ok_or(CommandError::NoSuchBroker { node })?;
            moved.to.insert(node, house.listen(machine)?);
            moved.from.insert(node, from);
        }
        self.advertise(&moved.to);
        house.state().former.extend(moved.from.clone());
        let stale = Arc::new(Guise::Stale(before));
        for (node, address) in &moved.from {
            self.end(*node, address, old, &stale)?;
        }
        Ok(moved)
    }

    /// All brokers get new addresses, where they speak TLS, as they will wherever they listen from now on; the old ones
    /// end as `old` says. Returns, as PEM, the certificate of the authority that vouches for them.
    ///
    /// # Errors
    /// Over TCP; there are no certificates; or as [`move_endpoints`](Embedded::move_endpoints). Nothing has changed then.
    pub fn secure_listeners(&self, old: Old) -> Result<String, CommandError> {
        if self.network().is_none() {
            return Err(CommandError::NotOverTcp { fault: "listeners that speak TLS".to_owned() });
        }
        let authority = Arc::new(Authority::new("the cluster's authority")?);
        let before = self.0.state().authority.replace(authority.clone());
        match self.move_endpoints(&Nodes::All, old) {
            Ok(_) => Ok(authority.certificate().to_owned()),
            Err(error) => {
                self.0.state().authority = before;
                Err(error)
            }
        }
    }

    pub(crate) fn advertise(&self, endpoints: &BTreeMap<NodeId, Address>) {
        self.with(|cluster| {
            for (node, address) in endpoints {
                cluster.advertise(*node, address.clone());
            }
        });
    }

    /// The other cluster: as many brokers, other addresses. It is started when it is first asked for.
    pub(crate) fn other(&self) -> Result<Embedded, CommandError> {
        if let Some(other) = self.other_cluster() {
            return Ok(other);
        }
        let cluster =
            ClusterId::from(format!("{}-other", self.with(|cluster| cluster.id().clone())).as_str());
        let spec = Spec { brokers: 0, cluster, seed: !self.0.seed };
        let other = Embedded::at_new_addresses(&spec, self.0.medium.clone())?;
        self.0.state().other = Some(other.clone());
        Ok(other)
    }

    /// Ends an address that a broker had.
    fn end(&self, node: NodeId, address: &Address, old: Old, stale: &Arc<Guise>) -> Result<(), CommandError> {
        let door = match old {
            Old::Refuse => Door::Refuse,
            Old::BlackHole => Door::BlackHole,
            Old::Drop => Door::Drop,
            Old::Stale(_) => Door::Open(self.machine(node)?, Some(stale.clone())),
            Old::Grace(_) => Door::Open(self.machine(node)?, None),
        };
        self.0.medium.lead(address, door)?;
        if let Old::Stale(time) | Old::Grace(time) = old {
            let (house, address) = (Arc::downgrade(&self.0), address.clone());
            tokio::spawn(async move {
                tokio::time::sleep(time).await;
                if let Some(house) = house.upgrade() {
                    house.refuse_former(node, &address);
                }
            });
        }
        Ok(())
    }
}

impl House {
    /// A new address at which this broker listens.
    fn listen(&self, machine: Arc<Machine>) -> Result<Address, CommandError> {
        let address = self.medium.open(Door::Open(machine, None))?;
        let authority = self.state().authority.clone();
        if let (Some(authority), Medium::Memory(network, _)) = (authority, &*self.medium) {
            network.secure(&address, authority.issue(&address.host)?);
        }
        Ok(address)
    }

    /// The time of an address is over, unless somebody else has it meanwhile.
    fn refuse_former(&self, node: NodeId, address: &Address) {
        let Door::Open(machine, _) = self.medium.door(address) else { return };
        let same = Arc::ptr_eq(machine.served(), &self.served) && machine.node() == node;
        if same && let Err(error) = self.medium.lead(address, Door::Refuse) {
            tracing::error!(%address, %error, "an old address could not be closed");
        }
    }

    pub(crate) fn latency(&self) -> (Duration, Duration) {
        self.state().latency
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
