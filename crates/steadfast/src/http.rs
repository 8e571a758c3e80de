//! What the service says of itself over HTTP: /livez, /readyz, /metrics and /status.
//!
//! The server runs on the runtime of the connections, beside the arbiters, and asks no actor: it answers when an
//! arbiter stalls. It only reads. A connection serves one request and has a deadline for all of it; there are never
//! more than a few at a time.

mod exposition;
mod families;
mod metrics;
mod probes;
mod rebalances;
mod routes;
mod scrape;
mod status;
mod tally;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Handle;
use tokio::sync::Semaphore;
use tokio::task::AbortHandle;
use tokio::time::{sleep, timeout};

pub(crate) use scrape::Site;
pub(crate) use tally::Tally;

/// The address cannot be listened on.
#[derive(Debug, thiserror::Error)]
#[error("`http.listen`: nothing can listen on {address}: {error}; set another address, or \"off\"")]
pub(crate) struct ListenError {
    address: SocketAddr,
    error: std::io::Error,
}

/// A socket that is listened on; nobody answers yet.
pub(crate) struct Listening {
    listener: TcpListener,
    /// The address, with the port that the system chose if that was left to it.
    pub(crate) address: SocketAddr,
}

/// A server that answers until this is dropped.
pub(crate) struct Serving(AbortHandle);

/// Connections at a time; the next one waits.
const CONNECTIONS: usize = 32;
/// Until the whole head of a request is there.
const HEAD: Duration = Duration::from_secs(2);
/// Until the answer is read too.
const EXCHANGE: Duration = Duration::from_secs(10);
/// A larger head is none of ours.
const HEAD_BYTES: usize = 16 << 10;
/// The pause after a connection that could not be accepted (too many open files).
const AGAIN: Duration = Duration::from_millis(100);

impl Listening {
    /// Listens on the address.
    pub(crate) async fn on(address: SocketAddr) -> Result<Listening, ListenError> {
        let failed = |error| ListenError { address, error };
        let listener = TcpListener::bind(address).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        Ok(Listening { listener, address })
    }

    /// Answers on threads of `io`.
    pub(crate) fn serve(self, site: Arc<Site>, io: &Handle) -> Serving {
        Serving(io.spawn(accept(self.listener, site)).abort_handle())
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        self.0.abort();
    }
}

async fn accept(listener: TcpListener, site: Arc<Site>) {
    let router = routes::router(site);
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    // Never closed: there is always a place again.
    while let Ok(place) = Arc::clone(&places).acquire_owned().await {
        match listener.accept().await {
            Ok((stream, _)) => {
                let router = router.clone();
                tokio::spawn(async move {
                    // Who is slow or speaks no HTTP is left; it concerns nobody else.
                    let _ = timeout(EXCHANGE, exchange(stream, router)).await;
                    drop(place);
                });
            }
            Err(error) => {
                tracing::debug!(%error, "an HTTP connection cannot be accepted");
                sleep(AGAIN).await;
            }
        }
    }
}

async fn exchange(stream: TcpStream, router: axum::Router) -> hyper::Result<()> {
    http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD)
        .max_buf_size(HEAD_BYTES)
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router))
        .await
}

#[cfg(test)]
mod tests;
