//! What brokers say is late, wrong or held back, while every address goes on.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::SocketAddr;

use super::door::Door;
use super::{DriftProxy, Nodes, known};

/// What answers say of brokers that is not so.
#[derive(Debug, Default)]
pub(super) struct Words {
    /// Where brokers are said to be, whatever has moved since.
    past: Option<BTreeMap<i32, SocketAddr>>,
    /// Brokers that name no brokers.
    speechless: BTreeSet<i32>,
}

impl Words {
    /// Where `node` is said to be, which is `now` in truth.
    pub(super) fn instead_of(&self, node: i32, now: SocketAddr) -> SocketAddr {
        self.past.as_ref().and_then(|past| past.get(&node)).copied().unwrap_or(now)
    }

    /// Whether who comes in by this door is told of no brokers.
    pub(super) fn are_none_of(&self, door: Door) -> bool {
        matches!(door, Door::Broker { node, .. } if self.speechless.contains(&node))
    }
}

impl DriftProxy {
    /// Cuts one way: what clients send to these brokers' addresses of now still arrives, and the answers are held back,
    /// those to new connections too. With [`Nodes::All`] at all addresses that there are, the bootstrap one included.
    ///
    /// # Errors
    /// A node is unknown, and nothing has changed.
    pub fn hold_answers(&self, nodes: &Nodes) -> io::Result<()> {
        self.hold(nodes, true)
    }

    /// Lets the answers of these brokers pass again, those first that were held back: as after a pause, or when a network
    /// is whole again.
    ///
    /// # Errors
    /// A node is unknown, and nothing has changed.
    pub fn pass_answers(&self, nodes: &Nodes) -> io::Result<()> {
        self.hold(nodes, false)
    }

    fn hold(&self, nodes: &Nodes, held: bool) -> io::Result<()> {
        let state = self.registry.state();
        let addresses: Vec<SocketAddr> = match nodes {
            Nodes::All => state.doors.keys().copied().collect(),
            Nodes::Some(nodes) => nodes.iter().map(|node| known(&state, *node)).collect::<io::Result<_>>()?,
        };
        for opened in addresses.iter().filter_map(|address| state.doors.get(address)) {
            opened.hold(held);
        }
        Ok(())
    }

    /// From now on answers name the brokers where they are at this moment, although they may move: as metadata that lags.
    pub fn hold_names(&self) {
        let mut state = self.registry.state();
        state.words.past = Some(state.endpoints());
    }

    /// Answers name the brokers where they are again.
    pub fn pass_names(&self) {
        self.registry.state().words.past = None;
    }

    /// From now on these brokers, and no others, name no brokers in their answers to Metadata: as brokers do that have not
    /// heard of the cluster yet.
    pub fn name_nobody(&self, nodes: impl IntoIterator<Item = i32>) {
        self.registry.state().words.speechless = nodes.into_iter().collect();
    }
}
