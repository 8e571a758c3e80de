//! The network's doors on loopback TCP, for clients that know nothing of this crate.

use std::collections::BTreeMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use steadfast_core::endpoints::view::Address;
use steadfast_watch as watch;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use crate::network::{Door, Entry, Hung, Watch, attend, hang, replace};
use crate::port::{BACKLOG, bind, keep};
use crate::serve::Ending;

/// After a failed accept: the process may be out of file descriptors, which only time mends.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Doors at ports of 127.0.0.1 that the system chose. They close with the last handle.
#[derive(Debug, Clone, Default)]
pub struct Loopback(Arc<Ports>);

#[derive(Debug, Default)]
struct Ports {
    doors: Mutex<BTreeMap<Address, watch::Sender<Hung>>>,
    listeners: Mutex<JoinSet<()>>,
}

/// A door cannot be had at this address.
#[derive(Debug, thiserror::Error)]
pub enum PortError {
    /// Packets cannot be dropped on loopback.
    #[error("expected a door that TCP can have, found Drop for {address}")]
    Drop {
        /// The address.
        address: Address,
    },
    /// No port was opened at this address before.
    #[error("expected an address that was opened here, found {address}")]
    Unknown {
        /// The address.
        address: Address,
    },
    /// The system gave no port.
    #[error("no port could be bound: {0}")]
    Bind(#[from] io::Error),
}

impl Loopback {
    /// Opens a port that leads to `door`. The system chooses it.
    ///
    /// # Errors
    /// No port could be bound, or the door is [`Door::Drop`].
    pub fn open(&self, door: Door) -> Result<Address, PortError> {
        let listener = bind((Ipv4Addr::LOCALHOST, 0).into())?.listen(BACKLOG)?;
        let at = listener.local_addr()?;
        let address = Address::new(at.ip().to_string(), at.port());
        if matches!(door, Door::Drop) {
            return Err(PortError::Drop { address });
        }
        let hung = hang(door);
        let port = Port { at, hung: hung.subscribe() };
        self.listeners().spawn(port.listen(listener));
        self.doors().insert(address.clone(), hung);
        Ok(address)
    }

    /// Has a port that was opened before lead to another door, for the connections that stand too. A port that
    /// refuses from now on closes in a moment.
    ///
    /// # Errors
    /// The address is unknown, or the door is [`Door::Drop`].
    pub fn lead(&self, address: &Address, door: Door) -> Result<(), PortError> {
        if matches!(door, Door::Drop) {
            return Err(PortError::Drop { address: address.clone() });
        }
        let doors = self.doors();
        let hung = doors.get(address).ok_or_else(|| PortError::Unknown { address: address.clone() })?;
        replace(hung, door);
        Ok(())
    }

    /// Where a port leads; one that was not opened here refuses.
    pub fn door(&self, address: &Address) -> Door {
        self.doors().get(address).map_or(Door::Refuse, |hung| hung.borrow().door.clone())
    }

    fn doors(&self) -> MutexGuard<'_, BTreeMap<Address, watch::Sender<Hung>>> {
        self.0.doors.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn listeners(&self) -> MutexGuard<'_, JoinSet<()>> {
        self.0.listeners.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One port and the door behind it.
///
/// ```text
/// listening ⇄ kept (bound, so that nobody else is given it, but refusing)
/// ```
struct Port {
    at: SocketAddr,
    hung: watch::Receiver<Hung>,
}

impl Port {
    async fn listen(self, listener: TcpListener) {
        let mut connections = JoinSet::new();
        let mut watch = Watch::new(self.hung.clone());
        let mut listener = listener;
        loop {
            tokio::select! {
                biased;
                () = watch.shut(true) => match self.wait_shut(listener, &mut watch).await {
                    Ok(again) => listener = again,
                    Err(error) => {
                        tracing::error!(at = %self.at, %error, "the port cannot be listened at again");
                        break;
                    }
                },
                Some(_) = connections.join_next() => {}
                accepted = listener.accept() => match accepted {
                    Ok((client, peer)) => {
                        connections.spawn(serve(client, peer, Watch::new(self.hung.clone())));
                    }
                    Err(error) => {
                        tracing::warn!(at = %self.at, %error, "accepting failed");
                        tokio::time::sleep(ACCEPT_PAUSE).await;
                    }
                }
            }
        }
        while connections.join_next().await.is_some() {}
    }

    /// Closes the port but keeps it bound, so that it refuses and nobody else is given it, until it may open again.
    async fn wait_shut(&self, listener: TcpListener, watch: &mut Watch) -> io::Result<TcpListener> {
        let kept = keep(self.at)?;
        drop(listener);
        watch.shut(false).await;
        kept.listen(BACKLOG)
    }
}

async fn serve(mut client: TcpStream, peer: SocketAddr, mut watch: Watch) {
    let host = Arc::from(format!("/{}", peer.ip()));
    let ending = match watch.knock() {
        Entry::Refused => Ending::Reset,
        Entry::To(machine) | Entry::Wait(Some(machine)) => {
            if let Err(error) = client.set_nodelay(true) {
                tracing::debug!(%peer, %error, "small answers may be delayed");
            }
            attend(&mut client, Some(machine), host, &mut watch).await
        }
        Entry::Nowhere | Entry::Wait(None) => attend(&mut client, None, host, &mut watch).await,
    };
    if ending == Ending::Reset
        && let Err(error) = client.set_zero_linger()
    {
        tracing::debug!(%peer, %error, "a connection is closed without a reset");
    }
}
