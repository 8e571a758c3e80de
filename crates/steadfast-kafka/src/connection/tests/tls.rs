//! TLS under a connection: what is accepted, and how a refusal is told.

use std::sync::Arc;

use proptest::prelude::*;
use rustls::ServerConfig;
use rustls::version::{TLS12, TLS13};
use tokio_rustls::TlsAcceptor;

use super::sasl::{PLANTED, plain};
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

/// Dials with TLS a listener that answers with `bytes` whatever it hears, and hangs up. What it heard.
async fn open_plain(dial: Dial, bytes: &[u8]) -> (ConnectFailure, Vec<u8>) {
    let (network, mut listener) = listen();
    let broker = async {
        let mut io = listener.accept().await.unwrap();
        let mut heard = vec![0; 4_096];
        let length = io.read(&mut heard).await.unwrap();
        heard.truncate(length);
        io.write_all(bytes).await.unwrap();
        heard
    };
    let (outcome, heard) = tokio::join!(Connection::open(&network, dial), broker);
    (outcome.unwrap_err().failure, heard)
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

#[tokio::test(start_paused = true)]
async fn requests_of_any_size_pass_through_it() {
    let authority = Authority::new("ours");
    let server = authority.vouch(&["broker"]).server(&TLS13, None);
    let (network, mut listener) = listen();
    let broker = async {
        let io = TlsAcceptor::from(server).accept(listener.accept().await.unwrap()).await.unwrap();
        let mut script = Script::over(io);
        script.greet().await;
        let asked = script.asked().await;
        script.answer_heartbeat(&asked, 11).await;
        asked.body.len()
    };
    let client = async {
        let connection = Connection::open(&network, secured(authority.client())).await.unwrap();
        let large = Heartbeat { member: "m".repeat(300_000).into(), ..heartbeat() };
        let answer = connection.call(large, SECOND).await;
        assert_eq!(mark(answer), 11);
        // A broker that is killed says no goodbye.
        connection.closed().await
    };
    let (reason, length) = tokio::join!(client, broker);
    assert!(length > 300_000);
    assert_eq!(reason, CloseReason::ByPeer);
}

#[tokio::test(start_paused = true)]
async fn a_certificate_for_another_host_is_refused_and_says_for_which_it_is() {
    let authority = Authority::new("ours");
    let server = authority.vouch(&["kafka-1.example", "10.1.2.3"]).server(&TLS13, None);
    let (network, mut listener) = listen();
    let broker = async { TlsAcceptor::from(server).accept(listener.accept().await.unwrap()).await.is_err() };
    let dial = secured(authority.client());
    let (outcome, refused) = tokio::join!(Connection::open(&network, dial), broker);
    assert!(refused);
    assert_eq!(
        outcome.unwrap_err().to_string(),
        "cannot use broker:9092: TLS with broker: the certificate is not for this host: it names kafka-1.example, 10.1.2.3"
    );
}

#[tokio::test(start_paused = true)]
async fn the_name_that_counts_is_the_advertised_one_and_is_asked_for() {
    let authority = Authority::new("ours");
    for (name, asked_for) in
        [("kafka-1.example", Some("kafka-1.example")), ("10.1.2.3", None), ("fd00::7", None)]
    {
        let server = authority.vouch(&[name]).server(&TLS13, None);
        let (network, mut listener) = listen();
        let broker = async {
            let io = TlsAcceptor::from(server).accept(listener.accept().await.unwrap()).await.unwrap();
            let found = io.get_ref().1.server_name().map(ToOwned::to_owned);
            let mut script = Script::over(io);
            script.greet().await;
            (found, script)
        };
        let dial = Dial { server_name: Some(name.into()), ..secured(authority.client()) };
        let (outcome, (found, _script)) = tokio::join!(Connection::open(&network, dial), broker);
        assert!(outcome.is_ok());
        assert_eq!(found.as_deref(), asked_for);
    }
}

#[tokio::test(start_paused = true)]
async fn the_dot_of_the_root_and_brackets_are_no_part_of_a_name() {
    let authority = Authority::new("ours");
    for (name, vouched) in [("kafka-1.example.", "kafka-1.example"), ("[fd00::7]", "fd00::7")] {
        let dial = Dial { server_name: Some(name.into()), ..secured(authority.client()) };
        assert!(open_tls(dial, authority.vouch(&[vouched]).server(&TLS13, None)).await.is_ok());
    }
    let dial = Dial { server_name: Some("no host".into()), ..secured(authority.client()) };
    let outcome = open_tls(dial, authority.vouch(&["broker"]).server(&TLS13, None)).await;
    assert_eq!(failure(outcome), TlsFailure::BadName("no host".into()));
}

#[tokio::test(start_paused = true)]
async fn without_the_check_of_names_the_chain_is_verified_still() {
    let (authority, stranger) = (Authority::new("ours"), Authority::new("another"));
    for version in [&TLS12, &TLS13] {
        let any_name =
            || secured(Tls::new(&TlsSettings { verify_name: false, ..authority.trusted() }).unwrap());
        let other_host = authority.vouch(&["kafka-1.example"]).server(version, None);
        assert!(open_tls(any_name(), other_host).await.is_ok());
        let unknown = stranger.vouch(&["broker"]).server(version, None);
        assert_eq!(failure(open_tls(any_name(), unknown).await), TlsFailure::UnknownAuthority);
        let old = authority.vouch_between(&["broker"], 2020, 2021).server(version, None);
        assert!(matches!(failure(open_tls(any_name(), old).await), TlsFailure::Expired { .. }));
    }
}

#[tokio::test(start_paused = true)]
async fn an_unknown_authority_is_told_as_that() {
    let server = Authority::new("another").vouch(&["broker"]).server(&TLS13, None);
    let outcome = open_tls(secured(Authority::new("ours").client()), server).await;
    assert_eq!(failure(outcome), TlsFailure::UnknownAuthority);
}

#[tokio::test(start_paused = true)]
async fn an_authority_of_the_same_name_with_another_key_is_unknown_or_refused() {
    let server = Authority::new("ours").vouch(&["broker"]).server(&TLS13, None);
    let outcome = open_tls(secured(Authority::new("ours").client()), server).await;
    assert!(matches!(failure(outcome), TlsFailure::UnknownAuthority | TlsFailure::Certificate(_)));
}

#[tokio::test(start_paused = true)]
async fn a_broker_that_shows_an_authoritys_own_certificate_is_told_to_get_another() {
    let authority = Authority::new("ours");
    let outcome = open_tls(secured(authority.client()), authority.itself().server(&TLS13, None)).await;
    let text = failure(outcome).to_string();
    assert!(text.starts_with("the certificate cannot be used: it is an authority's own"), "{text}");
}

#[tokio::test(start_paused = true)]
async fn a_certificate_out_of_its_time_is_told_with_its_dates() {
    let authority = Authority::new("ours");
    let old = authority.vouch_between(&["broker"], 2020, 2021).server(&TLS13, None);
    let since = "2021-01-01T00:00:00Z".into();
    let outcome = open_tls(secured(authority.client()), old).await;
    assert_eq!(failure(outcome), TlsFailure::Expired { since });
    let early = authority.vouch_between(&["broker"], 2119, 2120).server(&TLS13, None);
    let from = "2119-01-01T00:00:00Z".into();
    assert_eq!(failure(open_tls(secured(authority.client()), early).await), TlsFailure::NotYetValid { from });
}

#[tokio::test(start_paused = true)]
async fn a_listener_that_wants_our_certificate_gets_it_and_says_when_it_does_not_like_it() {
    let (authority, clients) = (Authority::new("ours"), Authority::new("the clients'"));
    let identified = |by: &Authority| {
        let identity = Some(by.vouch(&["ann"]).identity());
        secured(Tls::new(&TlsSettings { identity, ..authority.trusted() }).unwrap())
    };
    for version in [&TLS12, &TLS13] {
        let server = || authority.vouch(&["broker"]).server(version, Some(&clients));
        assert!(open_tls(identified(&clients), server()).await.is_ok());
        for unwelcome in [secured(authority.client()), identified(&authority)] {
            let address = broker_address();
            let failure = open_tls(unwelcome, server()).await.unwrap_err();
            assert!(
                matches!(failure, ConnectFailure::Tls { failure: TlsFailure::OursRefused { .. }, .. }),
                "{failure}"
            );
            assert!(ConnectError { address, failure }.is_denied());
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_listener_that_speaks_plain_text_is_never_spoken_to_in_plain_text() {
    let mut dial = secured(Authority::new("ours").client());
    dial.security.sasl = Some(plain());
    // A Kafka listener takes the first bytes of TLS for a length and hangs up.
    let (outcome, heard) = open_plain(dial.clone(), b"").await;
    let ConnectFailure::Tls { failure: TlsFailure::Ended(_), .. } = outcome else { panic!("{outcome}") };
    assert_eq!(heard[0], 0x16, "the handshake of TLS");
    assert!(!heard.windows(PLANTED.len()).any(|window| window == PLANTED.as_bytes()));
    let (outcome, _) = open_plain(dial, b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
    assert!(matches!(outcome, ConnectFailure::Tls { failure: TlsFailure::NotTls, .. }), "{outcome}");
}

#[tokio::test(start_paused = true)]
async fn credentials_are_not_sent_to_who_was_not_verified() {
    let server = Authority::new("another").vouch(&["broker"]).server(&TLS13, None);
    let mut dial = secured(Authority::new("ours").client());
    dial.security.sasl = Some(plain());
    let (network, mut listener) = listen();
    let broker = async {
        // Not even the handshake is done, so there is nothing that could be read.
        TlsAcceptor::from(server).accept(listener.accept().await.unwrap()).await.is_err()
    };
    let (outcome, unheard) = tokio::join!(Connection::open(&network, dial), broker);
    assert!(outcome.is_err() && unheard);
}

#[tokio::test(start_paused = true)]
async fn sasl_follows_inside_of_tls() {
    let authority = Authority::new("ours");
    let mut dial = secured(authority.client());
    dial.security.sasl = Some(plain());
    let (network, mut listener) = listen();
    let server = authority.vouch(&["broker"]).server(&TLS12, None);
    let broker = async {
        let io = TlsAcceptor::from(server).accept(listener.accept().await.unwrap()).await.unwrap();
        let mut script = Script::over(io);
        script.answer_versions().await;
        script.answer_handshake(0).await;
        let (asked, message) = script.asked_to_authenticate().await;
        script.answer_authenticate(&asked, b"", 0).await;
        script.answer_metadata().await;
        (script, message)
    };
    let (outcome, (_script, message)) = tokio::join!(Connection::open(&network, dial), broker);
    assert!(outcome.is_ok());
    assert_eq!(message, format!("\0ann\0{PLANTED}"));
}

#[tokio::test(start_paused = true)]
async fn a_listener_that_accepts_and_stays_silent_is_given_up_at_the_limit_for_securing() {
    let start = Instant::now();
    let (network, _listener) = listen();
    let dial = secured(Authority::new("ours").client());
    let limit = dial.secure_limit;
    let error = Connection::open(&network, dial).await.unwrap_err();
    assert!(matches!(error.failure, ConnectFailure::Tls { failure: TlsFailure::Timeout { .. }, .. }));
    assert_eq!(start.elapsed(), limit);
}

#[tokio::test(start_paused = true)]
async fn a_listener_that_speaks_tls_is_recognised_from_plain_text() {
    let server = Authority::new("ours").vouch(&["broker"]).server(&TLS13, None);
    let outcome = open_tls(Dial::new(broker_address()), server).await;
    assert!(matches!(outcome, Err(ConnectFailure::SpeaksTls)), "{outcome:?}");
    // What Java's engine says to it.
    let (outcome, _) = open_plain(Dial::new(broker_address()), &[0x15, 3, 3, 0, 2, 2, 0x50]).await;
    assert!(matches!(outcome, ConnectFailure::SpeaksTls), "{outcome:?}");
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(200) })]
    #[test]
    fn whatever_is_answered_to_a_handshake_ends_in_an_error(
        head in prop::sample::select(vec![&b""[..], b"\x16\x03\x03", b"\x15\x03\x03\0\x02", b"\x16\x03\x03\0\x2a\x02\0\0\x26\x03\x03"]),
        tail in prop::collection::vec(any::<u8>(), 0..200),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        let bytes = [head, &tail].concat();
        let (outcome, _) = runtime.block_on(open_plain(secured(Authority::new("ours").client()), &bytes));
        let is_tls = matches!(outcome, ConnectFailure::Tls { .. });
        prop_assert!(is_tls, "{}", outcome);
    }
}
