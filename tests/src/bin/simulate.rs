//! Plays simulated worlds: `simulate --seeds N [--from S]`, or one of them with `--seed S`.

use std::process::ExitCode;

use clap::Parser;
use steadfast_tests::simulated::sweep::{
    Failure, Found, Verdict, play, play_aloud, play_crowd, play_crowd_aloud, sweep,
};

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
    /// Groups of up to twenty members instead of whatever worlds.
    #[arg(long)]
    crowds: bool,
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
        let play = match (wanted.crowds, wanted.aloud) {
            (false, false) => play,
            (false, true) => play_aloud,
            (true, false) => play_crowd,
            (true, true) => play_crowd_aloud,
        };
        let verdict = play(seed);
        println!("{verdict}");
        return code(verdict.outcome.is_ok());
    }
    let seeds = wanted.from..wanted.from.saturating_add(wanted.seeds);
    let play = if wanted.crowds { play_crowd } else { play };
    let failed = sweep(play, seeds, |verdict| {
        let Err(failure) = &verdict.outcome else { return };
        println!("{} {}", verdict.seed, invariant(failure));
        if wanted.first {
            std::process::exit(1);
        }
    });
    failed.iter().for_each(|verdict: &Verdict| println!("{verdict}\n"));
    println!("{} of {} seeds fail", failed.len(), wanted.seeds);
    code(failed.is_empty())
}

fn invariant(failure: &Failure) -> &'static str {
    match &failure.found {
        Found::Violated(violation) => violation.invariant.name(),
        Found::Ended(_) => "service-ended",
        Found::Panicked(_) => "panicked",
    }
}

fn code(fine: bool) -> ExitCode {
    if fine { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
