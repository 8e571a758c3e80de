//! The TLS handshake over a stream that is open, and what may come of it.

use std::io;
use std::time::{Duration, SystemTime};

use rustls::pki_types::{ServerName, UnixTime};
use rustls::{AlertDescription as Alert, CertificateError};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::Tls;
use crate::transport::Stream;

/// How many of a certificate's names are told.
const MOST_NAMES: usize = 8;

/// Why there is no TLS with a listener. Nothing but the handshake was sent to it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TlsFailure {
    /// The certificate belongs to another host.
    #[error("the certificate is not for this host: it names {}", listed(.presented, *.more))]
    WrongName {
        /// Some of the names and addresses that it has.
        presented: Vec<String>,
        /// How many more it has.
        more: usize,
    },
    /// The certificate's time is over.
    #[error(
        "the certificate expired at {since}: the broker needs a new one (or this machine's clock is wrong)"
    )]
    Expired {
        /// When, in UTC.
        since: String,
    },
    /// The certificate's time has not begun.
    #[error("the certificate is valid from {from} only: is this machine's clock right?")]
    NotYetValid {
        /// From when, in UTC.
        from: String,
    },
    /// Nobody who is trusted vouches for the certificate.
    #[error(
        "the certificate is of an unknown authority: trust that authority's certificate (ssl.truststore.location), if it is yours, and see that the broker sends its intermediate certificates"
    )]
    UnknownAuthority,
    /// The certificate cannot be used for another reason.
    #[error("the certificate cannot be used: {0}")]
    Certificate(String),
    /// The listener does not accept us: it wants a client certificate, or another one.
    #[error(
        "the broker does not accept our certificate, or wants one and was shown none ({alert}): see the ssl.keystore settings"
    )]
    OursRefused {
        /// Its alert.
        alert: String,
    },
    /// What was answered is not TLS.
    #[error("the listener does not speak TLS (its answer was something else): see security.protocol")]
    NotTls,
    /// The listener ended the connection within the handshake.
    #[error(
        "the listener ended the connection in the handshake ({0}): one that speaks plain text does so, see security.protocol"
    )]
    Ended(String),
    /// The handshake was not done in time.
    #[error("no TLS handshake within {limit:?}")]
    Timeout {
        /// The limit that was given.
        limit: Duration,
    },
    /// The two sides cannot agree, or broke the protocol.
    #[error("{0}")]
    Protocol(String),
    /// The host is nothing that a certificate could name.
    #[error("{0:?} is neither a host name nor an address that a certificate can be checked against")]
    BadName(String),
}

impl TlsFailure {
    /// What a stream's failure says about TLS, if it is about that.
    pub(crate) fn within(error: &io::Error) -> Option<TlsFailure> {
        let inner = error.get_ref()?.downcast_ref::<rustls::Error>()?;
        Some(inner.clone().into())
    }
}

/// Speaks TLS with whoever is at the other end of `stream`, who must be `host` as far as `tls` demands it.
pub(crate) async fn secured(
    stream: Stream,
    tls: &Tls,
    host: &str,
    limit: Duration,
) -> Result<Stream, TlsFailure> {
    let handshake = TlsConnector::from(tls.config()).connect(server_name(host)?, stream.io);
    match timeout(limit, handshake).await {
        Ok(Ok(io)) => Ok(Stream { io: Box::new(io), peer: stream.peer }),
        Ok(Err(error)) => {
            Err(TlsFailure::within(&error).unwrap_or_else(|| TlsFailure::Ended(error.to_string())))
        }
        Err(_) => Err(TlsFailure::Timeout { limit }),
    }
}

/// A name without the dot of its root, which SNI does not allow (RFC 6066); an address without brackets.
fn server_name(host: &str) -> Result<ServerName<'static>, TlsFailure> {
    let bare = host.strip_suffix('.').unwrap_or(host);
    let bare = bare.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(bare);
    ServerName::try_from(bare.to_owned()).map_err(|_| TlsFailure::BadName(host.to_owned()))
}

impl From<rustls::Error> for TlsFailure {
    fn from(error: rustls::Error) -> TlsFailure {
        match error {
            rustls::Error::InvalidCertificate(fault) => certificate_failure(fault),
            rustls::Error::AlertReceived(alert) => alert_failure(alert),
            rustls::Error::InvalidMessage(_) => TlsFailure::NotTls,
            other => TlsFailure::Protocol(other.to_string()),
        }
    }
}

fn certificate_failure(fault: CertificateError) -> TlsFailure {
    match fault {
        CertificateError::NotValidForNameContext { presented, .. } => wrong_name(&presented),
        CertificateError::ExpiredContext { not_after, .. } => TlsFailure::Expired { since: utc(not_after) },
        CertificateError::NotValidYetContext { not_before, .. } => {
            TlsFailure::NotYetValid { from: utc(not_before) }
        }
        CertificateError::UnknownIssuer => TlsFailure::UnknownAuthority,
        other => unusable(&other),
    }
}

/// The library tells some faults by their names in its source only.
fn unusable(fault: &CertificateError) -> TlsFailure {
    let text = fault.to_string();
    let name = text.strip_prefix("Other(OtherError(").and_then(|rest| rest.strip_suffix("))"));
    TlsFailure::Certificate(match name {
        Some("CaUsedAsEndEntity") => {
            "it is an authority's own (CA:TRUE, as `openssl req -x509` makes it): the broker needs one of its own that the authority has signed".into()
        }
        Some("UnsupportedCertVersion") => {
            "it is an X.509 certificate of version 1, without alternative names: version 3 is needed".into()
        }
        Some(name) => name.to_owned(),
        None => text,
    })
}

fn wrong_name(presented: &[String]) -> TlsFailure {
    let bare = |name: &String| {
        let inner = name.split_once('(').and_then(|(_, rest)| rest.strip_suffix(')'));
        inner.unwrap_or(name).trim_matches('"').to_owned()
    };
    TlsFailure::WrongName {
        presented: presented.iter().take(MOST_NAMES).map(bare).collect(),
        more: presented.len().saturating_sub(MOST_NAMES),
    }
}

fn alert_failure(alert: Alert) -> TlsFailure {
    let name = format!("alert {alert:?}");
    match alert {
        Alert::NoCertificate
        | Alert::BadCertificate
        | Alert::UnsupportedCertificate
        | Alert::CertificateRevoked
        | Alert::CertificateExpired
        | Alert::CertificateUnknown
        | Alert::UnknownCA
        | Alert::AccessDenied
        | Alert::CertificateRequired => TlsFailure::OursRefused { alert: name },
        Alert::HandshakeFailure | Alert::ProtocolVersion | Alert::InsufficientSecurity => {
            TlsFailure::Protocol(format!(
                "the broker shares no TLS version or cipher suite with us ({name}): we speak TLS 1.2 and 1.3"
            ))
        }
        _ => TlsFailure::Protocol(format!("the broker ended TLS ({name})")),
    }
}

fn utc(time: UnixTime) -> String {
    /// The end of the year 9999, in seconds: what a certificate can say, and what can be written.
    const LAST: u64 = 253_402_300_799;
    let time = SystemTime::UNIX_EPOCH + Duration::from_secs(time.as_secs().min(LAST));
    humantime::format_rfc3339_seconds(time).to_string()
}

fn listed(names: &[String], more: usize) -> String {
    match (names, more) {
        ([], _) => {
            "no host at all (a subject's common name does not count, only alternative names do)".into()
        }
        (names, 0) => names.join(", "),
        (names, more) => format!("{} and {more} more", names.join(", ")),
    }
}
