//! What a user's configuration says about recovery, as the services of a drill take it over.

use std::sync::Arc;
use std::time::Duration;

use steadfast_core::endpoints::drift::Threshold;
use steadfast_sim::checker::Limits;

use super::expected::{Expected, seconds};
use super::figures::Figures;
use super::tally::Tally;
use crate::config::Config;
use crate::config::reference::KEYS;

/// Somebody's own policy. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Policy {
    config: Arc<Config>,
}

/// What begins so is taken over: everything but where the cluster and the records are, who comes in, and who looks on.
const TAKEN: [&str; 7] =
    ["kafka.", "drift.", "respawn.", "checkpoint.", "fetch.", "offsets.", "errors.retry."];

/// What a drill has in its place.
const REPLACED: [&str; 5] = [
    "kafka.bootstrap.servers",
    "kafka.group.id",
    "kafka.client.id",
    "kafka.group.instance.id",
    "drift.cluster_id",
];

/// What a broken connection may cost: it is noticed at once.
const REFUSED: Duration = Duration::from_millis(250);
/// What silence may cost on top of a fetch's max wait.
const SILENT: Duration = Duration::from_secs(1);

impl Policy {
    /// The policy of this configuration.
    pub fn new(config: Config) -> Policy {
        Policy { config: Arc::new(config) }
    }

    /// The configuration that it is of.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// The settings that are taken over, as the environment has them.
    pub(super) fn environment(&self) -> Vec<(String, String)> {
        let settings = self.config.settings();
        let taken = |path: &str| {
            TAKEN.iter().any(|begin| path.starts_with(begin))
                && !REPLACED.contains(&path)
                && !path.starts_with("kafka.ssl.")
                && !path.starts_with("kafka.sasl.")
                && !path.starts_with("kafka.security.")
        };
        let keys = KEYS.iter().filter(|key| taken(key.path));
        keys.filter_map(|key| Some((key.variable(), settings.get(key.path)?.clone()))).collect()
    }

    /// How long a fetch may find nothing; an answer that waits for more bytes takes as long.
    pub fn fetch_wait(&self) -> Duration {
        self.config.kafka.fetch_max_wait
    }

    /// After a broken connection: the first record is there within this time.
    pub fn refused(&self) -> Duration {
        let gathers = self.config.kafka.fetch_min_bytes > 1;
        REFUSED + if gathers { self.fetch_wait() } else { Duration::ZERO }
    }

    /// After a connection fell silent: the first record is there within this time.
    pub fn silent(&self) -> Duration {
        self.fetch_wait() + SILENT
    }

    /// What only a view that stands undisputed can show.
    pub fn settled(&self) -> Duration {
        self.config.drift.settle + self.silent()
    }

    /// What only the next routine question can show: its interval has jitter.
    pub fn polled(&self) -> Duration {
        self.config.drift.poll_interval.mul_f64(1.5) + self.silent()
    }

    /// How many of `drifts`, each of this share of the endpoints, replace the consumer.
    pub fn respawns(&self, drifts: u32, share: f64) -> u32 {
        if share > f64::from(self.threshold()) { drifts.min(self.config.respawn.budget) } else { 0 }
    }

    /// How many respawns the budget allows in this time.
    pub fn most_respawns(&self, within: Duration) -> u32 {
        let windows = within.as_secs_f64() / self.config.respawn.window.as_secs_f64();
        self.config.respawn.budget.saturating_mul(windows.ceil() as u32 + 1)
    }

    /// What of it explains what was seen and should not have been, each in words: for rows that fail.
    pub(super) fn reasons(&self, expected: &Expected, figures: &Figures, tally: &Tally) -> Vec<String> {
        let Config { kafka, drift, checkpoint, .. } = &*self.config;
        let forgot = figures.starts > 0 && !tally.redelivered().is_empty();
        let (session, silence) = (kafka.session_timeout, figures.longest_wait);
        let expelled = figures.rebalances > expected.rebalances.1;
        let missed = expected.grace.filter(|_| expected.is_late(figures));
        let told = [
            (forgot && !checkpoint.enabled)
                .then(|| "checkpoint.enabled is off: who begins anew knows no offset".to_owned()),
            (expelled && silence >= session).then(|| {
                let (session, silence) = (seconds(session), seconds(silence));
                format!("kafka.session.timeout.ms is {session}: an outage of {silence} ends it")
            }),
            // It is asked with jitter: up to half as much later.
            missed.filter(|grace| drift.poll_interval.mul_f64(1.5) > *grace).map(|grace| {
                let (poll, grace) = (seconds(drift.poll_interval), seconds(grace));
                format!("drift.poll_interval is {poll}: what works for {grace} may be missed")
            }),
        ];
        told.into_iter().flatten().map(|why| format!("your policy: {why}")).collect()
    }

    fn threshold(&self) -> Threshold {
        self.config.drift.threshold
    }

    /// What a judge holds the services to. Something is broken all the time, so for it nothing is late.
    pub(super) fn limits(&self) -> Limits {
        let Config { kafka, drift, respawn, checkpoint, .. } = &*self.config;
        let never = Duration::from_secs(24 * 3600);
        Limits {
            settle: drift.settle,
            connect_timeout: Duration::from_secs(1),
            request_timeout: kafka.request_timeout,
            rebalance_timeout: kafka.max_poll_interval,
            respawn_budget: respawn.budget,
            respawn_window: respawn.window,
            respawn_drain: respawn.drain,
            commits: checkpoint.enabled,
            catch_up: never,
            mend: never,
        }
    }
}
