//! Where a proxy listens.

use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::ops::RangeInclusive;
use std::str::FromStr;

use tokio::net::TcpListener;

use crate::port::{BACKLOG, bind};

/// An address of this machine, and the ports that may be used there. Clients are given both.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ports {
    ip: IpAddr,
    /// None: the system chooses.
    range: Option<RangeInclusive<u16>>,
}

/// Why a text does not say where to listen.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PortsError {
    /// No address of this machine.
    #[error("expected an IP address of this machine, found {found:?}")]
    Address {
        /// What was written.
        found: String,
    },
    /// An address that means all of them.
    #[error("{found} is all addresses at once, and no client can be told to go there: expected one of them")]
    Unspecified {
        /// What was written.
        found: IpAddr,
    },
    /// No range of ports.
    #[error("expected ports as in 19000-19099, the lower one first and not 0, found {found:?}")]
    Range {
        /// What was written.
        found: String,
    },
}

impl Default for Ports {
    /// 127.0.0.1, at ports that the system chooses.
    fn default() -> Ports {
        Ports { ip: Ipv4Addr::LOCALHOST.into(), range: None }
    }
}

impl FromStr for Ports {
    type Err = PortsError;

    /// Reads `HOST`, `HOST:FROM-TO` or `[HOST]:FROM-TO`.
    fn from_str(text: &str) -> Result<Ports, PortsError> {
        if let Ok(ip) = address(text) {
            return specified(ip, None);
        }
        let (host, ports) =
            text.rsplit_once(':').ok_or_else(|| PortsError::Address { found: text.to_owned() })?;
        specified(address(host.trim_start_matches('[').trim_end_matches(']'))?, Some(range(ports)?))
    }
}

impl fmt::Display for Ports {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.range {
            None => write!(f, "{}", self.ip),
            Some(range) => write!(f, "ports {} to {} of {}", range.start(), range.end(), self.ip),
        }
    }
}

impl Ports {
    /// Binds a port that `used` does not know. None when there is none left.
    pub(super) fn bind(&self, used: impl Fn(&SocketAddr) -> bool) -> io::Result<Option<TcpListener>> {
        let Some(range) = &self.range else {
            return listen((self.ip, 0).into()).map(Some);
        };
        for port in range.clone() {
            let address = SocketAddr::new(self.ip, port);
            if used(&address) {
                continue;
            }
            match listen(address) {
                Ok(listener) => return Ok(Some(listener)),
                Err(error) if error.kind() == io::ErrorKind::AddrInUse => {}
                Err(error) => return Err(error),
            }
        }
        Ok(None)
    }
}

fn listen(at: SocketAddr) -> io::Result<TcpListener> {
    bind(at)?.listen(BACKLOG)
}

fn address(text: &str) -> Result<IpAddr, PortsError> {
    match text {
        "localhost" => Ok(Ipv4Addr::LOCALHOST.into()),
        text => text.parse().map_err(|_| PortsError::Address { found: text.to_owned() }),
    }
}

fn specified(ip: IpAddr, range: Option<RangeInclusive<u16>>) -> Result<Ports, PortsError> {
    if ip.is_unspecified() { Err(PortsError::Unspecified { found: ip }) } else { Ok(Ports { ip, range }) }
}

fn range(text: &str) -> Result<RangeInclusive<u16>, PortsError> {
    let ends = text.split_once('-').and_then(|(from, to)| Some(from.parse().ok()?..=to.parse().ok()?));
    ends.filter(|ends| !ends.is_empty() && *ends.start() > 0)
        .ok_or_else(|| PortsError::Range { found: text.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<(String, Option<RangeInclusive<u16>>), PortsError> {
        text.parse().map(|Ports { ip, range }| (ip.to_string(), range))
    }

    #[test]
    fn an_address_and_a_range_are_read() {
        assert_eq!(read("127.0.0.1"), Ok(("127.0.0.1".into(), None)));
        assert_eq!(read("::1"), Ok(("::1".into(), None)));
        assert_eq!(read("localhost:9000-9009"), Ok(("127.0.0.1".into(), Some(9000..=9009))));
        assert_eq!(read("[::1]:9000-9009"), Ok(("::1".into(), Some(9000..=9009))));
    }

    #[test]
    fn what_says_no_place_is_refused() {
        for (text, part) in [
            ("kafka.example", "IP address"),
            ("0.0.0.0:9000-9009", "all addresses at once"),
            ("127.0.0.1:9000", "19000-19099"),
            ("127.0.0.1:9009-9000", "19000-19099"),
            ("127.0.0.1:0-9", "19000-19099"),
            ("127.0.0.1:9-70000", "19000-19099"),
        ] {
            let error = read(text).unwrap_err().to_string();
            assert!(error.contains(part), "{text}: {error}");
        }
    }
}
