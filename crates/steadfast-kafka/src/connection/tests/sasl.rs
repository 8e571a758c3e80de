//! Authentication on a connection that is being opened.

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use proptest::prelude::*;
use ring::{digest, hmac, pbkdf2};

use super::*;
use crate::security::{AuthenticationFailure, Sasl, ScramHash, Secret, Security};

/// A password that is to be found nowhere.
pub(super) const PLANTED: &str = "pl4nted-s3cret";

pub(super) fn plain() -> Sasl {
    Sasl::Plain { username: "ann".into(), password: Secret::new(PLANTED) }
}

pub(super) fn scram(hash: ScramHash) -> Sasl {
    Sasl::Scram { hash, username: "ann".into(), password: Secret::new(PLANTED) }
}

pub(super) fn as_who(sasl: Sasl) -> Dial {
    Dial { security: Security { tls: None, sasl: Some(sasl) }, ..Dial::new(broker_address()) }
}

/// Why the opening failed; nowhere in the error is the planted secret.
async fn refusal(sasl: Sasl, script: impl AsyncFnOnce(Script)) -> ConnectError {
    let (network, mut listener) = listen();
    let broker = async { script(Script::accept(&mut listener).await).await };
    let (outcome, ()) = tokio::join!(Connection::open(&network, as_who(sasl)), broker);
    let error = outcome.unwrap_err();
    assert!(!format!("{error} {error:?}").contains(PLANTED), "{error:?}");
    error
}

fn reason(error: ConnectError) -> AuthenticationFailure {
    match error.failure {
        ConnectFailure::Authentication { reason, .. } => reason,
        other => panic!("{other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn plain_says_name_and_password_after_the_versions_and_before_anything_else() {
    let outcome = open_with(as_who(plain()), async |mut script: Script| {
        script.answer_versions().await;
        assert_eq!(script.answer_handshake(0).await, "PLAIN");
        let (asked, message) = script.asked_to_authenticate().await;
        assert_eq!(message, format!("\0ann\0{PLANTED}"));
        script.answer_authenticate(&asked, b"", 0).await;
        script.answer_metadata().await;
    });
    assert!(outcome.await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn scram_proves_the_password_without_sending_it_and_has_the_broker_prove_it_too() {
    for hash in [ScramHash::Sha256, ScramHash::Sha512] {
        let outcome = open_with(as_who(scram(hash)), async |mut script: Script| {
            script.answer_versions().await;
            assert_eq!(script.answer_handshake(0).await, scram(hash).mechanism());
            Verifier::new(hash, PLANTED).verify(&mut script, 0).await;
            script.answer_metadata().await;
        });
        assert!(outcome.await.is_ok());
    }
}

#[tokio::test(start_paused = true)]
async fn a_broker_that_does_not_know_the_password_is_not_gone_on_with() {
    let error = refusal(scram(ScramHash::Sha256), async |mut script: Script| {
        script.answer_versions().await;
        script.answer_handshake(0).await;
        let (asked, first) = script.asked_to_authenticate().await;
        let verifier = Verifier::new(ScramHash::Sha256, "another");
        script.answer_authenticate(&asked, verifier.challenge(&first).as_bytes(), 0).await;
        let (asked, last) = script.asked_to_authenticate().await;
        let signature = verifier.signature(&verifier.conversation(&first, &last));
        script.answer_authenticate(&asked, signature.as_bytes(), 0).await;
        assert_eq!(script.io.read(&mut [0]).await.unwrap(), 0, "nothing more is asked");
    });
    let error = error.await;
    assert!(!error.is_denied());
    assert!(matches!(reason(error), AuthenticationFailure::Untrusted(_)));
}

#[tokio::test(start_paused = true)]
async fn refused_credentials_are_told_apart_and_the_broker_may_not_quote_them() {
    let error = refusal(plain(), async |mut script: Script| {
        script.answer_versions().await;
        script.answer_handshake(0).await;
        let (asked, _) = script.asked_to_authenticate().await;
        script.refuse_authenticate(&asked, &format!("{PLANTED} is\nwrong")).await;
    });
    let error = error.await;
    assert!(error.is_denied());
    assert_eq!(
        error.to_string(),
        "cannot use broker:9092: PLAIN: the broker refuses the credentials (SASL_AUTHENTICATION_FAILED: [secret] is wrong)"
    );
}

#[tokio::test(start_paused = true)]
async fn a_mechanism_that_is_not_offered_is_told_with_those_that_are() {
    let error = refusal(scram(ScramHash::Sha512), async |mut script: Script| {
        script.answer_versions().await;
        script.answer_handshake(33).await;
    });
    let error = error.await;
    assert!(!error.is_denied());
    assert_eq!(
        error.to_string(),
        "cannot use broker:9092: SCRAM-SHA-512: the listener does not offer this mechanism: it offers PLAIN, GSSAPI"
    );
}

#[tokio::test(start_paused = true)]
async fn a_listener_without_sasl_is_recognised() {
    let error = refusal(plain(), async |mut script: Script| {
        script.answer_versions().await;
        script.answer_handshake(34).await;
    });
    assert_eq!(reason(error.await), AuthenticationFailure::NotAsked);
}

#[tokio::test(start_paused = true)]
async fn a_broker_that_falls_silent_is_given_up_at_the_limit_for_securing() {
    let start = Instant::now();
    let (network, mut listener) = listen();
    let broker = async {
        let mut script = Script::accept(&mut listener).await;
        script.answer_versions().await;
        script
    };
    let (outcome, _broker) = tokio::join!(Connection::open(&network, as_who(plain())), broker);
    let Err(ConnectFailure::Handshake { api: "SaslHandshake", failure }) = outcome.map_err(|e| e.failure)
    else {
        panic!()
    };
    assert_eq!((failure, start.elapsed()), (CallFailure::Timeout { limit: 3 * SECOND }, 3 * SECOND));
}

#[tokio::test(start_paused = true)]
async fn a_broker_that_speaks_no_sasl_at_all_is_named() {
    let error = refusal(plain(), async |mut script: Script| {
        let asked = script.asked().await;
        let own = versions_offered().api_keys.into_iter().filter(|offer| offer.api_key != 36).collect();
        script.answer(&asked, &ApiVersionsResponse::default().with_api_keys(own)).await;
    });
    let ConnectFailure::Handshake { api: "SaslAuthenticate", .. } = error.await.failure else { panic!() };
}

#[tokio::test(start_paused = true)]
async fn whatever_a_broker_answers_to_a_proof_ends_in_an_error_and_not_in_a_panic() {
    let proofs: [&[u8]; 6] = [b"", b"v=", b"v=\xff", b"e=", b"r=x,s=x,i=1", &[0; 20_000]];
    for answer in proofs {
        for sasl in [scram(ScramHash::Sha256), scram(ScramHash::Sha512)] {
            let error = refusal(sasl, async |mut script: Script| {
                script.answer_versions().await;
                script.answer_handshake(0).await;
                let (asked, _) = script.asked_to_authenticate().await;
                script.answer_authenticate(&asked, answer, 0).await;
            });
            assert!(matches!(reason(error.await), AuthenticationFailure::Untrusted(_)));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_listener_that_hangs_up_on_who_did_not_authenticate_is_understood() {
    let outcome = open_with(Dial::new(broker_address()), async |mut script: Script| {
        script.answer_versions().await;
        script.asked().await;
    });
    let Err(failure) = outcome.await else { panic!() };
    assert_eq!(
        failure.to_string(),
        "no SASL: the listener hung up at the first request: one that asks for SASL does so, see security.protocol"
    );
}

#[tokio::test(start_paused = true)]
async fn nothing_that_can_be_printed_shows_the_password() {
    for sasl in [plain(), scram(ScramHash::Sha256)] {
        let dial = as_who(sasl);
        let printed = format!("{dial:?} {:?} {}", dial.security, dial.security);
        assert!(!printed.contains(PLANTED), "{printed}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(500) })]
    #[test]
    fn whatever_bytes_a_broker_answers_with_the_opening_ends_in_an_error(
        well_begun in any::<bool>(),
        answers in prop::collection::vec(prop::collection::vec(prop::sample::select(BYTES), 0..24), 4),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        let outcome = runtime.block_on(open_with(as_who(scram(ScramHash::Sha256)), async |mut script: Script| {
            script.answer_versions().await;
            if well_begun {
                script.answer_handshake(0).await;
            }
            for answer in answers {
                let Some(asked) = script.asked_if_any().await else { return };
                let id = asked.header.correlation_id.to_be_bytes();
                let length = (answer.len() as i32 + 4).to_be_bytes();
                if script.io.write_all(&[&length[..], &id, &answer].concat()).await.is_err() {
                    return;
                }
            }
        }));
        prop_assert!(outcome.is_err());
    }
}

/// Bytes of which answers are made, good ones too.
const BYTES: &[u8] = &[0, 0, 0, 0, 1, 2, 3, 4, b'r', b'=', b',', 0x7f, 0x80, 0xff];

/// The broker's side of SCRAM.
pub(super) struct Verifier {
    hash: ScramHash,
    salted: Vec<u8>,
}

impl Verifier {
    const SALT: &[u8] = b"salt of ann";

    pub(super) fn new(hash: ScramHash, password: &str) -> Verifier {
        let (algorithm, length) = match hash {
            ScramHash::Sha256 => (pbkdf2::PBKDF2_HMAC_SHA256, 32),
            ScramHash::Sha512 => (pbkdf2::PBKDF2_HMAC_SHA512, 64),
        };
        let mut salted = vec![0; length];
        let iterations = 4_096.try_into().unwrap();
        pbkdf2::derive(algorithm, iterations, Self::SALT, password.as_bytes(), &mut salted);
        Verifier { hash, salted }
    }

    /// The whole exchange with a client that knows the password, for a session of so many milliseconds.
    pub(super) async fn verify(&self, script: &mut Script, lifetime: i64) {
        let (asked, first) = script.asked_to_authenticate().await;
        script.answer_authenticate(&asked, self.challenge(&first).as_bytes(), 0).await;
        let (asked, last) = script.asked_to_authenticate().await;
        let conversation = self.conversation(&first, &last);
        let (_, proof) = text(&last).split_once(",p=").unwrap();
        assert_eq!(proof, self.proof(&conversation));
        script.answer_authenticate(&asked, self.signature(&conversation).as_bytes(), lifetime).await;
    }

    fn challenge(&self, first: &[u8]) -> String {
        let (_, nonce) = text(first).split_once(",r=").unwrap();
        format!("r={nonce}+ours,s={},i=4096", BASE64.encode(Self::SALT))
    }

    fn conversation(&self, first: &[u8], last: &[u8]) -> String {
        let bare = text(first).strip_prefix("n,,").unwrap();
        let (unproven, _) = text(last).split_once(",p=").unwrap();
        format!("{bare},{},{unproven}", self.challenge(first))
    }

    fn proof(&self, conversation: &str) -> String {
        let client_key = self.hmac(&self.salted, "Client Key");
        let algorithm = match self.hash {
            ScramHash::Sha256 => &digest::SHA256,
            ScramHash::Sha512 => &digest::SHA512,
        };
        let stored_key = digest::digest(algorithm, client_key.as_ref());
        let signature = self.hmac(stored_key.as_ref(), conversation);
        let bits = client_key.as_ref().iter().zip(signature.as_ref());
        BASE64.encode(bits.map(|(a, b)| a ^ b).collect::<Vec<u8>>())
    }

    fn signature(&self, conversation: &str) -> String {
        let server_key = self.hmac(&self.salted, "Server Key");
        format!("v={}", BASE64.encode(self.hmac(server_key.as_ref(), conversation)))
    }

    fn hmac(&self, key: &[u8], text: &str) -> hmac::Tag {
        let algorithm = match self.hash {
            ScramHash::Sha256 => hmac::HMAC_SHA256,
            ScramHash::Sha512 => hmac::HMAC_SHA512,
        };
        hmac::sign(&hmac::Key::new(algorithm, key), text.as_bytes())
    }
}

fn text(message: &[u8]) -> &str {
    std::str::from_utf8(message).unwrap()
}
