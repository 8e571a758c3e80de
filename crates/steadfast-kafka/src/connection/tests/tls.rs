//! TLS under a connection: what is accepted, and how a refusal is told.

use std::sync::Arc;

use rustls::ServerConfig;
use rustls::version::{TLS12, TLS13};
use tokio_rustls::TlsAcceptor;

use super::*;
use crate::security::authority::Authority;
use crate::security::{Security, Tls, TlsFailure, TlsSettings};

fn secured(tls: Tls) -> Dial {
    Dial { security: Security { tls: Some(tls), sasl: None }, ..Dial::new(broker_address()) }
}

/// Dials a broker with this TLS, which answers the handshake of Kafka if it comes to that.
async fn open_tls(dial: Dial, server: Arc<ServerConfig>) -> Result<Connection, ConnectFailure> {
    let (network, mut listener) = listen();
    let broker = async {
        let io = listener.accept().await.unwrap();
        let Ok(io) = TlsAcceptor::from(server).accept(io).await else { return None };
        let mut script = Script::over(io);
        script.greet().await;
        Some(script)
    };
    let open = async { Connection::open(&network, dial).await.map_err(|error| error.failure) };
    // The broker keeps its end open for as long as the opening takes.
    tokio::join!(open, broker).0
}

fn failure(outcome: Result<Connection, ConnectFailure>) -> TlsFailure {
    match outcome {
        Err(ConnectFailure::Tls { failure, .. }) => failure,
        other => panic!("{other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn a_broker_of_a_trusted_authority_is_spoken_to_in_both_versions_of_tls() {
    let authority = Authority::new("ours");
    for version in [&TLS12, &TLS13] {
        let server = authority.vouch(&["broker"]).server(version, None);
        let connection = open_tls(secured(authority.client()), server).await.unwrap();
        assert_eq!(connection.opened().view.cluster, Some(ClusterId::from("pinned")));
    }
}
