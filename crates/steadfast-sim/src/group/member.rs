//! One member of a group.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use steadfast_core::tick::Tick;

use crate::call::Ticket;

/// A request of a member that waits for the others.
#[derive(Debug, Clone, Copy)]
pub(super) struct Parked {
    pub(super) ticket: Ticket,
    pub(super) version: i16,
}

/// A member.
#[derive(Debug, Clone)]
pub(super) struct Member {
    pub(super) instance: Option<Arc<str>>,
    pub(super) client_id: Arc<str>,
    pub(super) client_host: Arc<str>,
    pub(super) session_timeout: Duration,
    pub(super) rebalance_timeout: Duration,
    /// What it can speak, the best first, each with its subscription as it came.
    pub(super) protocols: Vec<(Arc<str>, Bytes)>,
    pub(super) assignment: Bytes,
    /// It has never finished a round, so it knows no member id to heartbeat with.
    pub(super) new: bool,
    pub(super) joining: Option<Parked>,
    pub(super) syncing: Option<Parked>,
    pub(super) session_deadline: Option<Tick>,
}

impl Member {
    /// Something was heard of it.
    pub(super) fn renew(&mut self, now: Tick) {
        self.session_deadline = Some(now + self.session_timeout);
    }

    /// A member that waits in a round need not heartbeat; a new one may be gone without a trace.
    pub(super) fn is_excused(&self) -> bool {
        !self.new && (self.joining.is_some() || self.syncing.is_some())
    }

    /// Its subscription under this protocol.
    pub(super) fn metadata(&self, protocol: &str) -> Bytes {
        let found = self.protocols.iter().find(|(name, _)| &**name == protocol);
        found.map(|(_, metadata)| metadata.clone()).unwrap_or_default()
    }

    pub(super) fn speaks(&self, protocol: &str) -> bool {
        self.protocols.iter().any(|(name, _)| &**name == protocol)
    }
}
