//! The drift proxy in front of a real cluster.

use std::collections::BTreeMap;
use std::io;
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use kafka_protocol::messages::create_topics_request::CreatableTopic;
use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_protocol::messages::{ApiKey, CreateTopicsRequest, FetchRequest, ProduceRequest, TopicName};
use kafka_protocol::protocol::StrBytes;
use kafka_protocol::records::{Compression, Record, RecordBatchEncoder, RecordEncodeOptions, TimestampType};
use libtest_mimic::Trial;
use serde_json::Value;
use steadfast_sim::proxy::{DriftProxy, Nodes, Old};
use steadfast_tests::checker::{Checker, Delivered, Mark};
use steadfast_tests::java::{Line, Program};
use steadfast_tests::kafka::{Cluster, ask, endpoints, metadata};
use steadfast_tests::load::{Load, Plan};
use steadfast_tests::stage::Stage;
use steadfast_tests::within;
use tokio::runtime::Runtime;

pub(crate) const LIMIT: Duration = Duration::from_secs(60);

pub(crate) fn trials(stage: &Stage) -> Vec<Trial> {
    vec![
        stage.trial("proxy::every_address_names_the_proxy_s_endpoints_only", endpoints_only),
        stage.trial("proxy::java_s_members_are_given_every_record", |cluster| {
            java(cluster, "range", &[ApiKey::Fetch, ApiKey::FindCoordinator]);
        }),
        stage.trial_since((4, 0), "proxy::java_s_members_of_kip_848_are_given_every_record", |cluster| {
            java(cluster, "consumer", &[ApiKey::Fetch, ApiKey::ConsumerGroupHeartbeat]);
        }),
        stage.trial("proxy::old_ports_in_their_time_of_grace_name_the_new_ones", grace),
        stage.trial("proxy::a_broker_that_is_added_is_learnt", added),
        stage.trial("proxy::new_leaders_are_named_at_the_proxy_s_endpoints", new_leaders),
    ]
}

/// A proxy in front of the cluster, and the runtime it lives on.
pub(crate) fn proxied(cluster: &Cluster) -> (Runtime, DriftProxy) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let proxy = runtime.block_on(DriftProxy::start(cluster.addresses().into_values().collect())).unwrap();
    (runtime, proxy)
}

pub(crate) fn load(cluster: &Cluster, topic: &str) -> Load {
    cluster.create_topic(topic, 12, &[]).unwrap();
    Load::start(Plan {
        bootstrap: cluster.bootstrap(),
        topic: topic.to_owned(),
        partitions: 12,
        per_second: 300,
    })
    .unwrap()
}

pub(crate) fn expect_named(at: SocketAddr, expected: &BTreeMap<i32, SocketAddr>) {
    assert_eq!(endpoints(at).unwrap(), *expected, "as {at} says");
}

pub(crate) fn refused(at: SocketAddr) -> bool {
    TcpStream::connect_timeout(&at, LIMIT)
        .is_err_and(|error| error.kind() == io::ErrorKind::ConnectionRefused)
}

fn endpoints_only(cluster: &mut Cluster) {
    let (_runtime, proxy) = proxied(cluster);
    let endpoints = proxy.endpoints();
    assert_eq!(endpoints.keys().collect::<Vec<_>>(), cluster.addresses().keys().collect::<Vec<_>>());
    for at in endpoints.values().chain([&proxy.bootstrap()]) {
        expect_named(*at, &endpoints);
    }
}

/// Java asks for the newest versions of everything, such as new leaders in Fetch answers.
fn java(cluster: &mut Cluster, assignor: &str, newest: &[ApiKey]) {
    let topic = format!("java-{assignor}");
    let load = load(cluster, &topic);
    let (_runtime, proxy) = proxied(cluster);
    let bootstrap = proxy.bootstrap().to_string();
    let mut member = Program::start("GroupMember", &[&bootstrap, assignor, &topic, assignor]).unwrap();
    member.wait_for(LIMIT, |line| line.json["event"] == "record").unwrap();
    let acked = load.stop().unwrap();
    for (partition, sequences) in &acked {
        let last = Mark { partition: *partition, sequence: *sequences.last().unwrap() };
        member.wait_for(LIMIT, |line| mark(&line.json) == Some(last)).unwrap();
    }
    let mut checker = Checker::default();
    for Line { at, json } in member.lines() {
        if let Some(mark) = mark(&json) {
            checker.see(Delivered { mark, offset: json["offset"].as_i64().unwrap(), at });
        }
    }
    let verdict = checker.verdict(&acked);
    assert!(verdict.is_clean(), "{verdict:?}");
    for api in newest {
        assert!(proxy.requests_of(*api as i16) > 0, "{api:?}");
    }
}

fn mark(line: &Value) -> Option<Mark> {
    Mark::read(line["value"].as_str()?.as_bytes())
}

fn grace(cluster: &mut Cluster) {
    let (runtime, proxy) = proxied(cluster);
    let grace = Duration::from_millis(500);
    let moved = runtime.block_on(proxy.move_endpoints(Nodes::All, Old::Grace(LIMIT))).unwrap();
    for old in moved.from.values() {
        expect_named(*old, &moved.to);
    }
    let moved = runtime.block_on(proxy.move_endpoints(Nodes::All, Old::Grace(grace))).unwrap();
    for (node, old) in &moved.from {
        within(LIMIT, || if refused(*old) { Ok(()) } else { Err(node) }).unwrap();
        expect_named(moved.to[node], &moved.to);
    }
    assert!(moved.at.elapsed().unwrap() >= grace);
}

fn added(cluster: &mut Cluster) {
    let (runtime, proxy) = proxied(cluster);
    let before = proxy.endpoints();
    let id = cluster.add_broker().unwrap();

    let named = endpoints(proxy.bootstrap()).unwrap();

    assert_eq!(named, proxy.endpoints());
    assert_ne!(named[&id], cluster.addresses()[&id]);
    expect_named(named[&id], &named);
    assert!(before.iter().all(|(node, at)| named[node] == *at));
    let moved = runtime.block_on(proxy.move_endpoints(Nodes::Some([id].into()), Old::Refuse)).unwrap();
    assert!(refused(named[&id]));
    expect_named(moved.to[&id], &proxy.endpoints());
    cluster.remove_broker(id).unwrap();
    assert_eq!(endpoints(proxy.bootstrap()).unwrap(), before);
}

/// What a real broker answers to a Fetch and a Produce for a partition that another one leads (KIP-951).
fn new_leaders(cluster: &mut Cluster) {
    create_without_copies(cluster, "led");
    let (_runtime, proxy) = proxied(cluster);
    let topic = metadata(proxy.bootstrap(), &["led"]).unwrap().topics.remove(0);
    let leader = topic.partitions[0].leader_id.0;
    let other = *proxy.endpoints().iter().find(|(node, _)| **node != leader).unwrap().1;
    let expected = [(leader, proxy.endpoints()[&leader].to_string())];
    for version in 16..=18 {
        let partition = FetchPartition::default().with_partition_max_bytes(1 << 20);
        let wanted = FetchTopic::default().with_topic_id(topic.topic_id).with_partitions(vec![partition]);
        let request = FetchRequest::default().with_max_bytes(1 << 20).with_topics(vec![wanted]);
        let named = ask(other, version, &request).unwrap().node_endpoints;
        let named: Vec<_> =
            named.iter().map(|at| (at.node_id.0, format!("{}:{}", &*at.host, at.port))).collect();
        assert_eq!(named, expected, "Fetch v{version}");
    }
    for version in 10..=13 {
        let partition = PartitionProduceData::default().with_records(Some(one_record()));
        let data = TopicProduceData::default().with_partition_data(vec![partition]);
        let data = match version {
            13 => data.with_topic_id(topic.topic_id),
            _ => data.with_name(TopicName(StrBytes::from_static_str("led"))),
        };
        let request =
            ProduceRequest::default().with_acks(1).with_timeout_ms(5000).with_topic_data(vec![data]);
        let named = ask(other, version, &request).unwrap().node_endpoints;
        let named: Vec<_> =
            named.iter().map(|at| (at.node_id.0, format!("{}:{}", &*at.host, at.port))).collect();
        assert_eq!(named, expected, "Produce v{version}");
    }
}

/// One partition on one broker: what the others are asked of it is not theirs to answer.
fn create_without_copies(cluster: &Cluster, topic: &str) {
    let first = cluster.addresses()[&1];
    let topic_name = TopicName(StrBytes::from_string(topic.to_owned()));
    let new =
        CreatableTopic::default().with_name(topic_name).with_num_partitions(1).with_replication_factor(1);
    let request = CreateTopicsRequest::default().with_topics(vec![new]).with_timeout_ms(10_000);
    assert_eq!(ask(first, 7, &request).unwrap().topics[0].error_code, 0);
    for at in cluster.addresses().values() {
        let led = || metadata(*at, &[topic]).is_ok_and(|known| known.topics[0].partitions.len() == 1);
        within(LIMIT, || if led() { Ok(()) } else { Err(at) }).unwrap();
    }
}

fn one_record() -> Bytes {
    let record = Record {
        transactional: false,
        control: false,
        delete_horizon: false,
        partition_leader_epoch: -1,
        producer_id: -1,
        producer_epoch: -1,
        timestamp_type: TimestampType::Creation,
        offset: 0,
        sequence: -1,
        timestamp: 0,
        key: None,
        value: Some(Bytes::from_static(b"x")),
        headers: Default::default(),
    };
    let mut batch = BytesMut::new();
    let options = RecordEncodeOptions { version: 2, compression: Compression::None };
    RecordBatchEncoder::encode(&mut batch, [&record], &options).unwrap();
    batch.freeze()
}
