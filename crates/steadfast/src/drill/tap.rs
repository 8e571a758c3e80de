//! What crosses a service's connections, as the service's own end of them sees it; and the cable, which can be pulled.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use bytes::{Buf, Bytes, BytesMut};
use futures::future::{BoxFuture, poll_fn};
use kafka_protocol::messages::{ApiKey, FetchRequest, OffsetCommitRequest, RequestHeader};
use kafka_protocol::protocol::{Decodable, HeaderVersion};
use steadfast_core::endpoints::view::Address;
use steadfast_core::ids::{Offset, Partition};
use steadfast_kafka::transport::{Duplex, Stream, Transport};
use steadfast_sim::call::ConnectionId;
use steadfast_sim::embedded::Embedded;
use steadfast_sim::network::{self, Opened};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::journal::{Journal, What};
use super::world::TOPIC;

/// Something on a connection of a service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wire {
    /// The service.
    pub service: Arc<str>,
    /// The connection, numbered over the life of the world.
    pub connection: ConnectionId,
    /// Where it was dialled.
    pub to: Address,
    /// What happened.
    pub event: WireEvent,
}

/// What happens on a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WireEvent {
    /// The service begins to open it.
    Dialled,
    /// It is open.
    Opened,
    /// The service has let it go, or it could not be opened.
    Closed,
    /// A request was written.
    Asked {
        /// Its correlation id.
        correlation: i32,
        /// The API's number.
        api: i16,
        /// What a Fetch, or its session, asks for.
        fetched: Option<Vec<Partition>>,
        /// What an OffsetCommit asks to be stored.
        commits: Vec<(Partition, Offset)>,
    },
    /// The whole answer was read.
    Answered {
        /// The request's correlation id.
        correlation: i32,
    },
}

/// The cable of one service: while it is pulled nothing passes on any of its connections, and none is opened.
#[derive(Debug, Clone, Default)]
pub struct Cable(Arc<Mutex<Pulled>>);

#[derive(Debug, Default)]
struct Pulled {
    pulled: bool,
    waiting: Vec<Waker>,
}

impl Cable {
    /// Pulls it out, or plugs it in again.
    pub fn pull(&self, pulled: bool) {
        let mut state = self.state();
        state.pulled = pulled;
        let waiting = std::mem::take(&mut state.waiting);
        drop(state);
        waiting.into_iter().for_each(Waker::wake);
    }

    fn poll(&self, context: &Context<'_>) -> Poll<()> {
        let mut state = self.state();
        if state.pulled {
            state.waiting.push(context.waker().clone());
            return Poll::Pending;
        }
        Poll::Ready(())
    }

    fn state(&self) -> MutexGuard<'_, Pulled> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The cluster's network as a service's transport. It tells the journal what crosses it, TLS or not: it looks behind
/// that.
pub(super) struct Tap {
    pub(super) cluster: Embedded,
    pub(super) cable: Cable,
    pub(super) service: Arc<str>,
    pub(super) journal: Journal,
    /// Numbers the connections of all services.
    pub(super) connections: Arc<AtomicU64>,
}

impl Transport for Tap {
    fn connect<'a>(&'a self, to: &'a Address) -> BoxFuture<'a, io::Result<Stream>> {
        Box::pin(async move {
            let connection = ConnectionId(self.connections.fetch_add(1, Ordering::Relaxed) + 1);
            let label = Label {
                service: Arc::clone(&self.service),
                connection,
                to: to.clone(),
                journal: self.journal.clone(),
            };
            label.note(WireEvent::Dialled);
            poll_fn(|context| self.cable.poll(context)).await;
            let Opened { stream, tls } = self.cluster.open(to).await?;
            label.note(WireEvent::Opened);
            let peer = stream.peer();
            let tapped = Tapped {
                io: stream,
                cable: self.cable.clone(),
                label,
                requests: Requests::default(),
                answers: Answers::default(),
            };
            let io: Box<dyn Duplex> = match tls {
                Some(tls) => Box::new(tls.before(tapped)),
                None => Box::new(tapped),
            };
            Ok(Stream { io, peer })
        })
    }

    fn resolve<'a>(&'a self, to: &'a Address) -> BoxFuture<'a, io::Result<Vec<SocketAddr>>> {
        Box::pin(async move {
            poll_fn(|context| self.cable.poll(context)).await;
            Ok(self.cluster.network().map_or_else(Vec::new, |network| network.resolve(to)))
        })
    }
}

/// A connection, from the dial to its end, which it tells.
struct Label {
    service: Arc<str>,
    connection: ConnectionId,
    to: Address,
    journal: Journal,
}

impl Label {
    fn note(&self, event: WireEvent) {
        let (service, to) = (Arc::clone(&self.service), self.to.clone());
        self.journal.note(What::Wire(Wire { service, connection: self.connection, to, event }));
    }
}

/// A connection under the eyes of the journal.
struct Tapped {
    io: network::Stream,
    cable: Cable,
    label: Label,
    requests: Requests,
    answers: Answers,
}

impl Drop for Label {
    fn drop(&mut self) {
        self.note(WireEvent::Closed);
    }
}

impl AsyncRead for Tapped {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        std::task::ready!(self.cable.poll(context));
        let before = into.filled().len();
        let read = Pin::new(&mut self.io).poll_read(context, into);
        let this = self.get_mut();
        this.answers.read(&into.filled()[before..], |correlation| {
            this.label.note(WireEvent::Answered { correlation });
        });
        read
    }
}

impl AsyncWrite for Tapped {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        std::task::ready!(self.cable.poll(context));
        let written = Pin::new(&mut self.io).poll_write(context, bytes);
        if let Poll::Ready(Ok(count)) = written {
            let this = self.get_mut();
            this.requests.write(&bytes[..count], |event| this.label.note(event));
        }
        written
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(context)
    }
}

/// The requests of one connection, cut out of its bytes.
#[derive(Default)]
struct Requests {
    pending: BytesMut,
    session: BTreeSet<Partition>,
}

impl Requests {
    fn write(&mut self, bytes: &[u8], mut tell: impl FnMut(WireEvent)) {
        self.pending.extend_from_slice(bytes);
        while let Some(length) = self.pending.get(..4).map(|mut length| length.get_u32() as usize)
            && self.pending.len() >= 4 + length
        {
            self.pending.advance(4);
            let frame = self.pending.split_to(length).freeze();
            if frame.len() >= 8 {
                tell(self.asked(frame));
            }
        }
    }

    fn asked(&mut self, frame: Bytes) -> WireEvent {
        let mut head = frame.slice(..8);
        let (api, version, correlation) = (head.get_i16(), head.get_i16(), head.get_i32());
        let (mut fetched, mut commits) = (None, Vec::new());
        if api == ApiKey::Fetch as i16 {
            fetched = decoded(frame, version).map(|request| self.fetched(&request));
        } else if api == ApiKey::OffsetCommit as i16 {
            commits = decoded(frame, version).map_or_else(Vec::new, |request| committed(&request));
        }
        WireEvent::Asked { correlation, api, fetched, commits }
    }

    /// All that the request asks for: in a session (KIP-227) that is more than it names.
    fn fetched(&mut self, request: &FetchRequest) -> Vec<Partition> {
        if request.session_epoch <= 0 {
            self.session.clear();
        }
        for topic in &request.forgotten_topics_data {
            for index in &topic.partitions {
                self.session.remove(&Partition::new(TOPIC, *index));
            }
        }
        // There is one topic in a world, by whatever id.
        let named = request.topics.iter().flat_map(|topic| &topic.partitions);
        self.session.extend(named.map(|named| Partition::new(TOPIC, named.partition)));
        self.session.iter().cloned().collect()
    }
}

fn committed(request: &OffsetCommitRequest) -> Vec<(Partition, Offset)> {
    let named = request.topics.iter().flat_map(|topic| &topic.partitions);
    named.map(|at| (Partition::new(TOPIC, at.partition_index), Offset(at.committed_offset))).collect()
}

fn decoded<R: Decodable + HeaderVersion>(mut frame: Bytes, version: i16) -> Option<R> {
    RequestHeader::decode(&mut frame, R::header_version(version)).ok()?;
    R::decode(&mut frame, version).ok()
}

/// The answers of one connection: only their correlation ids are looked at.
#[derive(Default)]
struct Answers {
    head: Vec<u8>,
    /// Bytes of the present answer that are still to come, once its head is whole.
    rest: usize,
}

impl Answers {
    fn read(&mut self, mut bytes: &[u8], mut tell: impl FnMut(i32)) {
        while !bytes.is_empty() {
            if self.head.len() < 8 {
                let count = bytes.len().min(8 - self.head.len());
                self.head.extend_from_slice(&bytes[..count]);
                bytes.advance(count);
                if self.head.len() < 8 {
                    return;
                }
                self.rest = (&self.head[..4]).get_u32().saturating_sub(4) as usize;
            }
            let count = bytes.len().min(self.rest);
            bytes.advance(count);
            self.rest -= count;
            if self.rest == 0 {
                tell((&self.head[4..]).get_i32());
                self.head.clear();
            }
        }
    }
}

/// Which broker each address belonged to, also those that none has any more.
#[derive(Debug, Default)]
pub struct Addresses(BTreeMap<Address, steadfast_core::ids::NodeId>);

impl Addresses {
    /// Whose address it is, after a look at what brokers advertise now.
    pub fn node(
        &mut self,
        address: &Address,
        advertised: impl FnOnce() -> BTreeMap<steadfast_core::ids::NodeId, Address>,
    ) -> Option<steadfast_core::ids::NodeId> {
        if !self.0.contains_key(address) {
            self.0.extend(advertised().into_iter().map(|(node, address)| (address, node)));
        }
        self.0.get(address).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_and_answers_are_told_however_their_bytes_come() {
        let request = [0, 0, 0, 10, 0, 12, 0, 4, 0, 0, 0, 7, 0, 0];
        let answer = [0, 0, 0, 6, 0, 0, 0, 7, 1, 2];
        for size in 1..=20 {
            let (mut requests, mut answers) = (Requests::default(), Answers::default());
            let (mut asked, mut answered) = (Vec::new(), Vec::new());
            for part in [request, request].concat().chunks(size) {
                requests.write(part, |event| asked.push(event));
            }
            for part in [answer, answer].concat().chunks(size) {
                answers.read(part, |correlation| answered.push(correlation));
            }
            let event = || WireEvent::Asked { correlation: 7, api: 12, fetched: None, commits: Vec::new() };
            assert_eq!((asked, answered), (vec![event(), event()], vec![7, 7]), "in parts of {size}");
        }
    }
}
