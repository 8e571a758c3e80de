//! One connection's traffic: requests go to the broker as they are, answers come back with the endpoints
//! replaced.

use std::collections::VecDeque;
use std::io;
use std::sync::{Mutex, PoisonError};

use kafka_protocol::messages::ApiKey;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::sync::watch;

use super::frame::{self, PREFIX, invalid};
use super::request::{Request, VERSION_AT};
use super::rewrite::{Advertise, newest, rewrite};

/// No client has that many requests in flight; without a limit a broken one could fill the memory.
const IN_FLIGHT_LIMIT: usize = 10_000;

/// What a connection tells the proxy, and asks of it.
pub(super) trait Exchange: Advertise {
    /// A request of `api` has been seen.
    fn requested(&mut self, api: i16, client_id: Option<&str>);
    /// An answer to a request of `api` was passed on.
    fn answered(&mut self, api: i16);
    /// Whether answers are held back.
    fn held(&self) -> watch::Receiver<bool>;
}

#[derive(Clone, Copy)]
struct Pending {
    correlation: i32,
    api: i16,
    version: i16,
}

type InFlight = Mutex<VecDeque<Pending>>;

/// Relays between a client and a broker until either of them closes.
///
/// # Errors
/// A connection broke, or one side does not speak Kafka's protocol.
pub(super) async fn relay<C, B, E>(client: &mut C, broker: &mut B, exchange: E) -> io::Result<()>
where
    C: AsyncRead + AsyncWrite + Unpin,
    B: AsyncRead + AsyncWrite + Unpin,
    E: Exchange + Clone,
{
    let (mut from_client, mut to_client) = tokio::io::split(client);
    let (mut from_broker, mut to_broker) = tokio::io::split(broker);
    let in_flight = InFlight::default();
    tokio::select! {
        biased;
        ended = answers(&mut from_broker, &mut to_client, &in_flight, exchange.clone()) => ended,
        ended = requests(&mut from_client, &mut to_broker, &in_flight, exchange) => ended,
    }
}

async fn requests(
    from: &mut (impl AsyncRead + Unpin),
    to: &mut (impl AsyncWrite + Unpin),
    in_flight: &InFlight,
    mut exchange: impl Exchange,
) -> io::Result<()> {
    let mut frame = Vec::new();
    while frame::read(from, &mut frame).await? {
        let mut request = Request::read(&frame[PREFIX..])?;
        exchange.requested(request.api, request.client_id.as_deref());
        if request.api == ApiKey::ApiVersions as i16 && newest(request.api) < Some(request.version) {
            // Have the broker say that it does not know this version: it does so in version 0.
            request.version = 0;
            frame[PREFIX..][VERSION_AT].copy_from_slice(&i16::MAX.to_be_bytes());
        }
        if request.answered {
            remember(in_flight, &request)?;
        }
        to.write_all(&frame).await?;
    }
    Ok(())
}

fn remember(in_flight: &InFlight, request: &Request) -> io::Result<()> {
    let mut in_flight = in_flight.lock().unwrap_or_else(PoisonError::into_inner);
    if in_flight.len() == IN_FLIGHT_LIMIT {
        return Err(invalid(format!("expected at most {IN_FLIGHT_LIMIT} requests in flight")));
    }
    let Request { correlation, api, version, .. } = *request;
    in_flight.push_back(Pending { correlation, api, version });
    Ok(())
}

async fn answers(
    from: &mut (impl AsyncRead + Unpin),
    to: &mut (impl AsyncWrite + Unpin),
    in_flight: &InFlight,
    mut exchange: impl Exchange,
) -> io::Result<()> {
    let mut frame = Vec::new();
    let mut held = exchange.held();
    while frame::read(from, &mut frame).await? {
        if held.wait_for(|held| !held).await.is_err() {
            std::future::pending::<()>().await; // the address is gone: its listener ends this connection
        }
        let answer = &frame[PREFIX..];
        let pending = answered(in_flight, answer)?;
        match rewrite(pending.api, pending.version, answer, &mut exchange)? {
            Some(rewritten) => to.write_all(&frame::around(&rewritten)?).await?,
            None => to.write_all(&frame).await?,
        }
        to.flush().await?;
        exchange.answered(pending.api);
    }
    Ok(())
}

/// Which request this answer is to. Brokers answer a connection in order.
fn answered(in_flight: &InFlight, answer: &[u8]) -> io::Result<Pending> {
    let found = answer.first_chunk().map(|bytes| i32::from_be_bytes(*bytes));
    let oldest = in_flight.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
    oldest.filter(|pending| Some(pending.correlation) == found).ok_or_else(|| {
        let expected = oldest.map(|pending| pending.correlation);
        invalid(format!("expected the answer to request {expected:?}, found one to {found:?}"))
    })
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;
    use std::sync::Arc;

    use bytes::{Bytes, BytesMut};
    use kafka_protocol::messages::metadata_response::MetadataResponseBroker;
    use kafka_protocol::messages::{
        BrokerId, MetadataRequest, MetadataResponse, RequestHeader, ResponseHeader,
    };
    use kafka_protocol::protocol::{Decodable, Encodable, StrBytes};
    use tokio::io::DuplexStream;

    use super::*;

    #[derive(Clone, Default)]
    struct Script {
        seen: Arc<Mutex<Vec<(i16, String)>>>,
    }

    impl Advertise for Script {
        fn advertise(&mut self, node: i32, _: &str, _: u16) -> io::Result<Option<SocketAddr>> {
            Ok(Some(SocketAddr::from(([127, 0, 0, 1], 40_000 + u16::try_from(node).unwrap()))))
        }
    }

    impl Exchange for Script {
        fn requested(&mut self, api: i16, client_id: Option<&str>) {
            self.seen.lock().unwrap().push((api, client_id.unwrap_or_default().to_owned()));
        }

        fn answered(&mut self, _: i16) {}

        fn held(&self) -> watch::Receiver<bool> {
            watch::channel(false).1
        }
    }

    /// A client's and a broker's end of a relay, and what the relay saw. Its task ends with the test's runtime.
    fn relayed() -> (DuplexStream, DuplexStream, Script) {
        let (client, mut client_side) = tokio::io::duplex(1 << 16);
        let (broker, mut broker_side) = tokio::io::duplex(1 << 16);
        let script = Script::default();
        let exchange = script.clone();
        tokio::spawn(async move { drop(relay(&mut client_side, &mut broker_side, exchange).await) });
        (client, broker, script)
    }

    fn request(api: ApiKey, version: i16, correlation: i32, body: &impl Encodable) -> Vec<u8> {
        let mut out = BytesMut::new();
        RequestHeader::default()
            .with_request_api_key(api as i16)
            .with_request_api_version(version)
            .with_correlation_id(correlation)
            .with_client_id(Some(StrBytes::from_static_str("test")))
            .encode(&mut out, api.request_header_version(version))
            .unwrap();
        body.encode(&mut out, version).unwrap();
        frame::around(&out).unwrap()
    }

    fn metadata(version: i16, correlation: i32) -> Vec<u8> {
        let node_5 = MetadataResponseBroker::default().with_node_id(BrokerId(5)).with_port(9092);
        let node_5 = node_5.with_host(StrBytes::from_static_str("kafka-5.example"));
        let mut out = BytesMut::new();
        let header = ResponseHeader::default().with_correlation_id(correlation);
        header.encode(&mut out, ApiKey::Metadata.response_header_version(version)).unwrap();
        MetadataResponse::default().with_brokers(vec![node_5]).encode(&mut out, version).unwrap();
        frame::around(&out).unwrap()
    }

    async fn next(from: &mut DuplexStream) -> Vec<u8> {
        let mut frame = Vec::new();
        assert!(frame::read(from, &mut frame).await.unwrap());
        frame
    }

    #[tokio::test]
    async fn pipelined_answers_are_read_in_the_version_they_were_asked_in() {
        let (mut client, mut broker, script) = relayed();
        for (version, correlation) in [(12, 7), (1, 8)] {
            let asked = request(ApiKey::Metadata, version, correlation, &MetadataRequest::default());
            client.write_all(&asked).await.unwrap();
            assert_eq!(next(&mut broker).await, asked);
        }
        for (version, correlation) in [(12, 7), (1, 8)] {
            broker.write_all(&metadata(version, correlation)).await.unwrap();
            let mut answer = Bytes::from(next(&mut client).await).slice(PREFIX..);
            ResponseHeader::decode(&mut answer, ApiKey::Metadata.response_header_version(version)).unwrap();
            let answer = MetadataResponse::decode(&mut answer, version).unwrap();
            assert_eq!((answer.brokers[0].host.as_str(), answer.brokers[0].port), ("127.0.0.1", 40_005));
        }
        assert_eq!(*script.seen.lock().unwrap(), vec![(3, "test".to_owned()); 2]);
    }

    #[tokio::test]
    async fn an_api_versions_request_newer_than_the_proxy_reads_is_one_that_no_broker_knows() {
        let (mut client, mut broker, _) = relayed();
        let body = kafka_protocol::messages::ApiVersionsRequest::default();
        let mut asked = request(ApiKey::ApiVersions, 3, 1, &body);
        asked[PREFIX..][VERSION_AT].copy_from_slice(&5_i16.to_be_bytes());
        client.write_all(&asked).await.unwrap();
        asked[PREFIX..][VERSION_AT].copy_from_slice(&i16::MAX.to_be_bytes());
        assert_eq!(next(&mut broker).await, asked);
        let nothing_offered = [0, 0, 0, 1, 0, 35, 0, 0, 0, 0];
        broker.write_all(&frame::around(&nothing_offered).unwrap()).await.unwrap();
        assert_eq!(next(&mut client).await[PREFIX..], nothing_offered);
    }

    #[tokio::test]
    async fn an_answer_that_nobody_asked_for_ends_the_connection() {
        let (mut client, mut broker, _) = relayed();
        client.write_all(&request(ApiKey::Metadata, 1, 7, &MetadataRequest::default())).await.unwrap();
        next(&mut broker).await;
        broker.write_all(&metadata(1, 8)).await.unwrap();
        assert!(!frame::read(&mut client, &mut Vec::new()).await.unwrap());
    }
}
