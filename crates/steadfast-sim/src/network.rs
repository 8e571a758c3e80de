//! A network in memory, for virtual time: addresses, the doors behind them, links to brokers, names.
//!
//! It knows no time but tokio's and no chance but its seeds, so on one thread a run repeats itself.

mod door;
mod machine;
mod rack;
mod stream;
mod tls;

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use steadfast_core::endpoints::view::Address;
use steadfast_watch as watch;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::task::JoinSet;

use crate::names::Names;
use crate::serve::{Ending, converse, swallow};

pub use door::Door;
pub use machine::{Damage, Link, Machine};
pub use rack::Machines;
pub use stream::Stream;
pub use tls::{Authority, Keys, Tls, TlsError};

pub(crate) use door::{Entry, Hung, Standing, Watch, change, hang, replace};

/// How long one host of a name is tried before the next one is.
const PATIENCE: Duration = Duration::from_millis(250);

/// What brokers see as the address of a client in memory.
const CLIENT_HOST: &str = "/10.255.0.1";

/// A network. Cheap to clone; its connections end with the last handle.
#[derive(Debug, Clone, Default)]
pub struct Network(Arc<Wires>);

#[derive(Debug, Default)]
struct Wires {
    doors: Mutex<BTreeMap<Address, watch::Sender<Hung>>>,
    names: Mutex<Names>,
    keys: Mutex<BTreeMap<Address, Keys>>,
    connections: Mutex<JoinSet<()>>,
}

/// A connection that is open.
#[derive(Debug)]
pub struct Opened {
    /// What the broker gets and sends.
    pub stream: Stream,
    /// What its listener speaks before it; none: that is all.
    pub tls: Option<Tls>,
}

impl Network {
    /// Has `address` lead to `door` from now on, for the connections that stand too.
    pub fn lead(&self, address: &Address, door: Door) {
        let mut doors = self.doors();
        match doors.get(address) {
            Some(hung) => replace(hung, door),
            None => drop(doors.insert(address.clone(), hang(door))),
        }
    }

    /// Where `address` leads. An address that never led anywhere refuses.
    pub fn door(&self, address: &Address) -> Door {
        self.doors().get(address).map_or(Door::Refuse, |hung| hung.borrow().door.clone())
    }

    /// Whoever listens at `address` speaks TLS with the connections to come, wherever it leads.
    pub fn secure(&self, address: &Address, keys: Keys) {
        self.keys().insert(address.clone(), keys);
    }

    /// Looks at the names, or changes them.
    pub fn with_names<R>(&self, change: impl FnOnce(&mut Names) -> R) -> R {
        change(&mut self.0.names.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Opens a connection. It sets no deadline: its caller does. The hosts of a name are tried in turn, all but the
    /// last for 250 ms at most.
    ///
    /// # Errors
    /// `NotFound` when the name resolves to nothing, `ConnectionRefused` when all its hosts refuse.
    pub async fn connect(&self, to: &Address) -> io::Result<Stream> {
        let Opened { stream, tls } = self.open(to).await?;
        Ok(match tls {
            Some(tls) => tls.before(stream),
            None => stream,
        })
    }

    /// The same for somebody who looks at what the broker gets: the TLS of its listener is theirs to speak.
    ///
    /// # Errors
    /// As [`connect`](Network::connect).
    pub async fn open(&self, to: &Address) -> io::Result<Opened> {
        let mut hosts = self.with_names(|names| names.resolve(&to.host)).into_iter().peekable();
        let mut failed =
            io::Error::new(io::ErrorKind::NotFound, format!("{} resolves to no address", to.host));
        while let Some(host) = hosts.next() {
            let attempt = self.dial(Address::new(host, to.port));
            let outcome = match hosts.peek() {
                Some(_) => {
                    tokio::time::timeout(PATIENCE, attempt).await.unwrap_or_else(|late| Err(late.into()))
                }
                None => attempt.await,
            };
            match outcome {
                Ok(opened) => return Ok(opened),
                Err(error) => failed = error,
            }
        }
        Err(failed)
    }

    /// The IP addresses that the host of `to` resolves to now, in their order.
    pub fn resolve(&self, to: &Address) -> Vec<SocketAddr> {
        let hosts = self.with_names(|names| names.resolve(&to.host));
        hosts.into_iter().filter_map(|host| ip(&Address::new(host, to.port))).collect()
    }

    async fn dial(&self, to: Address) -> io::Result<Opened> {
        let refused = || io::Error::new(io::ErrorKind::ConnectionRefused, format!("{to} refuses"));
        let hung = self.doors().get(&to).map(watch::Sender::subscribe).ok_or_else(refused)?;
        let mut watch = Watch::new(hung);
        loop {
            match watch.knock() {
                Entry::Refused => return Err(refused()),
                Entry::Nowhere => return Ok(self.connected(None, &to, watch)),
                Entry::Wait(machine) => watch.changed_or(machine.as_deref()).await,
                Entry::To(machine) => {
                    let link = machine.link();
                    let round_trip = machine.delay(&link) + machine.delay(&link);
                    if round_trip.is_zero() {
                        return Ok(self.connected(Some(machine), &to, watch));
                    }
                    tokio::time::sleep(round_trip).await;
                    if machine.link() == link && matches!(watch.standing(), Standing::Open(_)) {
                        return Ok(self.connected(Some(machine), &to, watch));
                    }
                    watch.renew();
                }
            }
        }
    }

    fn connected(&self, machine: Option<Arc<Machine>>, to: &Address, mut watch: Watch) -> Opened {
        let peer = ip(to);
        let (stream, mut server, reset) = stream::pair(peer);
        // Where nobody answers, nobody speaks TLS either.
        let keys = machine.as_ref().and_then(|_| self.keys().get(to).cloned());
        self.spawn(async move {
            if attend(&mut server, machine, Arc::from(CLIENT_HOST), &mut watch).await == Ending::Reset {
                reset.reset();
            }
        });
        Opened { stream, tls: keys.map(|keys| Tls { keys, network: self.clone(), peer }) }
    }

    fn spawn(&self, connection: impl Future<Output = ()> + Send + 'static) {
        let mut connections = self.0.connections.lock().unwrap_or_else(PoisonError::into_inner);
        while connections.try_join_next().is_some() {}
        connections.spawn(connection);
    }

    fn keys(&self) -> MutexGuard<'_, BTreeMap<Address, Keys>> {
        self.0.keys.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn doors(&self) -> MutexGuard<'_, BTreeMap<Address, watch::Sender<Hung>>> {
        self.0.doors.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Hosts in memory may have other names than IP addresses.
fn ip(at: &Address) -> Option<SocketAddr> {
    Some(SocketAddr::new(at.host.parse().ok()?, at.port))
}

/// Serves a connection that was made through a door, to nobody if there is no machine, until it ends for its client.
pub(crate) async fn attend<S>(
    stream: &mut S,
    machine: Option<Arc<Machine>>,
    host: Arc<str>,
    watch: &mut Watch,
) -> Ending
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let ending = match &machine {
        Some(machine) => converse(stream, machine, host, watch).await,
        None => Ending::Silent,
    };
    if ending != Ending::Silent {
        return ending;
    }
    tokio::select! {
        biased;
        () = watch.cut() => Ending::Reset,
        () = stopped(machine.as_deref()) => Ending::Reset,
        () = swallow(stream) => Ending::Closed,
    }
}

/// Waits until the machine's process has stopped.
async fn stopped(machine: Option<&Machine>) {
    let Some(machine) = machine else { return std::future::pending().await };
    let mut watched = machine.watch_link();
    let life = watched.borrow_and_update().life;
    // Whoever changes the link is borrowed here, so the wait ends in no other way.
    drop(watched.wait_for(|link| !link.up || link.life != life).await);
}
