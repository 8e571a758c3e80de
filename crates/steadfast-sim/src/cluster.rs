//! The cluster as a pure value: brokers, topics, groups. Requests and commands go in, answers and deadlines come
//! out; time is an input.
//!
//! There is one truth for all brokers: what a broker knows differs from it only by what a fault says. A request
//! that has to wait (a long poll, a member in a round) is parked under its ticket, and answered when a later request,
//! a command or [`Cluster::advance`] lets it go on.

use std::collections::BTreeMap;

use kafka_protocol::messages::{RequestKind, ResponseKind};
use steadfast_core::endpoints::view::Address;
use steadfast_core::ids::{ClusterId, NodeId};
use steadfast_core::tick::Tick;

use crate::api;
use crate::api::fetch::Fetches;
use crate::api::produce::waiting::{self, Produces};
use crate::call::{Call, Reply, Ticket};
use crate::groups::{self, Groups};
use crate::notice::Notice;
use crate::producers::Producers;
use crate::topics::{self, Topics};
use crate::transactions::{self, Transactions};

/// One broker as the cluster's metadata has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Broker {
    /// What it advertises.
    pub address: Address,
    /// Its rack, if it has one.
    pub rack: Option<String>,
    /// Whether it is registered and alive: only then it is named in metadata, leads and coordinates.
    pub alive: bool,
}

/// A cluster.
#[derive(Debug)]
pub struct Cluster {
    id: ClusterId,
    pub(crate) brokers: BTreeMap<NodeId, Broker>,
    pub(crate) topics: Topics,
    pub(crate) producers: Producers,
    pub(crate) transactions: Transactions,
    pub(crate) fetches: Fetches,
    pub(crate) produces: Produces,
    pub(crate) groups: Groups,
    answers: Vec<(Ticket, ResponseKind)>,
    notices: Vec<Notice>,
    now: Tick,
}

impl Cluster {
    /// A cluster of these brokers, all alive, without topics.
    pub fn new(id: impl Into<ClusterId>, brokers: impl IntoIterator<Item = (NodeId, Address)>) -> Cluster {
        let brokers = brokers
            .into_iter()
            .map(|(node, address)| (node, Broker { address, rack: None, alive: true }))
            .collect();
        let mut cluster = Cluster {
            id: id.into(),
            brokers,
            topics: Topics::default(),
            producers: Producers::default(),
            transactions: Transactions::default(),
            fetches: Fetches::default(),
            produces: Produces::default(),
            groups: Groups::default(),
            answers: Vec::new(),
            notices: Vec::new(),
            now: Tick::ZERO,
        };
        cluster.brokers_changed();
        cluster
    }

    /// Its identity.
    pub fn id(&self) -> &ClusterId {
        &self.id
    }

    /// Its brokers, the dead ones too.
    pub fn brokers(&self) -> &BTreeMap<NodeId, Broker> {
        &self.brokers
    }

    /// The brokers that are alive.
    pub(crate) fn alive(&self) -> impl Iterator<Item = (NodeId, &Broker)> {
        self.brokers.iter().filter(|(_, broker)| broker.alive).map(|(node, broker)| (*node, broker))
    }

    /// The time, as it was last told.
    pub fn now(&self) -> Tick {
        self.now
    }

    /// Takes a request at `now`. Parked requests that it lets go on are answered by
    /// [`take_answers`](Cluster::take_answers).
    pub fn request(&mut self, call: &Call, request: RequestKind, now: Tick) -> Reply {
        self.advance(now);
        api::handle(self, call, request)
    }

    /// Lets time pass: what is due by `now` happens.
    pub fn advance(&mut self, now: Tick) {
        self.now = self.now.max(now);
        transactions::advance(self);
        api::fetch::advance(self);
        waiting::advance(self);
        groups::advance(self);
    }

    /// When something is due next, if anything is.
    pub fn next_deadline(&self) -> Option<Tick> {
        let due = [
            self.fetches.next_deadline(),
            self.produces.next_deadline(),
            self.groups.next_deadline(),
            self.transactions.next_deadline(),
        ];
        due.into_iter().flatten().min()
    }

    /// Nobody waits for this request any more: its connection is gone.
    pub fn abandon(&mut self, ticket: Ticket) {
        self.fetches.abandon(ticket);
        self.produces.abandon(ticket);
    }

    /// The answers to parked requests that are due.
    pub fn take_answers(&mut self) -> Vec<(Ticket, ResponseKind)> {
        std::mem::take(&mut self.answers)
    }

    /// Answers a parked request.
    pub(crate) fn answer(&mut self, ticket: Ticket, answer: ResponseKind) {
        self.answers.push((ticket, answer));
    }

    /// Takes the answer to this request out, if there is one by now: it need not be parked.
    pub(crate) fn answered(&mut self, ticket: Ticket) -> Option<ResponseKind> {
        let index = self.answers.iter().position(|(answered, _)| *answered == ticket)?;
        Some(self.answers.remove(index).1)
    }

    /// What has happened since this was last asked, in order.
    pub fn take_notices(&mut self) -> Vec<Notice> {
        std::mem::take(&mut self.notices)
    }

    /// Remembers an occurrence for whoever checks.
    pub(crate) fn notice(&mut self, notice: Notice) {
        self.notices.push(notice);
    }

    /// The broker advertises another address from now on.
    pub fn advertise(&mut self, node: NodeId, address: Address) {
        if let Some(broker) = self.brokers.get_mut(&node) {
            broker.address = address;
        }
    }

    /// A broker joins the cluster, alive; one that is known begins anew at this address.
    pub fn add_broker(&mut self, node: NodeId, address: Address) {
        self.brokers.insert(node, Broker { address, rack: None, alive: true });
        self.brokers_changed();
    }

    /// A broker's process ends: it is named, leads and coordinates no more.
    pub fn stop_broker(&mut self, node: NodeId) {
        if let Some(broker) = self.brokers.get_mut(&node) {
            broker.alive = false;
        }
        self.brokers_changed();
    }

    /// A broker that was stopped is back.
    pub fn start_broker(&mut self, node: NodeId) {
        if let Some(broker) = self.brokers.get_mut(&node) {
            broker.alive = true;
        }
        self.brokers_changed();
    }

    /// A broker leaves the cluster for good.
    pub fn remove_broker(&mut self, node: NodeId) {
        self.brokers.remove(&node);
        self.brokers_changed();
    }

    fn brokers_changed(&mut self) {
        topics::brokers_changed(self);
        groups::brokers_changed(self);
    }
}
