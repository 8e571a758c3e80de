//! What an episode comes to.

use serde_json::{Map, Value, json};

use super::entry::{Change, Entry};
use crate::ledger::LINES_LOST;

/// The phases of a respawn: name, field, what it is.
pub(super) const PHASES: [(&str, &str, &str); 5] = [
    ("detect", "phase.detect_ms", "from the first sign to the begin of the search"),
    ("discover", "phase.discover_ms", "from there until enough brokers agreed"),
    ("verify", "phase.verify_ms", "from there until the new consumer was ready to fetch"),
    ("handover", "phase.handover_ms", "from there until every partition was its own"),
    ("first record", "phase.first_record_ms", "from there to the first answer for the last partition"),
];

/// What an episode comes to.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Facts<'a> {
    pub(super) entries: &'a [Entry],
    pub(super) changes: Vec<Change>,
    pub(super) respawns: Vec<Respawn>,
    pub(super) rebalances: Vec<&'a Entry>,
    /// The run before this start had not said that it ended.
    lost_its_end: bool,
}

/// One consumer in place of another.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Respawn {
    pub(super) incarnation: Option<i64>,
    pub(super) reason: String,
    /// In the order of [`PHASES`], in milliseconds.
    pub(super) phases: [Option<f64>; 5],
    pub(super) gap: Option<i64>,
    pub(super) redelivered: Option<i64>,
}

impl<'a> Facts<'a> {
    pub(super) fn of(entries: &'a [Entry], run_is_open: bool) -> Facts<'a> {
        let named = |name: &'static str| entries.iter().filter(move |entry| entry.is(name));
        Facts {
            entries,
            changes: named("endpoint.drifted").flat_map(Entry::changes).collect(),
            respawns: named("consumer.respawned").map(Respawn::of).collect(),
            rebalances: named("group.rebalanced").collect(),
            lost_its_end: run_is_open && entries.first().is_some_and(|entry| entry.is("service.started")),
        }
    }

    pub(super) fn first(&self, name: &str) -> Option<&'a Entry> {
        self.entries.iter().find(|entry| entry.is(name))
    }

    fn count(&self, name: &str) -> usize {
        self.entries.iter().filter(|entry| entry.is(name)).count()
    }

    /// What happened, in a few words.
    pub(super) fn title(&self) -> String {
        let started = self.first("service.started").map(|_| "start".to_owned());
        let taken = |respawn: &Respawn| match (respawn.incarnation, respawn.reason.as_str()) {
            (_, "start") => None,
            (Some(incarnation), "crash") => Some(format!("consumer {incarnation} after a crash")),
            (Some(incarnation), _) => Some(format!("consumer {incarnation} took over")),
            (None, _) => Some("a consumer took over".to_owned()),
        };
        let rebalances = match (self.rebalances.as_slice(), &started) {
            ([], _) | (_, Some(_)) => None,
            ([one], None) => one.count("generation").map_or(Some("rebalance".to_owned()), |generation| {
                Some(format!("rebalance, generation {generation}"))
            }),
            (several, None) => Some(format!("{} rebalances", several.len())),
        };
        let parts = started.into_iter().chain(self.moved()).chain(self.respawns.iter().filter_map(taken));
        let parts: Vec<String> =
            parts.chain(self.in_place()).chain(rebalances).chain(self.others()).collect();
        match (parts.is_empty(), self.entries.first()) {
            (true, Some(first)) => first.message.clone(),
            _ => parts.join(", "),
        }
    }

    fn moved(&self) -> Vec<String> {
        let of = |kind: &str| self.changes.iter().filter(|change| change.kind == kind).count();
        let said = |kind: &str| match of(kind) {
            0 => None,
            1 => Some(format!("1 endpoint {kind}")),
            several => Some(format!("{several} endpoints {kind}")),
        };
        ["moved", "gone", "added", "resolved"].into_iter().filter_map(said).collect()
    }

    fn in_place(&self) -> Option<String> {
        self.was_taken_in_place().then(|| "taken in place".to_owned())
    }

    /// Whether the consumer went on with other endpoints, instead of being replaced.
    pub(super) fn was_taken_in_place(&self) -> bool {
        self.entries.iter().any(|entry| entry.text("action") == Some("adapt"))
    }

    /// The respawns that took the place of another consumer.
    pub(super) fn replacements(&self) -> impl Iterator<Item = &Respawn> {
        self.respawns.iter().filter(|respawn| respawn.reason != "start")
    }

    fn others(&self) -> Vec<String> {
        const NAMED: [(&str, &str); 12] = [
            ("service.degraded", "degraded"),
            ("respawn.budget_spent", "budget of respawns spent"),
            ("partitions.lost", "partitions lost"),
            ("partition.quarantined", "quarantine"),
            ("partition.released", "released from quarantine"),
            ("sink.recovered", "the sink is back"),
            ("offsets.out_of_range", "position not in the log"),
            ("actor.restarted", "an actor begun anew"),
            ("actor.failed", "an actor given up"),
            ("config.reloaded", "configuration changed"),
            ("config.rejected", "configuration rejected"),
            ("service.stopped", "stop"),
        ];
        /// Of these not every one is kept: they are not counted.
        const SIGNS: [(&str, &str); 5] = [
            ("authentication.failed", "not let in"),
            ("tls.failed", "no TLS"),
            ("sink.unavailable", "the sink away"),
            ("deadletters.unavailable", "the dead letters away"),
            ("record.dead_lettered", "bad records"),
        ];
        let signs = SIGNS.into_iter().filter(|(name, _)| self.first(name).is_some());
        let several = |(name, words): (&str, &str)| match self.count(name) {
            0 => None,
            1 => Some(words.to_owned()),
            times => Some(format!("{words} ({times} times)")),
        };
        signs.map(|(_, words)| words.to_owned()).chain(NAMED.into_iter().filter_map(several)).collect()
    }

    /// Why it happened: the first sign, or the first that was noted.
    pub(super) fn why(&self) -> Option<&'a str> {
        let sign = [
            "endpoint.suspected",
            "witness.failed",
            "service.degraded",
            "authentication.failed",
            "tls.failed",
            "sink.unavailable",
            "deadletters.unavailable",
        ];
        let sign = sign.iter().find_map(|name| self.first(name));
        let rebalanced = || self.rebalances.first().and_then(|entry| entry.text("reason"));
        match (sign, self.changes.is_empty()) {
            (Some(sign), _) => Some(sign.text("reason").unwrap_or(&sign.message)),
            (None, false) => Some("a broker named other endpoints when it was asked as usual"),
            (None, true) => rebalanced(),
        }
    }

    /// How long records may have waited, in ms: only if every phase of every respawn was seen.
    pub(super) fn pause_ms(&self) -> Option<f64> {
        let pause = self.replacements().map(Respawn::pause_ms).sum::<Option<f64>>();
        pause.filter(|_| self.replacements().next().is_some())
    }

    /// Records skipped by respawns.
    pub(super) fn gap(&self) -> Option<i64> {
        let gap = self.replacements().map(|respawn| respawn.gap).sum::<Option<i64>>();
        gap.filter(|_| self.replacements().next().is_some())
    }

    /// Records delivered again. What respawns count is among what is told partition by partition.
    pub(super) fn redelivered(&self) -> Option<i64> {
        let of_respawns = self.replacements().map(|respawn| respawn.redelivered).sum::<Option<i64>>();
        let told = self.entries.iter().filter(|entry| entry.is("records.redelivered"));
        let told: i64 = told.filter_map(|entry| entry.count("records")).sum();
        match of_respawns {
            Some(counted) if self.replacements().next().is_some() => Some(counted.max(told)),
            _ => Some(told).filter(|told| *told > 0),
        }
    }

    /// How long the service was degraded, as it said itself.
    pub(super) fn degraded_ms(&self) -> Option<f64> {
        self.first("service.recovered").and_then(|entry| entry.number("degraded_ms"))
    }

    /// What cannot be told.
    pub(super) fn not_known(&self) -> Vec<String> {
        let decided = self.entries.iter().any(|entry| entry.text("action") == Some("respawn"));
        let unseen = self.respawns.iter().filter(|respawn| respawn.pause_ms().is_none());
        let degraded = self.entries.iter().rev().find(|entry| {
            ["service.degraded", "service.recovered", "consumer.respawned"].contains(&entry.name.as_str())
        });
        let lost: i64 =
            self.entries.iter().filter(|entry| entry.is(LINES_LOST)).filter_map(|e| e.count("lines")).sum();
        let known = [
            (self.lost_its_end, "how the run before ended: it did not say. What it had processed and not committed was delivered again.".to_owned()),
            (unseen.count() > 0, "when the last partition was fetched again: that was not seen in time. The pause is longer than the phases say.".to_owned()),
            (decided && self.respawns.is_empty(), "whether the consumer was replaced: it was decided, and nothing after that is kept.".to_owned()),
            (degraded.is_some_and(|entry| entry.is("service.degraded")), "when the cluster was found again: nothing after that is kept.".to_owned()),
            (lost > 0, format!("{lost} lines that could not be written to the disk.")),
        ];
        known.into_iter().filter_map(|(is_so, text)| is_so.then_some(text)).collect()
    }

    pub(super) fn json(&self) -> Value {
        let changes = self.changes.iter().map(
            |change| json!({"node": change.node, "kind": change.kind, "from": change.from, "to": change.to}),
        );
        let rebalances = self.rebalances.iter().map(|entry| {
            json!({"generation": entry.count("generation"), "reason": entry.text("reason"),
                "took_ms": entry.number("took_ms")})
        });
        json!({
            "why": self.why(),
            "changes": changes.collect::<Vec<_>>(),
            "respawns": self.respawns.iter().map(Respawn::json).collect::<Vec<_>>(),
            "rebalances": rebalances.collect::<Vec<_>>(),
            "pause_ms": self.pause_ms(),
            "gap": self.gap(),
            "redelivered": self.redelivered(),
            "degraded_ms": self.degraded_ms(),
            "not_known": self.not_known(),
        })
    }
}

impl Respawn {
    fn of(entry: &Entry) -> Respawn {
        Respawn {
            incarnation: entry.count("incarnation"),
            reason: entry.text("reason").unwrap_or("unknown").to_owned(),
            phases: PHASES.map(|(_, field, _)| entry.number(field)),
            gap: entry.count("gap"),
            redelivered: entry.count("redelivered"),
        }
    }

    /// From the first sign to the first answer for the last partition.
    pub(super) fn pause_ms(&self) -> Option<f64> {
        self.phases.iter().copied().sum()
    }

    fn json(&self) -> Value {
        let phases =
            PHASES.iter().zip(self.phases).map(|((name, _, _), ms)| (name.replace(' ', "_"), json!(ms)));
        json!({
            "incarnation": self.incarnation, "reason": self.reason, "phases_ms": phases.collect::<Map<_, _>>(),
            "gap": self.gap, "redelivered": self.redelivered,
        })
    }
}
