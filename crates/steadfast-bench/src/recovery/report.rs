//! The figures for people, and for machines.

use std::time::Duration;

use serde_json::{Value, json};

use super::figures::{Figures, Outcome};
use crate::story::millis;

/// A table of all figures.
pub fn table(outcomes: &[Outcome]) -> Vec<String> {
    let mut lines =
        vec![format!("{:<14}{:>9}{:>9}{:>9}{:>9}  what", "case", "median", "worst", "target", "all")];
    for outcome in outcomes {
        lines.extend(outcome.figures.iter().map(|figures| row(outcome, figures)));
        let proof = &outcome.proof;
        lines.push(format!(
            "{:<14}{} moves: lost {}, redelivered {}, rebalances {}, respawns {} of {} records; load {:.1} to {:.1}",
            "",
            outcome.moves,
            proof.lost,
            proof.redelivered,
            proof.rebalances,
            proof.respawns,
            proof.acknowledged,
            outcome.load.0,
            outcome.load.1
        ));
    }
    lines
}

fn row(outcome: &Outcome, figures: &Figures) -> String {
    let limit = |limit: Option<Duration>| limit.map_or_else(|| "-".to_owned(), millis);
    format!(
        "{:<14}{:>9}{:>9}{:>9}{:>9}  {}",
        outcome.case,
        millis(figures.median()),
        millis(figures.worst()),
        limit(figures.target.map(|target| target.median)),
        limit(figures.target.map(|target| target.all)),
        figures.what
    )
}

/// One case as JSON; times in milliseconds.
pub fn json(outcome: &Outcome) -> Value {
    let ms = |time: Duration| (time.as_secs_f64() * 1e6).round() / 1e3;
    let figures = outcome.figures.iter().map(|figures| {
        json!({
            "what": figures.what,
            "median_ms": ms(figures.median()),
            "worst_ms": ms(figures.worst()),
            "target_median_ms": figures.target.map(|target| ms(target.median)),
            "target_all_ms": figures.target.map(|target| ms(target.all)),
            "each_ms": figures.times.iter().copied().map(ms).collect::<Vec<_>>(),
        })
    });
    let proof = &outcome.proof;
    json!({
        "case": outcome.case,
        "moves": outcome.moves,
        "figures": figures.collect::<Vec<_>>(),
        "acknowledged": proof.acknowledged,
        "delivered": proof.delivered,
        "lost": proof.lost,
        "redelivered": proof.redelivered,
        "disordered": proof.disordered,
        "rebalances": proof.rebalances,
        "respawns": proof.respawns,
        "ended_well": proof.ended_well,
        "load_average": [outcome.load.0, outcome.load.1],
        "missed": outcome.missed(),
    })
}
