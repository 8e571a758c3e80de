//! What the embedded cluster keeps is what the service's own reader of batches takes for Kafka's.

#![expect(clippy::unwrap_used, reason = "what fails here fails its test")]

use bytes::Bytes;
use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use kafka_protocol::messages::{FetchRequest, RequestKind, ResponseKind, TopicName};
use kafka_protocol::protocol::StrBytes;
use steadfast_core::endpoints::view::Address;
use steadfast_core::ids::{NodeId, Partition};
use steadfast_core::tick::Tick;
use steadfast_kafka::records::batch::{RecordBatch, batches};
use steadfast_sim::batch::NewRecord;
use steadfast_sim::call::{Call, ConnectionId, Reply, Ticket};
use steadfast_sim::cluster::Cluster;

fn cluster() -> (Cluster, Partition) {
    let mut cluster = Cluster::new("cluster", [(NodeId(1), Address::new("127.0.0.1", 9092))]);
    cluster.create_topic("t", 1).unwrap();
    (cluster, Partition::new("t", 0))
}

fn fetched(cluster: &mut Cluster) -> Vec<RecordBatch> {
    let call = Call {
        node: NodeId(1),
        connection: ConnectionId(1),
        ticket: Ticket(1),
        version: 12,
        client_id: "test".into(),
        client_host: "/127.0.0.1".into(),
    };
    let asked = FetchPartition::default().with_current_leader_epoch(-1).with_partition_max_bytes(1 << 20);
    let topic = FetchTopic::default()
        .with_topic(TopicName(StrBytes::from_static_str("t")))
        .with_partitions(vec![asked.with_last_fetched_epoch(-1)]);
    let request = FetchRequest::default().with_max_bytes(1 << 20).with_topics(vec![topic]);
    let Reply::Now(answer) = cluster.request(&call, RequestKind::Fetch(request), Tick::ZERO) else {
        panic!("expected an answer at once");
    };
    let ResponseKind::Fetch(answer) = *answer else { panic!("expected a fetch answer") };
    let bytes = answer.responses[0].partitions[0].records.clone().unwrap();
    batches(bytes).map(|batch| batch.unwrap()).collect()
}

#[test]
fn records_come_back_as_they_were_appended() {
    let (mut cluster, partition) = cluster();
    let full = NewRecord {
        timestamp_ms: 5,
        key: Some(Bytes::from_static(b"key")),
        value: Some(Bytes::from(vec![7; 1000])),
        headers: vec![
            (Bytes::from_static(b"h"), Some(Bytes::from_static(b"1"))),
            (Bytes::from_static(b"h"), None),
        ],
    };
    let tombstone = NewRecord { timestamp_ms: 3, key: Some(Bytes::new()), ..NewRecord::default() };
    cluster.append(&partition, vec![full.clone()]).unwrap();
    cluster.append(&partition, vec![tombstone.clone(), full.clone()]).unwrap();
    let mut back = Vec::new();
    for batch in fetched(&mut cluster) {
        batch.verify().unwrap();
        for record in batch.decompress(1 << 20).unwrap().records() {
            let record = record.unwrap();
            let headers = record
                .headers()
                .map(|header| (Bytes::copy_from_slice(header.key), header.value.map(Bytes::copy_from_slice)));
            let appended = NewRecord {
                timestamp_ms: record.timestamp,
                key: record.key.map(Bytes::copy_from_slice),
                value: record.value.map(Bytes::copy_from_slice),
                headers: headers.collect(),
            };
            back.push((record.offset.0, appended));
        }
    }
    assert_eq!(back, [(0, full.clone()), (1, tombstone), (2, full)]);
}

#[test]
fn a_marker_is_a_control_batch_of_its_producer() {
    let (mut cluster, partition) = cluster();
    cluster.append_transactional(&partition, 42, vec![NewRecord::new(0, "x")]).unwrap();
    cluster.end_transaction(42, false);
    let batches = fetched(&mut cluster);
    let told: Vec<_> = batches
        .iter()
        .map(|batch| (batch.header().producer_id, batch.header().transactional, batch.header().control))
        .collect();
    assert_eq!(told, [(42, true, false), (42, true, true)]);
}
