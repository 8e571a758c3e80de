//! What a listener and its connections do with traffic.

use tokio::sync::watch;

/// ```text
/// Open ──► Silent ──► Full ──► Shut
///   │         └────────────────►│
///   └──────────────────────────►┘
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Gate {
    /// Everything is forwarded.
    Open,
    /// Connections are accepted and stay; what they send is read and dropped; nothing is answered.
    Silent,
    /// As silent, and nobody is accepted any more: the port's queue is full, so the system drops every SYN.
    Full,
    /// The port refuses; the connections are reset.
    Shut,
}

/// Waits until the gate has come to `at_least`. Forever, when its keeper is gone: the proxy ends its tasks.
pub(super) async fn reached(gate: &mut watch::Receiver<Gate>, at_least: Gate) {
    if gate.wait_for(|gate| *gate >= at_least).await.is_err() {
        std::future::pending::<()>().await;
    }
}

/// Waits until one of the gates has come to `at_least`.
pub(super) async fn either([one, other]: &mut [watch::Receiver<Gate>; 2], at_least: Gate) {
    tokio::select! {
        biased;
        () = reached(one, at_least) => {}
        () = reached(other, at_least) => {}
    }
}
