//! How long the service takes to recover, move after move in one life, what pauses its partitions see, and whether that
//! is as quick as it has to be.

use std::io;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use serde_json::json;
use steadfast_bench::conclusion::{conclude, keep};
use steadfast_bench::machine;
use steadfast_bench::recovery::cases::Case;
use steadfast_bench::recovery::figures::Outcome;
use steadfast_bench::recovery::report;
use steadfast_bench::scene::{PARTITIONS, RATE};
use steadfast_tests::kafka::{Cluster, missing};

/// Moves the endpoints of a real three-broker Kafka again and again while steadfast consumes from it, measures
/// how long it takes to go on, and fails when a target is missed.
#[derive(Parser)]
struct Arguments {
    /// How many moves of each case.
    #[arg(long, default_value_t = 20)]
    moves: usize,
    /// Only this case; may be given several times.
    #[arg(long, value_enum)]
    case: Vec<Case>,
    /// Where the figures are written to, as JSON.
    #[arg(long, default_value = "target/bench/moves.json")]
    json: PathBuf,
}

fn main() -> ExitCode {
    if let Some(reason) = missing() {
        eprintln!("{reason}");
        return ExitCode::FAILURE;
    }
    conclude(measure(&Arguments::parse()))
}

/// What was missed.
fn measure(arguments: &Arguments) -> io::Result<Vec<String>> {
    let machine = machine::describe();
    let settings = format!(
        "{RATE} records/s on {PARTITIONS} partitions, three brokers, default settings but respawn.budget = 100 (not \
         in `past-budget`)"
    );
    println!("{machine:#}\n{settings}\n\nApache Kafka starts: about 15 s");
    let cluster = Cluster::start(3, &[])?;
    let cases = if arguments.case.is_empty() { Case::all() } else { &arguments.case };
    let mut outcomes: Vec<Outcome> = Vec::new();
    for case in cases {
        outcomes.push(case.play(&cluster, arguments.moves)?);
    }
    println!();
    report::table(&outcomes).iter().for_each(|line| println!("{line}"));
    let cases: Vec<_> = outcomes.iter().map(report::json).collect();
    let whole = json!({"machine": machine, "settings": settings, "cases": cases});
    println!("times in ms");
    keep(&whole, &arguments.json)?;
    Ok(outcomes.iter().flat_map(Outcome::missed).collect())
}
