//! `steadfast drill`: the scenarios of the catalogue, played under the user's own policy.

mod real;

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

use clap::Args;
use clap::builder::PossibleValuesParser;
use serde_json::json;

use super::output::print_line;
use super::run::{load, log_panics};
use super::{ConfigArgs, Exit, Output};
use crate::drill::policy::Policy;
use crate::drill::row::Row;
use crate::drill::scenario::Scenario;
use crate::drill::scenarios::ALL;
use crate::drill::verdict::Verdict;

/// Arguments of `steadfast drill`.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
#[command(
    after_help = "Without --real nothing is asked of your cluster: each scenario is played on one in memory, in virtual \
                        time, with your timeouts, budgets and thresholds. With --real the cluster is yours: it is read by \
                        a group of the drill's own, from the end, and nothing is written or committed. It exits with 1 if \
                        a scenario fails."
)]
pub struct DrillArgs {
    /// The configuration file (TOML): its policy is drilled.
    #[arg(long, value_name = "FILE", required_unless_present = "list")]
    pub config: Option<PathBuf>,
    /// A setting over file and environment, such as respawn.budget=5; may be repeated.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub sets: Vec<String>,
    /// Only this scenario; may be repeated.
    #[arg(long = "scenario", value_name = "NAME", value_parser = names())]
    pub scenarios: Vec<String>,
    /// Play on your own cluster, what a proxy in front of it can do: its listener must be plain text.
    #[arg(long, conflicts_with = "seed")]
    pub real: bool,
    /// Show the scenarios, and play none.
    #[arg(long)]
    pub list: bool,
    /// Decides everything that is random: the same seed plays the same drill.
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub seed: u64,
    /// Write what the drilled services log to this file.
    #[arg(long, value_name = "FILE")]
    pub log: Option<PathBuf>,
    /// How the result is printed.
    #[arg(long, value_enum, default_value_t = Output::Text)]
    pub output: Output,
}

fn names() -> PossibleValuesParser {
    PossibleValuesParser::new(ALL.iter().map(|scenario| scenario.name))
}

/// Runs the command.
pub fn drill(args: &DrillArgs) -> Exit {
    let wanted = wanted(&args.scenarios);
    let Some(config) = args.config.clone().filter(|_| !args.list) else {
        if args.real {
            return real::list(args);
        }
        list(args.output, &wanted);
        return Exit::Fine;
    };
    let config = match load(&ConfigArgs { config, sets: args.sets.clone() }) {
        Ok((config, _)) => config,
        Err(error) => {
            eprintln!("{error}");
            return Exit::Configuration;
        }
    };
    if args.real {
        return real::drill(&config, args);
    }
    let policy = Policy::new(config);
    let log = match args.log.as_deref().map(File::create).transpose() {
        Ok(log) => log,
        Err(error) => {
            eprintln!("{} cannot be written to: {error}", shown(args.log.as_deref()));
            return Exit::Usage;
        }
    };
    // Actors that are made to panic say so in their log, and not on the terminal.
    log_panics();
    let rows = played(&wanted, &policy, args, log);
    if args.output == Output::Json {
        // Rows of plain text and numbers always serialise.
        print_line(&serde_json::to_string(&rows).unwrap_or_default());
    }
    let failed = rows.iter().any(|row| row.result == Verdict::Failed);
    if failed { Exit::Found } else { Exit::Fine }
}

/// In the order of the catalogue, each once.
fn wanted(named: &[String]) -> Vec<&'static Scenario> {
    let all = || ALL.iter();
    match named {
        [] => all().collect(),
        named => all().filter(|scenario| named.iter().any(|name| name == scenario.name)).collect(),
    }
}

fn list(output: Output, wanted: &[&Scenario]) {
    match output {
        Output::Text => {
            for Scenario { number, name, happens, .. } in wanted {
                print_line(&format!("{number:>2}  {name:<18}  {happens}"));
            }
        }
        Output::Json => {
            let rows = wanted.iter().map(|scenario| {
                json!({"number": scenario.number, "name": scenario.name, "happens": scenario.happens})
            });
            print_line(&rows.collect::<serde_json::Value>().to_string());
        }
    }
}

fn played(wanted: &[&Scenario], policy: &Policy, args: &DrillArgs, mut log: Option<File>) -> Vec<Row> {
    let aloud = args.output == Output::Text;
    if aloud {
        print_line(&Row::heading());
    }
    let mut rows = Vec::new();
    for scenario in wanted {
        let played = scenario.play(policy, args.seed);
        if let (Some(file), Ok(outcome)) = (&mut log, &played)
            && let Err(error) = file.write_all(&outcome.log)
        {
            eprintln!("{} cannot be written to: {error}", shown(args.log.as_deref()));
            log = None;
        }
        let row = match &played {
            Ok(outcome) => Row::of(scenario, outcome),
            Err(error) => Row::of_unplayed(scenario, error),
        };
        if aloud {
            print_line(&row.text());
        }
        rows.push(row);
    }
    if aloud {
        print_line(&summary(&rows, args.seed));
    }
    rows
}

fn summary(rows: &[Row], seed: u64) -> String {
    let passed = rows.iter().filter(|row| row.result == Verdict::Passed).count();
    let records: u64 = rows.iter().map(|row| row.records).sum();
    format!("{passed} of {} passed, {records} records in all (seed {seed})", rows.len())
}

fn shown(path: Option<&Path>) -> String {
    path.map(|path| path.display().to_string()).unwrap_or_default()
}
