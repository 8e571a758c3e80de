//! `steadfast drill --real`: what the drift proxy can do, played on the user's own cluster.

use serde_json::{Value, json};

use super::super::output::print_line;
use super::super::{Exit, Output, demo};
use super::DrillArgs;
use crate::config::Config;
use crate::drill::real::{self, Row, Scenario};
use crate::drill::verdict::Verdict;

/// What the table's column `until` means.
const LEGEND: &str = "until: the first record of each partition in which records flow, or, where none do, the leaders' \
                      first answers to fetches";

/// Shows what can be played so, or these of it.
pub(super) fn list(args: &DrillArgs) -> Exit {
    let Some(scenarios) = chosen(&args.scenarios) else { return Exit::Usage };
    match args.output {
        Output::Text => {
            for scenario in scenarios {
                print_line(&format!("{:<18}  {}", scenario.title(), scenario.described()));
            }
        }
        Output::Json => {
            let rows = scenarios.iter().map(|scenario| {
                json!({"name": scenario.name(), "title": scenario.title(), "happens": scenario.described()})
            });
            print_line(&rows.collect::<Value>().to_string());
        }
    }
    Exit::Fine
}

/// Plays these scenarios of the catalogue, or all that can be played so.
pub(super) fn drill(config: &Config, args: &DrillArgs) -> Exit {
    let Some(scenarios) = chosen(&args.scenarios) else { return Exit::Usage };
    let output = args.output;
    if let Some(path) = &args.log
        && let Err(error) = demo::log_to(path)
    {
        eprintln!("{} cannot be written to: {error}", path.display());
        return Exit::Usage;
    }
    let mut rows = Vec::new();
    let played = real::play(config, &scenarios, |row| {
        if output == Output::Text {
            if rows.is_empty() {
                print_line(&Row::heading());
            }
            print_line(&row.text());
        }
        rows.push(row.clone());
    });
    match output {
        Output::Text if rows.is_empty() => {}
        Output::Text => print_line(LEGEND),
        // Rows of plain text and numbers always serialise.
        Output::Json => print_line(&serde_json::to_string(&rows).unwrap_or_default()),
    }
    match played {
        Err(error) => {
            eprintln!("{error}");
            error.exit()
        }
        Ok(()) if rows.iter().any(|row| row.result == Verdict::Failed) => Exit::Found,
        Ok(()) => Exit::Fine,
    }
}

/// The scenarios of these names, all of them for none; none if one cannot be played so, which is told.
fn chosen(named: &[String]) -> Option<Vec<Scenario>> {
    if let Some(unplayable) = named.iter().find(|name| of_name(name).is_empty()) {
        eprintln!("{unplayable} cannot be played on a real cluster; these can: {}", playable().join(", "));
        return None;
    }
    match named {
        [] => Some(Scenario::ALL.to_vec()),
        named => Some(named.iter().flat_map(|name| of_name(name)).collect()),
    }
}

/// The ways to play a scenario of the catalogue.
fn of_name(name: &str) -> Vec<Scenario> {
    Scenario::ALL.into_iter().filter(|scenario| scenario.name() == name).collect()
}

fn playable() -> Vec<&'static str> {
    let mut names: Vec<_> = Scenario::ALL.iter().map(|scenario| scenario.name()).collect();
    names.dedup();
    names
}
