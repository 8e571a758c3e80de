//! Brokers whose answers come late, or say what is not so.

use super::*;

#[tokio::test]
async fn requests_arrive_while_answers_are_held_back_and_these_come_when_they_may() {
    let cluster = Cluster::of([1, 2]).await;
    let proxy = proxied(&cluster).await;
    let before = proxy.endpoints();
    let (mut cut, mut other) =
        (TcpStream::connect(before[&1]).await.unwrap(), TcpStream::connect(before[&2]).await.unwrap());
    endpoints(&mut cut).await.unwrap();
    let asked = cluster.asked();

    proxy.hold_answers(&Nodes::Some([1].into())).unwrap();
    let mut later = TcpStream::connect(before[&1]).await.unwrap();
    for held in [&mut cut, &mut later] {
        ask(held).await.unwrap();
    }
    assert_eq!(endpoints(&mut other).await.unwrap(), before);
    while cluster.asked() < asked + 3 {
        tokio::task::yield_now().await;
    }
    for held in [&cut, &later] {
        assert!(matches!(held.try_read(&mut [0]), Err(error) if error.kind() == io::ErrorKind::WouldBlock));
    }
    assert_eq!(proxy.requests_of(METADATA), 4);

    proxy.pass_answers(&Nodes::All).unwrap();
    for held in [&mut cut, &mut later] {
        timeout(LIMIT, read(held)).await.unwrap().unwrap();
        assert_eq!(endpoints(held).await.unwrap(), before);
    }
    assert_eq!(proxy.hold_answers(&Nodes::Some([7].into())).unwrap_err().kind(), io::ErrorKind::NotFound);
}

#[tokio::test]
async fn answers_may_name_brokers_where_they_were_for_a_while() {
    let cluster = Cluster::of([1, 2]).await;
    let proxy = proxied(&cluster).await;
    let before = proxy.endpoints();
    proxy.hold_names();
    let moved = proxy.move_endpoints(Nodes::All, Old::Refuse).await.unwrap();
    for address in [proxy.bootstrap(), moved.to[&1], moved.to[&2]] {
        assert_eq!(endpoints_at(address).await.unwrap(), before);
    }
    proxy.pass_names();
    assert_eq!(endpoints_at(proxy.bootstrap()).await.unwrap(), moved.to);
}

#[tokio::test]
async fn a_broker_may_name_nobody() {
    let cluster = Cluster::of([1, 2]).await;
    let proxy = proxied(&cluster).await;
    let all = proxy.endpoints();
    proxy.name_nobody([1]);
    assert_eq!(endpoints_at(all[&1]).await.unwrap(), BTreeMap::new());
    assert_eq!(endpoints_at(all[&2]).await.unwrap(), all);
    proxy.name_nobody([]);
    assert_eq!(endpoints_at(all[&1]).await.unwrap(), all);
}
