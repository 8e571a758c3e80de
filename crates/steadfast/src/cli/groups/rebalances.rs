//! `steadfast groups rebalances`: what this member's rebalances were and cost, and what would make them fewer.

use std::time::Duration;

use chrono::{DateTime, SecondsFormat, Utc};
use clap::Args;
use serde::Serialize;
use steadfast_core::group::advice::{Seen, advise};

use crate::cli::run::load;
use crate::cli::{ConfigArgs, Exit, Output};
use crate::env::real;
use crate::events::{Advised, Rebalance};
use crate::group::advisor::{advised, seen, set};
use crate::history::History;
use crate::service::state_directory;

/// Arguments of `steadfast groups rebalances`.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct RebalancesArgs {
    /// Where the configuration comes from, which says where the history is.
    #[command(flatten)]
    pub config: ConfigArgs,
    /// Only the last N.
    #[arg(long, value_name = "N", default_value_t = 20)]
    pub last: usize,
    /// How they are printed.
    #[arg(long, value_enum, default_value_t = Output::Text)]
    pub output: Output,
}

/// What is printed.
#[derive(Debug, Serialize)]
struct Ledger {
    /// The latest last.
    rebalances: Vec<Row>,
    /// What those of the last hour advise.
    advice: Vec<Advised>,
}

#[derive(Debug, Serialize)]
struct Row {
    /// When it was over, as the log has it.
    at: String,
    #[serde(flatten)]
    rebalance: Rebalance,
}

/// Runs the command.
pub(super) fn rebalances(args: &RebalancesArgs) -> Exit {
    let config = match load(&args.config) {
        Ok((config, _)) => config,
        Err(error) => {
            eprintln!("{error}");
            return Exit::Configuration;
        }
    };
    let directory = state_directory(&config);
    let history = match History::read(&directory) {
        Ok(Some(history)) => history,
        Ok(None) => {
            eprintln!("There is no history in {}: `steadfast run` writes it.", directory.display());
            return Exit::Found;
        }
        Err(error) => {
            eprintln!("The history in {} cannot be read: {error}", directory.display());
            return Exit::StateDirectory;
        }
    };
    let now = DateTime::from_timestamp_millis(real::wall_clock().millis()).unwrap_or_default();
    let all = history.rebalances();
    let evidence: Vec<Seen> =
        all.iter().filter_map(|(at, rebalance)| seen(rebalance, age(*at, now))).collect();
    let advice = advise(&evidence, &set(&config)).iter().map(advised).collect();
    let last = all.into_iter().rev().take(args.last).map(|(at, rebalance)| Row::new(at, rebalance));
    let mut rebalances: Vec<Row> = last.collect();
    rebalances.reverse();
    args.output.print(&Ledger { rebalances, advice }, table);
    Exit::Fine
}

impl Row {
    fn new(at: DateTime<Utc>, rebalance: Rebalance) -> Row {
        Row { at: at.to_rfc3339_opts(SecondsFormat::Millis, true), rebalance }
    }
}

/// What stands in the future, by a clock that was put back, is of now.
fn age(at: DateTime<Utc>, now: DateTime<Utc>) -> Duration {
    now.signed_duration_since(at).to_std().unwrap_or_default()
}

fn table(ledger: &Ledger) -> String {
    let mut text = if ledger.rebalances.is_empty() {
        "No rebalance is in the history.\n".to_owned()
    } else {
        rows(&ledger.rebalances)
    };
    if !ledger.advice.is_empty() {
        text += "\nAdvice, from the last hour:\n";
    }
    for Advised { cause, evidence, cure } in &ledger.advice {
        text += &format!("  {cause}: {evidence}.\n    -> {cure}.\n");
    }
    text
}

const HEADINGS: [&str; 14] = [
    "TIME",
    "GENERATION",
    "REASON",
    "LED",
    "TOOK",
    "DRAIN",
    "JOIN",
    "SYNC",
    "REVOKE",
    "FIRST",
    "UP",
    "DOWN",
    "KEPT",
    "PAUSE",
];

fn rows(rebalances: &[Row]) -> String {
    let heading = HEADINGS.map(str::to_owned);
    let cells: Vec<[String; HEADINGS.len()]> =
        std::iter::once(heading).chain(rebalances.iter().map(cells)).collect();
    let width = |column: usize| cells.iter().map(|row| row[column].chars().count()).max().unwrap_or_default();
    let widths: Vec<usize> = (0..HEADINGS.len()).map(width).collect();
    let line = |row: &[String; HEADINGS.len()]| {
        let padded = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}"));
        padded.collect::<Vec<_>>().join("  ").trim_end().to_owned() + "\n"
    };
    let mut text = String::new();
    for (row, told) in cells.iter().zip(std::iter::once(None).chain(rebalances.iter().map(Some))) {
        text += &line(row);
        text += &told.map(|row| more(&row.rebalance)).unwrap_or_default();
    }
    text
}

fn cells(row: &Row) -> [String; HEADINGS.len()] {
    let of = &row.rebalance;
    let ms = |millis: f64| format!("{millis:.0}ms");
    let maybe = |millis: Option<f64>| millis.map_or_else(|| "-".to_owned(), ms);
    [
        row.at.clone(),
        of.generation.to_string(),
        of.reason.clone(),
        if of.led { "us".to_owned() } else { "other".to_owned() },
        ms(of.took_ms),
        if of.protocol == "eager" { ms(of.drain_ms) } else { "-".to_owned() },
        ms(of.join_ms),
        ms(of.sync_ms),
        maybe(of.revoke_ms),
        maybe(of.first_record_ms),
        of.taken_up.to_string(),
        of.given_up.to_string(),
        of.kept.to_string(),
        format!("{:.3}s", of.unavailable_partition_seconds),
    ]
}

/// What is worth a line of its own.
fn more(of: &Rebalance) -> String {
    let certainty = match of.handed_again_certainty.as_str() {
        "exact" => "",
        "at_least" => "at least ",
        _ => "as far as known ",
    };
    let known = [
        of.trigger.clone().map(|trigger| format!("trigger: {trigger}")),
        (of.handed_again > 0).then(|| format!("{certainty}{} offsets came again", of.handed_again)),
        (of.lost > 0).then(|| format!("{} partitions lost", of.lost)),
        (of.undrained > 0).then(|| format!("{} partitions given up before they were drained", of.undrained)),
        (of.unseen > 0).then(|| format!("{} partitions not fetched when it was closed", of.unseen)),
        (of.coordinator_losses > 0)
            .then(|| format!("the coordinator was lost {} times before", of.coordinator_losses)),
    ];
    let told: Vec<String> = known.into_iter().flatten().collect();
    if told.is_empty() { String::new() } else { format!("    {}\n", told.join("; ")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_says_what_it_cost_and_a_line_below_it_what_went_wrong() {
        let rebalance = Rebalance {
            generation: 7,
            reason: "session_expired".to_owned(),
            protocol: "cooperative".to_owned(),
            join_ms: 31.4,
            took_ms: 60.0,
            taken_up: 3,
            kept: 9,
            lost: 2,
            handed_again: 40,
            handed_again_certainty: "at_least".to_owned(),
            unavailable_partition_seconds: 0.25,
            ..Rebalance::default()
        };
        let at = DateTime::from_timestamp_millis(1_763_755_200_000).unwrap();
        let cure = Advised { cause: "idle_members".into(), evidence: "2 idle".into(), cure: "stop 2".into() };
        let text = table(&Ledger { rebalances: vec![Row::new(at, rebalance)], advice: vec![cure] });
        let lines: Vec<&str> = text.lines().collect();
        assert!(lines[0].starts_with("TIME") && lines[0].ends_with("PAUSE"), "{text}");
        let cells: Vec<&str> = lines[1].split_whitespace().collect();
        let expected = "2025-11-21T20:00:00.000Z 7 session_expired other 60ms - 31ms 0ms - - 3 0 9 0.250s";
        assert_eq!(cells.join(" "), expected);
        assert_eq!(lines[2], "    at least 40 offsets came again; 2 partitions lost");
        assert_eq!(lines[5..], ["  idle_members: 2 idle.", "    -> stop 2."]);
    }
}
