//! Questions to a broker as the protocol has them: what a client library remembers or refreshes must not colour
//! the answer.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use kafka_protocol::messages::{MetadataRequest, MetadataResponse, RequestHeader, ResponseHeader};
use kafka_protocol::protocol::{Decodable, Encodable, HeaderVersion, Request, StrBytes};

const LIMIT: Duration = Duration::from_secs(5);

/// Asks the broker at `at`. Each step is given five seconds.
///
/// # Errors
/// The connection failed, or the answer is none to this question.
pub fn ask<R: Request>(at: SocketAddr, version: i16, request: &R) -> io::Result<R::Response> {
    Connection::open(at)?.ask(version, request)
}

/// A connection on which questions are put one by one, or several before an answer.
#[derive(Debug)]
pub struct Connection {
    broker: TcpStream,
    /// How many questions were put, and how many answers came: they come in order.
    asked: i32,
    answered: i32,
    patience: Duration,
}

impl Connection {
    /// Connects. Each step on the connection is given five seconds.
    ///
    /// # Errors
    /// Nobody listens there.
    pub fn open(at: SocketAddr) -> io::Result<Connection> {
        let broker = TcpStream::connect_timeout(&at, LIMIT)?;
        broker.set_read_timeout(Some(LIMIT))?;
        broker.set_write_timeout(Some(LIMIT))?;
        broker.set_nodelay(true)?;
        Ok(Connection { broker, asked: 0, answered: 0, patience: LIMIT })
    }

    /// Gives each answer this long from now on.
    ///
    /// # Errors
    /// The limit is zero.
    pub fn wait_up_to(&mut self, limit: Duration) -> io::Result<()> {
        self.patience = limit;
        self.broker.set_read_timeout(Some(limit))
    }

    /// Puts a question and waits for its answer.
    ///
    /// # Errors
    /// The connection failed, or the answer is none to this question.
    pub fn ask<R: Request>(&mut self, version: i16, request: &R) -> io::Result<R::Response> {
        self.send(version, request)?;
        self.receive::<R>(version)
    }

    /// Puts a question.
    ///
    /// # Errors
    /// The connection failed, or the question cannot be put in this version.
    pub fn send<R: Request>(&mut self, version: i16, request: &R) -> io::Result<()> {
        let mut question = BytesMut::new();
        RequestHeader::default()
            .with_request_api_key(R::KEY)
            .with_request_api_version(version)
            .with_correlation_id(self.asked)
            .with_client_id(Some(StrBytes::from_static_str("steadfast-tests")))
            .encode(&mut question, R::header_version(version))
            .and_then(|()| request.encode(&mut question, version))
            .map_err(io::Error::other)?;
        self.asked += 1;
        self.send_frame(&question)
    }

    /// Sends these bytes as one frame.
    ///
    /// # Errors
    /// The connection failed.
    pub fn send_frame(&mut self, frame: &[u8]) -> io::Result<()> {
        let size = i32::try_from(frame.len()).map_err(io::Error::other)?;
        self.broker.write_all(&[&size.to_be_bytes(), frame].concat())
    }

    /// Waits for the answer to the first question that has none. One that was said to have no answer has to be
    /// skipped before by [`skip`](Connection::skip).
    ///
    /// # Errors
    /// The connection failed, or the answer is none to this question.
    pub fn receive<R: Request>(&mut self, version: i16) -> io::Result<R::Response> {
        let mut answer = self.receive_frame()?;
        let header = ResponseHeader::decode(&mut answer, R::Response::header_version(version));
        let header = header.map_err(io::Error::other)?;
        if header.correlation_id != self.answered {
            return Err(io::Error::other(format!(
                "expected the answer to question {}, found that to {}",
                self.answered, header.correlation_id
            )));
        }
        self.answered += 1;
        let decoded = R::Response::decode(&mut answer, version).map_err(io::Error::other)?;
        if !answer.is_empty() {
            return Err(io::Error::other(format!("{} bytes are left over after {:?}", answer.len(), R::KEY)));
        }
        Ok(decoded)
    }

    /// By the protocol the next question has no answer.
    pub fn skip(&mut self) {
        self.answered += 1;
    }

    /// One frame.
    ///
    /// # Errors
    /// The connection failed.
    pub fn receive_frame(&mut self) -> io::Result<Bytes> {
        let mut size = [0; 4];
        self.broker.read_exact(&mut size)?;
        let size = u32::from_be_bytes(size);
        let mut answer = Vec::new();
        (&mut self.broker).take(u64::from(size)).read_to_end(&mut answer)?;
        if u32::try_from(answer.len()) != Ok(size) {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(Bytes::from(answer))
    }

    /// Whether nothing comes for this long.
    ///
    /// # Errors
    /// The connection is closed.
    pub fn silent_for(&mut self, time: Duration) -> io::Result<bool> {
        self.broker.set_read_timeout(Some(time))?;
        let peeked = self.broker.peek(&mut [0]);
        self.broker.set_read_timeout(Some(self.patience))?;
        match peeked {
            Ok(0) => Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(_) => Ok(false),
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {
                Ok(true)
            }
            Err(error) => Err(error),
        }
    }
}

/// What the broker at `at` knows of `topics`, and who it says is in the cluster.
///
/// # Errors
/// As [`ask`].
pub fn metadata(at: SocketAddr, topics: &[&str]) -> io::Result<MetadataResponse> {
    use kafka_protocol::messages::TopicName;
    use kafka_protocol::messages::metadata_request::MetadataRequestTopic;

    let named = |name: &&str| {
        MetadataRequestTopic::default().with_name(Some(TopicName(StrBytes::from_string((*name).to_owned()))))
    };
    let question = MetadataRequest::default()
        .with_topics(Some(topics.iter().map(named).collect()))
        .with_allow_auto_topic_creation(false);
    ask(at, 12, &question)
}

/// Where the broker at `at` says the cluster's brokers are.
///
/// # Errors
/// As [`ask`]; or a broker is advertised by a name.
pub fn endpoints(at: SocketAddr) -> io::Result<BTreeMap<i32, SocketAddr>> {
    let brokers = metadata(at, &[])?.brokers;
    let endpoint = |broker: &kafka_protocol::messages::metadata_response::MetadataResponseBroker| {
        let address = format!("{}:{}", &*broker.host, broker.port);
        address.parse().map(|address| (broker.node_id.0, address)).map_err(io::Error::other)
    };
    brokers.iter().map(endpoint).collect()
}
