//! The broker's side of one connection.

use std::io;
use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use kafka_protocol::messages::api_versions_response::ApiVersion;
use kafka_protocol::messages::fetch_response::{FetchableTopicResponse, PartitionData};
use kafka_protocol::messages::metadata_response::MetadataResponseBroker;
use kafka_protocol::messages::{
    ApiVersionsResponse, FetchRequest, FetchResponse, MetadataResponse, RequestHeader, ResponseHeader,
    TopicName,
};
use kafka_protocol::protocol::{Decodable, Encodable, HeaderVersion, StrBytes};
use tokio::io::{AsyncWriteExt, DuplexStream};
use tokio::time::{Instant, timeout};
use uuid::Uuid;

use super::stage::TOPIC;
use crate::frame::read_frame;
use crate::records::write::{BatchSpec, NewRecord};
use crate::transport::Listener;
use steadfast_core::ids::Offset;

/// The Fetch version that names topics by name.
pub(super) const BY_NAME: i16 = 12;

/// One connection, from the broker's side.
pub(super) struct Wire {
    io: DuplexStream,
}

/// A request as it arrived.
pub(super) struct Asked<M> {
    pub(super) header: RequestHeader,
    pub(super) message: M,
    pub(super) at: Instant,
}

impl Wire {
    /// The next connection, its handshake answered; it speaks Fetch up to `fetch`.
    pub(super) async fn accept(listener: &mut Listener, fetch: i16) -> Wire {
        loop {
            let dialled = timeout(Duration::from_secs(60), listener.accept()).await;
            if let Some(wire) = Wire::over(dialled.expect("a connection").expect("a listener"), fetch).await {
                return wire;
            }
        }
    }

    /// A connection that was dialled, its handshake answered; none if it was given up meanwhile.
    pub(super) async fn over(io: DuplexStream, fetch: i16) -> Option<Wire> {
        let mut wire = Wire { io };
        let mut first =
            timeout(Duration::from_secs(60), read_frame(&mut wire.io, 1 << 20)).await.ok()?.ok()?;
        let versions = kafka_protocol::protocol::decode_request_header_from_buffer(&mut first).unwrap();
        let offers = [(18, 0, 4), (3, 0, 12), (1, 4, fetch), (2, 1, 9), (23, 2, 4)];
        let offer = |(key, min, max)| {
            ApiVersion::default().with_api_key(key).with_min_version(min).with_max_version(max)
        };
        let offers = ApiVersionsResponse::default().with_api_keys(offers.map(offer).to_vec());
        wire.reply(&versions, &offers).await.ok()?;
        let (metadata, _) = wire.raw().await;
        let host = StrBytes::from_static_str("broker");
        let broker = MetadataResponseBroker::default().with_node_id(1.into()).with_host(host).with_port(9092);
        wire.reply(&metadata, &MetadataResponse::default().with_brokers(vec![broker])).await.ok()?;
        Some(wire)
    }

    async fn raw(&mut self) -> (RequestHeader, Bytes) {
        let frame = timeout(Duration::from_secs(60), read_frame(&mut self.io, 1 << 20)).await;
        let mut body = frame.expect("a request").expect("a connection");
        (kafka_protocol::protocol::decode_request_header_from_buffer(&mut body).unwrap(), body)
    }

    /// The next request, which must be an `M`.
    pub(super) async fn asked<M: Decodable>(&mut self, key: i16) -> Asked<M> {
        let (header, mut body) = self.raw().await;
        assert_eq!(header.request_api_key, key, "the kind of the request");
        let message = M::decode(&mut body, header.request_api_version).unwrap();
        Asked { header, message, at: Instant::now() }
    }

    pub(super) async fn fetch(&mut self) -> Asked<FetchRequest> {
        self.asked(1).await
    }

    /// The next fetch, if one arrives within `limit`.
    pub(super) async fn fetch_within(&mut self, limit: Duration) -> Option<Asked<FetchRequest>> {
        let mut body = timeout(limit, read_frame(&mut self.io, 1 << 20)).await.ok()?.ok()?;
        let header = kafka_protocol::protocol::decode_request_header_from_buffer(&mut body).unwrap();
        assert_eq!(header.request_api_key, 1, "the kind of the request");
        let message = FetchRequest::decode(&mut body, header.request_api_version).unwrap();
        Some(Asked { header, message, at: Instant::now() })
    }

    /// Whether any request arrives before the connection ends.
    pub(super) async fn hears_something(&mut self) -> bool {
        timeout(Duration::from_secs(60), read_frame(&mut self.io, 1 << 20)).await.expect("an end").is_ok()
    }

    /// No request arrives for this long.
    pub(super) async fn hears_nothing_for(&mut self, how_long: Duration) {
        assert!(timeout(how_long, read_frame(&mut self.io, 1 << 20)).await.is_err(), "a request came");
    }

    /// Until the loop closes the connection.
    pub(super) async fn closed(&mut self) {
        let end = timeout(Duration::from_secs(60), read_frame(&mut self.io, 1 << 20)).await;
        assert!(end.expect("an end").is_err(), "a request came");
    }

    pub(super) async fn answer<R, M: Encodable + HeaderVersion>(&mut self, asked: &Asked<R>, message: &M) {
        self.reply(&asked.header, message).await.unwrap();
    }

    /// Answers, unless the connection has ended.
    pub(super) async fn try_answer<R, M: Encodable + HeaderVersion>(
        &mut self,
        asked: &Asked<R>,
        message: &M,
    ) {
        drop(self.reply(&asked.header, message).await);
    }

    async fn reply<M: Encodable + HeaderVersion>(
        &mut self,
        header: &RequestHeader,
        message: &M,
    ) -> io::Result<()> {
        self.io.write_all(&framed(header, message)).await
    }

    /// Writes these bytes of a frame, unless the connection has ended; whether it has not.
    pub(super) async fn says(&mut self, bytes: &[u8]) -> bool {
        self.io.write_all(bytes).await.is_ok()
    }

    /// Answers `bytes` behind the correlation id.
    pub(super) async fn answer_bytes<R>(&mut self, asked: &Asked<R>, bytes: &[u8]) {
        let body = [&asked.header.correlation_id.to_be_bytes(), bytes].concat();
        self.io.write_all(&with_length(&body)).await.unwrap();
    }
}

fn framed<M: Encodable + HeaderVersion>(header: &RequestHeader, message: &M) -> Bytes {
    let version = header.request_api_version;
    let mut body = BytesMut::new();
    let answer = ResponseHeader::default().with_correlation_id(header.correlation_id);
    answer.encode(&mut body, M::header_version(version)).unwrap();
    message.encode(&mut body, version).unwrap();
    with_length(&body)
}

fn with_length(body: &[u8]) -> Bytes {
    let mut frame = BytesMut::new();
    frame.put_i32(body.len() as i32);
    frame.extend_from_slice(body);
    frame.freeze()
}

/// A batch of `count` records from `from` on, each with its offset as its value.
pub(super) fn batch(from: i64, count: i64) -> Bytes {
    batch_of(BatchSpec::at(Offset(from)), count)
}

pub(super) fn batch_of(spec: BatchSpec, count: i64) -> Bytes {
    let from = spec.base_offset.0;
    let record = |offset: i64| NewRecord::new(Offset(offset), 0, offset.to_string());
    spec.write(&(from..from + count).map(record).collect::<Vec<_>>()).unwrap()
}

/// What a partition's part of an answer is to hold.
pub(super) fn part(index: i32, records: impl Into<Bytes>) -> PartitionData {
    PartitionData::default()
        .with_partition_index(index)
        .with_high_watermark(1000)
        .with_last_stable_offset(900)
        .with_records(Some(records.into()))
}

pub(super) fn refusal(index: i32, code: i16) -> PartitionData {
    PartitionData::default().with_partition_index(index).with_error_code(code)
}

/// An answer that names the topic.
pub(super) fn brought(parts: impl IntoIterator<Item = PartitionData>) -> FetchResponse {
    let topic = TopicName(StrBytes::from_static_str(TOPIC));
    of_topic(FetchableTopicResponse::default().with_topic(topic), parts)
}

/// An answer that names the topic by its id.
pub(super) fn brought_by_id(id: u128, parts: impl IntoIterator<Item = PartitionData>) -> FetchResponse {
    of_topic(FetchableTopicResponse::default().with_topic_id(Uuid::from_u128(id)), parts)
}

fn of_topic(topic: FetchableTopicResponse, parts: impl IntoIterator<Item = PartitionData>) -> FetchResponse {
    FetchResponse::default().with_responses(vec![topic.with_partitions(parts.into_iter().collect())])
}

impl Asked<FetchRequest> {
    /// The partitions and offsets that are asked for, in order.
    pub(super) fn offsets(&self) -> Vec<(i32, i64)> {
        let partitions = self.message.topics.iter().flat_map(|topic| &topic.partitions);
        partitions.map(|partition| (partition.partition, partition.fetch_offset)).collect()
    }

    /// The bytes of an answer.
    pub(super) fn frame(&self, answer: &FetchResponse) -> Bytes {
        framed(&self.header, answer)
    }

    pub(super) fn max_wait(&self) -> Duration {
        Duration::from_millis(self.message.max_wait_ms as u64)
    }
}
