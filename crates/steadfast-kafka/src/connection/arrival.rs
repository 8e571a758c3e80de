//! Bytes as they arrive: a large answer on a slow link is no silence.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncRead, ReadBuf};
use tokio::time::Instant;

use super::link::Link;

/// An answer that arrived whole, behind its correlation id.
#[derive(Debug)]
pub(super) struct Arrived {
    pub(super) body: Bytes,
    pub(super) arrival: Arrival,
}

/// How a frame arrived, or arrives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Arrival {
    began: Instant,
    /// The longest time between two reads of it.
    pause: Duration,
}

impl Arrival {
    /// The first bytes came.
    pub(super) fn begun(now: Instant) -> Arrival {
        Arrival { began: now, pause: Duration::ZERO }
    }

    /// More came, `pause` after what came before.
    pub(super) fn went_on(&mut self, pause: Duration) {
        self.pause = self.pause.max(pause);
    }

    /// The longest time without a byte of it, counted from `since` on.
    pub(super) fn quiet_since(&self, since: Instant) -> Duration {
        self.began.saturating_duration_since(since).max(self.pause)
    }
}

/// A stream that tells its link of everything that is read from it.
pub(super) struct Heard<R> {
    from: R,
    link: Arc<Link>,
}

impl<R> Heard<R> {
    pub(super) fn new(from: R, link: Arc<Link>) -> Heard<R> {
        Heard { from, link }
    }
}

impl<R: AsyncRead + Unpin> AsyncRead for Heard<R> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = into.filled().len();
        let read = Pin::new(&mut self.from).poll_read(cx, into);
        if into.filled().len() > before {
            self.link.heard();
        }
        read
    }
}
