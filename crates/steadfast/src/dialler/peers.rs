//! What the connections that stand are connected to.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use futures::future::BoxFuture;
use steadfast_core::endpoints::view::Address;
use steadfast_kafka::transport::{Duplex, Stream, Transport};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// For each address that was dialled, the resolved addresses at the other end and how many connections each has.
type Standing = BTreeMap<(Address, IpAddr), usize>;

/// Knows of every connection that goes through a transport of its own which address it was resolved to.
#[derive(Debug, Clone, Default)]
pub(crate) struct Peers(Arc<Mutex<Standing>>);

impl Peers {
    /// The same transport, observed.
    pub(crate) fn observe(&self, inner: Arc<dyn Transport>) -> Arc<dyn Transport> {
        Arc::new(Observed { inner, peers: self.clone() })
    }

    /// What the connections to `address` that stand are connected to.
    pub(crate) fn of(&self, address: &Address) -> BTreeSet<IpAddr> {
        let standing = self.standing();
        standing.keys().filter(|(dialled, _)| dialled == address).map(|(_, peer)| *peer).collect()
    }

    fn connected(&self, address: &Address, peer: SocketAddr) -> Seat {
        let key = (address.clone(), peer.ip().to_canonical());
        *self.standing().entry(key.clone()).or_default() += 1;
        Seat { peers: self.clone(), key }
    }

    fn standing(&self) -> MutexGuard<'_, Standing> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Observed {
    inner: Arc<dyn Transport>,
    peers: Peers,
}

impl Transport for Observed {
    fn connect<'a>(&'a self, to: &'a Address) -> BoxFuture<'a, io::Result<Stream>> {
        Box::pin(async move {
            let Stream { io, peer } = self.inner.connect(to).await?;
            let Some(at) = peer else { return Ok(Stream { io, peer }) };
            let counted = Counted { io, _seat: self.peers.connected(to, at) };
            Ok(Stream { io: Box::new(counted), peer })
        })
    }

    fn resolve<'a>(&'a self, to: &'a Address) -> BoxFuture<'a, io::Result<Vec<SocketAddr>>> {
        self.inner.resolve(to)
    }
}

/// One connection's place in the count.
struct Seat {
    peers: Peers,
    key: (Address, IpAddr),
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut standing = self.peers.standing();
        if let Some(count) = standing.get_mut(&self.key) {
            *count -= 1;
            if *count == 0 {
                standing.remove(&self.key);
            }
        }
    }
}

/// A stream that is counted until it is dropped.
struct Counted {
    io: Box<dyn Duplex>,
    _seat: Seat,
}

impl AsyncRead for Counted {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_read(context, into)
    }
}

impl AsyncWrite for Counted {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(context, parts)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A network on which every address leads to the same place.
    struct Anywhere(Option<SocketAddr>);

    impl Transport for Anywhere {
        fn connect<'a>(&'a self, _: &'a Address) -> BoxFuture<'a, io::Result<Stream>> {
            let stream = Stream { io: Box::new(tokio::io::duplex(1).0), peer: self.0 };
            Box::pin(std::future::ready(Ok(stream)))
        }
    }

    #[tokio::test]
    async fn a_connection_counts_as_long_as_it_stands() {
        let (peers, at) = (Peers::default(), Address::new("kafka-1", 9092));
        let ip = IpAddr::from([10, 0, 0, 1]);
        let mapped: SocketAddr = "[::ffff:10.0.0.1]:9092".parse().unwrap();
        let network = peers.observe(Arc::new(Anywhere(Some(mapped))));
        let (one, two) = (network.connect(&at).await.unwrap(), network.connect(&at).await.unwrap());
        assert_eq!(peers.of(&at), BTreeSet::from([ip]));
        assert!(peers.of(&Address::new("kafka-2", 9092)).is_empty());
        drop(one);
        assert_eq!(peers.of(&at), BTreeSet::from([ip]));
        drop(two);
        assert!(peers.of(&at).is_empty());
    }

    #[tokio::test]
    async fn where_there_is_no_network_nothing_is_counted() {
        let (peers, at) = (Peers::default(), Address::new("kafka-1", 9092));
        let _stream = peers.observe(Arc::new(Anywhere(None))).connect(&at).await.unwrap();
        assert!(peers.of(&at).is_empty());
    }
}
