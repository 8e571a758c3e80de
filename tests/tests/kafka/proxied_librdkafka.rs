//! The drift proxy between a real cluster and librdkafka's consumer.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::time::{SystemTime, UNIX_EPOCH};

use libtest_mimic::Trial;
use steadfast_sim::proxy::{Door, Nodes, Old};
use steadfast_tests::kafka::Cluster;
use steadfast_tests::reader::Reader;
use steadfast_tests::stage::Stage;
use steadfast_tests::within;

use crate::proxy::{LIMIT, expect_named, load, proxied, refused};

pub(crate) fn trials(stage: &Stage) -> Vec<Trial> {
    vec![
        stage.trial("proxy::librdkafka_is_given_every_record", every_record),
        stage.trial("proxy::librdkafka_survives_old_ports_that_refuse", refuse),
        stage.trial("proxy::librdkafka_survives_old_ports_that_are_black_holes", black_hole),
    ]
}

/// Waits until the reader has been given something of every partition.
fn flowing(reader: &Reader) {
    resumed(reader, UNIX_EPOCH);
}

/// Waits until the reader has been given something of every partition after `since`.
fn resumed(reader: &Reader, since: SystemTime) {
    let partitions = || reader.checker().first_after(since).len();
    within(LIMIT, || if partitions() == 12 { Ok(()) } else { Err(partitions()) }).unwrap();
}

fn every_record(cluster: &mut Cluster) {
    let load = load(cluster, "every-record");
    let (_runtime, proxy) = proxied(cluster);
    let reader = Reader::start(&proxy.bootstrap().to_string(), "every-record", "every-record", &[]).unwrap();
    flowing(&reader);
    let verdict = reader.verdict_within(LIMIT, &load.stop().unwrap()).unwrap();
    assert!(verdict.is_clean(), "{verdict:?}");
}

fn refuse(cluster: &mut Cluster) {
    let load = load(cluster, "refuse");
    let (runtime, proxy) = proxied(cluster);
    let reader = Reader::start(&proxy.bootstrap().to_string(), "refuse", "refuse", &[]).unwrap();
    flowing(&reader);

    let moved = runtime.block_on(proxy.move_endpoints(Nodes::All, Old::Refuse)).unwrap();

    for (node, old) in &moved.from {
        assert!(refused(*old), "broker {node}");
        expect_named(moved.to[node], &moved.to);
    }
    resumed(&reader, moved.at);
    let verdict = reader.verdict_within(LIMIT, &load.stop().unwrap()).unwrap();
    assert_eq!((verdict.lost, verdict.disordered), (vec![], vec![]));
}

fn black_hole(cluster: &mut Cluster) {
    let load = load(cluster, "black-hole");
    let (runtime, proxy) = proxied(cluster);
    // By default librdkafka waits a minute for a broker that is silent.
    let impatient = [
        ("metadata.recovery.rebootstrap.trigger.ms", "2000"),
        ("socket.timeout.ms", "2000"),
        ("topic.metadata.refresh.interval.ms", "1000"),
    ];
    let reader =
        Reader::start(&proxy.bootstrap().to_string(), "black-hole", "black-hole", &impatient).unwrap();
    flowing(&reader);

    let moved = runtime.block_on(proxy.move_endpoints(Nodes::All, Old::BlackHole)).unwrap();

    assert!(proxy.connections().iter().any(|open| open.door == Door::Broker { node: 1, generation: 0 }));
    for (node, old) in &moved.from {
        let mut silent = TcpStream::connect_timeout(old, LIMIT).unwrap();
        silent.write_all(b"\0\0\0\x0b\0\x12\0\0\0\0\0\x01\0\x01x").unwrap(); // ApiVersions
        expect_named(moved.to[node], &moved.to);
        silent.set_nonblocking(true).unwrap();
        assert_eq!(silent.read(&mut [0]).unwrap_err().kind(), io::ErrorKind::WouldBlock);
    }
    resumed(&reader, moved.at);
    let verdict = reader.verdict_within(LIMIT, &load.stop().unwrap()).unwrap();
    assert_eq!((verdict.lost, verdict.disordered), (vec![], vec![]));
}
