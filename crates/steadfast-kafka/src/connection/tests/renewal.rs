//! Sessions that end, and authentication on a connection that is in use (KIP-368).

use std::sync::Mutex;

use futures::future::BoxFuture;
use kafka_protocol::messages::SaslHandshakeResponse;

use super::sasl::{PLANTED, Verifier, as_who, plain, scram};
use super::*;
use crate::security::{AuthenticationFailure, Sasl, ScramHash, Secret, TokenError, TokenSource};

const MINUTE: Duration = Duration::from_secs(60);

/// A session of a minute, in milliseconds.
const A_MINUTE: i64 = 60_000;

/// Tokens named by a number that grows; what is listed as a failure is none.
#[derive(Default)]
struct Numbered {
    asked: Mutex<usize>,
    failures: Vec<usize>,
}

impl TokenSource for Numbered {
    fn token(&self) -> BoxFuture<'_, Result<Secret, TokenError>> {
        Box::pin(async {
            let mut asked = self.asked.lock().unwrap();
            *asked += 1;
            match self.failures.contains(&asked) {
                true => Err(TokenError("the command failed".into())),
                false => Ok(Secret::new(format!("token-{asked}"))),
            }
        })
    }
}

fn bearer(failures: impl IntoIterator<Item = usize>) -> Sasl {
    let tokens = Numbered { failures: failures.into_iter().collect(), ..Numbered::default() };
    Sasl::OauthBearer { tokens: Arc::new(tokens) }
}

/// Awaits an authentication and grants it; what was said.
async fn authenticated(script: &mut Script, lifetime: i64) -> String {
    script.answer_handshake(0).await;
    let (asked, message) = script.asked_to_authenticate().await;
    script.answer_authenticate(&asked, b"", lifetime).await;
    String::from_utf8(message.to_vec()).unwrap()
}

/// A connection that has been opened, with a session of so many milliseconds.
async fn session(sasl: Sasl, lifetime: i64) -> (Connection, Script) {
    let (network, mut listener) = listen();
    let broker = async {
        let mut script = Script::accept(&mut listener).await;
        script.answer_versions().await;
        authenticated(&mut script, lifetime).await;
        script.answer_metadata().await;
        script
    };
    let (connection, script) = tokio::join!(Connection::open(&network, as_who(sasl)), broker);
    (connection.unwrap(), script)
}

#[tokio::test(start_paused = true)]
async fn before_a_session_ends_it_is_renewed_with_a_new_token_again_and_again() {
    let (connection, mut broker) = session(bearer([]), A_MINUTE).await;
    for renewal in 2..10 {
        let start = Instant::now();
        let said = authenticated(&mut broker, A_MINUTE).await;
        assert_eq!(said, format!("n,,\x01auth=Bearer token-{renewal}\x01\x01"));
        assert!((MINUTE * 85 / 100..=MINUTE * 95 / 100 + SECOND / 10).contains(&start.elapsed()));
    }
    assert!(!connection.is_closed());
}

#[tokio::test(start_paused = true)]
async fn a_session_without_an_end_is_not_renewed() {
    let (connection, mut broker) = session(plain(), 0).await;
    assert!(timeout(MINUTE * 10_000, broker.io.read(&mut [0])).await.is_err());
    assert!(!connection.is_closed());
}

#[tokio::test(start_paused = true)]
async fn lifetimes_that_nobody_means_neither_overflow_nor_spin() {
    let (connection, mut broker) = session(plain(), i64::MAX).await;
    assert!(timeout(MINUTE, broker.io.read(&mut [0])).await.is_err());
    drop((connection, broker));
    let (_connection, mut broker) = session(plain(), 1).await;
    let start = Instant::now();
    for _ in 0..5 {
        authenticated(&mut broker, 1).await;
    }
    assert_eq!(start.elapsed().as_secs(), 5);
}

#[tokio::test(start_paused = true)]
async fn what_is_in_flight_is_answered_and_what_comes_meanwhile_waits_for_the_last_answer() {
    let (connection, mut broker) = session(plain(), A_MINUTE).await;
    sleep(MINUTE * 84 / 100).await;
    let before = connection.send(&heartbeat(), MINUTE).unwrap();
    let parked = broker.asked().await;
    sleep(MINUTE * 12 / 100).await;
    let meanwhile = connection.send(&heartbeat(), MINUTE).unwrap();
    broker.answer_heartbeat(&parked, 11).await;
    assert_eq!(mark(before.answer().await), 11);
    broker.answer_handshake(0).await;
    let meanwhile_too = connection.send(&heartbeat(), MINUTE).unwrap();
    let (asked, _) = broker.asked_to_authenticate().await;
    assert!(timeout(SECOND, broker.io.read(&mut [0])).await.is_err(), "nothing passes");
    broker.answer_authenticate(&asked, b"", A_MINUTE).await;
    for (pending, expected) in [(meanwhile, 22), (meanwhile_too, 33)] {
        let asked = broker.asked().await;
        assert_eq!(asked.header.request_api_key, 12);
        broker.answer_heartbeat(&asked, expected).await;
        assert_eq!(mark(pending.answer().await), expected);
    }
}

#[tokio::test(start_paused = true)]
async fn the_two_proofs_of_scram_pass_with_nothing_between_them() {
    let (network, mut listener) = listen();
    let verifier = Verifier::new(ScramHash::Sha512, PLANTED);
    let broker = async {
        let mut script = Script::accept(&mut listener).await;
        script.answer_versions().await;
        script.answer_handshake(0).await;
        verifier.verify(&mut script, A_MINUTE).await;
        script.answer_metadata().await;
        script
    };
    let dial = as_who(scram(ScramHash::Sha512));
    let (connection, mut script) = tokio::join!(Connection::open(&network, dial), broker);
    let connection = connection.unwrap();
    for lap in 0..3 {
        assert_eq!(script.answer_handshake(0).await, "SCRAM-SHA-512");
        let pending = connection.send(&heartbeat(), SECOND).unwrap();
        verifier.verify(&mut script, A_MINUTE).await;
        let asked = script.asked().await;
        script.answer_heartbeat(&asked, lap).await;
        assert_eq!(mark(pending.answer().await), lap);
    }
}

#[tokio::test(start_paused = true)]
async fn a_parked_long_poll_delays_the_renewal_and_fails_nothing() {
    let (connection, mut broker) = session(plain(), A_MINUTE).await;
    let long_poll = connection.send(&heartbeat(), 10 * MINUTE).unwrap();
    let parked = broker.asked().await;
    sleep(5 * MINUTE).await;
    broker.answer_heartbeat(&parked, 11).await;
    assert_eq!(mark(long_poll.answer().await), 11);
    authenticated(&mut broker, A_MINUTE).await;
    authenticated(&mut broker, A_MINUTE).await;
    assert!(!connection.is_closed());
}

#[tokio::test(start_paused = true)]
async fn behind_a_long_poll_the_broker_has_its_whole_limit_still() {
    let (connection, mut broker) = session(plain(), A_MINUTE).await;
    let _long_poll = connection.send(&heartbeat(), 10 * MINUTE).unwrap();
    let parked = broker.asked().await;
    let asked = broker.asked().await;
    assert_eq!(asked.header.request_api_key, 17);
    sleep(SECOND * 29 / 10).await;
    broker.answer_heartbeat(&parked, 11).await;
    sleep(SECOND * 29 / 10).await;
    broker.answer(&asked, &SaslHandshakeResponse::default()).await;
    let (asked, _) = broker.asked_to_authenticate().await;
    broker.answer_authenticate(&asked, b"", 0).await;
    sleep(MINUTE).await;
    assert!(!connection.is_closed());
}

#[tokio::test(start_paused = true)]
async fn a_renewal_that_is_refused_closes_the_connection_and_says_so_to_all_who_wait() {
    let (connection, mut broker) = session(plain(), A_MINUTE).await;
    broker.answer_handshake(0).await;
    let (asked, _) = broker.asked_to_authenticate().await;
    let waiting = connection.send(&heartbeat(), MINUTE).unwrap();
    broker.refuse_authenticate(&asked, &format!("not {PLANTED}")).await;
    let error = waiting.answer().await.unwrap_err();
    let CallFailure::Closed(CloseReason::Reauthentication(text)) = error.failure else { panic!("{error}") };
    assert_eq!(text, "PLAIN: the broker refuses the credentials (SASL_AUTHENTICATION_FAILED: not [secret])");
    assert_eq!(broker.io.read(&mut [0]).await.unwrap(), 0, "what waited is not written after all");
}

#[tokio::test(start_paused = true)]
async fn a_broker_that_falls_silent_in_a_renewal_is_given_up_at_the_limit() {
    let (connection, mut broker) = session(plain(), A_MINUTE).await;
    broker.answer_handshake(0).await;
    let start = Instant::now();
    let CloseReason::Reauthentication(text) = connection.closed().await else { panic!() };
    assert_eq!((text.as_str(), start.elapsed()), ("SaslAuthenticate: no answer within 3s", 3 * SECOND));
}

#[tokio::test(start_paused = true)]
async fn a_source_that_fails_is_asked_again_while_the_session_lasts() {
    let (connection, mut broker) = session(bearer([2, 3]), A_MINUTE).await;
    assert_eq!(authenticated(&mut broker, A_MINUTE).await, "n,,\x01auth=Bearer token-4\x01\x01");
    assert!(!connection.is_closed());
}

#[tokio::test(start_paused = true)]
async fn a_source_that_gives_no_token_any_more_ends_the_connection_with_the_session() {
    let (connection, _broker) = session(bearer(2..100), A_MINUTE).await;
    let start = Instant::now();
    let CloseReason::Reauthentication(text) = connection.closed().await else { panic!() };
    assert_eq!(text, "OAUTHBEARER: no token: the command failed");
    assert!((MINUTE - 2 * SECOND..=MINUTE).contains(&start.elapsed()));
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_nobody_holds_is_not_kept_alive_for_its_next_renewal() {
    let (connection, mut broker) = session(plain(), A_MINUTE).await;
    let start = Instant::now();
    drop(connection);
    assert_eq!(broker.io.read(&mut [0]).await.unwrap(), 0, "closed");
    assert_eq!(start.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn a_full_house_does_not_keep_the_renewal_out() {
    let (connection, mut broker) = session(plain(), A_MINUTE).await;
    let waiting: Vec<_> =
        (0..MOST_UNANSWERED).map(|_| connection.send(&heartbeat(), 10 * MINUTE).unwrap()).collect();
    let mut asked = Vec::new();
    for _ in 0..MOST_UNANSWERED {
        asked.push(broker.asked().await);
    }
    broker.answer_handshake(0).await;
    let (authenticate, _) = broker.asked_to_authenticate().await;
    broker.answer_authenticate(&authenticate, b"", 0).await;
    for asked in &asked {
        broker.answer_heartbeat(asked, 11).await;
    }
    for pending in waiting {
        assert_eq!(mark(pending.answer().await), 11);
    }
}

#[tokio::test(start_paused = true)]
async fn a_refused_token_is_reported_in_the_brokers_words() {
    let (network, mut listener) = listen();
    let error_json = br#"{"status":"invalid_token"}"#;
    let broker = async {
        let mut script = Script::accept(&mut listener).await;
        script.answer_versions().await;
        assert_eq!(script.answer_handshake(0).await, "OAUTHBEARER");
        let (asked, message) = script.asked_to_authenticate().await;
        assert_eq!(message, "n,,\x01auth=Bearer token-1\x01\x01");
        script.answer_authenticate(&asked, error_json, 0).await;
        let (asked, message) = script.asked_to_authenticate().await;
        assert_eq!(message, "\x01");
        script.refuse_authenticate(&asked, "authentication failed").await;
    };
    let (outcome, ()) = tokio::join!(Connection::open(&network, as_who(bearer([]))), broker);
    let error = outcome.unwrap_err();
    assert!(error.is_denied());
    let ConnectFailure::Authentication { reason, .. } = error.failure else { panic!() };
    let message = Some(r#"{"status":"invalid_token"}"#.into());
    assert_eq!(
        reason,
        AuthenticationFailure::Refused { code: ErrorCode::SASL_AUTHENTICATION_FAILED, message }
    );
}

#[tokio::test(start_paused = true)]
async fn without_a_token_nothing_is_announced() {
    let (network, mut listener) = listen();
    let broker = async {
        let mut script = Script::accept(&mut listener).await;
        script.answer_versions().await;
        assert_eq!(script.io.read(&mut [0]).await.unwrap(), 0, "closed");
    };
    let (outcome, ()) = tokio::join!(Connection::open(&network, as_who(bearer([1]))), broker);
    let text = outcome.unwrap_err().to_string();
    assert_eq!(text, "cannot use broker:9092: OAUTHBEARER: no token: the command failed");
}

/// A source that never comes back.
struct Stuck;

impl TokenSource for Stuck {
    fn token(&self) -> BoxFuture<'_, Result<Secret, TokenError>> {
        Box::pin(std::future::pending())
    }
}

/// A source of what is no token.
struct Padded;

impl TokenSource for Padded {
    fn token(&self) -> BoxFuture<'_, Result<Secret, TokenError>> {
        Box::pin(async { Ok(Secret::new(format!("{PLANTED}\n"))) })
    }
}

#[tokio::test(start_paused = true)]
async fn a_source_that_hangs_or_gives_what_is_no_token_is_named() {
    for (source, expected) in [
        (Arc::new(Stuck) as Arc<dyn TokenSource>, "no token within 10s"),
        (
            Arc::new(Padded),
            "the credentials cannot be sent: a bearer token has letters, digits and -._~+/= only, and no white space around it",
        ),
    ] {
        let sasl = Sasl::OauthBearer { tokens: source };
        let (network, mut listener) = listen();
        let broker = async {
            let mut script = Script::accept(&mut listener).await;
            script.answer_versions().await;
            script
        };
        let (outcome, _broker) = tokio::join!(Connection::open(&network, as_who(sasl)), broker);
        let error = outcome.unwrap_err();
        assert_eq!(error.to_string(), format!("cannot use broker:9092: OAUTHBEARER: {expected}"));
    }
}
