//! How a connection is secured: TLS under it, and who we say we are.

use std::fmt;

pub use handshake::TlsFailure;
pub use sasl::{AuthenticationFailure, Sasl, ScramHash, TokenError, TokenSource};
pub use secret::Secret;
pub use tls::{Identity, Roots, Tls, TlsError, TlsSettings};

#[cfg(test)]
pub(crate) mod authority;
mod chain_only;
pub(crate) mod exchange;
pub(crate) mod handshake;
pub(crate) mod random;
mod sasl;
mod scram;
mod secret;
mod tls;

/// Java's `security.protocol`: with or without TLS, with or without SASL. The default is PLAINTEXT.
#[derive(Debug, Clone, Default)]
pub struct Security {
    /// TLS, if the listener speaks it. There is no falling back to plain text.
    pub tls: Option<Tls>,
    /// Who we say we are, if the listener asks by SASL.
    pub sasl: Option<Sasl>,
}

impl Security {
    /// Java's name for it: PLAINTEXT, SSL, SASL_PLAINTEXT or SASL_SSL.
    pub fn protocol(&self) -> &'static str {
        match (&self.sasl, &self.tls) {
            (None, None) => "PLAINTEXT",
            (None, Some(_)) => "SSL",
            (Some(_), None) => "SASL_PLAINTEXT",
            (Some(_), Some(_)) => "SASL_SSL",
        }
    }
}

impl fmt::Display for Security {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.protocol())
    }
}
