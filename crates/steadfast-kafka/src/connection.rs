//! One connection to one broker: requests pipelined, each with a deadline, answers matched by correlation id.

use std::marker::PhantomData;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use steadfast_core::endpoints::view::{Address, View};
use steadfast_core::ids::NodeId;
use tokio::time::{Instant, sleep_until};

use crate::api::{Api, DecodeError, EncodeError};
use crate::versions::{BrokerVersions, NoCommonVersion};

use arrival::{Arrival, Arrived};
use channel::{Channel, Sent};
use link::Link;

pub use link::CloseReason;
pub use open::{ConnectError, ConnectFailure, Dial};

mod arrival;
mod authentication;
mod channel;
mod evidence;
mod link;
mod open;
mod renewal;
#[cfg(test)]
mod scripted;

/// How many requests may be unanswered on one connection, those that timed out included.
pub const MOST_UNANSWERED: usize = 100;

/// A connection whose broker has said what it speaks and which cluster it belongs to. Clones share it; with
/// the last of them, and the last [`Pending`] answer, it closes.
#[derive(Debug, Clone)]
pub struct Connection {
    channel: Arc<Channel>,
    opened: Arc<Opened>,
}

/// What a connection learned while it was opened.
#[derive(Debug, Clone, PartialEq)]
pub struct Opened {
    /// The view that the broker answered with; its cluster id is the pinned one if one was.
    pub view: View<NodeId>,
    /// What the broker speaks.
    pub versions: BrokerVersions,
    /// How long resolving and connecting took.
    pub connected_in: Duration,
    /// How long securing it, ApiVersions and Metadata took after that.
    pub handshake_in: Duration,
}

/// A request did not come to a usable answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{api} to {address}: {failure}")]
pub struct CallError {
    /// The API's name.
    pub api: &'static str,
    /// The broker's address, as it was dialled.
    pub address: Address,
    /// What happened.
    pub failure: CallFailure,
}

/// Why a request did not come to a usable answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CallFailure {
    /// Not sent: the broker speaks no version that can express it.
    #[error(transparent)]
    Version(#[from] NoCommonVersion),
    /// Not sent: it does not fit the version.
    #[error(transparent)]
    Encode(#[from] EncodeError),
    /// Not sent: too many requests are unanswered.
    #[error("expected at most {MOST_UNANSWERED} unanswered requests, found {found}")]
    Busy {
        /// How many there are.
        found: usize,
    },
    /// No answer by the deadline. Whether the broker did what was asked is unknown.
    #[error("no answer within {limit:?}")]
    Timeout {
        /// The deadline that was given.
        limit: Duration,
    },
    /// The connection is closed. Whether the broker did what was asked is unknown.
    #[error("the connection is closed: {0}")]
    Closed(CloseReason),
    /// The answer cannot be read.
    #[error(transparent)]
    Decode(Box<DecodeError>),
}

impl From<DecodeError> for CallFailure {
    fn from(error: DecodeError) -> CallFailure {
        CallFailure::Decode(Box::new(error))
    }
}

impl Connection {
    /// What was learned while it was opened.
    pub fn opened(&self) -> &Opened {
        &self.opened
    }

    /// The address that was dialled.
    pub fn address(&self) -> &Address {
        &self.channel.address
    }

    /// The resolved address at the other end, where there is one.
    pub fn peer(&self) -> Option<SocketAddr> {
        self.channel.peer
    }

    /// Which broker was expected here: what the dialler said, not what the broker did.
    pub fn node_hint(&self) -> Option<NodeId> {
        self.channel.node_hint
    }

    /// When the last bytes of an answer arrived, also of one that is not whole yet; when it was connected, if none have.
    pub fn last_activity(&self) -> Instant {
        self.channel.link.last_activity()
    }

    /// Ends when nothing has arrived for `limit`, counted from `since` at the earliest. As long as an answer trickles in,
    /// the connection is not silent: the request's own limit bounds that. Cancel-safe.
    pub async fn silent(&self, since: Instant, limit: Duration) {
        loop {
            let overdue = self.last_activity().max(since) + limit;
            if overdue <= Instant::now() {
                return;
            }
            sleep_until(overdue).await;
        }
    }

    /// For how long yet the broker holds back its answers, as its last ones said (KIP-219); 30 s at most. Every
    /// request's limit grows by it.
    pub fn held_back(&self) -> Duration {
        self.channel.link.held_back()
    }

    /// Whether both are handles of one connection.
    pub fn is(&self, other: &Connection) -> bool {
        Arc::ptr_eq(&self.channel, &other.channel)
    }

    /// Sends `request` and awaits its answer for at most `limit`. After a timeout the connection goes on, and
    /// the late answer is thrown away. Dropping the future does no harm: the request may or may not be sent.
    pub async fn call<A: Api>(&self, request: A, limit: Duration) -> Result<A::Answer, CallError> {
        self.send(&request, limit)?.answer().await
    }

    /// Queues `request` for writing at once, in order; its answer is awaited later. `limit` counts from now.
    pub fn send<A: Api>(&self, request: &A, limit: Duration) -> Result<Pending<A>, CallError> {
        let version = self.opened.versions.for_request(request);
        let version = version.map_err(|error| self.channel.failed::<A>(error))?;
        self.channel.send(request, version, limit)
    }

    /// Closes the connection: unanswered requests fail with `reason`. A closed connection keeps its reason.
    pub fn close(&self, reason: CloseReason) {
        self.channel.link.close(reason);
    }

    /// Whether it is closed, and why.
    pub fn close_reason(&self) -> Option<CloseReason> {
        self.channel.link.close_reason()
    }

    /// Whether it is closed.
    pub fn is_closed(&self) -> bool {
        self.close_reason().is_some()
    }

    /// Waits until it is closed. Cancel-safe.
    pub async fn closed(&self) -> CloseReason {
        self.channel.link.closed().await
    }
}

/// A request that was sent, its answer to come. Dropped, the answer is thrown away when it comes.
#[derive(Debug)]
pub struct Pending<A: Api> {
    channel: Arc<Channel>,
    sent: Sent,
    version: i16,
    api: PhantomData<fn() -> A>,
}

impl<A: Api> Pending<A> {
    /// The request's bytes on the wire.
    pub fn bytes(&self) -> usize {
        self.sent.bytes
    }

    /// Awaits the answer until the request's deadline and decodes it.
    pub async fn answer(self) -> Result<A::Answer, CallError> {
        self.raw().await?.decode()
    }

    /// Awaits the answer until the request's deadline and leaves it undecoded.
    pub async fn raw(self) -> Result<RawAnswer<A>, CallError> {
        let arrived = self.channel.answer_to(self.sent).await;
        let Arrived { body, arrival } = arrived.map_err(|error| self.channel.failed::<A>(error))?;
        let body = self.channel.without_header::<A>(self.version, body)?;
        let (address, link) = (self.channel.address.clone(), Arc::clone(&self.channel.link));
        Ok(RawAnswer { address, link, version: self.version, body, arrival, api: PhantomData })
    }
}

/// An answer's bytes, not decoded yet.
#[derive(Debug, Clone)]
pub struct RawAnswer<A: Api> {
    address: Address,
    link: Arc<Link>,
    version: i16,
    body: Bytes,
    arrival: Arrival,
    api: PhantomData<fn() -> A>,
}

impl<A: Api> RawAnswer<A> {
    /// The version that the answer is written in.
    pub fn version(&self) -> i16 {
        self.version
    }

    /// The answer's bytes.
    pub fn body(&self) -> &Bytes {
        &self.body
    }

    /// The longest time without a byte of it, counted from `since`: until its first bytes came, or between two
    /// reads. What a large answer takes to arrive is no part of it.
    pub fn quiet_since(&self, since: Instant) -> Duration {
        self.arrival.quiet_since(since)
    }

    /// The same answer in other bytes: `wrap` gives them an owner, one that holds a memory permit for
    /// instance (`Bytes::from_owner`). What is decoded are slices of what `wrap` returns.
    pub fn wrapped(self, wrap: impl FnOnce(Bytes) -> Bytes) -> RawAnswer<A> {
        RawAnswer { body: wrap(self.body), ..self }
    }

    /// Decodes it. Byte strings in the answer are slices of [`RawAnswer::body`].
    pub fn decode(self) -> Result<A::Answer, CallError> {
        let failed = |error: DecodeError| CallError {
            api: A::NAME,
            address: self.address.clone(),
            failure: error.into(),
        };
        let answer = A::decode(self.version, self.body).map_err(failed)?;
        self.link.throttled(A::throttle(&answer));
        Ok(answer)
    }
}

#[cfg(test)]
mod tests;
