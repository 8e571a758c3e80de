//! Opening a connection: connect, secure it, learn what the broker speaks, say who we are, prove the cluster.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use steadfast_core::endpoints::view::{Address, View};
use steadfast_core::ids::{ClusterId, NodeId};
use tokio::time::{Instant, timeout};

use super::authentication::Credentials;
use super::channel::Channel;
use super::renewal::keep_authenticated;
use super::{CallError, CallFailure, CloseReason, Connection, Opened};
use crate::api::api_versions::{ApiVersions, ApiVersionsAnswer};
use crate::api::metadata::{Metadata, MetadataAnswer};
use crate::api::{Api, ErrorCode};
use crate::frame;
use crate::security::{AuthenticationFailure, Security, TlsFailure, handshake};
use crate::transport::{Stream, Transport};
use crate::versions::BrokerVersions;

/// Whom to dial, as whom, and within which limits.
#[derive(Debug, Clone)]
pub struct Dial {
    /// The address.
    pub address: Address,
    /// TLS and SASL.
    pub security: Security,
    /// The host that the certificate must be for, and that SNI asks for: the advertised one, when another is
    /// dialled in its place. None: the host of `address`.
    pub server_name: Option<Arc<str>>,
    /// The broker that is expected there, if one is.
    pub node_hint: Option<NodeId>,
    /// `client.id`: who we are, for the broker's logs and quotas.
    pub client_id: Arc<str>,
    /// The pinned cluster id. Whoever reports another one, or none, is refused.
    pub expect_cluster: Option<ClusterId>,
    /// For resolving and connecting together.
    pub connect_limit: Duration,
    /// For the TLS handshake, and then for each answer of SASL: both may take several round trips, and work.
    pub secure_limit: Duration,
    /// For the source of tokens, each time it is asked.
    pub token_limit: Duration,
    /// For each answer of the handshake.
    pub answer_limit: Duration,
    /// The largest frame that is read, in bytes.
    pub largest_frame: usize,
}

impl Dial {
    /// Dials `address` in plain text with no expectation, and with the limits of a discovery: one second each, but
    /// three for securing the connection (a broker's first TLS handshake warms it up) and ten for a token.
    pub fn new(address: Address) -> Dial {
        Dial {
            address,
            security: Security::default(),
            server_name: None,
            node_hint: None,
            client_id: "steadfast".into(),
            expect_cluster: None,
            connect_limit: Duration::from_secs(1),
            secure_limit: Duration::from_secs(3),
            token_limit: Duration::from_secs(10),
            answer_limit: Duration::from_secs(1),
            largest_frame: frame::DEFAULT_LIMIT,
        }
    }

    fn expected_name(&self) -> Arc<str> {
        self.server_name.clone().unwrap_or_else(|| self.address.host.as_str().into())
    }
}

/// A connection was not opened.
#[derive(Debug, thiserror::Error)]
#[error("cannot use {address}: {failure}")]
pub struct ConnectError {
    /// The address that was dialled.
    pub address: Address,
    /// What happened.
    pub failure: ConnectFailure,
}

/// Why a connection was not opened.
#[derive(Debug, thiserror::Error)]
pub enum ConnectFailure {
    /// It could not be resolved or connected to.
    #[error("no connection: {0}")]
    Io(#[from] io::Error),
    /// It was not resolved and connected to in time.
    #[error("no connection within {limit:?}")]
    Timeout {
        /// The limit that was given.
        limit: Duration,
    },
    /// There is no TLS with it. Nothing but the handshake was sent.
    #[error("TLS with {expected}: {failure}")]
    Tls {
        /// The name that was expected.
        expected: Arc<str>,
        /// What happened.
        failure: TlsFailure,
    },
    /// It speaks TLS and was spoken to in plain text.
    #[error(
        "the listener speaks TLS, and was spoken to in plain text: set security.protocol to SSL or SASL_SSL"
    )]
    SpeaksTls,
    /// The authentication did not succeed.
    #[error("{mechanism}: {reason}")]
    Authentication {
        /// The SASL mechanism.
        mechanism: &'static str,
        /// Why not.
        reason: AuthenticationFailure,
    },
    /// A request of the handshake failed.
    #[error("{api}: {failure}")]
    Handshake {
        /// The API's name.
        api: &'static str,
        /// What happened to it.
        failure: CallFailure,
    },
    /// The broker answered a request of the handshake with an error.
    #[error("{api}: {code}")]
    Refused {
        /// The API's name.
        api: &'static str,
        /// The error.
        code: ErrorCode,
    },
    /// It belongs to another cluster than the pinned one.
    #[error("expected cluster {expected}, found cluster {found}")]
    WrongCluster {
        /// The pinned id.
        expected: ClusterId,
        /// The id that it reports.
        found: ClusterId,
    },
    /// It reports no cluster id, though one is pinned.
    #[error("expected cluster {expected}, found a broker that reports no cluster id")]
    ClusterNotReported {
        /// The pinned id.
        expected: ClusterId,
    },
    /// It lists no brokers: it is not part of a cluster (yet).
    #[error("expected a list of brokers, found an empty one")]
    NoBrokers {
        /// The id that it reports.
        cluster: Option<ClusterId>,
    },
}

impl ConnectError {
    /// Whether the broker was reached and refuses who we are: credentials or a client certificate. Waiting
    /// does not help.
    pub fn is_denied(&self) -> bool {
        matches!(
            self.failure,
            ConnectFailure::Authentication { reason: AuthenticationFailure::Refused { .. }, .. }
                | ConnectFailure::Tls { failure: TlsFailure::OursRefused { .. }, .. }
        )
    }
}

impl From<CallError> for ConnectFailure {
    fn from(error: CallError) -> ConnectFailure {
        ConnectFailure::Handshake { api: error.api, failure: error.failure }
    }
}

impl ConnectFailure {
    /// Names what the stream under a failed request died of. In TLS 1.3 a broker refuses a client's
    /// certificate only after the client's handshake is done, and a listener that asks for SASL lets
    /// ApiVersions pass without it but nothing else.
    fn with_cause(self, dial: &Dial) -> ConnectFailure {
        let ConnectFailure::Handshake { api, failure: CallFailure::Closed(reason) } = self else {
            return self;
        };
        match reason {
            CloseReason::Tls(failure) => ConnectFailure::Tls { expected: dial.expected_name(), failure },
            CloseReason::SpeaksTls => ConnectFailure::SpeaksTls,
            CloseReason::ByPeer if api == Metadata::NAME && dial.security.sasl.is_none() => {
                ConnectFailure::Authentication {
                    mechanism: "no SASL",
                    reason: AuthenticationFailure::Missing,
                }
            }
            reason => ConnectFailure::Handshake { api, failure: CallFailure::Closed(reason) },
        }
    }
}

impl Connection {
    /// Connects, speaks TLS if that is wanted, asks what the broker speaks, says who we are, and proves the cluster
    /// id before anything else is asked (Metadata without topics). The answered view is kept in
    /// [`Connection::opened`].
    pub async fn open(transport: &dyn Transport, dial: Dial) -> Result<Connection, ConnectError> {
        let opened = open(transport, &dial).await;
        opened.map_err(|failure| {
            let failure = failure.with_cause(&dial);
            ConnectError { address: dial.address, failure }
        })
    }
}

async fn open(transport: &dyn Transport, dial: &Dial) -> Result<Connection, ConnectFailure> {
    let start = Instant::now();
    let stream = connect(transport, dial).await?;
    let connected = Instant::now();
    let stream = secured(stream, dial).await?;
    let channel = Arc::new(Channel::start(dial, stream));
    let versions = broker_versions(&channel, dial.answer_limit).await?;
    authenticate(&channel, &versions, dial).await?;
    let view = proven_view(&channel, &versions, dial).await?;
    let opened =
        Opened { view, versions, connected_in: connected - start, handshake_in: connected.elapsed() };
    Ok(Connection { channel, opened: Arc::new(opened) })
}

async fn connect(transport: &dyn Transport, dial: &Dial) -> Result<Stream, ConnectFailure> {
    let limit = dial.connect_limit;
    let connected = timeout(limit, transport.connect(&dial.address)).await;
    Ok(connected.map_err(|_| ConnectFailure::Timeout { limit })??)
}

async fn secured(stream: Stream, dial: &Dial) -> Result<Stream, ConnectFailure> {
    let Some(tls) = &dial.security.tls else { return Ok(stream) };
    let expected = dial.expected_name();
    let secured = handshake::secured(stream, tls, &expected, dial.secure_limit).await;
    secured.map_err(|failure| ConnectFailure::Tls { expected, failure })
}

/// Asks in our highest version of ApiVersions; a broker that does not know it names its own, in which it is
/// asked again (KIP-511).
async fn broker_versions(channel: &Arc<Channel>, limit: Duration) -> Result<BrokerVersions, ConnectFailure> {
    let mut answer = ask_versions(channel, ApiVersions::VERSIONS.max, limit).await?;
    if answer.error == ErrorCode::UNSUPPORTED_VERSION {
        let offered = answer.versions.0.get(&ApiVersions::KEY).copied();
        let version = offered.and_then(|offered| ApiVersions::VERSIONS.highest_common(offered)).unwrap_or(0);
        answer = ask_versions(channel, version, limit).await?;
    }
    refused::<ApiVersions>(answer.error)?;
    Ok(answer.versions)
}

/// Says who we are, before anything else is asked, and again for as long as the connection lives.
async fn authenticate(
    channel: &Arc<Channel>,
    versions: &BrokerVersions,
    dial: &Dial,
) -> Result<(), ConnectFailure> {
    let Some(sasl) = &dial.security.sasl else { return Ok(()) };
    let credentials = Credentials::new(sasl, dial, channel, versions)?;
    let ready = credentials.ready().await.map_err(|reason| credentials.failed(reason))?;
    if let Some(lifetime) = credentials.prove(channel, &channel.lane(), ready).await? {
        keep_authenticated(channel, credentials, lifetime);
    }
    Ok(())
}

async fn ask_versions(
    channel: &Arc<Channel>,
    version: i16,
    limit: Duration,
) -> Result<ApiVersionsAnswer, ConnectFailure> {
    let question = ApiVersions { software_name: "steadfast", software_version: env!("CARGO_PKG_VERSION") };
    Ok(channel.send(&question, version, limit)?.answer().await?)
}

async fn proven_view(
    channel: &Arc<Channel>,
    versions: &BrokerVersions,
    dial: &Dial,
) -> Result<View<NodeId>, ConnectFailure> {
    let question = Metadata { topics: Some(Vec::new()) };
    let version = versions.for_request(&question).map_err(|error| channel.failed::<Metadata>(error))?;
    let answer: MetadataAnswer = channel.send(&question, version, dial.answer_limit)?.answer().await?;
    refused::<Metadata>(answer.error)?;
    if answer.view.endpoints.is_empty() {
        return Err(ConnectFailure::NoBrokers { cluster: answer.view.cluster });
    }
    match (&dial.expect_cluster, &answer.view.cluster) {
        (Some(expected), None) => Err(ConnectFailure::ClusterNotReported { expected: expected.clone() }),
        (Some(expected), Some(found)) if expected != found => {
            Err(ConnectFailure::WrongCluster { expected: expected.clone(), found: found.clone() })
        }
        _ => Ok(answer.view),
    }
}

fn refused<A: Api>(code: ErrorCode) -> Result<(), ConnectFailure> {
    code.check().map_err(|code| ConnectFailure::Refused { api: A::NAME, code })
}
