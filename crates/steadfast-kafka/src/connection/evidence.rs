//! What a failure says of the endpoint that it happened at.

use std::io;

use steadfast_core::endpoints::race::Evidence;

use super::{CallError, CallFailure, CloseReason, ConnectError, ConnectFailure};
use crate::security::{AuthenticationFailure, TlsFailure};

impl ConnectError {
    /// Whether something is broken there, or only silent.
    pub fn evidence(&self) -> Evidence {
        let silent = match &self.failure {
            ConnectFailure::Timeout { .. }
            | ConnectFailure::Tls { failure: TlsFailure::Timeout { .. }, .. }
            | ConnectFailure::Authentication { reason: AuthenticationFailure::TokenTimeout { .. }, .. } => {
                true
            }
            ConnectFailure::Io(error) => error.kind() == io::ErrorKind::TimedOut,
            ConnectFailure::Handshake { failure, .. } => failure.is_silence(),
            ConnectFailure::Tls { .. }
            | ConnectFailure::SpeaksTls
            | ConnectFailure::Authentication { .. }
            | ConnectFailure::Refused { .. }
            | ConnectFailure::WrongCluster { .. }
            | ConnectFailure::ClusterNotReported { .. }
            | ConnectFailure::NoBrokers { .. } => false,
        };
        evidence(silent)
    }
}

impl CallError {
    /// Whether something is broken there, or only silent.
    pub fn evidence(&self) -> Evidence {
        evidence(self.failure.is_silence())
    }
}

impl CloseReason {
    /// Whether something is broken there, or only silent.
    pub fn evidence(&self) -> Evidence {
        evidence(self.is_silence())
    }

    fn is_silence(&self) -> bool {
        match self {
            CloseReason::WriteStalled => true,
            // The kernel's own limit: nothing came back for what was sent.
            CloseReason::Io { kind, .. } => *kind == io::ErrorKind::TimedOut,
            CloseReason::Dropped
            | CloseReason::Requested(_)
            | CloseReason::ByPeer
            | CloseReason::Tls(_)
            | CloseReason::SpeaksTls
            | CloseReason::Reauthentication(_)
            | CloseReason::BadFrame(_)
            | CloseReason::Unasked { .. }
            | CloseReason::Abandoned => false,
        }
    }
}

impl CallFailure {
    fn is_silence(&self) -> bool {
        match self {
            CallFailure::Timeout { .. } => true,
            CallFailure::Closed(reason) => reason.is_silence(),
            CallFailure::Version(_)
            | CallFailure::Encode(_)
            | CallFailure::Busy { .. }
            | CallFailure::Decode(_) => false,
        }
    }
}

fn evidence(silent: bool) -> Evidence {
    if silent { Evidence::Silent } else { Evidence::Broken }
}
