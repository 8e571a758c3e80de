//! The outcome for programs: one JSON object.

use std::time::Duration;

use serde::Serialize;

use super::outcome::{Outcome, Phases};
use super::seen::Seen;
use super::timeline;

/// What `--output json` prints. Times are in milliseconds; what was not seen is null.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    scenario: &'static str,
    mode: &'static str,
    seed: u64,
    brokers: i32,
    partitions: i32,
    produced: usize,
    consumed: usize,
    lost: usize,
    redelivered: usize,
    out_of_order: usize,
    respawns: usize,
    rebalances: usize,
    recovery_ms: Option<f64>,
    phases_ms: Option<PhasesMs>,
    trouble: Vec<String>,
    timeline: Vec<Entry>,
}

#[derive(Debug, Serialize)]
struct PhasesMs {
    detect: f64,
    discover: f64,
    verify: f64,
    handover: f64,
    first_record: Option<f64>,
}

/// A line of the timeline; its time is from the move, or from the demo's begin if nothing moved.
#[derive(Debug, Serialize)]
struct Entry {
    at_ms: f64,
    text: String,
}

impl Report {
    /// The report of a run.
    pub(crate) fn of(seen: &Seen, outcome: &Outcome) -> Report {
        let zero = seen.moved.as_ref().map(|moved| moved.at).unwrap_or_default();
        let entry = |moment: timeline::Moment| Entry {
            at_ms: rounded((moment.at.as_secs_f64() - zero.as_secs_f64()) * 1e3),
            text: moment.text,
        };
        Report {
            scenario: "every-endpoint-moves",
            mode: seen.plan.mode.name(),
            seed: seen.plan.seed,
            brokers: seen.plan.brokers,
            partitions: seen.plan.partitions,
            produced: outcome.produced,
            consumed: outcome.consumed,
            lost: outcome.lost,
            redelivered: outcome.redelivered,
            out_of_order: outcome.disordered,
            respawns: outcome.respawns,
            rebalances: outcome.rebalances,
            recovery_ms: outcome.recovery.map(ms),
            phases_ms: outcome.phases.as_ref().map(PhasesMs::of),
            trouble: outcome.trouble.clone(),
            timeline: timeline::moments(seen, outcome).into_iter().map(entry).collect(),
        }
    }
}

impl PhasesMs {
    fn of(phases: &Phases) -> PhasesMs {
        PhasesMs {
            detect: ms(phases.detect),
            discover: ms(phases.discover),
            verify: ms(phases.verify),
            handover: ms(phases.handover),
            first_record: phases.first_record.map(ms),
        }
    }
}

fn ms(time: Duration) -> f64 {
    rounded(time.as_secs_f64() * 1e3)
}

fn rounded(ms: f64) -> f64 {
    (ms * 1e3).round() / 1e3
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::demo::sample;

    fn report(seen: &Seen) -> Value {
        serde_json::to_value(Report::of(seen, &Outcome::of(seen))).unwrap()
    }

    #[test]
    fn a_clean_run_is_one_object_with_every_figure() {
        let mut report = report(&sample::clean());
        let timeline = report.as_object_mut().unwrap().remove("timeline").unwrap();
        assert_eq!(
            report,
            json!({
                "scenario": "every-endpoint-moves", "mode": "refused", "seed": 1, "brokers": 2, "partitions": 2,
                "produced": 8, "consumed": 8, "lost": 0, "redelivered": 0, "out_of_order": 0,
                "respawns": 1, "rebalances": 0, "recovery_ms": 52.0,
                "phases_ms": {
                    "detect": 1.0, "discover": 15.0, "verify": 14.5, "handover": 0.5, "first_record": 15.0
                },
                "trouble": []
            })
        );
        assert_eq!(timeline[0]["at_ms"], -98.0);
        assert_eq!(
            timeline[2]["text"],
            "noticed: broker 1, Fetch to 127.0.0.1:4001: Connection reset by peer"
        );
    }

    #[test]
    fn what_was_not_seen_is_null() {
        let mut seen = sample::clean();
        seen.told.clear();
        seen.moved = None;
        let report = report(&seen);
        assert!(report["recovery_ms"].is_null() && report["phases_ms"].is_null());
    }
}
