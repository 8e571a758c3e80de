//! Listeners that speak TLS.

use std::io;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use steadfast_core::endpoints::view::Address;
use steadfast_core::ids::NodeId;
use steadfast_sim::embedded::{Embedded, Nodes, Old, Spec};
use steadfast_sim::network::Authority;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use crate::client::{LIMIT, ask, refused, reset, started};

/// Asks in TLS, as somebody who trusts this authority and nobody else.
async fn ask_trusting(authority: &str, cluster: &Embedded, at: &Address) -> io::Result<bool> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(authority.as_bytes()).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder =
        ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let config = Arc::new(builder.with_root_certificates(roots).with_no_client_auth());
    let name = ServerName::try_from(at.host.clone()).unwrap();
    let stream = cluster.connect(at).await?;
    ask(&mut TlsConnector::from(config).connect(name, stream).await?).await
}

fn of(node: i32, cluster: &Embedded) -> Address {
    cluster.endpoints()[&NodeId(node)].clone()
}

#[tokio::test(start_paused = true)]
async fn new_listeners_speak_tls_with_those_who_trust_their_authority_and_with_nobody_else() {
    let cluster = started();
    let old = of(1, &cluster);
    let authority = cluster.secure_listeners(Old::Refuse).unwrap();
    let new = of(1, &cluster);
    assert!(ask_trusting(&authority, &cluster, &new).await.unwrap());
    let stranger = Authority::new("a stranger").unwrap();
    assert!(ask_trusting(stranger.certificate(), &cluster, &new).await.is_err());
    assert!(ask(&mut cluster.connect(&new).await.unwrap()).await.is_err(), "in plain text");
    assert!(refused(&cluster, &old).await);
}

#[tokio::test(start_paused = true)]
async fn who_moves_or_joins_later_speaks_tls_too() {
    let cluster = started();
    let authority = cluster.secure_listeners(Old::Refuse).unwrap();
    cluster.move_endpoints(&Nodes::one(NodeId(1)), Old::Refuse).unwrap();
    cluster.add_broker(NodeId(4)).unwrap();
    for node in [1, 4] {
        assert!(ask_trusting(&authority, &cluster, &of(node, &cluster)).await.unwrap());
    }
}

#[tokio::test(start_paused = true)]
async fn a_connection_in_tls_is_reset_with_its_broker_and_silent_behind_a_black_hole() {
    let cluster = started();
    let authority = cluster.secure_listeners(Old::Refuse).unwrap();
    let at = of(1, &cluster);
    let mut stream = cluster.connect(&at).await.unwrap();
    cluster.inject(&"kill node=1".parse().unwrap()).unwrap();
    assert!(reset(ask(&mut stream).await), "before the handshake");
    cluster.inject(&"restart node=1".parse().unwrap()).unwrap();
    cluster.move_endpoints(&Nodes::one(NodeId(1)), Old::BlackHole).unwrap();
    assert!(timeout(LIMIT, ask_trusting(&authority, &cluster, &at)).await.is_err(), "no handshake either");
}

#[tokio::test]
async fn over_tcp_no_listener_speaks_tls() {
    let cluster = Embedded::on_loopback(&Spec::default()).unwrap();
    assert!(cluster.secure_listeners(Old::Refuse).is_err());
}
