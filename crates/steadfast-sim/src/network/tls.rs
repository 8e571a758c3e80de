//! TLS before a listener, with certificates that are made on the spot.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose, PKCS_ED25519,
};
use rustls::ServerConfig;
use rustls::pki_types::PrivatePkcs8KeyDer;
use tokio::io::{AsyncRead, AsyncWrite, copy_bidirectional};
use tokio_rustls::TlsAcceptor;

use super::stream::pair;
use super::{Network, Stream};

/// Certificates or keys cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// There is no such certificate.
    #[error("no certificate could be made: {0}")]
    Certificate(#[from] rcgen::Error),
    /// No listener can use it.
    #[error("a listener cannot use its certificate: {0}")]
    Listener(#[from] rustls::Error),
}

/// Issues the certificates of a cluster's listeners. Nobody trusts it who was not given its certificate.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate: String,
}

/// A listener's certificate and its key. A clone is the same.
#[derive(Clone)]
pub struct Keys(Arc<ServerConfig>);

/// The TLS that the listener of a connection speaks. Its handshake takes no time.
#[derive(Debug)]
pub struct Tls {
    pub(super) keys: Keys,
    pub(super) network: Network,
    pub(super) peer: Option<SocketAddr>,
}

impl Authority {
    /// An authority of this name, with a key that lives as long as it does.
    ///
    /// # Errors
    /// No key could be made.
    pub fn new(name: &str) -> Result<Authority, TlsError> {
        let mut params = CertificateParams::new(Vec::new())?;
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let key = key()?;
        let certificate = params.self_signed(&key)?.pem();
        Ok(Authority { issuer: Issuer::new(params, key), certificate })
    }

    /// Its certificate as PEM, for those who are to trust it.
    pub fn certificate(&self) -> &str {
        &self.certificate
    }

    /// A certificate for a listener at this host, a name or an address.
    ///
    /// # Errors
    /// No certificate can have such a name.
    pub fn issue(&self, host: &str) -> Result<Keys, TlsError> {
        let key = key()?;
        let certificate = CertificateParams::new(vec![host.to_owned()])?.signed_by(&key, &self.issuer)?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(
                vec![certificate.der().clone()],
                PrivatePkcs8KeyDer::from(key.serialize_der()).into(),
            )?;
        // Each connection is a whole handshake, whichever was made before it.
        config.send_tls13_tickets = 0;
        Ok(Keys(Arc::new(config)))
    }
}

/// Signatures of this kind are all of one length, so that runs differ in no byte count.
fn key() -> Result<KeyPair, rcgen::Error> {
    KeyPair::generate_for(&PKCS_ED25519)
}

impl Tls {
    /// Speaks TLS with whoever holds the stream that is returned, and hands over to `plain` what was in it.
    pub fn before<S>(self, mut plain: S) -> Stream
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let (client, server, reset) = pair(self.peer);
        let acceptor = TlsAcceptor::from(self.keys.0);
        self.network.spawn(async move {
            let relayed = match acceptor.accept(server).await {
                Ok(mut secured) => copy_bidirectional(&mut secured, &mut plain).await,
                Err(error) => Err(error),
            };
            if let Err(error) = relayed {
                tracing::debug!(%error, "a connection in TLS ends");
                reset.reset();
            }
        });
        client
    }
}

impl fmt::Debug for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authority").finish_non_exhaustive()
    }
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keys").finish_non_exhaustive()
    }
}
