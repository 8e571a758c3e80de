//! One end of an in-memory connection, which can be reset as TCP's can.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf};

/// How many bytes may be under way in each direction.
const WINDOW: usize = 256 << 10;

/// A client's end of a connection in memory.
#[derive(Debug)]
pub struct Stream {
    io: DuplexStream,
    reset: Arc<AtomicBool>,
    peer: Option<SocketAddr>,
}

/// Resets the client's end, which sees it when the server's end is dropped.
#[derive(Debug)]
pub(super) struct Reset(Arc<AtomicBool>);

impl Reset {
    pub(super) fn reset(self) {
        self.0.store(true, Ordering::Release);
    }
}

/// A client's end, a server's end, and the means to reset.
pub(super) fn pair(peer: Option<SocketAddr>) -> (Stream, DuplexStream, Reset) {
    let (io, server) = tokio::io::duplex(WINDOW);
    let reset = Arc::new(AtomicBool::new(false));
    (Stream { io, reset: reset.clone(), peer }, server, Reset(reset))
}

impl Stream {
    /// The IP address at the other end, if a name resolved to one or one was dialled.
    pub fn peer(&self) -> Option<SocketAddr> {
        self.peer
    }

    fn check(&self) -> io::Result<()> {
        if self.reset.load(Ordering::Acquire) { Err(io::ErrorKind::ConnectionReset.into()) } else { Ok(()) }
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.check()?;
        Pin::new(&mut self.io).poll_read(context, into)
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.check()?;
        Pin::new(&mut self.io).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.check()?;
        Pin::new(&mut self.io).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.check()?;
        Pin::new(&mut self.io).poll_shutdown(context)
    }
}
