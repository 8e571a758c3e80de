//! The stream under a connection: a task that writes requests and one that reads answers.

use std::marker::PhantomData;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use kafka_protocol::messages::RequestHeader;
use kafka_protocol::protocol::{Encodable, StrBytes};
use steadfast_core::endpoints::view::Address;
use steadfast_core::ids::NodeId;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, timeout, timeout_at};

use super::arrival::{Arrived, Heard};
use super::link::{CloseReason, Link};
use super::{CallError, CallFailure, Dial, MOST_UNANSWERED, Pending};
use crate::api::{Api, DecodeError, EncodeError};
use crate::frame::read_frame;
use crate::guard::tags_in_header;
use crate::transport::Stream;

/// An open stream and its two tasks. Dropped, it closes.
#[derive(Debug)]
pub(super) struct Channel {
    pub(super) address: Address,
    pub(super) node_hint: Option<NodeId>,
    pub(super) peer: Option<SocketAddr>,
    pub(super) link: Arc<Link>,
    client_id: StrBytes,
    outbox: mpsc::UnboundedSender<Order>,
}

/// What the writer is to do next.
enum Order {
    Write(Outgoing),
    /// Write what comes from there until it ends, and nothing else.
    GiveWay(mpsc::UnboundedReceiver<Outgoing>),
}

/// The right to be the only one whose requests are written, from its turn in the queue until it is dropped.
#[derive(Debug)]
pub(super) struct Lane {
    outbox: mpsc::UnboundedSender<Outgoing>,
    /// The requests that were unanswered when it was asked for.
    behind: Vec<i32>,
}

/// A framed request on its way to the writer. The queue is bounded by the number of unanswered requests.
struct Outgoing {
    id: i32,
    frame: Bytes,
    deadline: Instant,
}

/// A request that was queued for writing.
#[derive(Debug)]
pub(super) struct Sent {
    /// The request's bytes.
    pub(super) bytes: usize,
    arrives: oneshot::Receiver<Arrived>,
    limit: Duration,
    deadline: Instant,
    /// It has its whole limit, or up to twice that, once nobody waits for an answer to these any more: a broker
    /// answers in order, and one of them may be a long poll.
    behind: Vec<i32>,
}

impl Channel {
    /// Starts the two tasks on `stream`.
    pub(super) fn start(dial: &Dial, stream: Stream) -> Channel {
        let link = Arc::new(Link::new());
        let (reader, writer) = tokio::io::split(stream.io);
        let reader = Heard::new(reader, link.clone());
        let (outbox, requests) = mpsc::unbounded_channel();
        tokio::spawn(run(link.clone(), read_answers(link.clone(), reader, dial.largest_frame)));
        tokio::spawn(run(link.clone(), write_requests(link.clone(), writer, requests)));
        Channel {
            address: dial.address.clone(),
            node_hint: dial.node_hint,
            peer: stream.peer,
            link,
            client_id: StrBytes::from_string(dial.client_id.to_string()),
            outbox,
        }
    }

    /// Queues `request`, written as `version`.
    pub(super) fn send<A: Api>(
        self: &Arc<Self>,
        request: &A,
        version: i16,
        limit: Duration,
    ) -> Result<Pending<A>, CallError> {
        let queued = self.prepared(request, version, limit, MOST_UNANSWERED);
        let (outgoing, sent) = queued.map_err(|failure| self.failed::<A>(failure))?;
        // A writer that is gone has closed the link, and with it the way of the answer.
        let _ = self.outbox.send(Order::Write(outgoing));
        Ok(Pending { channel: self.clone(), sent, version, api: PhantomData })
    }

    /// Takes the channel for oneself once what is queued has been written.
    pub(super) fn lane(&self) -> Lane {
        let (outbox, requests) = mpsc::unbounded_channel();
        let behind = self.link.unanswered();
        let _ = self.outbox.send(Order::GiveWay(requests));
        Lane { outbox, behind }
    }

    /// Queues `request` in `lane`. `limit` begins when what went before the lane has been answered.
    pub(super) fn send_in<A: Api>(
        self: &Arc<Self>,
        lane: &Lane,
        request: &A,
        version: i16,
        limit: Duration,
    ) -> Result<Pending<A>, CallError> {
        // One more than others may: who waits for an answer in a lane sends nothing else meanwhile.
        let queued = self.prepared(request, version, limit, MOST_UNANSWERED + 1);
        let (outgoing, mut sent) = queued.map_err(|failure| self.failed::<A>(failure))?;
        sent.behind.clone_from(&lane.behind);
        let _ = lane.outbox.send(outgoing);
        Ok(Pending { channel: self.clone(), sent, version, api: PhantomData })
    }

    fn prepared<A: Api>(
        &self,
        request: &A,
        version: i16,
        limit: Duration,
        most_unanswered: usize,
    ) -> Result<(Outgoing, Sent), CallFailure> {
        let (id, arrives) = self.link.expect_answer(most_unanswered)?;
        let frame = self.framed(request, version, id).inspect_err(|_| self.link.forget(id))?;
        // A broker that throttles us is silent for a while and answers then.
        let limit = limit + self.link.held_back();
        let deadline = Instant::now() + limit;
        let sent = Sent { bytes: frame.len(), arrives, limit, deadline, behind: Vec::new() };
        Ok((Outgoing { id, frame, deadline }, sent))
    }

    fn framed<A: Api>(&self, request: &A, version: i16, id: i32) -> Result<Bytes, EncodeError> {
        let failed = |reason: String| EncodeError { api: A::NAME, version, reason };
        let header = RequestHeader::default()
            .with_request_api_key(A::KEY)
            .with_request_api_version(version)
            .with_correlation_id(id)
            .with_client_id(Some(self.client_id.clone()));
        let header_version = if version >= A::FLEXIBLE { 2 } else { 1 };
        let mut frame = BytesMut::new();
        frame.put_i32(0);
        header.encode(&mut frame, header_version).map_err(|reason| failed(reason.to_string()))?;
        request.encode(version, &mut frame)?;
        let length = i32::try_from(frame.len() - 4).map_err(|reason| failed(reason.to_string()))?;
        frame[..4].copy_from_slice(&length.to_be_bytes());
        Ok(frame.freeze())
    }

    /// Awaits an answer until the request's deadline.
    pub(super) async fn answer_to(&self, mut sent: Sent) -> Result<Arrived, CallFailure> {
        while self.link.awaits_any(&sent.behind) {
            if let Ok(arrived) = timeout(sent.limit, &mut sent.arrives).await {
                return self.arrived(arrived).await;
            }
            sent.deadline = Instant::now() + sent.limit;
        }
        match timeout_at(sent.deadline, sent.arrives).await {
            Ok(arrived) => self.arrived(arrived).await,
            Err(_) => Err(CallFailure::Timeout { limit: sent.limit }),
        }
    }

    async fn arrived(
        &self,
        arrived: Result<Arrived, oneshot::error::RecvError>,
    ) -> Result<Arrived, CallFailure> {
        match arrived {
            Ok(answer) => Ok(answer),
            Err(_) => Err(CallFailure::Closed(self.link.closed().await)),
        }
    }

    /// The answer's body behind the tagged fields of its header.
    pub(super) fn without_header<A: Api>(&self, version: i16, mut body: Bytes) -> Result<Bytes, CallError> {
        if A::answer_header_has_tags(version) {
            let failed = |reason| DecodeError { api: A::NAME, version, reason };
            let tags = tags_in_header(&body).map_err(|reason| self.failed::<A>(failed(reason.into())))?;
            body.advance(tags);
        }
        Ok(body)
    }

    pub(super) fn failed<A: Api>(&self, failure: impl Into<CallFailure>) -> CallError {
        CallError { api: A::NAME, address: self.address.clone(), failure: failure.into() }
    }
}

impl Drop for Channel {
    fn drop(&mut self) {
        self.link.close(CloseReason::Dropped);
    }
}

/// Runs one of the two tasks until it or the link ends; the end of either closes the link.
async fn run(link: Arc<Link>, task: impl Future<Output = CloseReason>) {
    let end = Closes(link);
    let reason = tokio::select! {
        biased;
        reason = end.0.closed() => reason,
        reason = task => reason,
    };
    end.0.close(reason);
}

/// Closes the link also when its task is dropped with the runtime or panics: nobody waits in vain.
struct Closes(Arc<Link>);

impl Drop for Closes {
    fn drop(&mut self) {
        self.0.close(CloseReason::Abandoned);
    }
}

async fn read_answers(link: Arc<Link>, mut from: impl AsyncRead + Unpin, limit: usize) -> CloseReason {
    loop {
        let mut frame = match read_frame(&mut from, limit).await {
            Ok(frame) => frame,
            Err(error) => return error.into(),
        };
        let Ok(id) = frame.try_get_i32() else {
            return CloseReason::BadFrame(format!("expected a correlation id, found {} bytes", frame.len()));
        };
        if !link.answered(id, frame) {
            return CloseReason::Unasked { found: id };
        }
    }
}

async fn write_requests(
    link: Arc<Link>,
    mut to: impl AsyncWrite + Unpin,
    mut orders: mpsc::UnboundedReceiver<Order>,
) -> CloseReason {
    let written = async {
        while let Some(order) = orders.recv().await {
            match order {
                Order::Write(request) => write(&link, &mut to, request).await?,
                Order::GiveWay(mut lane) => {
                    while let Some(request) = lane.recv().await {
                        write(&link, &mut to, request).await?;
                    }
                }
            }
        }
        Ok(())
    };
    written.await.err().unwrap_or(CloseReason::Dropped)
}

async fn write(
    link: &Link,
    to: &mut (impl AsyncWrite + Unpin),
    request: Outgoing,
) -> Result<(), CloseReason> {
    if !link.still_wanted(request.id) {
        return Ok(());
    }
    let write = async {
        to.write_all(&request.frame).await?;
        to.flush().await
    };
    match timeout_at(request.deadline, write).await {
        Ok(written) => Ok(written?),
        // Half a request may be out: nothing that follows would be understood.
        Err(_) => Err(CloseReason::WriteStalled),
    }
}
