//! One request as the cluster sees it: who asks whom, in which version, and what became of it.

use std::sync::Arc;

use kafka_protocol::messages::ResponseKind;
use steadfast_core::ids::NodeId;

/// One connection to a broker, numbered over the life of the cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct ConnectionId(pub u64);

/// One request, numbered over the life of the cluster: an answer that comes later names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ticket(pub u64);

/// What is known of a request beside its body.
#[derive(Debug, Clone)]
pub struct Call {
    /// The broker that is asked.
    pub node: NodeId,
    /// Over which connection.
    pub connection: ConnectionId,
    /// The request's number.
    pub ticket: Ticket,
    /// The version of the API.
    pub version: i16,
    /// Who says that it asks; empty when nobody is named.
    pub client_id: Arc<str>,
    /// The address that it asks from, as brokers show it: `/127.0.0.1`.
    pub client_host: Arc<str>,
}

/// What becomes of a request.
#[derive(Debug, Clone, PartialEq)]
pub enum Reply {
    /// Answered at once.
    Now(Box<ResponseKind>),
    /// Parked: the answer comes from [`take_answers`](crate::cluster::Cluster::take_answers) under the call's ticket.
    Later,
    /// By the protocol there is none (Produce with `acks=0`).
    Never,
    /// The broker closes the connection, as Kafka does for what it cannot read.
    Close,
}

impl Reply {
    /// An answer at once.
    pub(crate) fn now(answer: ResponseKind) -> Reply {
        Reply::Now(Box::new(answer))
    }
}
