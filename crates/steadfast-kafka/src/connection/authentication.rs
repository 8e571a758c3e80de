//! Saying who we are, over a channel: the handshake of SASL, then the mechanism's messages.

use std::sync::Arc;
use std::time::Duration;

use super::channel::{Channel, Lane};
use super::{ConnectFailure, Dial};
use crate::api::sasl_authenticate::SaslAuthenticate;
use crate::api::sasl_handshake::SaslHandshake;
use crate::api::{Api, ErrorCode};
use crate::security::exchange::{Exchange, Message, Next, one_line};
use crate::security::{AuthenticationFailure, Sasl};
use crate::versions::BrokerVersions;

/// What each authentication of one connection needs.
#[derive(Clone)]
pub(super) struct Credentials {
    sasl: Sasl,
    handshake_version: i16,
    authenticate_version: i16,
    answer_limit: Duration,
    token_limit: Duration,
}

/// An authentication that has all it needs to begin.
pub(super) struct Ready {
    first: Message,
    exchange: Exchange,
}

impl Credentials {
    /// For the SASL that `dial` asks for.
    pub(super) fn new(
        sasl: &Sasl,
        dial: &Dial,
        channel: &Channel,
        versions: &BrokerVersions,
    ) -> Result<Credentials, ConnectFailure> {
        let handshake = SaslHandshake { mechanism: sasl.mechanism() };
        let authenticate = SaslAuthenticate { message: Message::default() };
        let failed = |error| channel.failed::<SaslHandshake>(error);
        let failed_then = |error| channel.failed::<SaslAuthenticate>(error);
        Ok(Credentials {
            sasl: sasl.clone(),
            handshake_version: versions.for_request(&handshake).map_err(failed)?,
            authenticate_version: versions.for_request(&authenticate).map_err(failed_then)?,
            answer_limit: dial.secure_limit,
            token_limit: dial.token_limit,
        })
    }

    fn mechanism(&self) -> &'static str {
        self.sasl.mechanism()
    }

    /// Gets ready before anything is said: a token may be long in coming.
    pub(super) async fn ready(&self) -> Result<Ready, AuthenticationFailure> {
        let (first, exchange) = Exchange::begin(&self.sasl, self.token_limit).await?;
        Ok(Ready { first, exchange })
    }

    /// Authenticates while `lane` keeps the channel. How long the session lasts, if it ends.
    pub(super) async fn prove(
        &self,
        channel: &Arc<Channel>,
        lane: &Lane,
        ready: Ready,
    ) -> Result<Option<Duration>, ConnectFailure> {
        self.announce(channel, lane).await?;
        let Ready { first: mut message, mut exchange } = ready;
        loop {
            let request = SaslAuthenticate { message };
            let sent = channel.send_in(lane, &request, self.authenticate_version, self.answer_limit)?;
            let answer = sent.answer().await?;
            if !answer.error.is_ok() {
                return Err(self.failed(exchange.refused(answer.error, answer.explanation.as_deref())));
            }
            match exchange.step(&answer.message).map_err(|reason| self.failed(reason))? {
                Next::Send(next) => message = next,
                Next::Done => return Ok(answer.lifetime),
            }
        }
    }

    async fn announce(&self, channel: &Arc<Channel>, lane: &Lane) -> Result<(), ConnectFailure> {
        let request = SaslHandshake { mechanism: self.mechanism() };
        let sent = channel.send_in(lane, &request, self.handshake_version, self.answer_limit)?;
        let answer = sent.answer().await?;
        match answer.error {
            ErrorCode::NONE => Ok(()),
            ErrorCode::UNSUPPORTED_SASL_MECHANISM => {
                let offered =
                    answer.mechanisms.iter().take(MOST_OFFERED).map(|name| one_line(name)).collect();
                Err(self.failed(AuthenticationFailure::NotOffered { offered }))
            }
            ErrorCode::ILLEGAL_SASL_STATE => Err(self.failed(AuthenticationFailure::NotAsked)),
            code => Err(ConnectFailure::Refused { api: SaslHandshake::NAME, code }),
        }
    }

    pub(super) fn failed(&self, reason: AuthenticationFailure) -> ConnectFailure {
        ConnectFailure::Authentication { mechanism: self.mechanism(), reason }
    }
}

/// How many of a listener's mechanisms are told.
const MOST_OFFERED: usize = 16;
