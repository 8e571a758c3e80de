//! Doors, links and damages: in memory under virtual time, and over TCP.

use std::collections::BTreeSet;
use std::io;
use std::time::Duration;

use kafka_protocol::messages::ApiKey;
use steadfast_core::endpoints::view::Address;
use steadfast_core::ids::NodeId;
use steadfast_sim::embedded::{Embedded, Nodes, Old, Spec};
use steadfast_sim::network::Damage;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};

use crate::client::{LIMIT, NEWEST, ask, at_node_1, frame, question, refused, reset, started, understand};

#[tokio::test(start_paused = true)]
async fn every_broker_and_the_bootstrap_address_answer() {
    let cluster = started();
    let endpoints = cluster.endpoints();
    assert_eq!(endpoints.keys().map(|node| node.0).collect::<Vec<_>>(), [1, 2, 3]);
    for at in endpoints.into_values().chain([cluster.bootstrap()]) {
        assert!(ask(&mut cluster.connect(&at).await.unwrap()).await.unwrap(), "{at}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_unknown_version_of_api_versions_is_answered_in_version_0() {
    let cluster = started();
    let mut stream = cluster.connect(&cluster.bootstrap()).await.unwrap();
    stream.write_all(&question(99, 5)).await.unwrap();
    let (correlation, answer) = understand(frame(&mut stream).await.unwrap(), 0);
    assert_eq!((correlation, answer.error_code), (5, 35));
    let newest = answer.api_keys.iter().find(|api| api.api_key == 18).map(|api| api.max_version);
    assert_eq!(newest, Some(NEWEST));
    assert!(ask(&mut stream).await.unwrap(), "the connection goes on");
}

#[tokio::test(start_paused = true)]
async fn what_is_no_request_ends_its_connection() {
    let cluster = started();
    for garbage in [&[0, 0, 0, 3, 1, 2, 3][..], &[0, 0, 0, 8, 0, 99, 0, 0, 0, 0, 0, 1], &[0x7f, 0, 0, 0]] {
        let mut stream = cluster.connect(&cluster.bootstrap()).await.unwrap();
        stream.write_all(garbage).await.unwrap();
        assert_eq!(stream.read(&mut [0; 1]).await.unwrap(), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn pipelined_requests_are_answered_in_order() {
    let cluster = started();
    let mut stream = cluster.connect(&cluster.bootstrap()).await.unwrap();
    let all: Vec<u8> = (0..100).flat_map(|correlation| question(NEWEST, correlation)).collect();
    stream.write_all(&all).await.unwrap();
    for correlation in 0..100 {
        assert_eq!(understand(frame(&mut stream).await.unwrap(), NEWEST).0, correlation);
    }
}

#[tokio::test(start_paused = true)]
async fn who_sends_and_does_not_read_is_not_read_either() {
    let cluster = started();
    let mut stream = cluster.connect(&cluster.bootstrap()).await.unwrap();
    let question = question(NEWEST, 7);
    let flood = async {
        loop {
            stream.write_all(&question).await.unwrap();
        }
    };
    assert!(timeout(LIMIT, flood).await.is_err(), "the writer is held up by a full window");
}

#[tokio::test(start_paused = true)]
async fn when_brokers_move_the_old_addresses_refuse_and_their_connections_are_reset() {
    let cluster = started();
    let (old, mut stream) = at_node_1(&cluster).await;
    let moved = cluster.move_endpoints(&Nodes::All, Old::Refuse).unwrap();
    assert_eq!(moved.from[&NodeId(1)], old);
    assert_eq!(moved.to, cluster.endpoints());
    assert!(refused(&cluster, &old).await);
    assert!(reset(ask(&mut stream).await));
    for at in moved.to.values().chain([&cluster.bootstrap()]) {
        assert!(ask(&mut cluster.connect(at).await.unwrap()).await.unwrap());
    }
}

#[tokio::test(start_paused = true)]
async fn only_the_named_broker_moves() {
    let cluster = started();
    let (_, mut stream) = at_node_1(&cluster).await;
    let before = cluster.endpoints();
    cluster.move_endpoints(&Nodes::Some(BTreeSet::from([NodeId(2)])), Old::Refuse).unwrap();
    let after = cluster.endpoints();
    assert_eq!(before[&NodeId(1)], after[&NodeId(1)]);
    assert_ne!(before[&NodeId(2)], after[&NodeId(2)]);
    assert!(ask(&mut stream).await.unwrap());
    let unknown = Nodes::Some(BTreeSet::from([NodeId(9)]));
    assert!(cluster.move_endpoints(&unknown, Old::Refuse).is_err());
}

#[tokio::test(start_paused = true)]
async fn a_black_hole_accepts_and_says_nothing() {
    let cluster = started();
    let (old, mut standing) = at_node_1(&cluster).await;
    cluster.move_endpoints(&Nodes::All, Old::BlackHole).unwrap();
    let mut fresh = cluster.connect(&old).await.unwrap();
    assert!(timeout(LIMIT, ask(&mut fresh)).await.is_err());
    assert!(timeout(LIMIT, ask(&mut standing)).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn where_packets_are_dropped_connecting_never_ends() {
    let cluster = started();
    let (old, mut standing) = at_node_1(&cluster).await;
    cluster.move_endpoints(&Nodes::All, Old::Drop).unwrap();
    assert!(timeout(LIMIT, cluster.connect(&old)).await.is_err());
    assert!(timeout(LIMIT, ask(&mut standing)).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn an_address_in_grace_serves_for_its_time() {
    let cluster = started();
    let (old, mut standing) = at_node_1(&cluster).await;
    cluster.move_endpoints(&Nodes::All, Old::Grace(Duration::from_secs(5))).unwrap();
    tokio::time::sleep(Duration::from_secs(4)).await;
    assert!(ask(&mut standing).await.unwrap());
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert!(reset(ask(&mut standing).await));
    assert!(refused(&cluster, &old).await);
}

#[tokio::test(start_paused = true)]
async fn a_slow_link_takes_its_time_both_ways_and_pipelined_requests_share_it() {
    let cluster = started();
    let (_, mut stream) = at_node_1(&cluster).await;
    let machine = cluster.machine(NodeId(1)).unwrap();
    machine.change_link(|link| link.latency = Duration::from_millis(100));
    tokio::task::yield_now().await;
    let begun = Instant::now();
    let all: Vec<u8> = (0..10).flat_map(|correlation| question(NEWEST, correlation)).collect();
    stream.write_all(&all).await.unwrap();
    for _ in 0..10 {
        frame(&mut stream).await.unwrap();
    }
    let took = begun.elapsed().as_millis();
    assert!((200..=202).contains(&took), "{took} ms");
}

#[tokio::test(start_paused = true)]
async fn what_was_held_up_on_the_way_arrives_when_the_way_is_open_again() {
    for answers_too in [true, false] {
        let cluster = started();
        let (at, mut stream) = at_node_1(&cluster).await;
        let machine = cluster.machine(NodeId(1)).unwrap();
        machine.change_link(|link| {
            link.answers = false;
            link.requests = !answers_too;
        });
        assert!(timeout(LIMIT, ask(&mut stream)).await.is_err());
        assert!(timeout(LIMIT, cluster.connect(&at)).await.is_err());
        machine.change_link(|link| {
            link.answers = true;
            link.requests = true;
        });
        let (correlation, _) = understand(timeout(LIMIT, frame(&mut stream)).await.unwrap().unwrap(), NEWEST);
        assert_eq!(correlation, 7);
    }
}

#[tokio::test(start_paused = true)]
async fn one_answer_is_damaged_and_the_next_one_is_whole() {
    let cluster = started();
    let machine = cluster.machine(NodeId(1)).unwrap();
    for damage in [Damage::ResetMidFrame, Damage::Truncated, Damage::Withheld, Damage::Corrupt] {
        let (_, mut stream) = at_node_1(&cluster).await;
        machine.damage_next(ApiKey::ApiVersions, damage);
        stream.write_all(&question(NEWEST, 7)).await.unwrap();
        match (damage, timeout(LIMIT, frame(&mut stream)).await) {
            (Damage::ResetMidFrame, Ok(Err(error))) => {
                assert_eq!(error.kind(), io::ErrorKind::ConnectionReset)
            }
            (Damage::Truncated, Ok(Err(error))) => assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof),
            (Damage::Withheld, Err(_)) => {}
            (Damage::Corrupt, Ok(Ok(answer))) => {
                // Not decoded: the lengths in it are such as no memory could hold.
                let (head, body) = answer.split_at(4);
                assert_eq!(head, 7_i32.to_be_bytes());
                assert!(!body.is_empty() && body.iter().all(|byte| *byte >= 0x80));
            }
            (damage, outcome) => panic!("{damage:?}: {outcome:?}"),
        }
        at_node_1(&cluster).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_stopped_process_refuses_and_resets_even_when_it_is_back_at_once() {
    let cluster = started();
    let (at, mut stream) = at_node_1(&cluster).await;
    let machine = cluster.machine(NodeId(1)).unwrap();
    machine.stop();
    assert!(refused(&cluster, &at).await);
    machine.start();
    assert!(reset(ask(&mut stream).await));
    at_node_1(&cluster).await;
}

#[tokio::test(start_paused = true)]
async fn the_bootstrap_address_leads_past_brokers_that_are_gone() {
    let cluster = started();
    for node in [1, 2] {
        cluster.machine(NodeId(node)).unwrap().stop();
        for _ in 0..4 {
            assert!(ask(&mut cluster.connect(&cluster.bootstrap()).await.unwrap()).await.unwrap());
        }
    }
    cluster.machine(NodeId(3)).unwrap().stop();
    assert!(refused(&cluster, &cluster.bootstrap()).await);
}

#[tokio::test(start_paused = true)]
async fn names_change_while_the_network_runs() {
    let cluster = started();
    let network = cluster.network().unwrap();
    let named = Address::new("kafka.example", 9092);
    assert!(refused(&cluster, &named).await);
    let hosts: Vec<_> = cluster.endpoints().into_values().map(|at| at.host).collect();
    network.with_names(|names| names.set("kafka.example", ["10.9.9.9".to_owned(), hosts[1].clone()]));
    assert!(ask(&mut cluster.connect(&named).await.unwrap()).await.unwrap());
    network.with_names(|names| names.set("kafka.example", []));
    let missing = cluster.connect(&named).await.unwrap_err();
    assert_eq!(missing.kind(), io::ErrorKind::NotFound);
}

async fn dial(at: &Address) -> io::Result<TcpStream> {
    timeout(LIMIT, TcpStream::connect((at.host.as_str(), at.port))).await?
}

#[tokio::test]
async fn over_tcp_moved_brokers_are_reached_anew_and_the_old_ports_refuse_or_are_black_holes() {
    for old in [Old::Refuse, Old::BlackHole] {
        let cluster = Embedded::on_loopback(&Spec::default()).unwrap();
        let before = cluster.endpoints()[&NodeId(1)].clone();
        let mut standing = dial(&before).await.unwrap();
        assert!(ask(&mut standing).await.unwrap());
        let moved = cluster.move_endpoints(&Nodes::All, old).unwrap();
        for at in moved.to.values().chain([&cluster.bootstrap()]) {
            assert!(ask(&mut dial(at).await.unwrap()).await.unwrap(), "{at}");
        }
        if old == Old::Refuse {
            assert!(reset(standing.read(&mut [0; 1]).await.map(|_| true)));
            assert_eq!(dial(&before).await.unwrap_err().kind(), io::ErrorKind::ConnectionRefused);
        } else {
            let mut fresh = dial(&before).await.unwrap();
            fresh.write_all(&question(NEWEST, 1)).await.unwrap();
            standing.write_all(&question(NEWEST, 1)).await.unwrap();
            let silent = Duration::from_millis(50);
            assert!(timeout(silent, fresh.read(&mut [0; 1])).await.is_err());
            assert!(timeout(silent, standing.read(&mut [0; 1])).await.is_err());
        }
    }
}

#[tokio::test]
async fn over_tcp_a_restarted_broker_is_back_at_its_port() {
    let cluster = Embedded::on_loopback(&Spec::default()).unwrap();
    let at = cluster.endpoints()[&NodeId(1)].clone();
    let mut standing = dial(&at).await.unwrap();
    assert!(ask(&mut standing).await.unwrap());
    let machine = cluster.machine(NodeId(1)).unwrap();
    machine.stop();
    assert!(reset(standing.read(&mut [0; 1]).await.map(|_| true)));
    machine.start();
    let back = async {
        loop {
            if let Ok(mut stream) = dial(&at).await {
                return ask(&mut stream).await.unwrap();
            }
            tokio::task::yield_now().await;
        }
    };
    assert!(timeout(LIMIT, back).await.unwrap());
    assert!(cluster.move_endpoints(&Nodes::All, Old::Drop).is_err(), "TCP cannot drop packets");
}
