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
use tokio::time::{Instant, timeout_at};

use super::link::{CloseReason, Link};
use super::{CallError, CallFailure, Dial, Pending};
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
    outbox: mpsc::UnboundedSender<Outgoing>,
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
    arrives: oneshot::Receiver<Bytes>,
    limit: Duration,
    deadline: Instant,
}

impl Channel {
    /// Starts the two tasks on `stream`.
    pub(super) fn start(dial: &Dial, stream: Stream) -> Channel {
        let link = Arc::new(Link::new());
        let (reader, writer) = tokio::io::split(stream.io);
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
        let sent = self.queue(request, version, limit).map_err(|failure| self.failed::<A>(failure))?;
        Ok(Pending { channel: self.clone(), sent, version, api: PhantomData })
    }

    fn queue<A: Api>(&self, request: &A, version: i16, limit: Duration) -> Result<Sent, CallFailure> {
        let (id, arrives) = self.link.expect_answer()?;
        let frame = self.framed(request, version, id).inspect_err(|_| self.link.forget(id))?;
        let deadline = Instant::now() + limit;
        // A writer that is gone has closed the link, and with it the way of the answer.
        let _ = self.outbox.send(Outgoing { id, frame, deadline });
        Ok(Sent { arrives, limit, deadline })
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

    /// Awaits an answer's bytes behind the correlation id, until the request's deadline.
    pub(super) async fn answer_to(&self, sent: Sent) -> Result<Bytes, CallFailure> {
        match timeout_at(sent.deadline, sent.arrives).await {
            Ok(Ok(body)) => Ok(body),
            Ok(Err(_)) => Err(CallFailure::Closed(self.link.closed().await)),
            Err(_) => Err(CallFailure::Timeout { limit: sent.limit }),
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
    mut requests: mpsc::UnboundedReceiver<Outgoing>,
) -> CloseReason {
    while let Some(request) = requests.recv().await {
        if !link.still_wanted(request.id) {
            continue;
        }
        let write = async {
            to.write_all(&request.frame).await?;
            to.flush().await
        };
        match timeout_at(request.deadline, write).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => return error.into(),
            // Half a request may be out: nothing that follows would be understood.
            Err(_) => return CloseReason::WriteStalled,
        }
    }
    CloseReason::Dropped
}
