//! Brokers that refuse us, and brokers that we refuse: each is told once, until it changes.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use steadfast_core::endpoints::view::Address;
use steadfast_kafka::connection::{ConnectError, ConnectFailure};
use steadfast_kafka::security::{AuthenticationFailure, TlsFailure};

use crate::events::{Event, Failure, Server};
use crate::observers::Events;

/// What stands between us and brokers that could be reached.
pub(crate) struct Refusals {
    events: Events,
    standing: Mutex<BTreeMap<Address, Refusal>>,
}

#[derive(Clone, PartialEq, Eq)]
struct Refusal {
    reason: String,
    /// Whether it is the broker that refuses us: our credentials, or our certificate.
    denied: bool,
}

/// So many addresses are remembered.
const MOST: usize = 1024;

impl Refusals {
    /// None so far.
    pub(crate) fn new(events: Events) -> Refusals {
        Refusals { events, standing: Mutex::default() }
    }

    /// Why a broker refuses us, if one does.
    pub(crate) fn denied(&self) -> Option<String> {
        let standing = self.standing.lock().unwrap_or_else(PoisonError::into_inner);
        standing
            .iter()
            .find(|(_, refusal)| refusal.denied)
            .map(|(at, refusal)| format!("{at}: {}", refusal.reason))
    }

    /// A connection was opened.
    pub(super) fn accepted(&self, address: &Address) {
        self.standing.lock().unwrap_or_else(PoisonError::into_inner).remove(address);
    }

    /// A connection was not opened.
    pub(super) fn failed(&self, error: &ConnectError) {
        let Some(class) = class(&error.failure) else { return };
        let refusal = Refusal { reason: error.failure.to_string(), denied: error.is_denied() };
        if !self.is_new(&error.address, &refusal) {
            return;
        }
        let server = Server::from(error.address.clone());
        self.events.emit(match &error.failure {
            ConnectFailure::Authentication { mechanism, reason } => {
                let failure = Failure::new(class, reason);
                Event::AuthenticationFailed { server, mechanism, failure }
            }
            other => Event::TlsFailed { server, failure: Failure::new(class, other) },
        });
    }

    fn is_new(&self, address: &Address, refusal: &Refusal) -> bool {
        let mut standing = self.standing.lock().unwrap_or_else(PoisonError::into_inner);
        if standing.len() >= MOST {
            standing.clear();
        }
        standing.insert(address.clone(), refusal.clone()).as_ref() != Some(refusal)
    }
}

/// The class of what is worth telling. A listener that does not speak TLS, or does without our knowing, is told as
/// any endpoint that does not answer: while listeners migrate there are such.
fn class(failure: &ConnectFailure) -> Option<&'static str> {
    match failure {
        ConnectFailure::Authentication { reason, .. } => Some(match reason {
            AuthenticationFailure::Refused { .. } => "refused",
            AuthenticationFailure::NotOffered { .. } => "not_offered",
            AuthenticationFailure::NotAsked => "not_asked",
            // A broker that is just going down looks the same.
            AuthenticationFailure::Missing => return None,
            AuthenticationFailure::Token(_) | AuthenticationFailure::TokenTimeout { .. } => "token",
            AuthenticationFailure::Unsendable(_) => "unsendable",
            AuthenticationFailure::Untrusted(_) => "untrusted",
        }),
        ConnectFailure::Tls { failure, .. } => match failure {
            TlsFailure::WrongName { .. } | TlsFailure::BadName(_) => Some("wrong_name"),
            TlsFailure::Expired { .. } => Some("expired"),
            TlsFailure::NotYetValid { .. } => Some("not_yet_valid"),
            TlsFailure::UnknownAuthority => Some("unknown_authority"),
            TlsFailure::Certificate(_) => Some("certificate"),
            TlsFailure::OursRefused { .. } => Some("ours_refused"),
            TlsFailure::NotTls
            | TlsFailure::Ended(_)
            | TlsFailure::Timeout { .. }
            | TlsFailure::Protocol(_) => None,
        },
        ConnectFailure::Io(_)
        | ConnectFailure::Timeout { .. }
        | ConnectFailure::SpeaksTls
        | ConnectFailure::Handshake { .. }
        | ConnectFailure::Refused { .. }
        | ConnectFailure::WrongCluster { .. }
        | ConnectFailure::ClusterNotReported { .. }
        | ConnectFailure::NoBrokers { .. } => None,
    }
}
