//! One authentication: what is sent in the mechanism's name, step by step. Pure but for the source of tokens.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use tokio::time::timeout;
use zeroize::Zeroizing;

use super::random::unforeseeable;
use super::scram::{ProofSent, Scram, ScramError};
use super::{AuthenticationFailure, Sasl, Secret};
use crate::api::ErrorCode;

/// The longest message of a broker's that is read, in bytes.
const LONGEST_CHALLENGE: usize = 16 << 10;

/// How much of what a broker says is repeated, in characters.
const LONGEST_QUOTE: usize = 256;

/// A message of the mechanism.
pub(crate) type Message = Zeroizing<Vec<u8>>;

/// An authentication in progress.
///
/// ```text
/// PLAIN         Credentials ─► done
/// SCRAM         ScramBegun ─► ScramProof ─► done
/// OAUTHBEARER   Token ─► done, or ─► TokenRefused ─► failed
/// ```
pub(crate) struct Exchange {
    /// Struck from whatever the broker says.
    secret: Secret,
    state: State,
}

enum State {
    Credentials,
    ScramBegun(Box<Scram>),
    ScramProof(Box<ProofSent>),
    Token,
    TokenRefused { error: String },
}

/// What follows a message of the broker's.
pub(crate) enum Next {
    Send(Message),
    Done,
}

impl Exchange {
    /// Gets ready what will be sent: for OAUTHBEARER this asks for a token, for at most `limit`.
    pub(crate) async fn begin(
        sasl: &Sasl,
        limit: Duration,
    ) -> Result<(Message, Exchange), AuthenticationFailure> {
        let (first, secret, state) = match sasl {
            Sasl::Plain { username, password } => {
                (plain(username, password)?, password.clone(), State::Credentials)
            }
            Sasl::Scram { hash, username, password } => {
                let scram = Scram::new(*hash, username, password.clone(), nonce()?);
                (scram.first().into_bytes().into(), password.clone(), State::ScramBegun(scram.into()))
            }
            Sasl::OauthBearer { tokens } => {
                let late = |_| AuthenticationFailure::TokenTimeout { limit };
                let token = timeout(limit, tokens.token()).await.map_err(late)??;
                (bearer(&token)?, token, State::Token)
            }
        };
        Ok((first, Exchange { secret, state }))
    }

    /// Takes the broker's message to what was sent last.
    pub(crate) fn step(&mut self, challenge: &[u8]) -> Result<Next, AuthenticationFailure> {
        if challenge.len() > LONGEST_CHALLENGE {
            let text = format!("its message has {} bytes", challenge.len());
            return Err(AuthenticationFailure::Untrusted(text));
        }
        match std::mem::replace(&mut self.state, State::Credentials) {
            State::Credentials => Ok(Next::Done),
            State::ScramBegun(scram) => {
                let (proof, sent) = scram.prove(text(challenge)?).map_err(|error| self.scram(error))?;
                self.state = State::ScramProof(sent.into());
                Ok(Next::Send(proof.into_bytes().into()))
            }
            State::ScramProof(sent) => {
                sent.verify(text(challenge)?).map_err(|error| self.scram(error))?;
                Ok(Next::Done)
            }
            State::Token if challenge.is_empty() => Ok(Next::Done),
            // The error comes as a challenge, and is to be answered by a byte of 1 (RFC 7628, section 3.2.3).
            State::Token => {
                self.state = State::TokenRefused { error: self.quoted(&String::from_utf8_lossy(challenge)) };
                Ok(Next::Send(vec![1].into()))
            }
            State::TokenRefused { error } => Err(refused(ErrorCode::SASL_AUTHENTICATION_FAILED, Some(error))),
        }
    }

    /// The broker ends the exchange with an error.
    pub(crate) fn refused(self, code: ErrorCode, explanation: Option<&str>) -> AuthenticationFailure {
        let explanation = explanation.map(|text| self.quoted(text));
        match self.state {
            State::TokenRefused { error } => refused(code, Some(error)),
            _ => refused(code, explanation),
        }
    }

    fn scram(&self, error: ScramError) -> AuthenticationFailure {
        match error {
            ScramError::Refused(text) => {
                refused(ErrorCode::SASL_AUTHENTICATION_FAILED, Some(self.quoted(&text)))
            }
            error => AuthenticationFailure::Untrusted(error.to_string()),
        }
    }

    /// A broker's words, without our secret.
    fn quoted(&self, text: &str) -> String {
        one_line(&self.secret.struck_from(text))
    }
}

/// A broker's words, on one line and not endless.
pub(crate) fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(LONGEST_QUOTE).collect()
}

fn refused(code: ErrorCode, message: Option<String>) -> AuthenticationFailure {
    AuthenticationFailure::Refused { code, message: message.filter(|message| !message.is_empty()) }
}

fn text(challenge: &[u8]) -> Result<&str, AuthenticationFailure> {
    std::str::from_utf8(challenge)
        .map_err(|_| AuthenticationFailure::Untrusted("its message is not UTF-8".into()))
}

/// RFC 4616: nobody to act as, the name, the password.
fn plain(username: &str, password: &Secret) -> Result<Message, AuthenticationFailure> {
    if username.contains('\0') || password.expose().contains('\0') {
        return Err(AuthenticationFailure::Unsendable("name and password must not hold a zero byte"));
    }
    let mut message = Zeroizing::new(Vec::with_capacity(username.len() + password.expose().len() + 2));
    for part in ["\0", username, "\0", password.expose()] {
        message.extend_from_slice(part.as_bytes());
    }
    Ok(message)
}

/// RFC 7628, section 3.1.
fn bearer(token: &Secret) -> Result<Message, AuthenticationFailure> {
    let permitted = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~+/=".contains(&byte);
    if token.expose().is_empty() || !token.expose().bytes().all(permitted) {
        let text = "a bearer token has letters, digits and -._~+/= only, and no white space around it";
        return Err(AuthenticationFailure::Unsendable(text));
    }
    let mut message = Zeroizing::new(Vec::with_capacity(token.expose().len() + 20));
    for part in ["n,,\x01auth=Bearer ", token.expose(), "\x01\x01"] {
        message.extend_from_slice(part.as_bytes());
    }
    Ok(message)
}

fn nonce() -> Result<String, AuthenticationFailure> {
    let bytes: [u8; 24] =
        unforeseeable().ok_or(AuthenticationFailure::Unsendable("the system gives no random bytes"))?;
    Ok(STANDARD_NO_PAD.encode(bytes))
}
