//! Certificate authorities for tests, made up on the spot.

use std::sync::Arc;

use rcgen::{
    BasicConstraints, Certificate, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    date_time_ymd,
};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig, SupportedProtocolVersion};

use super::{Identity, Roots, Secret, Tls, TlsSettings};

/// Somebody who vouches for others.
pub(crate) struct Authority {
    certificate: Certificate,
    issuer: Issuer<'static, KeyPair>,
}

/// A certificate and its key, both as PEM.
pub(crate) struct Certified {
    pub(crate) chain: String,
    pub(crate) key: String,
}

impl Authority {
    pub(crate) fn new(name: &str) -> Authority {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap();
        Authority { certificate, issuer: Issuer::new(params, key) }
    }

    /// Vouches for whoever has all these names.
    pub(crate) fn vouch(&self, names: &[&str]) -> Certified {
        self.vouch_between(names, 2020, 2120)
    }

    /// Vouches from the beginning of one year to that of another.
    pub(crate) fn vouch_between(&self, names: &[&str], from: i32, to: i32) -> Certified {
        let names: Vec<String> = names.iter().map(ToString::to_string).collect();
        let mut params = CertificateParams::new(names).unwrap();
        (params.not_before, params.not_after) = (date_time_ymd(from, 1, 1), date_time_ymd(to, 1, 1));
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        Certified { chain: certificate.pem(), key: key.serialize_pem() }
    }

    /// The authority's own certificate, with its key: `openssl req -x509` makes such ones.
    pub(crate) fn itself(&self) -> Certified {
        Certified { chain: self.certificate.pem(), key: self.issuer.key().serialize_pem() }
    }

    /// The settings of a client that trusts nobody else.
    pub(crate) fn trusted(&self) -> TlsSettings {
        TlsSettings {
            roots: Roots::Pem(self.certificate.pem().into_bytes()),
            identity: None,
            verify_name: true,
        }
    }

    /// TLS that trusts nobody else.
    pub(crate) fn client(&self) -> Tls {
        Tls::new(&self.trusted()).unwrap()
    }
}

impl Certified {
    pub(crate) fn identity(&self) -> Identity {
        Identity { chain: self.chain.clone().into_bytes(), key: Secret::new(self.key.clone()) }
    }

    /// A broker's side with this certificate. With an authority it wants a client certificate of that one.
    pub(crate) fn server(
        &self,
        version: &'static SupportedProtocolVersion,
        clients: Option<&Authority>,
    ) -> Arc<ServerConfig> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder =
            ServerConfig::builder_with_provider(provider.clone()).with_protocol_versions(&[version]).unwrap();
        let builder = match clients {
            None => builder.with_no_client_auth(),
            Some(authority) => {
                let mut roots = RootCertStore::empty();
                roots.add(authority.certificate.der().clone()).unwrap();
                let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
                builder.with_client_cert_verifier(verifier.build().unwrap())
            }
        };
        let chain = CertificateDer::pem_slice_iter(self.chain.as_bytes()).map(Result::unwrap).collect();
        let key = PrivateKeyDer::from_pem_slice(self.key.as_bytes()).unwrap();
        Arc::new(builder.with_single_cert(chain, key).unwrap())
    }
}
