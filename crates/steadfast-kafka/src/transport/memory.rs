//! An in-memory network: pipes instead of sockets, reproducible under paused time.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use futures::future::BoxFuture;
use steadfast_core::endpoints::view::Address;
use tokio::io::DuplexStream;
use tokio::sync::mpsc;

use super::{Stream, Transport};

/// How many bytes a pipe holds in each direction before its writer waits.
const PIPE: usize = 64 << 10;

/// A network within this process. Clones are the same network.
#[derive(Debug, Clone, Default)]
pub struct Memory {
    listeners: Arc<Mutex<BTreeMap<Address, mpsc::UnboundedSender<DuplexStream>>>>,
}

/// What dialled one address of a [`Memory`]; once dropped, the address refuses.
#[derive(Debug)]
pub struct Listener {
    incoming: mpsc::UnboundedReceiver<DuplexStream>,
}

impl Memory {
    /// Listens at `at`, in place of whoever listened there before.
    pub fn listen(&self, at: Address) -> Listener {
        let (dialled, incoming) = mpsc::unbounded_channel();
        self.listeners.lock().unwrap_or_else(PoisonError::into_inner).insert(at, dialled);
        Listener { incoming }
    }

    fn open(&self, to: &Address) -> io::Result<DuplexStream> {
        let listeners = self.listeners.lock().unwrap_or_else(PoisonError::into_inner);
        let (ours, theirs) = tokio::io::duplex(PIPE);
        let listener = listeners.get(to).ok_or(io::ErrorKind::ConnectionRefused)?;
        listener.send(theirs).map_err(|_| io::ErrorKind::ConnectionRefused)?;
        Ok(ours)
    }
}

impl Transport for Memory {
    fn connect<'a>(&'a self, to: &'a Address) -> BoxFuture<'a, io::Result<Stream>> {
        Box::pin(async move { Ok(Stream { io: Box::new(self.open(to)?), peer: None }) })
    }
}

impl Listener {
    /// The next stream that was dialled; none when the address was taken over or the network is gone.
    pub async fn accept(&mut self) -> Option<DuplexStream> {
        self.incoming.recv().await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_address_answers_while_somebody_listens_and_refuses_otherwise() {
        let (network, at) = (Memory::default(), Address::new("a", 1));
        let refused = |outcome: io::Result<Stream>| outcome.err().map(|error| error.kind());
        assert_eq!(refused(network.connect(&at).await), Some(io::ErrorKind::ConnectionRefused));
        let mut listener = network.listen(at.clone());
        assert_eq!(refused(network.connect(&at).await), None);
        assert!(listener.accept().await.is_some());
        drop(listener);
        assert_eq!(refused(network.connect(&at).await), Some(io::ErrorKind::ConnectionRefused));
    }
}
