//! What TLS trusts and shows, read from PEM once.

use std::fmt;
use std::sync::Arc;

use rustls::client::WantsClientCert;
use rustls::pki_types::pem::{Error as PemError, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, ConfigBuilder, RootCertStore};

use super::Secret;
use super::chain_only::ChainOnly;

/// What TLS is made from.
#[derive(Debug, Clone)]
pub struct TlsSettings {
    /// Whom to trust.
    pub roots: Roots,
    /// Who we are, for a listener that asks (mutual TLS).
    pub identity: Option<Identity>,
    /// Whether the certificate must name the host. Without it the chain is verified still: Java's empty
    /// `ssl.endpoint.identification.algorithm`.
    pub verify_name: bool,
}

/// The authorities whose certificates are trusted.
#[derive(Debug, Clone)]
pub enum Roots {
    /// The operating system's.
    System,
    /// The certificates of this PEM text, and no others.
    Pem(Vec<u8>),
}

/// A certificate of our own.
#[derive(Debug, Clone)]
pub struct Identity {
    /// PEM: our certificate, then those that lead to an authority.
    pub chain: Vec<u8>,
    /// PEM: its private key as PKCS#8, PKCS#1 or SEC1, not encrypted.
    pub key: Secret,
}

/// TLS 1.2 and 1.3, ready to be spoken. Clones share it, and the sessions that can be resumed.
#[derive(Clone)]
pub struct Tls {
    config: Arc<ClientConfig>,
}

/// TLS cannot be spoken as set.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TlsError {
    /// The trusted certificates cannot be read.
    #[error("the trusted certificates cannot be read: {0}")]
    Roots(String),
    /// There are none.
    #[error("expected at least one certificate to trust, found none in {0}")]
    NoRoots(&'static str),
    /// Our own certificate cannot be read.
    #[error("the client's certificate cannot be read: {0}")]
    Chain(String),
    /// Its key cannot be read.
    #[error(
        "the client's private key cannot be read: {0}; expected PEM with a PRIVATE KEY, RSA PRIVATE KEY or EC PRIVATE KEY"
    )]
    Key(String),
    /// Its key is encrypted.
    #[error(
        "the client's private key is encrypted, which is not supported: decrypt it with `openssl pkey -in KEY -out PLAIN`, and let nobody else read the file"
    )]
    EncryptedKey,
    /// Certificate and key cannot be used, or do not belong together.
    #[error("the client's certificate and private key cannot be used: {0}")]
    Identity(String),
    /// The library refuses the configuration.
    #[error("TLS cannot be set up: {0}")]
    Setup(String),
}

impl Tls {
    /// Reads certificates and key. With [`Roots::System`] this reads files.
    pub fn new(settings: &TlsSettings) -> Result<Tls, TlsError> {
        let roots = Arc::new(trusted(&settings.roots)?);
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let algorithms = provider.signature_verification_algorithms;
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| TlsError::Setup(error.to_string()))?;
        let builder = if settings.verify_name {
            builder.with_root_certificates(roots)
        } else {
            builder.dangerous().with_custom_certificate_verifier(Arc::new(ChainOnly { roots, algorithms }))
        };
        Ok(Tls { config: Arc::new(identified(builder, settings.identity.as_ref())?) })
    }

    /// The same for another client over rustls.
    pub fn config(&self) -> Arc<ClientConfig> {
        self.config.clone()
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls").finish_non_exhaustive()
    }
}

fn trusted(roots: &Roots) -> Result<RootCertStore, TlsError> {
    let store = match roots {
        Roots::System => system_roots()?,
        Roots::Pem(pem) => given_roots(pem)?,
    };
    if store.is_empty() {
        return Err(TlsError::NoRoots(match roots {
            Roots::System => "the system's store",
            Roots::Pem(_) => "the PEM text that was given",
        }));
    }
    Ok(store)
}

/// Certificates of the system's that cannot be read are left out, as browsers do: most stores have some.
fn system_roots() -> Result<RootCertStore, TlsError> {
    let found = rustls_native_certs::load_native_certs();
    let mut store = RootCertStore::empty();
    store.add_parsable_certificates(found.certs);
    match found.errors.first() {
        Some(error) if store.is_empty() => Err(TlsError::Roots(error.to_string())),
        _ => Ok(store),
    }
}

fn given_roots(pem: &[u8]) -> Result<RootCertStore, TlsError> {
    let mut store = RootCertStore::empty();
    for certificate in certificates(pem).map_err(TlsError::Roots)? {
        store.add(certificate).map_err(|error| TlsError::Roots(error.to_string()))?;
    }
    Ok(store)
}

fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    CertificateDer::pem_slice_iter(pem).collect::<Result<_, _>>().map_err(|error| told(&error))
}

fn identified(
    builder: ConfigBuilder<ClientConfig, WantsClientCert>,
    identity: Option<&Identity>,
) -> Result<ClientConfig, TlsError> {
    let Some(identity) = identity else { return Ok(builder.with_no_client_auth()) };
    let chain = certificates(&identity.chain).map_err(TlsError::Chain)?;
    if chain.is_empty() {
        return Err(TlsError::Chain("expected a CERTIFICATE in PEM, found none".into()));
    }
    let configured = builder.with_client_auth_cert(chain, private_key(&identity.key)?);
    configured.map_err(|error| TlsError::Identity(error.to_string()))
}

fn private_key(pem: &Secret) -> Result<PrivateKeyDer<'static>, TlsError> {
    let text = pem.expose();
    // PKCS#8 says so in its label, the older forms in a header below it (RFC 1421).
    if text.contains("BEGIN ENCRYPTED PRIVATE KEY") || text.contains("Proc-Type: 4,ENCRYPTED") {
        return Err(TlsError::EncryptedKey);
    }
    PrivateKeyDer::from_pem_slice(text.as_bytes()).map_err(|error| TlsError::Key(told(&error)))
}

/// The library's own words quote lines of what it reads, and that may be a key.
fn told(error: &PemError) -> String {
    match error {
        PemError::MissingSectionEnd { .. } => "a section of the PEM text has no END line",
        PemError::IllegalSectionStart { .. } => "a BEGIN line of the PEM text is malformed",
        PemError::Base64Decode(_) => "a section of the PEM text is not base64",
        PemError::NoItemsFound => "nothing of that kind was found in the PEM text",
        _ => "the PEM text cannot be read",
    }
    .into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::security::authority::{Authority, Certified};

    fn with_identity(certified: &Certified) -> Result<Tls, TlsError> {
        let identity = Some(certified.identity());
        Tls::new(&TlsSettings { identity, ..Authority::new("ours").trusted() })
    }

    fn certified() -> Certified {
        Authority::new("ours").vouch(&["ann"])
    }

    #[test]
    fn what_holds_no_certificate_to_trust_is_refused() {
        for (pem, expected) in [
            ("", TlsError::NoRoots("the PEM text that was given")),
            (
                "-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----",
                TlsError::Roots("a section of the PEM text is not base64".into()),
            ),
            (
                "-----BEGIN CERTIFICATE-----\nAAAA\n",
                TlsError::Roots("a section of the PEM text has no END line".into()),
            ),
        ] {
            let roots = Roots::Pem(pem.into());
            let refused = Tls::new(&TlsSettings { roots, identity: None, verify_name: true });
            assert_eq!(refused.err(), Some(expected));
        }
        let nonsense = Roots::Pem("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----".into());
        let refused = Tls::new(&TlsSettings { roots: nonsense, identity: None, verify_name: true });
        assert!(matches!(refused, Err(TlsError::Roots(_))));
    }

    #[test]
    fn a_key_is_read_in_its_older_form_too() {
        let mut certified = certified();
        let pkcs8 = PrivateKeyDer::from_pem_slice(certified.key.as_bytes()).unwrap();
        let pkcs8 = pkcs8.secret_der();
        // SEC1's structure is what PKCS#8 wraps.
        let sec1 = pkcs8.windows(5).position(|window| window == [2, 1, 1, 4, 32]).unwrap() - 2;
        let base64 = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, &pkcs8[sec1..]);
        certified.key = format!("-----BEGIN EC PRIVATE KEY-----\n{base64}\n-----END EC PRIVATE KEY-----\n");
        assert_eq!(with_identity(&certified).err(), None);
    }

    #[test]
    fn an_encrypted_key_is_refused_with_the_way_to_decrypt_it() {
        for key in [
            "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n",
            "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-256-CBC,00\n\nAAAA\n-----END RSA PRIVATE KEY-----\n",
        ] {
            let error = with_identity(&Certified { key: key.into(), ..certified() }).err();
            assert_eq!(error, Some(TlsError::EncryptedKey));
        }
        assert!(TlsError::EncryptedKey.to_string().contains("openssl pkey -in KEY -out PLAIN"));
    }

    #[test]
    fn a_key_that_cannot_be_read_is_not_quoted() {
        for key in ["pl4nted", "-----BEGIN pl4nted-----\n", "-----BEGIN PRIVATE KEY-----\npl4nted!\n"] {
            let error = with_identity(&Certified { key: key.into(), ..certified() }).err().unwrap();
            assert!(matches!(error, TlsError::Key(_)));
            assert!(!format!("{error} {error:?}").contains("pl4nted"), "{error:?}");
        }
    }

    #[test]
    fn a_key_that_belongs_to_another_certificate_is_refused() {
        let mixed = Certified { key: certified().key, ..certified() };
        assert!(matches!(with_identity(&mixed), Err(TlsError::Identity(_))));
        let keyless = Certified { chain: String::new(), ..certified() };
        assert!(matches!(with_identity(&keyless), Err(TlsError::Chain(_))));
    }

    #[test]
    fn settings_do_not_show_the_key() {
        let settings =
            TlsSettings { identity: Some(certified().identity()), ..Authority::new("ours").trusted() };
        assert!(format!("{settings:?}").contains("key: [secret]"));
        assert_eq!(format!("{:?}", Tls::new(&settings).unwrap()), "Tls { .. }");
    }
}
