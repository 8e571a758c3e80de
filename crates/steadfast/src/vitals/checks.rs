//! The checks that readiness is made of.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::time::Duration;

use steadfast_core::ids::Partition;
use steadfast_core::tick::Tick;

use super::reading::Check;
use super::{Signs, locked};

/// What the checks look at.
pub(super) struct Facts<'a> {
    pub(super) signs: &'a Signs,
    pub(super) now: Tick,
    pub(super) owned: &'a [Partition],
    pub(super) quarantined: &'a [Partition],
    pub(super) stalled: &'a BTreeMap<Partition, Tick>,
}

/// So many polls may go unanswered.
const POLLS: u32 = 3;
/// Whatever the interval, a poll may take a connection and an answer.
const LEAST_METADATA: Duration = Duration::from_secs(10);
/// So many commits may fail.
const COMMITS: u32 = 3;
/// No more than so many are named in a sentence.
const NAMED: usize = 3;

/// Every check, in the order in which a service comes to pass them.
pub(super) fn all(facts: &Facts<'_>) -> Vec<Check> {
    vec![
        facts.service(),
        facts.cluster(),
        facts.metadata(),
        facts.membership(),
        facts.heartbeat(),
        facts.fetch(),
        facts.handlers(),
        facts.commit(),
        facts.target(),
        facts.quarantine(),
        facts.stall(),
    ]
}

fn passed(name: &'static str, message: impl Into<String>) -> Check {
    Check { name, ok: true, age: None, limit: None, message: message.into() }
}

fn failed(name: &'static str, message: impl Into<String>) -> Check {
    Check { ok: false, ..passed(name, message) }
}

/// Passed while what happened `age` ago is no older than `limit`.
fn recent(name: &'static str, age: Duration, limit: Duration) -> Check {
    let message = format!("{} ago, limit {}", text(age), text(limit));
    Check { name, ok: age <= limit, age: Some(age), limit: Some(limit), message }
}

/// Passed while `what` goes on for no longer than `limit`.
fn lasting(name: &'static str, what: &str, age: Duration, limit: Duration) -> Check {
    let message = format!("{what} {}, limit {}", text(age), text(limit));
    Check { message, ..recent(name, age, limit) }
}

impl Facts<'_> {
    fn ago(&self, at: Tick) -> Duration {
        self.now.since(at)
    }

    fn service(&self) -> Check {
        match self.signs.draining.load(Ordering::Relaxed) {
            false => passed("service", "runs"),
            true => failed("service", "it is ending"),
        }
    }

    /// A view is agreed, and a consumer can be had on it.
    fn cluster(&self) -> Check {
        let degraded = locked(&self.signs.degraded);
        if let Some(since) = degraded.since() {
            let missing: Vec<&str> = degraded.missing().map(String::as_str).collect();
            let age = self.ago(since);
            let message = format!("degraded for {}: {}", text(age), listed(&missing));
            return Check { age: Some(age), ..failed("cluster", message) };
        }
        let cluster = self.signs.sources.cluster.borrow();
        match &cluster.view {
            None => failed("cluster", "no view is agreed yet"),
            Some(view) => {
                let (verified, all) = (cluster.verified().len(), view.endpoints.len());
                passed("cluster", format!("{verified} of {all} brokers verified"))
            }
        }
    }

    fn metadata(&self) -> Check {
        let interval = self.signs.sources.config.borrow().drift.poll_interval;
        let limit = interval.saturating_mul(POLLS).max(LEAST_METADATA);
        match self.signs.metadata.last() {
            None => failed("metadata", "never answered"),
            Some(at) => recent("metadata", self.ago(at), limit),
        }
    }

    /// Before the first assignment the service is not ready; later rounds are part of its life as long as they end.
    fn membership(&self) -> Check {
        let owned = self.owned.len();
        let Some(since) = self.signs.unsettled.last() else {
            let membership = self.signs.sources.membership.borrow();
            let generation = membership.as_ref().map_or(0, |membership| membership.generation.0);
            return passed("membership", format!("generation {generation}, {owned} partitions owned"));
        };
        if !self.signs.was_settled.load(Ordering::Relaxed) {
            return failed("membership", "the group has not assigned anything yet");
        }
        let limit = self.signs.sources.started_with.kafka.max_poll_interval;
        lasting("membership", "the group has been rebalancing for", self.ago(since), limit)
    }

    fn heartbeat(&self) -> Check {
        let heard = locked(&self.signs.sources.standing).heard;
        if heard == Tick::ZERO {
            return failed("heartbeat", "never answered");
        }
        let limit = self.signs.sources.started_with.kafka.session_timeout;
        recent("heartbeat", self.ago(heard), limit)
    }

    /// Every partition that waits for its leader has had an answer, with or without records.
    fn fetch(&self) -> Check {
        let config = &self.signs.sources.started_with;
        let limit = config.kafka.fetch_max_wait + config.kafka.request_timeout;
        if self.owned.is_empty() {
            return passed("fetch", "no partition is owned");
        }
        let table = &self.signs.sources.table;
        let waits = self.owned.iter().filter(|_| !self.memory_is_spent());
        let waits = waits.filter_map(|partition| Some((partition, self.ago(table.waits_since(partition)?))));
        let mut waiting: Vec<(&Partition, Duration)> = waits.collect();
        waiting.sort_by_key(|(_, waited)| std::cmp::Reverse(*waited));
        match waiting.first() {
            None => passed("fetch", format!("all {} partitions are held back by handlers", self.owned.len())),
            Some((_, longest)) if *longest <= limit => recent("fetch", *longest, limit),
            Some((_, longest)) => {
                let overdue = waiting.iter().filter(|(_, waited)| *waited > limit);
                let overdue: Vec<String> = overdue.map(|(partition, _)| partition.to_string()).collect();
                let what = format!("{} unanswered for", listed(&overdue));
                lasting("fetch", &what, *longest, limit)
            }
        }
    }

    /// What handlers hold may leave no room to ask for more.
    fn memory_is_spent(&self) -> bool {
        let sources = &self.signs.sources;
        let part = usize::try_from(sources.started_with.kafka.max_partition_fetch_bytes).unwrap_or(0);
        sources.memory.free() < part.min(sources.memory.capacity())
    }

    /// What is delivered is processed: Kafka's own clients give a handler `max.poll.interval.ms` too.
    fn handlers(&self) -> Check {
        let limit = self.signs.sources.started_with.kafka.max_poll_interval;
        let table = &self.signs.sources.table;
        let busy = self.owned.iter();
        let busy = busy.filter_map(|partition| Some((self.ago(table.busy_since(partition)?), partition)));
        match busy.max() {
            None => passed("handlers", "nothing is being processed"),
            Some((longest, partition)) => {
                lasting("handlers", &format!("{partition} has been busy for"), longest, limit)
            }
        }
    }

    fn commit(&self) -> Check {
        let sources = &self.signs.sources;
        if !sources.started_with.checkpoint.enabled {
            return passed("commit", "checkpoints are disabled");
        }
        let interval = sources.config.borrow().checkpoint.interval;
        let limit = interval.saturating_mul(COMMITS) + sources.started_with.kafka.request_timeout;
        if let Some(since) = self.signs.uncommitted.last() {
            return lasting("commit", "nothing could be stored for", self.ago(since), limit);
        }
        match self.signs.committed.last() {
            None => passed("commit", "nothing was committed yet"),
            Some(at) => {
                let age = self.ago(at);
                Check { age: Some(age), ..passed("commit", format!("stored {} ago", text(age))) }
            }
        }
    }

    fn target(&self) -> Check {
        let away = self.signs.sources.table.away();
        let Some(longest) = away.values().min_by_key(|away| away.since) else {
            return passed("target", "no target is away");
        };
        let waiting: Vec<Partition> = away.keys().cloned().collect();
        let age = self.ago(longest.since);
        let message = format!("{} waits for a target that is away: {}", named(&waiting), longest.reason);
        Check { age: Some(age), ..failed("target", message) }
    }

    fn quarantine(&self) -> Check {
        match self.quarantined {
            [] => passed("quarantine", "no partition is quarantined"),
            quarantined => failed("quarantine", format!("{} not fetched any more", named(quarantined))),
        }
    }

    fn stall(&self) -> Check {
        let Some(since) = self.stalled.values().min() else {
            return passed("stall", "no partition stands still");
        };
        let stalled: Vec<Partition> = self.stalled.keys().cloned().collect();
        let limit = self.signs.sources.started_with.fetch.stall_timeout;
        let what = format!("{} still for", named(&stalled));
        Check { ok: false, ..lasting("stall", &what, self.ago(*since), limit) }
    }
}

fn named(partitions: &[Partition]) -> String {
    listed(&partitions.iter().map(ToString::to_string).collect::<Vec<_>>())
}

/// A few by name, the others as a number.
fn listed(all: &[impl AsRef<str>]) -> String {
    let first: Vec<&str> = all.iter().take(NAMED).map(AsRef::as_ref).collect();
    match all.len().saturating_sub(NAMED) {
        0 => first.join(", "),
        more => format!("{} and {more} more", first.join(", ")),
    }
}

/// A duration for people: tenths of a second, and no more than are there.
fn text(duration: Duration) -> String {
    let tenths = (duration.as_secs_f64() * 10.0).round() / 10.0;
    format!("{tenths} s")
}
