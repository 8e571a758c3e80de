//! Authenticating again on a live connection, before its session ends (KIP-368).

use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::time::{Instant, sleep, sleep_until};

use super::authentication::{Credentials, Ready};
use super::channel::{Channel, Lane};
use super::{CloseReason, ConnectFailure};
use crate::security::AuthenticationFailure;
use crate::security::random::unforeseeable;

/// A broker refuses whoever authenticates again sooner.
const SHORTEST: Duration = Duration::from_secs(1);

/// What a longer session is taken for; the clock cannot reach as far as a broker can promise.
const LONGEST: Duration = Duration::from_secs(365 * 24 * 3600);

/// The pause before a source is asked again that gave no token.
const TOKEN_PAUSE: Duration = Duration::from_secs(1);

/// Starts a task that authenticates again and again, for as long as the connection lives. It does not keep it
/// alive. A failure closes the connection and says so.
pub(super) fn keep_authenticated(channel: &Arc<Channel>, credentials: Credentials, lifetime: Duration) {
    let link = channel.link.clone();
    let renewals = renew(Arc::downgrade(channel), credentials, lifetime);
    tokio::spawn(async move {
        tokio::select! {
            biased;
            _ = link.closed() => {}
            () = renewals => {}
        }
    });
}

async fn renew(channel: Weak<Channel>, credentials: Credentials, lifetime: Duration) {
    let mut session = Some(Session::begins_now(lifetime));
    while let Some(Session { renewal, end }) = session {
        sleep_until(renewal).await;
        let ready = ready_by(end, &credentials).await;
        let Some(channel) = channel.upgrade() else { return };
        let lane = channel.lane();
        match renewed(&channel, &lane, &credentials, ready).await {
            Ok(lifetime) => session = lifetime.map(Session::begins_now),
            // While the lane is held: nothing more is to be written.
            Err(failure) => return channel.link.close(CloseReason::Reauthentication(failure.to_string())),
        }
    }
}

async fn renewed(
    channel: &Arc<Channel>,
    lane: &Lane,
    credentials: &Credentials,
    ready: Result<Ready, AuthenticationFailure>,
) -> Result<Option<Duration>, ConnectFailure> {
    let ready = ready.map_err(|reason| credentials.failed(reason))?;
    credentials.prove(channel, lane, ready).await
}

/// A source that fails is asked again until the session ends: until then nothing is lost.
async fn ready_by(end: Instant, credentials: &Credentials) -> Result<Ready, AuthenticationFailure> {
    loop {
        match credentials.ready().await {
            Err(AuthenticationFailure::Token(_) | AuthenticationFailure::TokenTimeout { .. })
                if Instant::now() + TOKEN_PAUSE < end =>
            {
                sleep(TOKEN_PAUSE).await;
            }
            outcome => return outcome,
        }
    }
}

/// A session of limited life.
struct Session {
    renewal: Instant,
    end: Instant,
}

impl Session {
    /// Is to be renewed when 85 to 95 % of its life are over, as Java does: connections that were opened
    /// together are not to authenticate together.
    fn begins_now(lifetime: Duration) -> Session {
        let lifetime = lifetime.min(LONGEST);
        let share = unforeseeable().map_or(0.0, |[byte]| f64::from(byte) / 255.0);
        let renewal = lifetime.mul_f64(0.85 + 0.10 * share).max(SHORTEST);
        let now = Instant::now();
        Session { renewal: now + renewal, end: now + lifetime }
    }
}
