//! The proxy over real sockets, in front of a scripted broker that plays all nodes of a cluster.
#![expect(clippy::disallowed_methods, reason = "the tests are clients: they dial the proxy themselves")]
#![expect(clippy::unwrap_used, reason = "what fails here fails its test")]

mod ends;
mod words;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use kafka_protocol::messages::metadata_response::MetadataResponseBroker;
use kafka_protocol::messages::{
    ApiKey, BrokerId, MetadataRequest, MetadataResponse, RequestHeader, ResponseHeader,
};
use kafka_protocol::protocol::{Decodable, Encodable, StrBytes};
use steadfast_sim::proxy::{Door, DriftProxy, Moved, Nodes, Now, Old, Ports};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

const VERSION: i16 = 12;
const METADATA: i16 = ApiKey::Metadata as i16;
const LIMIT: Duration = Duration::from_secs(20);

/// A cluster whose nodes are all reached at one address, and how many requests it was asked.
struct Cluster {
    address: SocketAddr,
    nodes: Arc<Mutex<BTreeSet<i32>>>,
    asked: Arc<Mutex<u64>>,
}

impl Cluster {
    async fn of(nodes: impl IntoIterator<Item = i32>) -> Cluster {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let nodes = Arc::new(Mutex::new(nodes.into_iter().collect()));
        let cluster = Cluster { address, nodes, asked: Arc::default() };
        let (nodes, asked) = (cluster.nodes.clone(), cluster.asked.clone());
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(answer(client, address, nodes.clone(), asked.clone()));
            }
        });
        cluster
    }

    fn asked(&self) -> u64 {
        *self.asked.lock().unwrap()
    }
}

async fn answer(
    mut client: TcpStream,
    at: SocketAddr,
    nodes: Arc<Mutex<BTreeSet<i32>>>,
    asked: Arc<Mutex<u64>>,
) -> io::Result<()> {
    loop {
        let mut request = read(&mut client).await?;
        *asked.lock().unwrap() += 1;
        let version = i16::from_be_bytes([request[2], request[3]]);
        let header =
            RequestHeader::decode(&mut request, ApiKey::Metadata.request_header_version(version)).unwrap();
        let host = StrBytes::from_string(at.ip().to_string());
        let broker = |node: &i32| {
            let broker = MetadataResponseBroker::default().with_node_id(BrokerId(*node));
            broker.with_host(host.clone()).with_port(at.port().into())
        };
        let metadata =
            MetadataResponse::default().with_brokers(nodes.lock().unwrap().iter().map(broker).collect());
        let mut answer = BytesMut::new();
        ResponseHeader::default()
            .with_correlation_id(header.correlation_id)
            .encode(&mut answer, ApiKey::Metadata.response_header_version(version))
            .unwrap();
        metadata.encode(&mut answer, version).unwrap();
        client.write_all(&[&(answer.len() as i32).to_be_bytes(), &answer[..]].concat()).await?;
    }
}

async fn read(from: &mut TcpStream) -> io::Result<Bytes> {
    let mut frame = vec![0; from.read_i32().await? as usize];
    from.read_exact(&mut frame).await?;
    Ok(frame.into())
}

async fn ask(at: &mut TcpStream) -> io::Result<()> {
    let mut request = BytesMut::new();
    RequestHeader::default()
        .with_request_api_key(METADATA)
        .with_request_api_version(VERSION)
        .with_client_id(Some(StrBytes::from_static_str("a-client")))
        .encode(&mut request, ApiKey::Metadata.request_header_version(VERSION))
        .unwrap();
    MetadataRequest::default().encode(&mut request, VERSION).unwrap();
    at.write_all(&[&(request.len() as i32).to_be_bytes(), &request[..]].concat()).await
}

/// Asks where the brokers are.
async fn endpoints(at: &mut TcpStream) -> io::Result<BTreeMap<i32, SocketAddr>> {
    ask(at).await?;
    let mut answer = timeout(LIMIT, read(at)).await??;
    ResponseHeader::decode(&mut answer, ApiKey::Metadata.response_header_version(VERSION)).unwrap();
    let answer = MetadataResponse::decode(&mut answer, VERSION).unwrap();
    let at = |broker: &MetadataResponseBroker| format!("{}:{}", &*broker.host, broker.port).parse().unwrap();
    Ok(answer.brokers.iter().map(|broker| (broker.node_id.0, at(broker))).collect())
}

async fn endpoints_at(address: SocketAddr) -> io::Result<BTreeMap<i32, SocketAddr>> {
    endpoints(&mut TcpStream::connect(address).await?).await
}

async fn refused(address: SocketAddr) -> bool {
    let connected = timeout(LIMIT, TcpStream::connect(address)).await.unwrap();
    matches!(connected, Err(error) if error.kind() == io::ErrorKind::ConnectionRefused)
}

async fn proxied(cluster: &Cluster) -> DriftProxy {
    DriftProxy::start(vec![cluster.address]).await.unwrap()
}

#[tokio::test]
async fn every_address_names_the_proxy_s_endpoints_only() {
    let cluster = Cluster::of([1, 2, 3]).await;
    let proxy = proxied(&cluster).await;
    let endpoints = proxy.endpoints();
    assert_eq!(endpoints.keys().copied().collect::<Vec<_>>(), [1, 2, 3]);
    assert_eq!(endpoints.values().collect::<BTreeSet<_>>().len(), 3);
    for address in endpoints.values().chain([&proxy.bootstrap()]) {
        assert_ne!(*address, cluster.address);
        assert_eq!(endpoints_at(*address).await.unwrap(), endpoints);
    }
}

#[tokio::test]
async fn old_endpoints_that_refuse_reset_what_stands() {
    let cluster = Cluster::of([1, 2]).await;
    let proxy = proxied(&cluster).await;
    let mut standing = TcpStream::connect(proxy.endpoints()[&1]).await.unwrap();
    endpoints(&mut standing).await.unwrap();

    let Moved { generation, from, to, .. } = proxy.move_endpoints(Nodes::All, Old::Refuse).await.unwrap();

    assert_eq!((generation, proxy.generation()), (1, 1));
    assert_eq!(proxy.endpoints(), to);
    assert_eq!(endpoints_at(proxy.bootstrap()).await.unwrap(), to);
    for node in [1, 2] {
        assert_ne!(from[&node], to[&node]);
        assert!(refused(from[&node]).await);
        assert_eq!(endpoints_at(to[&node]).await.unwrap(), to);
    }
    let broken = timeout(LIMIT, standing.read_u8()).await.unwrap().unwrap_err();
    assert_eq!(broken.kind(), io::ErrorKind::ConnectionReset);
}

#[tokio::test]
async fn old_endpoints_that_are_black_holes_accept_and_stay_silent() {
    let cluster = Cluster::of([1]).await;
    let proxy = proxied(&cluster).await;
    let old = proxy.endpoints()[&1];
    let mut standing = TcpStream::connect(old).await.unwrap();
    endpoints(&mut standing).await.unwrap();

    let moved = proxy.move_endpoints(Nodes::All, Old::BlackHole).await.unwrap();

    let mut new = TcpStream::connect(moved.to[&1]).await.unwrap();
    let asked = cluster.asked();
    let mut late = TcpStream::connect(old).await.unwrap();
    for silent in [&mut standing, &mut late] {
        ask(silent).await.unwrap();
    }
    assert_eq!(endpoints(&mut new).await.unwrap(), moved.to);
    for silent in [&standing, &late] {
        let answer = silent.try_read(&mut [0]).unwrap_err();
        assert_eq!(answer.kind(), io::ErrorKind::WouldBlock);
    }
    assert_eq!(cluster.asked(), asked + 1);
}

#[tokio::test]
async fn old_endpoints_in_their_time_of_grace_name_the_new_ones() {
    let cluster = Cluster::of([1]).await;
    let proxy = proxied(&cluster).await;
    let mut standing = TcpStream::connect(proxy.endpoints()[&1]).await.unwrap();

    let moved = proxy.move_endpoints(Nodes::All, Old::Grace(Duration::from_secs(3600))).await.unwrap();

    assert_eq!(endpoints(&mut standing).await.unwrap(), moved.to);
    assert_eq!(endpoints_at(moved.from[&1]).await.unwrap(), moved.to);
}

#[tokio::test]
async fn old_endpoints_refuse_after_their_time_of_grace() {
    let cluster = Cluster::of([1]).await;
    let proxy = proxied(&cluster).await;
    let mut standing = TcpStream::connect(proxy.endpoints()[&1]).await.unwrap();
    endpoints(&mut standing).await.unwrap();

    let moved = proxy.move_endpoints(Nodes::All, Old::Grace(Duration::from_millis(1))).await.unwrap();

    timeout(LIMIT, standing.read_u8()).await.unwrap().unwrap_err();
    let closed = async {
        while !refused(moved.from[&1]).await {
            tokio::task::yield_now().await;
        }
    };
    timeout(LIMIT, closed).await.unwrap();
}

#[tokio::test]
async fn who_does_not_move_is_left_alone() {
    let cluster = Cluster::of([1, 2]).await;
    let proxy = proxied(&cluster).await;
    let before = proxy.endpoints();
    let mut standing = TcpStream::connect(before[&2]).await.unwrap();

    let moved = proxy.move_endpoints(Nodes::Some([1].into()), Old::Refuse).await.unwrap();

    assert_eq!(moved.to.keys().copied().collect::<Vec<_>>(), [1]);
    let now = endpoints(&mut standing).await.unwrap();
    assert_eq!((now[&1], now[&2]), (moved.to[&1], before[&2]));
    let unknown = proxy.move_endpoints(Nodes::Some([1, 9].into()), Old::Refuse).await.unwrap_err();
    assert_eq!(unknown.kind(), io::ErrorKind::NotFound);
    assert_eq!(proxy.endpoints(), now);
}

#[tokio::test]
async fn a_broker_that_joins_later_is_given_an_address() {
    let cluster = Cluster::of([1]).await;
    let proxy = proxied(&cluster).await;
    cluster.nodes.lock().unwrap().insert(4);

    let named = endpoints_at(proxy.bootstrap()).await.unwrap();

    assert_eq!(named.keys().copied().collect::<Vec<_>>(), [1, 4]);
    assert_eq!(endpoints_at(named[&4]).await.unwrap(), named);
    assert_eq!(proxy.endpoints(), named);
}

#[tokio::test]
async fn requests_are_counted_by_door() {
    let cluster = Cluster::of([1]).await;
    let proxy = proxied(&cluster).await;
    let mut client = TcpStream::connect(proxy.endpoints()[&1]).await.unwrap();
    endpoints(&mut client).await.unwrap();
    endpoints(&mut client).await.unwrap();
    let moved = proxy.move_endpoints(Nodes::All, Old::Grace(LIMIT)).await.unwrap();
    let mut other = TcpStream::connect(moved.to[&1]).await.unwrap();
    endpoints(&mut other).await.unwrap();

    let door = |generation| Door::Broker { node: 1, generation };
    let metadata = |count| BTreeMap::from([(METADATA, count)]);
    assert_eq!(proxy.requests(), BTreeMap::from([(door(0), metadata(2)), (door(1), metadata(1))]));
    assert_eq!(proxy.requests_of(METADATA), 3);
    let connections = proxy.connections();
    let first = connections.iter().find(|open| open.peer == client.local_addr().unwrap()).unwrap();
    assert_eq!((first.door, &first.requests), (door(0), &metadata(2)));
    assert_eq!(first.client_id.as_deref(), Some("a-client"));
    let second = connections.iter().find(|open| open.door == door(1)).unwrap();
    assert!(second.first_answers[&METADATA] > first.first_answers[&METADATA]);
}

#[tokio::test]
async fn brokers_that_are_known_need_not_be_asked_for() {
    let cluster = Cluster::of([1, 2]).await;
    let at = (cluster.address.ip().to_string(), cluster.address.port());
    let known = BTreeMap::from([(1, at.clone()), (2, at)]);
    let proxy = DriftProxy::before(known, Ports::default()).unwrap();
    assert_eq!(cluster.asked(), 0);
    assert_eq!(proxy.endpoints().len(), 2);
    for address in proxy.endpoints().values().chain([&proxy.bootstrap()]) {
        assert_eq!(endpoints_at(*address).await.unwrap(), proxy.endpoints());
    }
}

#[tokio::test]
async fn a_fenced_bootstrap_address_refuses() {
    let cluster = Cluster::of([1]).await;
    let proxy = proxied(&cluster).await;
    proxy.fence_bootstrap(Old::Refuse).await.unwrap();
    assert!(refused(proxy.bootstrap()).await);
    assert_eq!(endpoints_at(proxy.endpoints()[&1]).await.unwrap(), proxy.endpoints());
}

#[tokio::test]
async fn connections_that_stand_on_the_bootstrap_address_end_and_the_address_goes_on() {
    let cluster = Cluster::of([1]).await;
    let proxy = proxied(&cluster).await;
    let mut silent = TcpStream::connect(proxy.bootstrap()).await.unwrap();
    let mut at_broker = TcpStream::connect(proxy.endpoints()[&1]).await.unwrap();
    for standing in [&mut silent, &mut at_broker] {
        endpoints(standing).await.unwrap();
    }

    proxy.end_bootstrap_connections(Old::BlackHole);
    let asked = cluster.asked();
    ask(&mut silent).await.unwrap();
    assert_eq!(endpoints_at(proxy.bootstrap()).await.unwrap(), proxy.endpoints());
    assert_eq!(silent.try_read(&mut [0]).unwrap_err().kind(), io::ErrorKind::WouldBlock);
    assert_eq!(cluster.asked(), asked + 1);

    let mut late = TcpStream::connect(proxy.bootstrap()).await.unwrap();
    endpoints(&mut late).await.unwrap();
    proxy.end_bootstrap_connections(Old::Refuse);
    let broken = timeout(LIMIT, late.read_u8()).await.unwrap().unwrap_err();
    assert_eq!(broken.kind(), io::ErrorKind::ConnectionReset);
    assert_eq!(endpoints_at(proxy.bootstrap()).await.unwrap(), proxy.endpoints());
    assert_eq!(endpoints(&mut at_broker).await.unwrap(), proxy.endpoints());
}

#[tokio::test]
async fn a_dropped_proxy_is_gone() {
    let cluster = Cluster::of([1]).await;
    let proxy = proxied(&cluster).await;
    let (bootstrap, endpoint) = (proxy.bootstrap(), proxy.endpoints()[&1]);
    let mut standing = TcpStream::connect(endpoint).await.unwrap();
    endpoints(&mut standing).await.unwrap();
    drop(proxy);
    timeout(LIMIT, standing.read_u8()).await.unwrap().unwrap_err();
    for address in [bootstrap, endpoint] {
        let closed = async {
            while !refused(address).await {
                tokio::task::yield_now().await;
            }
        };
        timeout(LIMIT, closed).await.unwrap();
    }
}

#[tokio::test]
async fn the_next_address_is_asked_when_one_does_not_answer() {
    let cluster = Cluster::of([1]).await;
    let dead = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let proxy = DriftProxy::start(vec![dead, cluster.address]).await.unwrap();
    assert_eq!(proxy.endpoints().len(), 1);
    for _ in 0..4 {
        endpoints_at(proxy.bootstrap()).await.unwrap();
    }
    assert!(DriftProxy::start(vec![dead]).await.is_err());
    assert!(DriftProxy::start(Vec::new()).await.is_err());
}

#[tokio::test]
async fn a_cluster_that_names_no_brokers_is_no_cluster() {
    let cluster = Cluster::of([]).await;
    assert!(DriftProxy::start(vec![cluster.address]).await.is_err());
}

#[tokio::test]
async fn old_endpoints_that_are_healed_lead_to_the_cluster_again() {
    let cluster = Cluster::of([1, 2]).await;
    let proxy = proxied(&cluster).await;
    proxy.fence_bootstrap(Old::Refuse).await.unwrap();
    let refusing = proxy.move_endpoints(Nodes::All, Old::Refuse).await.unwrap();
    let silent = proxy.move_endpoints(Nodes::All, Old::BlackHole).await.unwrap();
    let mut held = TcpStream::connect(silent.from[&1]).await.unwrap();
    ask(&mut held).await.unwrap();
    let does = |address: &SocketAddr| proxy.old_endpoints()[address].1;
    assert_eq!((does(&refusing.from[&1]), does(&silent.from[&1])), (Now::Refuses, Now::Silent));
    assert_eq!(proxy.old_endpoints().len(), 5);

    proxy.heal().await.unwrap();

    timeout(LIMIT, held.read_u8()).await.unwrap().unwrap_err();
    for address in refusing.from.values().chain(silent.from.values()).chain([&proxy.bootstrap()]) {
        assert_eq!(endpoints_at(*address).await.unwrap(), silent.to);
    }
    assert_eq!(proxy.old_endpoints().len(), 4);
}

#[tokio::test]
async fn old_endpoints_may_be_turned_from_silent_to_refusing_and_back() {
    let cluster = Cluster::of([1]).await;
    let proxy = proxied(&cluster).await;
    let old = proxy.move_endpoints(Nodes::All, Old::BlackHole).await.unwrap().from[&1];

    proxy.turn_old(Old::Refuse).await.unwrap();
    assert!(refused(old).await);

    proxy.turn_old(Old::BlackHole).await.unwrap();
    let mut late = TcpStream::connect(old).await.unwrap();
    ask(&mut late).await.unwrap();
    let asked = cluster.asked();
    assert_eq!(endpoints_at(proxy.bootstrap()).await.unwrap(), proxy.endpoints());
    assert_eq!(late.try_read(&mut [0]).unwrap_err().kind(), io::ErrorKind::WouldBlock);
    assert_eq!(cluster.asked(), asked + 1);
}

#[tokio::test]
async fn a_range_of_ports_is_kept_to_and_the_oldest_that_refuses_is_used_again() {
    let cluster = Cluster::of([1]).await;
    let (ports, range) = four_ports();
    let proxy = DriftProxy::start_at(vec![cluster.address], ports).await.unwrap();
    assert_eq!(proxy.bootstrap().port(), *range.start());
    let mut seen = vec![proxy.endpoints()[&1].port()];
    for _ in 0..3 {
        seen.push(proxy.move_endpoints(Nodes::All, Old::Refuse).await.unwrap().to[&1].port());
    }
    let first = *range.start();
    assert_eq!(seen, [first + 1, first + 2, first + 3, first + 1]);
    assert_eq!(endpoints_at(proxy.endpoints()[&1]).await.unwrap(), proxy.endpoints());

    proxy.turn_old(Old::BlackHole).await.unwrap();
    let full = proxy.move_endpoints(Nodes::All, Old::BlackHole).await.unwrap_err();
    assert_eq!(full.kind(), io::ErrorKind::AddrInUse, "{full}");
    assert_eq!(endpoints_at(proxy.bootstrap()).await.unwrap(), proxy.endpoints());
}

/// Four ports in a row that nobody has.
fn four_ports() -> (Ports, RangeInclusive<u16>) {
    let free = |port| std::net::TcpListener::bind(("127.0.0.1", port));
    let first = (21_000..30_000_u16).step_by(4).find(|first| {
        let bound: Vec<_> = (*first..first + 4).map(free).collect();
        bound.iter().all(Result::is_ok)
    });
    let range = first.unwrap()..=first.unwrap() + 3;
    (format!("127.0.0.1:{}-{}", range.start(), range.end()).parse().unwrap(), range)
}
