//! Ports that stay ours while nobody listens at them.

use std::io;
use std::net::SocketAddr;

use tokio::net::TcpSocket;

/// How many connections may wait to be accepted.
pub(crate) const BACKLOG: u32 = 1024;

/// Binds a port that nobody else has. Port 0 lets the system choose.
///
/// # Errors
/// The address is in use, or not one of this machine.
pub(crate) fn bind(at: SocketAddr) -> io::Result<TcpSocket> {
    let socket = socket(at)?;
    socket.bind(at)?;
    // Only now: whoever had the port before is found in use, and `keep` may join.
    socket.set_reuseport(true)?;
    Ok(socket)
}

/// Binds the port of a listener that [`bind`] made and that is about to close. There is no moment in between in which
/// the system could give the port away.
///
/// # Errors
/// The port is not ours.
pub(crate) fn keep(at: SocketAddr) -> io::Result<TcpSocket> {
    let socket = socket(at)?;
    socket.set_reuseport(true)?;
    socket.bind(at)?;
    Ok(socket)
}

fn socket(at: SocketAddr) -> io::Result<TcpSocket> {
    let socket = if at.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    socket.set_reuseaddr(true)?;
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    #[tokio::test]
    async fn a_port_is_kept_before_its_listener_closes_and_listens_again() {
        let listener = bind((Ipv4Addr::LOCALHOST, 0).into()).unwrap().listen(BACKLOG).unwrap();
        let at = listener.local_addr().unwrap();
        assert_eq!(bind(at).unwrap_err().kind(), io::ErrorKind::AddrInUse);
        let kept = keep(at).unwrap();
        drop(listener);
        let again = kept.listen(BACKLOG).unwrap();
        assert_eq!(again.local_addr().unwrap(), at);
    }
}
