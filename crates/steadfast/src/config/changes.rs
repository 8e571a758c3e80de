//! What differs between two configurations, and when it takes effect.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;
use std::path::PathBuf;

use super::reference::{Applies, KEYS, Key};
use super::topics::Topics;
use super::valid::{Config, DeadLetters, Errors, SecuritySettings, Sink};
use super::{durations, sizes};

/// The keys that differ, in the order of the documentation, grouped by when they take effect.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Changes {
    /// Drift: the consumer follows, nothing restarts.
    pub endpoints: Vec<&'static str>,
    /// Connections are made anew and the consumer is replaced, nothing restarts.
    pub credentials: Vec<&'static str>,
    /// Taken over at once.
    pub at_once: Vec<&'static str>,
    /// Taken over only when the process starts again.
    pub at_start: Vec<&'static str>,
}

impl Changes {
    /// Nothing differs.
    pub fn is_empty(&self) -> bool {
        self.endpoints.is_empty()
            && self.credentials.is_empty()
            && self.at_once.is_empty()
            && self.at_start.is_empty()
    }
}

impl Config {
    /// What is different in `other`.
    pub fn diff(&self, other: &Config) -> Changes {
        let (ours, theirs) = (self.settings(), other.settings());
        let mut changes = Changes::default();
        let unseen = self.unseen_changes(other);
        let differs = |key: &&Key| ours.get(key.path) != theirs.get(key.path) || unseen.contains(key.path);
        for key in KEYS.iter().filter(differs) {
            match key.applies {
                Applies::AsCredentials => changes.credentials.push(key.path),
                Applies::AsDrift => changes.endpoints.push(key.path),
                Applies::AtOnce => changes.at_once.push(key.path),
                Applies::AtStart => changes.at_start.push(key.path),
            }
        }
        changes
    }

    /// Keys whose settings read the same and come to something else: a file's content, a secret.
    fn unseen_changes(&self, other: &Config) -> BTreeSet<&'static str> {
        let mut keys = self.kafka.security.differing(&other.kafka.security);
        if let (Some(ours), Some(theirs)) = (self.sink.elsewhere(), other.sink.elsewhere()) {
            keys.extend(ours.security.differing(&theirs.security));
        }
        keys
    }

    /// The files that were read for it, besides its own.
    pub fn files(&self) -> BTreeSet<PathBuf> {
        let elsewhere = self.sink.elsewhere().map(|elsewhere| elsewhere.security.files());
        self.kafka.security.files().iter().chain(elsewhere.into_iter().flatten()).cloned().collect()
    }

    /// Every setting in force, written as in the environment. What is unset, or means nothing to this type
    /// of sink, is left out.
    pub fn settings(&self) -> BTreeMap<&'static str, String> {
        let Config { topics, kafka, drift, respawn, checkpoint, fetch, log, .. } = self;
        let overrides = self.endpoint_overrides.iter().map(|(from, to)| format!("{from}={to}"));
        let mut settings = Settings::default();
        match topics {
            Topics::Named(names) => settings.put("topics", names.join(",")),
            Topics::Matching(pattern) => settings.put("topics_pattern", pattern),
        }
        settings.put("endpoints.override", overrides.collect::<Vec<_>>().join(","));
        settings.put("drift.threshold", f64::from(drift.threshold));
        settings.put("drift.settle", durations::to_text(drift.settle));
        settings.put("drift.poll_interval", durations::to_text(drift.poll_interval));
        settings.put("drift.sweep_interval", durations::to_text(drift.sweep_interval));
        settings.put_if("drift.cluster_id", drift.cluster_id.as_ref());
        settings.put("respawn.budget", respawn.budget);
        settings.put("respawn.window", durations::to_text(respawn.window));
        settings.put("respawn.drain", durations::to_text(respawn.drain));
        settings.put("checkpoint.enabled", checkpoint.enabled);
        settings.put("checkpoint.interval", durations::to_text(checkpoint.interval));
        settings.put("checkpoint.drain", durations::to_text(checkpoint.drain));
        settings.put("fetch.buffer_bytes", sizes::to_text(fetch.buffer_bytes));
        settings.put("fetch.stall_timeout", durations::to_text(fetch.stall_timeout));
        settings.put("group.leave_on_stop", self.group.leave_on_stop);
        settings.put("handler.on_stall", self.handler.on_stall);
        settings.put("offsets.out_of_range", self.offsets.out_of_range);
        settings.put("http.listen", self.http.listen.map_or("off".to_owned(), |at| at.to_string()));
        settings.put("state.dir", self.state.dir.display());
        settings.put("log.level", log.level);
        settings.put("log.format", log.format);
        settings.put_sink(&self.sink);
        settings.put_errors(&self.errors);
        settings.put_kafka(kafka);
        settings.0
    }
}

#[derive(Default)]
struct Settings(BTreeMap<&'static str, String>);

impl Settings {
    fn put(&mut self, key: &'static str, value: impl Display) {
        self.0.insert(key, value.to_string());
    }

    fn put_if(&mut self, key: &'static str, value: Option<impl Display>) {
        if let Some(value) = value {
            self.put(key, value);
        }
    }

    fn put_sink(&mut self, sink: &Sink) {
        self.put("sink.type", sink.sink_type());
        match sink {
            Sink::Stdout | Sink::Discard => {}
            Sink::File(file) => {
                self.put("sink.path", file.path.display());
                self.put("sink.max_bytes", sizes::to_text(file.max_bytes));
                self.put("sink.keep", file.keep);
            }
            Sink::Kafka(topic) => {
                self.put("sink.topic", &topic.topic);
                if let Some(elsewhere) = &topic.elsewhere {
                    self.put("sink.bootstrap_servers", list(&elsewhere.bootstrap_servers));
                    self.put_security(&elsewhere.security);
                }
            }
        }
    }

    fn put_errors(&mut self, errors: &Errors) {
        self.put("errors.tolerance", errors.tolerance());
        self.put("errors.retry.timeout", durations::to_text(errors.retry_timeout));
        self.put("errors.retry.delay.max.ms", durations::to_text(errors.retry_delay_max));
        match &errors.dead_letters {
            None => {}
            Some(DeadLetters::File(file)) => self.put("errors.deadletterqueue.file", file.display()),
            Some(DeadLetters::Topic(topic)) => {
                self.put("errors.deadletterqueue.topic.name", &topic.name);
                self.put("errors.deadletterqueue.context.headers.enable", topic.context_headers);
            }
        }
    }

    fn put_kafka(&mut self, kafka: &super::valid::Kafka) {
        self.put("kafka.bootstrap.servers", list(&kafka.bootstrap_servers));
        self.put("kafka.group.id", &kafka.group_id);
        self.put("kafka.client.id", &kafka.client_id);
        self.put_if("kafka.group.instance.id", kafka.group_instance_id.as_ref());
        self.put("kafka.group.protocol", kafka.group_protocol);
        self.put_if("kafka.group.remote.assignor", kafka.group_remote_assignor);
        self.put_if("kafka.heartbeat.interval.ms", kafka.heartbeat_interval.map(durations::to_text));
        self.put("kafka.max.poll.interval.ms", durations::to_text(kafka.max_poll_interval));
        self.put("kafka.max.poll.records", kafka.max_poll_records);
        // Under the consumer protocol the brokers say these, and a configuration that does too is refused.
        if kafka.group_protocol == super::GroupProtocol::Classic {
            self.put("kafka.session.timeout.ms", durations::to_text(kafka.session_timeout));
            self.put("kafka.partition.assignment.strategy", list(&kafka.partition_assignment_strategy));
        }
        self.put("kafka.auto.offset.reset", kafka.auto_offset_reset);
        self.put("kafka.isolation.level", kafka.isolation_level);
        self.put("kafka.fetch.min.bytes", size(kafka.fetch_min_bytes));
        self.put("kafka.fetch.max.bytes", size(kafka.fetch_max_bytes));
        self.put("kafka.max.partition.fetch.bytes", size(kafka.max_partition_fetch_bytes));
        self.put("kafka.fetch.max.wait.ms", durations::to_text(kafka.fetch_max_wait));
        self.put("kafka.request.timeout.ms", durations::to_text(kafka.request_timeout));
        self.put_security(&kafka.security);
    }

    fn put_security(&mut self, security: &SecuritySettings) {
        security.shown().for_each(|(key, shown)| self.put(key, shown));
    }
}

fn list(items: &[impl Display]) -> String {
    items.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
}

fn size(bytes: i32) -> String {
    u64::try_from(bytes).map_or_else(|_| bytes.to_string(), sizes::to_text)
}
