//! An address of the proxy: whose it is, where it leads, and what becomes of it.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

use tokio::sync::{mpsc, watch};

use super::gate::Gate;
use super::listener::Filled;

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

/// Where an address leads as long as it is open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Leads {
    /// To the cluster; answers name the addresses of now.
    Here,
    /// To the cluster; answers name the addresses that were those of the brokers when this one became old.
    Stale,
    /// To another cluster, which names its brokers as it does.
    Elsewhere(Vec<SocketAddr>),
}

/// What a port may be told.
#[derive(Clone)]
pub(super) struct Keeper {
    pub(super) gate: watch::Sender<Gate>,
    /// To accept no more and to fill its queue.
    pub(super) fills: mpsc::Sender<Filled>,
}

/// An address that was opened, and has not been given up since.
pub(super) struct Opened {
    pub(super) door: Door,
    pub(super) keeper: Keeper,
    pub(super) leads: Leads,
    /// What becomes of the connections that stand, apart from what becomes of the address.
    standing: watch::Sender<Gate>,
    /// Whether answers are held back.
    held: watch::Sender<bool>,
    /// Where everybody was when this address became an old one.
    pub(super) before: Option<Arc<BTreeMap<i32, SocketAddr>>>,
}

impl Opened {
    pub(super) fn new(door: Door, keeper: Keeper) -> Opened {
        let standing = watch::Sender::new(Gate::Open);
        let held = watch::Sender::new(false);
        Opened { door, keeper, leads: Leads::Here, standing, held, before: None }
    }

    /// Holds answers back, or lets them pass.
    pub(super) fn hold(&self, held: bool) {
        self.held.send_replace(held);
    }

    /// Whether answers are held back on a connection that comes in now.
    pub(super) fn held(&self) -> watch::Receiver<bool> {
        self.held.subscribe()
    }

    /// What becomes of a connection that comes in now.
    pub(super) fn standing(&self) -> watch::Receiver<Gate> {
        self.standing.subscribe()
    }

    /// Has the connections that stand end so, and none that comes later. Says how many there were.
    pub(super) fn end_standing(&mut self, how: Gate) -> usize {
        let standing = std::mem::replace(&mut self.standing, watch::Sender::new(Gate::Open));
        standing.send_replace(how);
        standing.receiver_count()
    }

    /// Where a broker is, in the answers that come by this address; `now` is where it is reached now.
    pub(super) fn names(&self, node: i32, now: SocketAddr) -> Option<SocketAddr> {
        match self.leads {
            Leads::Here => Some(now),
            Leads::Stale => {
                Some(self.before.as_ref().and_then(|before| before.get(&node)).copied().unwrap_or(now))
            }
            Leads::Elsewhere(_) => None,
        }
    }
}
