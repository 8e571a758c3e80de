//! One answer to "who is in the cluster", and who gave it.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::ids::ClusterId;
use crate::tick::Tick;

/// Where something is reached: a host's name or address, and a port. Never resolved.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Address {
    /// A name, an IPv4 address, or an IPv6 address without its brackets.
    pub host: String,
    /// The TCP port.
    pub port: u16,
}

/// The text is no `host:port`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected host:port with a port from 1 to 65535, found {found:?}")]
pub struct AddressError {
    /// What was found instead.
    pub found: String,
}

impl Address {
    /// The address `host:port`.
    pub fn new(host: impl Into<String>, port: u16) -> Address {
        Address { host: host.into(), port }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Address, AddressError> {
        let wrong = || AddressError { found: text.to_owned() };
        let (host, port) = text.trim().rsplit_once(':').ok_or_else(wrong)?;
        let bracketed = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        let port = port.parse().ok().filter(|port| *port > 0).ok_or_else(wrong)?;
        match bracketed {
            Some(host) if !host.is_empty() => Ok(Address::new(host, port)),
            None if !host.is_empty() && !host.contains(':') => Ok(Address::new(host, port)),
            _ => Err(wrong()),
        }
    }
}

impl Serialize for Address {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Address {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Address, D::Error> {
        String::deserialize(from)?.parse().map_err(serde::de::Error::custom)
    }
}

/// Where one node is reached. Two endpoints are equal when their addresses are: the rack stands beside.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Endpoint {
    /// The advertised host and port.
    pub address: Address,
    /// The rack or zone that the node reports, if any.
    pub rack: Option<String>,
}

impl Endpoint {
    /// An endpoint without a rack.
    pub fn new(address: Address) -> Endpoint {
        Endpoint { address, rack: None }
    }
}

impl PartialEq for Endpoint {
    fn eq(&self, other: &Endpoint) -> bool {
        self.address == other.address
    }
}

impl Eq for Endpoint {}

impl PartialOrd for Endpoint {
    fn partial_cmp(&self, other: &Endpoint) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Endpoint {
    fn cmp(&self, other: &Endpoint) -> Ordering {
        self.address.cmp(&other.address)
    }
}

/// One answer to "who is in the cluster". Two views are equal when cluster id and `{node -> host, port}` are; their
/// order means nothing.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct View<N: Ord> {
    /// The cluster's identity; none when the witness reports none.
    pub cluster: Option<ClusterId>,
    /// Where each node is reached.
    pub endpoints: BTreeMap<N, Endpoint>,
}

impl<N: Ord> View<N> {
    /// The view of `cluster` with these endpoints.
    pub fn new(cluster: Option<ClusterId>, endpoints: impl IntoIterator<Item = (N, Address)>) -> View<N> {
        let endpoints = endpoints.into_iter().map(|(node, at)| (node, Endpoint::new(at))).collect();
        View { cluster, endpoints }
    }

    /// Where `node` is reached, if this view lists it.
    pub fn address(&self, node: &N) -> Option<&Address> {
        self.endpoints.get(node).map(|endpoint| &endpoint.address)
    }
}

/// A view as one witness gave it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Observation<N: Ord> {
    /// The address that was dialled. It is the witness: one host and port is one vote.
    pub witness: Address,
    /// What it answered.
    pub view: View<N>,
    /// When the answer arrived.
    pub at: Tick,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_as_they_are_written() {
        for text in ["kafka-1:9092", "10.0.0.1:1", "[::1]:9092"] {
            assert_eq!(text.parse::<Address>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn what_is_no_address_is_named() {
        for text in ["", "kafka", "kafka:", ":9092", "kafka:0", "kafka:70000", "::1:9092", "[]:1"] {
            assert_eq!(text.parse::<Address>(), Err(AddressError { found: text.to_owned() }));
        }
    }

    #[test]
    fn racks_do_not_make_views_differ() {
        let plain = View::new(None, [(1, Address::new("a", 1))]);
        let mut racked = plain.clone();
        racked.endpoints.get_mut(&1).unwrap().rack = Some("eu-1".into());
        assert_eq!(plain, racked);
    }
}
