//! Ports for brokers that survive their restarts.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};

use socket2::{Domain, Socket, Type};

const LOWEST: u16 = 10_000;

/// A port on loopback that stays ours: the socket is bound but does not listen, so a broker can, with
/// `SO_REUSEADDR`, and another test's search for a free port passes it by.
pub(super) struct Port {
    pub(super) number: u16,
    _kept: Socket,
}

/// A free port below the ephemeral range, where no outgoing connection of another process takes it.
pub(super) fn free() -> io::Result<Port> {
    let highest = lowest_ephemeral()?;
    let span = u32::from(highest.saturating_sub(LOWEST)).max(1);
    let first = std::process::id().wrapping_mul(7919) % span;
    (0..span)
        .filter_map(|step| u16::try_from((first + step) % span + u32::from(LOWEST)).ok())
        .find_map(|number| keep(number).ok())
        .ok_or_else(|| {
            io::Error::new(io::ErrorKind::AddrInUse, format!("no free port in {LOWEST}..{highest}"))
        })
}

fn keep(number: u16) -> io::Result<Port> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    socket.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, number)).into())?;
    socket.set_reuse_address(true)?;
    Ok(Port { number, _kept: socket })
}

fn lowest_ephemeral() -> io::Result<u16> {
    let range = std::fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range")?;
    let lowest = range.split_whitespace().next().and_then(|lowest| lowest.parse().ok());
    lowest.ok_or_else(|| {
        io::Error::new(io::ErrorKind::InvalidData, format!("expected two ports, found {range:?}"))
    })
}
