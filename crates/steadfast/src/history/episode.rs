//! Entries that belong together.

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Value, json};

use super::entry::Entry;
use super::facts::Facts;

/// What follows within this time belongs to what came before.
const QUIET: TimeDelta = TimeDelta::seconds(10);
/// So long is waited for the end of a respawn that was decided.
const RESPAWN: TimeDelta = TimeDelta::minutes(10);
/// Signs that come so soon after a drift was dealt with are its last ones; later ones are the first of another.
const STRAGGLERS: TimeDelta = TimeDelta::seconds(1);

/// Entries that belong together, at least one.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Episode<'a> {
    pub(super) number: usize,
    pub(super) entries: &'a [Entry],
    pub(super) facts: Facts<'a>,
}

/// Divides the past. Whatever entries are missing, none is left out or told twice.
pub(super) fn episodes(entries: &[Entry]) -> Vec<Episode<'_>> {
    let mut episodes: Vec<Episode<'_>> = Vec::new();
    let mut rest = entries;
    let mut run_is_open = false;
    while !rest.is_empty() {
        let (these, later) = rest.split_at(length(rest));
        let facts = Facts::of(these, run_is_open);
        for entry in these {
            run_is_open = !entry.is("service.stopped") && (run_is_open || entry.is("service.started"));
        }
        episodes.push(Episode { number: episodes.len() + 1, entries: these, facts });
        rest = later;
    }
    episodes
}

/// How many of the entries, at least one, belong to the first one's episode.
fn length(entries: &[Entry]) -> usize {
    let mut state = State::default();
    let mut last: Option<&Entry> = None;
    for (length, entry) in entries.iter().enumerate() {
        let stops = is_stop(&entries[length..]);
        if last.is_some_and(|last| stops && !state.stopping || state.ends_between(last, entry)) {
            return length;
        }
        state.stopping |= stops;
        state.take(entry);
        last = Some(entry);
    }
    entries.len()
}

/// Whether the run ends here: the partitions are given up for it, or it says so.
fn is_stop(entries: &[Entry]) -> bool {
    let stopped = |entry: Option<&Entry>| entry.is_some_and(|entry| entry.is("service.stopped"));
    let revoked = entries.first().is_some_and(|entry| entry.is("partitions.revoked"));
    stopped(entries.first()) || (revoked && stopped(entries.get(1)))
}

/// What is under way.
#[derive(Default)]
struct State {
    starting: bool,
    stopping: bool,
    joined: bool,
    degraded: bool,
    respawning: bool,
    dealt_with: Option<DateTime<Utc>>,
}

impl State {
    fn take(&mut self, entry: &Entry) {
        match entry.name.as_str() {
            "service.started" => self.starting = true,
            "partitions.assigned" => self.joined = true,
            "service.degraded" => self.degraded = true,
            "service.recovered" => self.degraded = false,
            "endpoint.drifted" => {
                self.respawning = entry.text("action") == Some("respawn");
                self.dealt_with = (!self.respawning).then_some(entry.at);
            }
            "consumer.respawned" => {
                (self.degraded, self.respawning) = (false, false);
                self.dealt_with = Some(entry.at);
            }
            _ => {}
        }
    }

    fn ends_between(&self, last: &Entry, next: &Entry) -> bool {
        if next.is("service.started") || last.is("service.stopped") {
            return true;
        }
        let is_sign = matches!(next.name.as_str(), "endpoint.suspected" | "view.agreed" | "endpoint.drifted");
        if is_sign && self.starting && self.joined {
            return true;
        }
        if is_sign && self.dealt_with.is_some_and(|at| next.at - at >= STRAGGLERS) {
            return true;
        }
        let passed = next.at - last.at;
        match self {
            State { degraded: true, .. } => false,
            State { respawning: true, .. } => passed > RESPAWN,
            State { .. } => passed > QUIET,
        }
    }
}

impl Episode<'_> {
    /// When the first entry was written.
    pub(super) fn begin(&self) -> DateTime<Utc> {
        self.entries.first().map(|entry| entry.at).unwrap_or_default()
    }

    /// When the last entry was written.
    pub(super) fn end(&self) -> DateTime<Utc> {
        self.entries.last().map(|entry| entry.at).unwrap_or_default()
    }

    /// Whether more happened than a start or a stop.
    pub(super) fn is_notable(&self) -> bool {
        !self.entries.iter().any(|entry| entry.is("service.started") || entry.is("service.stopped"))
    }

    pub(super) fn json(&self) -> Value {
        let mut json = self.facts.json();
        json["number"] = self.number.into();
        json["title"] = self.facts.title().into();
        json["begin"] = json!(self.begin().to_rfc3339());
        json["end"] = json!(self.end().to_rfc3339());
        json["events"] = self.entries.iter().map(|entry| Value::Object(entry.fields.clone())).collect();
        json
    }
}
