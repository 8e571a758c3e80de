//! One listening address and the connections it accepted.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;

use super::gate::{Gate, either, reached};
use super::queue::{Full, fill};
use super::registry::{Admitted, Registry, Ticket};
use super::relay::relay;
use crate::port::keep;

const CONNECT_LIMIT: Duration = Duration::from_secs(2);
/// After a failed accept: the process may be out of file descriptors, which only time mends.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Someone who is told whether the port's queue could be filled.
pub(super) type Filled = oneshot::Sender<io::Result<()>>;

/// One port, as its listener has it.
pub(super) struct Port {
    pub(super) listener: TcpListener,
    pub(super) address: SocketAddr,
    pub(super) gate: watch::Receiver<Gate>,
    /// Orders to accept no more and to fill the queue.
    pub(super) fills: mpsc::Receiver<Filled>,
}

/// Accepts until the gate is shut; ends when every connection is closed.
pub(super) async fn listen(registry: Arc<Registry>, mut port: Port) {
    let mut connections = JoinSet::new();
    let mut full: Option<Full> = None;
    loop {
        tokio::select! {
            biased;
            () = reached(&mut port.gate, Gate::Shut) => break,
            Some(filled) = port.fills.recv(), if full.is_none() => {
                let outcome = fill(&port.listener).await.map(|queue| full = Some(queue));
                // Who asked may have given up.
                let _ = filled.send(outcome);
            }
            Some(_) = connections.join_next() => {}
            accepted = port.listener.accept(), if full.is_none() => match accepted {
                Ok((client, peer)) => {
                    let Some(admitted) = registry.admit(port.address, peer) else { continue };
                    connections.spawn(serve(registry.clone(), client, admitted, port.gate.clone()));
                }
                Err(error) => {
                    tracing::warn!(address = %port.address, %error, "accepting failed");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }
    drop(full);
    refuse(&registry, port.listener, port.address);
    while connections.join_next().await.is_some() {}
}

/// Closes the port but keeps it bound: so it refuses, and nobody else on this machine is given it.
fn refuse(registry: &Registry, listener: TcpListener, address: SocketAddr) {
    let kept = keep(address);
    drop(listener);
    match kept {
        Ok(socket) => registry.reserve(address, socket),
        Err(error) => tracing::warn!(%address, %error, "the port could not be kept"),
    }
}

async fn serve(
    registry: Arc<Registry>,
    mut client: TcpStream,
    admitted: Admitted,
    gate: watch::Receiver<Gate>,
) {
    let Admitted { ticket, door, standing } = admitted;
    let mut gates = [gate, standing];
    let ended = tokio::select! {
        biased;
        () = either(&mut gates, Gate::Silent) => None,
        ended = forward(&registry, &mut client, ticket.clone()) => Some(ended),
    };
    match ended {
        Some(Ok(())) => {}
        Some(Err(error)) => {
            tracing::debug!(%door, %error, "a proxied connection broke");
            reset(client);
        }
        None => {
            tokio::select! {
                biased;
                () = either(&mut gates, Gate::Shut) => reset(client),
                () = swallow(&mut client) => {}
            }
        }
    }
}

async fn forward(registry: &Registry, client: &mut TcpStream, ticket: Ticket) -> io::Result<()> {
    client.set_nodelay(true)?;
    let mut broker = reach(registry, &ticket).await?;
    relay(client, &mut broker, ticket).await
}

/// Connects to the first of the addresses that answers to which this connection may be led.
async fn reach(registry: &Registry, ticket: &Ticket) -> io::Result<TcpStream> {
    let mut failed = io::Error::new(io::ErrorKind::NotFound, "this address leads nowhere");
    for (host, port) in registry.upstream(ticket) {
        match connect(&host, port).await {
            Ok(broker) => return Ok(broker),
            Err(error) => failed = error,
        }
    }
    Err(failed)
}

/// Connects to a broker of the real cluster, within two seconds.
#[expect(clippy::disallowed_methods, reason = "the proxy's only door to the real cluster")]
pub(super) async fn connect(host: &str, port: u16) -> io::Result<TcpStream> {
    let broker = tokio::time::timeout(CONNECT_LIMIT, TcpStream::connect((host, port))).await??;
    broker.set_nodelay(true)?;
    Ok(broker)
}

/// Reads and drops what the client sends, until it closes.
async fn swallow(client: &mut TcpStream) {
    let mut dropped = [0; 4096];
    while client.read(&mut dropped).await.is_ok_and(|read| read > 0) {}
}

/// Closes by RST: whatever was under way in the socket is lost.
fn reset(client: TcpStream) {
    if let Err(error) = client.set_zero_linger() {
        tracing::debug!(%error, "the connection is closed without a reset");
    }
}
