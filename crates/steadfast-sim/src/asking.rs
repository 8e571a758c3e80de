//! What the unit tests ask a cluster with.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use kafka_protocol::messages::{RequestKind, ResponseKind};
use steadfast_core::endpoints::view::Address;
use steadfast_core::ids::{NodeId, Partition};
use steadfast_core::tick::Tick;

use crate::batch::NewRecord;
use crate::call::{Call, ConnectionId, Reply, Ticket};
use crate::cluster::Cluster;

/// Three brokers, and a topic `t` of three partitions: 0 on 1, 2, 3, led by 1; 1 on 2, 3, 1; 2 on 3, 1, 2.
pub(crate) fn cluster() -> Cluster {
    let brokers = (1..=3).map(|node| (NodeId(node), Address::new("127.0.0.1", 9090 + node as u16)));
    let mut cluster = Cluster::new("cluster", brokers);
    cluster.create_topic("t", 3).unwrap();
    cluster
}

/// Partition `index` of `t`.
pub(crate) fn t(index: i32) -> Partition {
    Partition::new("t", index)
}

/// `count` records of ten bytes, at times 100, 101, ...
pub(crate) fn records(count: usize) -> Vec<NewRecord> {
    (0..count).map(|n| NewRecord::new(100 + n as i64, Bytes::from_static(b"0123456789"))).collect()
}

/// A call to this broker.
pub(crate) fn call(node: i32, version: i16, ticket: u64) -> Call {
    let (client_id, client_host): (Arc<str>, Arc<str>) = ("test".into(), "/127.0.0.1".into());
    Call {
        node: NodeId(node),
        connection: ConnectionId(1),
        ticket: Ticket(ticket),
        version,
        client_id,
        client_host,
    }
}

/// The moment of this many milliseconds.
pub(crate) fn at(ms: u64) -> Tick {
    Tick::at(Duration::from_millis(ms))
}

/// What the cluster answers at once; it can be written in the version it was asked in.
pub(crate) fn ask(cluster: &mut Cluster, node: i32, version: i16, request: RequestKind) -> ResponseKind {
    match cluster.request(&call(node, version, 0), request, Tick::ZERO) {
        Reply::Now(answer) => {
            answer.encode(&mut BytesMut::new(), version).unwrap();
            *answer
        }
        other => panic!("expected an answer at once, found {other:?}"),
    }
}
