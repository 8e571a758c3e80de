//! SCRAM (RFC 5802, RFC 7677), the client's side, without channel binding as Kafka has it.

use std::num::NonZeroU32;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use ring::{digest, hmac, pbkdf2};
use zeroize::Zeroizing;

use super::{ScramHash, Secret};

/// How often the password must at least be hashed (RFC 7677, section 4): a broker that asks for less, or a
/// stranger in its place, could guess the password from what we answer.
const LEAST_ITERATIONS: u32 = 4_096;

/// How often it may at most be hashed. Kafka's own brokers allow 16,384; this many take less than 0.1 s of
/// one core, which is what a hostile broker can cost us.
const MOST_ITERATIONS: u32 = 100_000;

/// The largest salt, in bytes.
const LARGEST_SALT: usize = 1_024;

/// "n,,": no channel binding, no other identity to act as.
const GS2_HEADER: &str = "n,,";

/// What the client has said first, and what it needs to go on.
pub(crate) struct Scram {
    hash: ScramHash,
    password: Secret,
    nonce: String,
    first_bare: String,
}

/// The client's proof is out; the server's is to come.
pub(crate) struct ProofSent {
    server_key: hmac::Key,
    conversation: String,
}

/// What is wrong with the server's part.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ScramError {
    #[error("expected {expected}, found something else")]
    Malformed { expected: &'static str },
    #[error("its nonce does not continue ours")]
    Nonce,
    #[error("expected {LEAST_ITERATIONS} to {MOST_ITERATIONS} iterations, found {found}")]
    Iterations { found: u32 },
    #[error("it does not know the password: its signature is wrong")]
    Signature,
    #[error("it says {0:?}")]
    Refused(String),
}

impl Scram {
    /// Begins as `username`. The nonce must never have been used before and hold no comma.
    pub(crate) fn new(hash: ScramHash, username: &str, password: Secret, nonce: String) -> Scram {
        // Neither side prepares strings (RFC 4013): Kafka hashes the password's UTF-8 as it stands.
        let name = username.replace('=', "=3D").replace(',', "=2C");
        let first_bare = format!("n={name},r={nonce}");
        Scram { hash, password, nonce, first_bare }
    }

    /// The client's first message.
    pub(crate) fn first(&self) -> String {
        format!("{GS2_HEADER}{}", self.first_bare)
    }

    /// Answers the server's first message.
    pub(crate) fn prove(self, challenge: &str) -> Result<(String, ProofSent), ScramError> {
        let terms = Terms::read(challenge, &self.nonce)?;
        let unproven = format!("c={},r={}", BASE64.encode(GS2_HEADER), terms.nonce);
        let conversation = format!("{},{challenge},{unproven}", self.first_bare);
        let salted = self.salted_password(&terms);
        let key = |purpose: &str| hmac::sign(&hmac::Key::new(self.hmac(), &salted), purpose.as_bytes());
        let client_key = key("Client Key");
        let stored_key = digest::digest(self.digest(), client_key.as_ref());
        let signature =
            hmac::sign(&hmac::Key::new(self.hmac(), stored_key.as_ref()), conversation.as_bytes());
        let proof: Vec<u8> = client_key.as_ref().iter().zip(signature.as_ref()).map(|(a, b)| a ^ b).collect();
        let server_key = hmac::Key::new(self.hmac(), key("Server Key").as_ref());
        Ok((format!("{unproven},p={}", BASE64.encode(proof)), ProofSent { server_key, conversation }))
    }

    fn salted_password(&self, terms: &Terms<'_>) -> Zeroizing<Vec<u8>> {
        let mut salted = Zeroizing::new(vec![0; self.digest().output_len()]);
        let password = self.password.expose().as_bytes();
        pbkdf2::derive(self.pbkdf2(), terms.iterations, &terms.salt, password, &mut salted);
        salted
    }

    fn hmac(&self) -> hmac::Algorithm {
        match self.hash {
            ScramHash::Sha256 => hmac::HMAC_SHA256,
            ScramHash::Sha512 => hmac::HMAC_SHA512,
        }
    }

    fn digest(&self) -> &'static digest::Algorithm {
        match self.hash {
            ScramHash::Sha256 => &digest::SHA256,
            ScramHash::Sha512 => &digest::SHA512,
        }
    }

    fn pbkdf2(&self) -> pbkdf2::Algorithm {
        match self.hash {
            ScramHash::Sha256 => pbkdf2::PBKDF2_HMAC_SHA256,
            ScramHash::Sha512 => pbkdf2::PBKDF2_HMAC_SHA512,
        }
    }
}

impl ProofSent {
    /// Checks the server's proof that it knows the password too.
    pub(crate) fn verify(&self, last: &str) -> Result<(), ScramError> {
        let proof = match last.split(',').next().and_then(|first| first.split_once('=')) {
            Some(("v", proof)) => proof,
            Some(("e", error)) => return Err(ScramError::Refused(error.to_owned())),
            _ => return Err(ScramError::Malformed { expected: "the server's signature" }),
        };
        let malformed = ScramError::Malformed { expected: "a signature in base64" };
        let proof = BASE64.decode(proof).map_err(|_| malformed)?;
        hmac::verify(&self.server_key, self.conversation.as_bytes(), &proof)
            .map_err(|_| ScramError::Signature)
    }
}

/// What the server's first message asks for.
struct Terms<'a> {
    nonce: &'a str,
    salt: Vec<u8>,
    iterations: NonZeroU32,
}

impl<'a> Terms<'a> {
    fn read(challenge: &'a str, ours: &str) -> Result<Terms<'a>, ScramError> {
        let mut attributes = challenge.split(',');
        let mut next = |name: &str, expected| {
            let attribute = attributes.next().and_then(|attribute| attribute.strip_prefix(name));
            attribute.ok_or(ScramError::Malformed { expected })
        };
        let nonce = next("r=", "a nonce")?;
        let salt = next("s=", "a salt")?;
        let iterations = next("i=", "a number of iterations")?;
        match nonce.strip_prefix(ours) {
            Some(theirs) if !theirs.is_empty() => {}
            _ => return Err(ScramError::Nonce),
        }
        Ok(Terms { nonce, salt: read_salt(salt)?, iterations: read_iterations(iterations)? })
    }
}

fn read_salt(text: &str) -> Result<Vec<u8>, ScramError> {
    let salt = BASE64.decode(text).ok().filter(|salt| (1..=LARGEST_SALT).contains(&salt.len()));
    salt.ok_or(ScramError::Malformed { expected: "a salt in base64 of at most 1 KiB" })
}

fn read_iterations(text: &str) -> Result<NonZeroU32, ScramError> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    let number = text.parse().ok().filter(|_| digits);
    let found: u32 = number.ok_or(ScramError::Malformed { expected: "a number of iterations" })?;
    let within = (LEAST_ITERATIONS..=MOST_ITERATIONS).contains(&found);
    NonZeroU32::new(found).filter(|_| within).ok_or(ScramError::Iterations { found })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const NONCE: &str = "rOprNGfwEbeRWgbNEkqO";

    /// RFC 7677, section 3.
    const CHALLENGE: &str =
        "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096";

    fn pencil(hash: ScramHash) -> Scram {
        Scram::new(hash, "user", Secret::new("pencil"), NONCE.into())
    }

    fn refusal(challenge: &str) -> ScramError {
        pencil(ScramHash::Sha256).prove(challenge).err().unwrap()
    }

    #[test]
    fn the_exchange_of_rfc_7677_comes_out_as_printed_there() {
        let scram = pencil(ScramHash::Sha256);
        assert_eq!(scram.first(), "n,,n=user,r=rOprNGfwEbeRWgbNEkqO");
        let (last, sent) = scram.prove(CHALLENGE).unwrap();
        assert_eq!(
            last,
            "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="
        );
        assert_eq!(sent.verify("v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="), Ok(()));
    }

    #[test]
    fn the_same_with_sha_512_comes_out_as_others_have_it() {
        // Computed by Python's hashlib and hmac.
        let nonce = "rOprNGfwEbeRWgbNEkqO02431b08-2f89-4bad-a4e6-80c0564ec865";
        let challenge = format!("r={nonce},s=Yin2FuHTt/M0kJWb0t9OI32n2VmOGi3m+JfjOvuDF88=,i=4096");
        let (last, sent) = pencil(ScramHash::Sha512).prove(&challenge).unwrap();
        let proof =
            "Hc5yec3NmCD7t+kFRw4/3yD6/F3SQHc7AVYschRja+Bc3sbdjlA0eH1OjJc0DD4ghn1tnXN5/Wr6qm9xmaHt4A==";
        assert_eq!(last, format!("c=biws,r={nonce},p={proof}"));
        let signature =
            "v=BQuhnKHqYDwQWS5jAw4sZed+C9KFUALsbrq81bB0mh+bcUUbbMPNNmBIupnS2AmyyDnG5CTBQtkjJ9kyY4kzmw==";
        assert_eq!(sent.verify(signature), Ok(()));
    }

    #[test]
    fn a_server_that_does_not_know_the_password_is_found_out() {
        let (_, sent) = pencil(ScramHash::Sha256).prove(CHALLENGE).unwrap();
        let wrong = "v=7rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=";
        assert_eq!(sent.verify(wrong), Err(ScramError::Signature));
        assert_eq!(sent.verify("v="), Err(ScramError::Signature));
        assert!(matches!(sent.verify("v=%"), Err(ScramError::Malformed { .. })));
        assert!(matches!(sent.verify(""), Err(ScramError::Malformed { .. })));
        assert_eq!(sent.verify("e=other-error"), Err(ScramError::Refused("other-error".into())));
    }

    #[test]
    fn a_nonce_that_does_not_continue_ours_is_refused() {
        assert_eq!(refusal("r=another,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"), ScramError::Nonce);
        assert_eq!(refusal(&format!("r={NONCE},s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096")), ScramError::Nonce);
    }

    #[test]
    fn too_few_iterations_are_refused_and_so_are_those_that_burn_our_time() {
        for (found, accepted) in [(1, false), (4_095, false), (4_096, true), (16_384, true), (100_001, false)]
        {
            let challenge = format!("r={NONCE}+,s=W22ZaJ0SNY7soEsUEjb6gQ==,i={found}");
            let outcome = pencil(ScramHash::Sha256).prove(&challenge);
            assert_eq!(outcome.is_ok(), accepted, "{found}");
            assert!(accepted || outcome.err() == Some(ScramError::Iterations { found }));
        }
    }

    #[test]
    fn what_is_no_challenge_is_refused() {
        let bad = ["", "e=other-error", "m=x,r=a,s=AA==,i=4096", "i=4096", "r=", "r=\u{e9},s=,i="];
        for challenge in bad {
            assert!(
                matches!(refusal(challenge), ScramError::Malformed { .. } | ScramError::Nonce),
                "{challenge}"
            );
        }
        let ours = |rest: &str| format!("r={NONCE}+,{rest}");
        for rest in
            ["s=,i=4096", "s=%,i=4096", "s=AA==,i=", "s=AA==,i=+4096", "s=AA==,i=99999999999", "s=AA=="]
        {
            assert!(matches!(refusal(&ours(rest)), ScramError::Malformed { .. }), "{rest}");
        }
    }

    #[test]
    fn commas_and_equal_signs_in_a_name_are_written_as_the_rfc_says() {
        let scram = Scram::new(ScramHash::Sha256, "a=b,c", Secret::new("p"), "n".into());
        assert_eq!(scram.first(), "n,,n=a=3Db=2Cc,r=n");
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]
        #[test]
        fn no_challenge_makes_it_panic(challenge in "(r=rOprNGfwEbeRWgbNEkqO)?[ -~]{0,40}(,s=[A-Za-z0-9+/=]{0,8})?(,i=[0-9]{1,4})?") {
            let _ = pencil(ScramHash::Sha512).prove(&challenge);
        }
    }
}
