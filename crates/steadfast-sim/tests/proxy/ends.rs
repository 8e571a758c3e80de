//! The ways in which addresses and connections end that are not simply refused.

use super::*;

/// Far above what a handshake on one machine takes.
const UNANSWERED: Duration = Duration::from_millis(300);

async fn hangs(address: SocketAddr) -> bool {
    timeout(UNANSWERED, TcpStream::connect(address)).await.is_err()
}

fn is_silent(standing: &TcpStream) -> bool {
    matches!(standing.try_read(&mut [0]), Err(error) if error.kind() == io::ErrorKind::WouldBlock)
}

/// A connection on which an answer came.
async fn standing_at(address: SocketAddr) -> TcpStream {
    let mut standing = TcpStream::connect(address).await.unwrap();
    endpoints(&mut standing).await.unwrap();
    standing
}

#[tokio::test]
async fn old_endpoints_that_drop_packets_answer_no_connect_and_are_silent() {
    let cluster = Cluster::of([1, 2]).await;
    let proxy = proxied(&cluster).await;
    let mut standing = standing_at(proxy.endpoints()[&1]).await;

    let moved = proxy.move_endpoints(Nodes::All, Old::Drop).await.unwrap();

    let asked = cluster.asked();
    ask(&mut standing).await.unwrap();
    for old in moved.from.values() {
        assert!(hangs(*old).await && hangs(*old).await, "{old} answers");
        assert_eq!(proxy.old_endpoints()[old].1, Now::Drops);
    }
    assert!(is_silent(&standing));
    assert_eq!(endpoints_at(moved.to[&1]).await.unwrap(), moved.to);
    assert_eq!(cluster.asked(), asked + 1);
}

#[tokio::test]
async fn endpoints_that_dropped_packets_may_refuse_and_be_healed() {
    let cluster = Cluster::of([1]).await;
    let proxy = proxied(&cluster).await;
    let old = proxy.move_endpoints(Nodes::All, Old::Refuse).await.unwrap().from[&1];
    proxy.turn_old(Old::Drop).await.unwrap();
    assert!(hangs(old).await);

    proxy.turn_old(Old::Refuse).await.unwrap();
    assert!(refused(old).await);

    proxy.turn_old(Old::Drop).await.unwrap();
    proxy.heal().await.unwrap();
    assert_eq!(endpoints_at(old).await.unwrap(), proxy.endpoints());
}

#[tokio::test]
async fn a_fenced_bootstrap_address_may_drop_packets() {
    let cluster = Cluster::of([1]).await;
    let proxy = proxied(&cluster).await;
    proxy.fence_bootstrap(Old::Drop).await.unwrap();
    assert!(hangs(proxy.bootstrap()).await);
}

#[tokio::test]
async fn stale_endpoints_name_each_other_and_then_refuse() {
    let cluster = Cluster::of([1, 2]).await;
    let proxy = proxied(&cluster).await;
    let mut standing = standing_at(proxy.endpoints()[&1]).await;

    let moved = proxy.move_endpoints(Nodes::All, Old::Stale(Duration::from_secs(3600))).await.unwrap();

    assert_eq!(endpoints(&mut standing).await.unwrap(), moved.from);
    assert_eq!(endpoints_at(moved.from[&2]).await.unwrap(), moved.from);
    assert_eq!(endpoints_at(proxy.bootstrap()).await.unwrap(), moved.to);
    assert_eq!(proxy.old_endpoints()[&moved.from[&1]].1, Now::Stale);

    proxy.turn_old(Old::Stale(Duration::from_millis(1))).await.unwrap();
    let closed = async {
        while !refused(moved.from[&1]).await {
            tokio::task::yield_now().await;
        }
    };
    timeout(LIMIT, closed).await.unwrap();
}

#[tokio::test]
async fn a_stale_broker_names_the_others_where_they_were_even_if_it_moved_alone() {
    let cluster = Cluster::of([1, 2]).await;
    let proxy = proxied(&cluster).await;
    let before = proxy.endpoints();

    proxy.move_endpoints(Nodes::Some([1].into()), Old::Stale(LIMIT)).await.unwrap();
    proxy.move_endpoints(Nodes::Some([2].into()), Old::Grace(LIMIT)).await.unwrap();

    assert_eq!(endpoints_at(before[&1]).await.unwrap(), before);
    assert_eq!(endpoints_at(before[&2]).await.unwrap(), proxy.endpoints());
}

#[tokio::test]
async fn brokers_that_swap_are_reached_at_each_other_s_address() {
    let cluster = Cluster::of([1, 2, 3]).await;
    let proxy = proxied(&cluster).await;
    let before = proxy.endpoints();
    let mut standing = standing_at(before[&1]).await;
    let mut third = standing_at(before[&3]).await;

    let moved = proxy.swap(1, 2).unwrap();

    let after = BTreeMap::from([(1, before[&2]), (2, before[&1]), (3, before[&3])]);
    assert_eq!((moved.generation, proxy.generation()), (1, 1));
    assert_eq!(endpoints_at(proxy.bootstrap()).await.unwrap(), after);
    assert_eq!(endpoints(&mut third).await.unwrap(), after);
    let broken = timeout(LIMIT, standing.read_u8()).await.unwrap().unwrap_err();
    assert_eq!(broken.kind(), io::ErrorKind::ConnectionReset);
    endpoints_at(after[&1]).await.unwrap();
    assert!(proxy.requests().contains_key(&Door::Broker { node: 1, generation: 1 }));
    assert!(proxy.old_endpoints().is_empty(), "both addresses are in use");
    assert!(proxy.swap(1, 1).is_err() && proxy.swap(1, 9).is_err());
    assert_eq!(proxy.endpoints(), after);
}

#[tokio::test]
async fn connections_that_are_silenced_stay_open_and_new_ones_work() {
    let cluster = Cluster::of([1, 2]).await;
    let proxy = proxied(&cluster).await;
    let at = proxy.endpoints();
    let (mut one, mut two) = (standing_at(at[&1]).await, standing_at(at[&2]).await);

    assert_eq!(proxy.silence(&Nodes::Some([1].into())).unwrap(), 1);

    let asked = cluster.asked();
    ask(&mut one).await.unwrap();
    assert_eq!(endpoints(&mut two).await.unwrap(), at);
    assert_eq!(endpoints_at(at[&1]).await.unwrap(), at);
    assert!(is_silent(&one));
    assert_eq!(cluster.asked(), asked + 2);

    let mut bootstrap = standing_at(proxy.bootstrap()).await;
    assert!(proxy.silence(&Nodes::All).unwrap() >= 2, "that of broker 2 and of the bootstrap address");
    for silent in [&mut two, &mut bootstrap] {
        ask(silent).await.unwrap();
    }
    assert_eq!(endpoints_at(proxy.bootstrap()).await.unwrap(), at);
    assert!(is_silent(&two) && is_silent(&bootstrap));
    assert!(proxy.silence(&Nodes::Some([9].into())).is_err());
}

#[tokio::test]
async fn old_addresses_may_be_another_cluster_s() {
    let (cluster, other) = (Cluster::of([1]).await, Cluster::of([1, 7]).await);
    let proxy = proxied(&cluster).await;
    proxy.fence_bootstrap(Old::Refuse).await.unwrap();
    let moved = proxy.move_endpoints(Nodes::All, Old::Refuse).await.unwrap();

    proxy.give_old_to(vec![other.address]).await.unwrap();

    let theirs = BTreeMap::from([(1, other.address), (7, other.address)]);
    for address in [moved.from[&1], proxy.bootstrap()] {
        assert_eq!(endpoints_at(address).await.unwrap(), theirs, "they pass as they are");
        assert_eq!(proxy.old_endpoints()[&address].1, Now::Elsewhere);
    }
    assert_eq!(proxy.endpoints(), moved.to, "another cluster's brokers are not learnt");
    assert_eq!(endpoints_at(moved.to[&1]).await.unwrap(), moved.to);
}
