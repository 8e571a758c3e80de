//! Which fields of which answers say where brokers are reached, and how they are replaced.
//!
//! The layouts are those of Apache Kafka 4.2's message definitions. An answer newer than they are is never
//! asked for: the answers to ApiVersions are clamped to [`NEWEST`].

use std::io;
use std::net::SocketAddr;

use kafka_protocol::messages::ApiKey;

use super::frame::invalid;
use super::walk::{Walk, WalkError};

/// The APIs whose answers are read, and the newest version of each that is.
const NEWEST: [(ApiKey, i16); 6] = [
    (ApiKey::ApiVersions, 4),
    (ApiKey::Metadata, 13),
    (ApiKey::FindCoordinator, 6),
    (ApiKey::DescribeCluster, 2),
    (ApiKey::Produce, 13),
    (ApiKey::Fetch, 18),
];

const UNSUPPORTED_VERSION: i16 = 35;
const CONTROLLER_ENDPOINTS: u8 = 2;

/// Says where `node`, which the cluster advertises at the given host and port, is reached through the proxy. None:
/// where the cluster says.
pub(super) trait Advertise {
    fn advertise(&mut self, node: i32, host: &str, port: u16) -> io::Result<Option<SocketAddr>>;

    /// Whether answers to Metadata are to name no brokers.
    fn names_nobody(&self) -> bool {
        false
    }
}

impl<F: FnMut(i32, &str, u16) -> io::Result<SocketAddr>> Advertise for F {
    fn advertise(&mut self, node: i32, host: &str, port: u16) -> io::Result<Option<SocketAddr>> {
        self(node, host, port).map(Some)
    }
}

/// The newest version of `api` that is read, if its answers are read at all.
pub(super) fn newest(api: i16) -> Option<i16> {
    NEWEST.iter().find(|(key, _)| *key as i16 == api).map(|(_, newest)| *newest)
}

/// Rewrites an answer (without its length in front).
/// None: it stays as it is.
///
/// # Errors
/// The bytes are no answer of this API and version, or a broker found in it could not be given an address.
pub(super) fn rewrite(
    api: i16,
    version: i16,
    answer: &[u8],
    to: &mut dyn Advertise,
) -> io::Result<Option<Vec<u8>>> {
    let Some(newest) = newest(api) else { return Ok(None) };
    if version > newest {
        return Err(invalid(format!("expected api {api} up to version {newest}, found version {version}")));
    }
    let flexible_from = |first: i16| version >= first;
    match ApiKey::try_from(api) {
        Ok(ApiKey::ApiVersions) => api_versions(answer, version),
        Ok(ApiKey::Metadata) => metadata(begin(answer, flexible_from(9))?, version, to),
        Ok(ApiKey::FindCoordinator) => find_coordinator(begin(answer, flexible_from(3))?, version, to),
        Ok(ApiKey::DescribeCluster) => describe_cluster(begin(answer, true)?, version, to),
        Ok(ApiKey::Produce) if version >= 10 => produce(begin(answer, true)?, version, to),
        Ok(ApiKey::Fetch) if version >= 16 => fetch(begin(answer, true)?, to),
        _ => Ok(None),
    }
}

/// Steps over the answer's header.
fn begin(answer: &[u8], flexible: bool) -> Result<Walk<'_>, WalkError> {
    let mut walk = Walk::new(answer, flexible);
    walk.i32()?;
    walk.tags()?;
    Ok(walk)
}

/// Clamps what a broker offers to what is read here.
fn api_versions(answer: &[u8], version: i16) -> io::Result<Option<Vec<u8>>> {
    const ERROR_AT: std::ops::Range<usize> = 4..6;
    // A broker answers a version that it does not know in version 0 (KIP-511).
    let unknown = answer.get(ERROR_AT) == Some(&UNSUPPORTED_VERSION.to_be_bytes());
    let mut walk = Walk::new(answer, version >= 3 && !unknown);
    walk.i32()?;
    walk.i16()?;
    walk.each(|walk| {
        let (api, oldest) = (walk.i16()?, walk.i16()?);
        let at = walk.at();
        let offered = walk.i16()?;
        if let Some(newest) = newest(api).filter(|newest| *newest < offered) {
            if newest < oldest {
                return Err(invalid(format!(
                    "the cluster serves api {api} from version {oldest} on, the proxy reads up to {newest}"
                )));
            }
            walk.replace(at, newest.to_be_bytes().to_vec());
        }
        Ok(walk.tags()?)
    })?;
    Ok(walk.finish())
}

fn metadata(mut walk: Walk<'_>, version: i16, to: &mut dyn Advertise) -> io::Result<Option<Vec<u8>>> {
    if version >= 3 {
        walk.i32()?; // throttle time
    }
    let (start, nobody) = (walk.at(), to.names_nobody());
    walk.each(|walk| {
        if nobody {
            walk.i32()?; // node
            walk.string()?; // host
            walk.i32()?; // port
        } else {
            endpoint(walk, to)?;
        }
        if version >= 1 {
            walk.string()?; // rack
        }
        io::Result::Ok(walk.tags()?)
    })?;
    if nobody {
        walk.replace(start, walk.no_elements());
    }
    Ok(walk.finish())
}

fn find_coordinator(mut walk: Walk<'_>, version: i16, to: &mut dyn Advertise) -> io::Result<Option<Vec<u8>>> {
    if version >= 1 {
        walk.i32()?; // throttle time
    }
    if version >= 4 {
        walk.each(|walk| {
            walk.string()?; // key
            endpoint(walk, to)?;
            walk.i16()?; // error
            walk.string()?; // and its message
            io::Result::Ok(walk.tags()?)
        })?;
    } else {
        walk.i16()?; // error
        if version >= 1 {
            walk.string()?; // and its message
        }
        endpoint(&mut walk, to)?;
    }
    Ok(walk.finish())
}

fn describe_cluster(mut walk: Walk<'_>, version: i16, to: &mut dyn Advertise) -> io::Result<Option<Vec<u8>>> {
    walk.i32()?; // throttle time
    walk.i16()?; // error
    walk.string()?; // and its message
    if version >= 1 && walk.take(1)? == [CONTROLLER_ENDPOINTS] {
        return Ok(None); // controllers are reached by administrators, not through the proxy
    }
    walk.string()?; // cluster id
    walk.i32()?; // controller
    walk.each(|walk| {
        endpoint(walk, to)?;
        walk.string()?; // rack
        if version >= 2 {
            walk.take(1)?; // fenced
        }
        io::Result::Ok(walk.tags()?)
    })?;
    Ok(walk.finish())
}

fn produce(mut walk: Walk<'_>, version: i16, to: &mut dyn Advertise) -> io::Result<Option<Vec<u8>>> {
    walk.each(|walk| {
        if version >= 13 {
            walk.take(16)?; // topic id
        } else {
            walk.string()?; // topic
        }
        walk.each(|walk| {
            walk.take(4 + 2 + 8 + 8 + 8)?; // index, error, base offset, append time, log start
            walk.each(|walk| {
                walk.i32()?; // index in the batch
                walk.string()?; // error
                walk.tags()
            })?;
            walk.string()?; // error
            walk.tags()
        })?;
        walk.tags()
    })?;
    walk.i32()?; // throttle time
    node_endpoints(walk, to)
}

fn fetch(mut walk: Walk<'_>, to: &mut dyn Advertise) -> io::Result<Option<Vec<u8>>> {
    walk.take(4 + 2 + 4)?; // throttle time, error, session
    walk.each(|walk| {
        walk.take(16)?; // topic id
        walk.each(|walk| {
            walk.take(4 + 2 + 8 + 8 + 8)?; // index, error, high watermark, last stable, log start
            walk.each(|walk| {
                walk.take(8 + 8)?; // aborted: producer, first offset
                walk.tags()
            })?;
            walk.i32()?; // preferred replica
            walk.bytes()?; // records
            walk.tags()
        })?;
        walk.tags()
    })?;
    node_endpoints(walk, to)
}

/// The endpoints of new leaders, which KIP-951 put into a tagged field at the end.
fn node_endpoints(mut walk: Walk<'_>, to: &mut dyn Advertise) -> io::Result<Option<Vec<u8>>> {
    const NODE_ENDPOINTS: u32 = 0;
    walk.tagged(|walk, tag| {
        if tag != NODE_ENDPOINTS {
            return Ok(false);
        }
        walk.each(|walk| {
            endpoint(walk, to)?;
            walk.string()?; // rack
            io::Result::Ok(walk.tags()?)
        })?;
        io::Result::Ok(true)
    })?;
    Ok(walk.finish())
}

/// Replaces one broker's host and port. Where an error stands, the node is -1 and has neither.
fn endpoint(walk: &mut Walk<'_>, to: &mut dyn Advertise) -> io::Result<()> {
    let node = walk.i32()?;
    let start = walk.at();
    let host = walk.string()?.unwrap_or_default();
    let port = u16::try_from(walk.i32()?).unwrap_or_default();
    if node < 0 || host.is_empty() || port == 0 {
        return Ok(());
    }
    let Some(address) = to.advertise(node, host, port)? else { return Ok(()) };
    let mut with = Vec::new();
    walk.put_string(&mut with, &address.ip().to_string());
    with.extend(i32::from(address.port()).to_be_bytes());
    walk.replace(start, with);
    Ok(())
}

#[cfg(test)]
mod tests;
