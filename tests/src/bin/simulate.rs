//! Plays simulated worlds: `simulate --seeds N [--from S]`, or one of them with `--seed S`.

use std::process::ExitCode;

use clap::Parser;
use steadfast_tests::simulated::sweep::{Found, play, play_aloud, sweep};

/// Plays seeds of the sweep and says which of them violate an invariant.
#[derive(Parser)]
struct Wanted {
    /// How many seeds.
    #[arg(long, default_value_t = 300)]
    seeds: u64,
    /// The first one.
    #[arg(long, default_value_t = 0)]
    from: u64,
    /// Only this one, with its whole story.
    #[arg(long)]
    seed: Option<u64>,
    /// With `--seed`: shows the whole event log, also what is meant for developers.
    #[arg(long, requires = "seed")]
    aloud: bool,
    /// Ends at the first seed that fails, with one line: the seed and the invariant's name.
    #[arg(long)]
    first: bool,
}

fn main() -> ExitCode {
    let wanted = Wanted::parse();
    if let Some(seed) = wanted.seed {
        let verdict = if wanted.aloud { play_aloud(seed) } else { play(seed) };
        if wanted.aloud || verdict.outcome.is_err() {
            println!("{}\n", verdict.story());
        }
        println!("{verdict}");
        return code(verdict.outcome.is_ok());
    }
    let seeds = wanted.from..wanted.from.saturating_add(wanted.seeds);
    let failed = sweep(seeds, |verdict| {
        let Err(found) = &verdict.outcome else { return };
        println!("{} {}", verdict.seed, invariant(found));
        if wanted.first {
            std::process::exit(1);
        }
    });
    for verdict in &failed {
        println!("{}\n\n{verdict}\n", verdict.story());
    }
    println!("{} of {} seeds fail", failed.len(), wanted.seeds);
    code(failed.is_empty())
}

fn invariant(found: &Found) -> &'static str {
    match found {
        Found::Violated(violation) => violation.invariant.name(),
        Found::Ended(_) => "service-ended",
    }
}

fn code(fine: bool) -> ExitCode {
    if fine { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
