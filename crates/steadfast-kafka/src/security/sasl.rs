//! Who we say we are (SASL), and what may come of it.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;

use super::Secret;
use crate::api::ErrorCode;

/// A SASL mechanism with its credentials. Without TLS they travel as the mechanism sends them: PLAIN and
/// OAUTHBEARER in the clear.
#[derive(Clone)]
pub enum Sasl {
    /// PLAIN (RFC 4616).
    Plain {
        /// Who.
        username: Arc<str>,
        /// The proof.
        password: Secret,
    },
    /// SCRAM-SHA-256 or SCRAM-SHA-512 (RFC 5802, RFC 7677). The broker must prove that it knows the password.
    Scram {
        /// Which of the two.
        hash: ScramHash,
        /// Who.
        username: Arc<str>,
        /// The proof.
        password: Secret,
    },
    /// OAUTHBEARER (RFC 7628, KIP-255).
    OauthBearer {
        /// Asked anew for each authentication.
        tokens: Arc<dyn TokenSource>,
    },
}

/// The hash function of SCRAM.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ScramHash {
    /// SHA-256.
    Sha256,
    /// SHA-512.
    Sha512,
}

impl Sasl {
    /// The mechanism's registered name.
    pub fn mechanism(&self) -> &'static str {
        match self {
            Sasl::Plain { .. } => "PLAIN",
            Sasl::Scram { hash: ScramHash::Sha256, .. } => "SCRAM-SHA-256",
            Sasl::Scram { hash: ScramHash::Sha512, .. } => "SCRAM-SHA-512",
            Sasl::OauthBearer { .. } => "OAUTHBEARER",
        }
    }
}

impl fmt::Debug for Sasl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.mechanism())
    }
}

/// Where bearer tokens come from: a file, a command's output.
pub trait TokenSource: Send + Sync {
    /// A token that is valid now, without white space around it.
    fn token(&self) -> BoxFuture<'_, Result<Secret, TokenError>>;
}

/// No token could be had. The text must not contain one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct TokenError(pub String);

/// Why an authentication did not succeed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AuthenticationFailure {
    /// The broker does not accept the credentials.
    #[error("the broker refuses the credentials ({code}{})", .message.as_ref().map(|message| format!(": {message}")).unwrap_or_default())]
    Refused {
        /// SASL_AUTHENTICATION_FAILED for instance.
        code: ErrorCode,
        /// What it says to that.
        message: Option<String>,
    },
    /// The listener does not offer the mechanism.
    #[error("the listener does not offer this mechanism: it offers {}", listed(.offered))]
    NotOffered {
        /// What it offers.
        offered: Vec<String>,
    },
    /// The listener does not authenticate by SASL.
    #[error("the listener does not take SASL (ILLEGAL_SASL_STATE): is it PLAINTEXT or SSL?")]
    NotAsked,
    /// Nobody said who we are, and the listener hung up at the first request that needs to know.
    #[error(
        "the listener hung up at the first request: one that asks for SASL does so, see security.protocol"
    )]
    Missing,
    /// The source gave no token.
    #[error("no token: {0}")]
    Token(#[from] TokenError),
    /// The source gave no token in time.
    #[error("no token within {limit:?}")]
    TokenTimeout {
        /// The limit that was given.
        limit: Duration,
    },
    /// The credentials cannot be sent by this mechanism.
    #[error("the credentials cannot be sent: {0}")]
    Unsendable(&'static str),
    /// The broker's part of the exchange is not as it should be; it may not be who it says it is.
    #[error("the broker's answer is not to be trusted: {0}")]
    Untrusted(String),
}

fn listed(names: &[String]) -> String {
    if names.is_empty() { "none".into() } else { names.join(", ") }
}
