//! A leader's loop when its broker goes away: what was claimed is delivered all the same.

#![expect(clippy::unwrap_used, reason = "a test says what it expects")]

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::{BufMut, BytesMut};
use kafka_protocol::messages::api_versions_response::ApiVersion;
use kafka_protocol::messages::fetch_response::{FetchableTopicResponse, PartitionData};
use kafka_protocol::messages::metadata_response::MetadataResponseBroker;
use kafka_protocol::messages::{
    ApiVersionsResponse, FetchResponse, MetadataResponse, RequestHeader, ResponseHeader, TopicName,
};
use kafka_protocol::protocol::{Encodable, HeaderVersion, StrBytes, decode_request_header_from_buffer};
use steadfast_core::acked::Span;
use steadfast_core::endpoints::backoff::Jitter;
use steadfast_core::endpoints::view::Address;
use steadfast_core::ids::{
    AssignmentEpoch, ConsumerIncarnation, FetchGeneration, HandlerIncarnation, LeaderEpoch, NodeId, Offset,
    Partition, TopicId,
};
use steadfast_core::progress::{Claim, Grant, Lease, Position};
use steadfast_kafka::api::Isolation;
use steadfast_kafka::api::list_offsets::LogEnd;
use steadfast_kafka::connection::Dial;
use steadfast_kafka::fetch::intake::{Delivery, Intake, Note, Want};
use steadfast_kafka::fetch::leader::{LeaderLoop, Settings};
use steadfast_kafka::fetch::memory::Memory as Bytes;
use steadfast_kafka::frame::read_frame;
use steadfast_kafka::records::batch::{BatchError, RecordBatch};
use steadfast_kafka::records::write::{BatchSpec, NewRecord};
use steadfast_kafka::transport::Memory;
use steadfast_watch as watch;
use tokio::io::{AsyncWriteExt, DuplexStream};
use tokio::sync::mpsc;

const API_VERSIONS: (i16, i16, i16) = (18, 0, 3);
const METADATA: (i16, i16, i16) = (3, 0, 12);
const FETCH: (i16, i16, i16) = (1, 4, 12);

/// One partition whose every claim is granted; what becomes of it is told.
struct Ledger {
    next: Mutex<Offset>,
    told: mpsc::UnboundedSender<Told>,
}

#[derive(Debug, PartialEq, Eq)]
enum Told {
    Claimed(Offset),
    Delivered(Offset),
    GivenBack,
    Broken,
}

fn position(offset: Offset) -> Position {
    let (generation, leader_epoch) = (FetchGeneration(1), LeaderEpoch::UNKNOWN);
    Position { topic: TopicId::UNKNOWN, generation, offset, leader_epoch }
}

impl Intake for Ledger {
    fn want(&self, _: &Partition) -> Want {
        Want::Records(position(*self.next.lock().unwrap()))
    }

    fn changes(&self) -> watch::Receiver<u64> {
        watch::channel(0).1
    }

    fn claim(&self, _: &Partition, from: Position, next: Offset, _: LeaderEpoch) -> Claim {
        *self.next.lock().unwrap() = next;
        self.told.send(Told::Claimed(from.offset)).unwrap();
        let lease = Lease {
            assignment: AssignmentEpoch(1),
            handler: HandlerIncarnation(1),
            generation: FetchGeneration(1),
        };
        let (skip, none) = (Vec::new(), Offset(0));
        Claim::Granted(Grant { lease, next, skip, redelivered_below: none, handed_again_below: none })
    }

    fn deliver(&self, delivery: Delivery) {
        self.told.send(Told::Delivered(delivery.span.from)).unwrap();
    }

    fn undeliverable(&self, _: &Partition, _: &Grant) {
        self.told.send(Told::GivenBack).unwrap();
    }

    fn unreadable(&self, _: &Partition, _: Span, _: &RecordBatch, _: &BatchError) {}

    fn placed(&self, _: &Partition, _: LogEnd, _: Offset, _: LeaderEpoch) {}

    fn saw_end(&self, _: &Partition, _: Offset) {}

    fn note(&self, note: Note) {
        if let Note::Broken { stood: true, .. } = note {
            self.told.send(Told::Broken).unwrap();
        }
    }
}

/// A broker's side of a connection.
struct Broker(DuplexStream);

impl Broker {
    async fn asked(&mut self, (api, _, _): (i16, i16, i16)) -> RequestHeader {
        let mut body = read_frame(&mut self.0, 1 << 20).await.unwrap();
        let header = decode_request_header_from_buffer(&mut body).unwrap();
        assert_eq!(header.request_api_key, api);
        header
    }

    async fn answer<M: Encodable + HeaderVersion>(&mut self, asked: &RequestHeader, message: &M) {
        let version = asked.request_api_version;
        let mut body = BytesMut::new();
        let header = ResponseHeader::default().with_correlation_id(asked.correlation_id);
        header.encode(&mut body, M::header_version(version)).unwrap();
        message.encode(&mut body, version).unwrap();
        let mut frame = BytesMut::new();
        frame.put_u32(u32::try_from(body.len()).unwrap());
        frame.extend_from_slice(&body);
        self.0.write_all(&frame).await.unwrap();
    }

    async fn greet(&mut self) {
        let offer = |(key, min, max)| {
            ApiVersion::default().with_api_key(key).with_min_version(min).with_max_version(max)
        };
        let asked = self.asked(API_VERSIONS).await;
        let offered = [API_VERSIONS, METADATA, FETCH].map(offer).to_vec();
        self.answer(&asked, &ApiVersionsResponse::default().with_api_keys(offered)).await;
        let asked = self.asked(METADATA).await;
        let host = StrBytes::from_static_str("broker");
        let broker = MetadataResponseBroker::default().with_node_id(1.into()).with_host(host).with_port(9092);
        self.answer(&asked, &MetadataResponse::default().with_brokers(vec![broker])).await;
    }
}

/// One record at offset 0 of partition 0.
fn one_record() -> FetchResponse {
    let records = BatchSpec::at(Offset(0)).write(&[NewRecord::new(Offset(0), 0, "a")]).unwrap();
    let part = PartitionData::default().with_high_watermark(1).with_last_stable_offset(1);
    let topic = FetchableTopicResponse::default()
        .with_topic(TopicName(StrBytes::from_static_str("t")))
        .with_partitions(vec![part.with_records(Some(records))]);
    FetchResponse::default().with_responses(vec![topic])
}

#[tokio::test]
async fn what_is_claimed_is_delivered_when_the_connection_breaks_right_after_the_answer() {
    let (network, address) = (Memory::default(), Address::new("broker", 9092));
    let mut listener = network.listen(address.clone());
    let (told, mut heard) = mpsc::unbounded_channel();
    let partition = Partition { topic: "t".into(), index: 0 };
    let (_owner, led) = watch::channel(Arc::new(BTreeMap::from([(partition, LeaderEpoch::UNKNOWN)])));
    let fetching = LeaderLoop {
        node: NodeId(1),
        incarnation: ConsumerIncarnation(1),
        dial: Dial::new(address),
        transport: Arc::new(network),
        settings: Settings {
            isolation: Isolation::ReadCommitted,
            max_wait: Duration::from_millis(500),
            min_bytes: 1,
            max_bytes: 1 << 20,
            partition_max_bytes: 1 << 20,
            request_timeout: Duration::from_secs(30),
            decompressed_limit: 1 << 20,
        },
        memory: Bytes::new(1 << 24),
        led,
        intake: Arc::new(Ledger { next: Mutex::new(Offset(0)), told }),
        jitter: Arc::new(|| Jitter::FULL),
    };
    let fetching = tokio::spawn(fetching.run(None));
    let mut broker = Broker(listener.accept().await.unwrap());
    broker.greet().await;
    let asked = broker.asked(FETCH).await;
    broker.answer(&asked, &one_record()).await;
    drop(broker);
    let expected = [Told::Claimed(Offset(0)), Told::Delivered(Offset(0)), Told::Broken];
    for expected in expected {
        assert_eq!(heard.recv().await, Some(expected));
    }
    fetching.abort();
}
