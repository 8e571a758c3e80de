//! How fast the whole service runs under virtual time.
#![expect(clippy::disallowed_methods, reason = "virtual time is measured by the real clock")]

use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Parser;
use steadfast_bench::machine;
use steadfast_tests::simulated::hour::{MOVES, RATE, an_hour_with_a_move_every_minute};

/// An hour in which every endpoint moves every minute is to take less than this.
const TARGET: Duration = Duration::from_secs(1);

/// Plays an hour of the whole service under virtual time, in which every endpoint moves every minute, and measures
/// what it takes. Fails when the median misses the target of 1 s, or when a record is lost or delivered twice.
#[derive(Parser)]
struct Arguments {
    /// How often it is played, each time from another seed.
    #[arg(long, default_value_t = 5)]
    runs: u64,
    /// The seed of the first.
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

fn main() -> ExitCode {
    let Arguments { runs, seed } = Arguments::parse();
    println!(
        "{:#}\n1 h, 12 partitions, {RATE} records/s, {MOVES} moves of every endpoint\n",
        machine::describe()
    );
    println!("seed   real s   records   lost   redelivered   respawns   lines");
    let (mut took, mut bad) = (Vec::new(), false);
    for seed in seed..seed + runs.max(1) {
        let begun = Instant::now();
        let report = an_hour_with_a_move_every_minute(seed, |_, _| {});
        let real = begun.elapsed();
        let tally = &report.tally;
        let (lost, redelivered) = (tally.missing().len(), tally.redelivered().len());
        println!(
            "{seed:4} {:8.3} {:9} {lost:6} {redelivered:13} {:10} {:7}",
            real.as_secs_f64(),
            tally.appended(),
            tally.events("consumer.respawned"),
            report.log.iter().filter(|byte| **byte == b'\n').count(),
        );
        bad |= lost + redelivered > 0;
        took.push(real);
    }
    took.sort();
    let median = took[took.len() / 2];
    println!("\nmedian {:.3} s, target {:.0} s", median.as_secs_f64(), TARGET.as_secs_f64());
    if bad || median > TARGET { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}
