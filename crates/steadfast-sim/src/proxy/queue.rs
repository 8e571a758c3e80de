//! A port that answers no SYN: what a firewall that drops packets looks like from outside.
//!
//! A port that listens and does not accept keeps finished handshakes in a queue. When that is full, Linux drops
//! further SYNs. So the queue is made as short as it can be and filled with connections of our own.

use std::io;
use std::time::Duration;

use socket2::SockRef;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

/// A handshake on one machine takes microseconds; a dropped SYN is sent again after a second.
const UNANSWERED: Duration = Duration::from_millis(50);
/// One fills the shortest queue. A system that takes so many does not drop SYNs.
const ENOUGH: usize = 16;

/// Connections that fill a port's queue, for as long as they are held.
pub(super) struct Full(#[expect(dead_code, reason = "held, not used")] Vec<TcpStream>);

/// Fills the queue of `listener`, from which nobody may accept any more, and makes sure that a further connect is not
/// answered.
///
/// # Errors
/// This system answers all the same.
pub(super) async fn fill(listener: &TcpListener) -> io::Result<Full> {
    SockRef::from(listener).listen(0)?;
    let address = listener.local_addr()?;
    let mut held = Vec::new();
    while held.len() < ENOUGH {
        #[expect(clippy::disallowed_methods, reason = "the proxy fills its own queue")]
        match timeout(UNANSWERED, TcpStream::connect(address)).await {
            Ok(connected) => held.push(connected?),
            Err(_) => return Ok(Full(held)),
        }
    }
    let answered = format!(
        "this system answers connects to {address} although its queue is full: SYNs are dropped on Linux only"
    );
    Err(io::Error::new(io::ErrorKind::Unsupported, answered))
}
