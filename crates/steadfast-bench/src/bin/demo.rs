//! The demonstration again and again: whether it holds, and whether it is as quick as it has to be.

use std::io;
use std::process::{Command, ExitCode};

use clap::Parser;
use serde_json::Value;
use steadfast_bench::machine;
use steadfast_bench::scene::binary;

/// Each mode, and the milliseconds that every recovery in it has to stay under.
const MODES: [(&str, f64); 2] = [("refused", 200.0), ("blackhole", 1500.0)];

/// Plays `steadfast demo` in both modes over many seeds, each in a process of its own, and fails when one does not
/// hold or a recovery misses its target.
#[derive(Parser)]
struct Arguments {
    /// How many seeds of each mode, from 1 on.
    #[arg(long, default_value_t = 20)]
    seeds: u64,
}

fn main() -> ExitCode {
    match measure(Arguments::parse().seeds) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// Whether everything held, in time.
fn measure(seeds: u64) -> io::Result<bool> {
    println!("{:#}\nload average {:.1}\n", machine::describe(), machine::load_average());
    println!("recovery in ms       median    worst   under   lost   redelivered   rebalances   respawns");
    let mut fine = true;
    for (mode, target) in MODES {
        let runs = (1..=seeds.max(1)).map(|seed| play(mode, seed)).collect::<io::Result<Vec<Value>>>()?;
        let mut recoveries: Vec<f64> = runs.iter().map(recovery).collect();
        recoveries.sort_by(f64::total_cmp);
        let (median, worst) = (recoveries[recoveries.len() / 2], recoveries[recoveries.len() - 1]);
        let sum = |name: &str| runs.iter().filter_map(|run| run[name].as_u64()).sum::<u64>();
        let respawns = sum("respawns");
        println!(
            "{mode:10} {:4} runs {median:8.1} {worst:8.1} {target:7.0} {:6} {:13} {:12} {respawns:10}",
            runs.len(),
            sum("lost"),
            sum("redelivered"),
            sum("rebalances"),
        );
        let counted = sum("lost") + sum("redelivered") + sum("rebalances") == 0;
        let once = runs.iter().all(|run| run["respawns"] == 1);
        fine &= counted && once && worst < target;
    }
    Ok(fine)
}

/// One that never came has no time that would be short enough.
fn recovery(run: &Value) -> f64 {
    run["recovery_ms"].as_f64().unwrap_or(f64::INFINITY)
}

fn play(mode: &str, seed: u64) -> io::Result<Value> {
    let seed = seed.to_string();
    let arguments = ["demo", "--mode", mode, "--seed", &seed, "--output", "json"];
    let played = Command::new(binary()?).args(arguments).output()?;
    serde_json::from_slice(&played.stdout).map_err(|error| {
        io::Error::other(format!("{mode}, seed {seed}: {error}\n{}", String::from_utf8_lossy(&played.stderr)))
    })
}
