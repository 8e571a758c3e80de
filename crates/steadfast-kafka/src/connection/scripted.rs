//! A broker for tests: it answers what its script says, over an in-memory stream.

use bytes::{BufMut, Bytes, BytesMut};
use kafka_protocol::messages::api_versions_response::ApiVersion;
use kafka_protocol::messages::metadata_response::MetadataResponseBroker;
use kafka_protocol::messages::{
    ApiVersionsResponse, HeartbeatResponse, MetadataRequest, MetadataResponse, RequestHeader, ResponseHeader,
    SaslAuthenticateRequest, SaslAuthenticateResponse, SaslHandshakeRequest, SaslHandshakeResponse,
};
use kafka_protocol::protocol::{Decodable, Encodable, HeaderVersion, StrBytes};
use steadfast_core::endpoints::view::Address;
use tokio::io::AsyncWriteExt;

use super::{Connection, Dial};
use crate::frame::read_frame;
use crate::transport::{Duplex, Listener, Memory};

/// The versions that the broker offers: ApiVersions, Metadata, Heartbeat, SaslHandshake, SaslAuthenticate.
pub(super) const OFFERED: [(i16, i16, i16); 5] = [(18, 0, 4), (3, 0, 12), (12, 0, 4), (17, 0, 1), (36, 0, 2)];

/// One connection, from the broker's side.
pub(super) struct Script {
    pub(super) io: Box<dyn Duplex>,
    /// The cluster id that it reports.
    pub(super) cluster: Option<&'static str>,
    /// How many brokers it lists.
    pub(super) brokers: i32,
}

/// A request as it arrived.
pub(super) struct Asked {
    pub(super) header: RequestHeader,
    pub(super) body: Bytes,
}

pub(super) fn broker_address() -> Address {
    Address::new("broker", 9092)
}

pub(super) fn listen() -> (Memory, Listener) {
    let network = Memory::default();
    let listener = network.listen(broker_address());
    (network, listener)
}

/// A connection that has been opened, and its broker.
pub(super) async fn opened() -> (Connection, Script) {
    let (network, mut listener) = listen();
    let broker = async {
        let mut script = Script::accept(&mut listener).await;
        script.greet().await;
        script
    };
    let (connection, script) = tokio::join!(Connection::open(&network, Dial::new(broker_address())), broker);
    (connection.unwrap(), script)
}

impl Script {
    pub(super) async fn accept(listener: &mut Listener) -> Script {
        Script::over(listener.accept().await.unwrap())
    }

    /// A broker at the end of `io`.
    pub(super) fn over(io: impl Duplex + 'static) -> Script {
        Script { io: Box::new(io), cluster: Some("pinned"), brokers: 2 }
    }

    /// Answers the handshake.
    pub(super) async fn greet(&mut self) {
        self.answer_versions().await;
        self.answer_metadata().await;
    }

    pub(super) async fn answer_versions(&mut self) -> Asked {
        let asked = self.asked().await;
        assert_eq!(asked.header.request_api_key, 18);
        self.answer(&asked, &versions_offered()).await;
        asked
    }

    pub(super) async fn answer_metadata(&mut self) {
        let asked = self.asked().await;
        let question =
            MetadataRequest::decode(&mut asked.body.clone(), asked.header.request_api_version).unwrap();
        assert_eq!(question.topics, Some(Vec::new()), "no topic is asked for");
        assert!(!question.allow_auto_topic_creation);
        let broker = |id: i32| {
            MetadataResponseBroker::default()
                .with_node_id(id.into())
                .with_host(StrBytes::from_string(format!("broker-{id}")))
                .with_port(9092)
                .with_rack(Some(StrBytes::from_static_str("eu-1")))
        };
        let answer = MetadataResponse::default()
            .with_cluster_id(self.cluster.map(StrBytes::from_static_str))
            .with_brokers((1..=self.brokers).map(broker).collect());
        self.answer(&asked, &answer).await;
    }

    pub(super) async fn asked(&mut self) -> Asked {
        self.asked_if_any().await.unwrap()
    }

    /// The next request, unless the client hung up.
    pub(super) async fn asked_if_any(&mut self) -> Option<Asked> {
        let mut body = read_frame(&mut self.io, 1 << 20).await.ok()?;
        let header = kafka_protocol::protocol::decode_request_header_from_buffer(&mut body).unwrap();
        Some(Asked { header, body })
    }

    /// Answers in the version that was asked in.
    pub(super) async fn answer<M: Encodable + HeaderVersion>(&mut self, asked: &Asked, message: &M) {
        self.answer_in(asked.header.request_api_version, asked, message).await;
    }

    pub(super) async fn answer_in<M: Encodable + HeaderVersion>(
        &mut self,
        version: i16,
        asked: &Asked,
        message: &M,
    ) {
        let frame = framed(version, asked.header.correlation_id, message);
        self.io.write_all(&frame).await.unwrap();
    }

    /// Answers a SaslHandshake with this error, offering two mechanisms. Which mechanism was asked for.
    pub(super) async fn answer_handshake(&mut self, code: i16) -> String {
        let asked = self.asked().await;
        assert_eq!((asked.header.request_api_key, asked.header.request_api_version), (17, 1));
        let offered = ["PLAIN", "GSSAPI"].map(StrBytes::from_static_str).to_vec();
        let answer = SaslHandshakeResponse::default().with_error_code(code).with_mechanisms(offered);
        self.answer(&asked, &answer).await;
        SaslHandshakeRequest::decode(&mut asked.body.clone(), 1).unwrap().mechanism.to_string()
    }

    /// Awaits a SaslAuthenticate: the request, and the mechanism's message in it.
    pub(super) async fn asked_to_authenticate(&mut self) -> (Asked, Bytes) {
        let asked = self.asked().await;
        assert_eq!((asked.header.request_api_key, asked.header.request_api_version), (36, 2));
        let message = SaslAuthenticateRequest::decode(&mut asked.body.clone(), 2).unwrap().auth_bytes;
        (asked, message)
    }

    /// Answers a SaslAuthenticate with a message of the mechanism, and a session of so many milliseconds.
    pub(super) async fn answer_authenticate(&mut self, asked: &Asked, message: &[u8], lifetime: i64) {
        let answer = SaslAuthenticateResponse::default()
            .with_auth_bytes(Bytes::copy_from_slice(message))
            .with_session_lifetime_ms(lifetime);
        self.answer(asked, &answer).await;
    }

    /// Answers a SaslAuthenticate with SASL_AUTHENTICATION_FAILED and what there is to say.
    pub(super) async fn refuse_authenticate(&mut self, asked: &Asked, explanation: &str) {
        let answer = SaslAuthenticateResponse::default()
            .with_error_code(58)
            .with_error_message(Some(StrBytes::from_string(explanation.to_owned())));
        self.answer(asked, &answer).await;
    }

    /// Answers a Heartbeat, the error code saying which one.
    pub(super) async fn answer_heartbeat(&mut self, asked: &Asked, mark: i16) {
        self.answer(asked, &HeartbeatResponse::default().with_error_code(mark)).await;
    }
}

pub(super) fn framed<M: Encodable + HeaderVersion>(version: i16, id: i32, message: &M) -> Bytes {
    let mut body = BytesMut::new();
    let header = ResponseHeader::default().with_correlation_id(id);
    header.encode(&mut body, M::header_version(version)).unwrap();
    message.encode(&mut body, version).unwrap();
    let mut frame = BytesMut::new();
    frame.put_i32(body.len() as i32);
    frame.extend_from_slice(&body);
    frame.freeze()
}

pub(super) fn versions_offered() -> ApiVersionsResponse {
    let offer =
        |(key, min, max)| ApiVersion::default().with_api_key(key).with_min_version(min).with_max_version(max);
    ApiVersionsResponse::default().with_api_keys(OFFERED.map(offer).to_vec())
}
