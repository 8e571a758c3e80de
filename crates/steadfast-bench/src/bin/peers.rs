//! steadfast and today's clients, each put to the same move.

use std::io;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use serde_json::json;
use steadfast_bench::ground::{PARTITIONS, RATE};
use steadfast_bench::machine;
use steadfast_bench::peers::case::Case;
use steadfast_bench::peers::client::Client;
use steadfast_bench::peers::play::{Plan, Run, play};
use steadfast_bench::peers::report;
use steadfast_tests::kafka::{Cluster, missing};

/// Moves the endpoints of a real three-broker Kafka while steadfast and today's clients consume from it, one after
/// the other and in turns, and measures how long each takes to go on, what it loses and what it delivers again.
#[derive(Parser)]
struct Arguments {
    /// Only this case; may be given several times.
    #[arg(long, value_enum)]
    case: Vec<Case>,
    /// Only this client; may be given several times.
    #[arg(long, value_enum)]
    client: Vec<Client>,
    /// How many runs of each client in each case.
    #[arg(long, default_value_t = 3)]
    runs: usize,
    /// How many seconds a client is waited for [default: 30, in blackhole 100].
    #[arg(long, value_name = "SECONDS")]
    limit: Option<u64>,
    /// When every endpoint moves, leave the connections that stand on the bootstrap address as they are; otherwise
    /// they end as those to the old endpoints do. The address itself goes on in any case.
    #[arg(long)]
    keep_bootstrap_connections: bool,
    /// Where the figures are written to, as JSON.
    #[arg(long, default_value = "target/bench/peers.json")]
    json: PathBuf,
}

fn main() -> ExitCode {
    if let Some(reason) = missing() {
        eprintln!("{reason}");
        return ExitCode::FAILURE;
    }
    match measure(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn measure(arguments: &Arguments) -> io::Result<()> {
    let machine = machine::describe();
    let connections =
        if arguments.keep_bootstrap_connections { "stand" } else { "end with the old endpoints" };
    let settings = format!(
        "{RATE} records/s on {PARTITIONS} partitions, three brokers, default settings, a bootstrap address that \
         stays; its connections {connections}"
    );
    println!("{machine:#}\n{settings}");
    if !cfg!(feature = "librdkafka") {
        println!(
            "built without librdkafka: its rows are left out (--features librdkafka; just bench peers has it)"
        );
    }
    println!("\nApache Kafka starts: about 15 s");
    let cluster = Cluster::start(3, &[])?;
    let runs = play_all(&cluster, arguments)?;
    println!();
    report::table(&runs).iter().for_each(|line| println!("{line}"));
    println!("\nAs Markdown:\n");
    report::markdown(&runs, &machine, &settings).iter().for_each(|line| println!("{line}"));
    let runs: Vec<_> = runs.iter().map(report::json).collect();
    let whole = json!({"machine": machine, "settings": settings, "runs": runs});
    if let Some(directory) = arguments.json.parent() {
        std::fs::create_dir_all(directory)?;
    }
    std::fs::write(&arguments.json, format!("{whole:#}\n"))?;
    println!("\nas JSON in {}", arguments.json.display());
    Ok(())
}

/// In turns: each client once, then each a second time, so that what else the machine does meets all of them.
fn play_all(cluster: &Cluster, arguments: &Arguments) -> io::Result<Vec<Run>> {
    let cases = if arguments.case.is_empty() { Case::all() } else { &arguments.case };
    let available = Client::available();
    let clients = if arguments.client.is_empty() { &available } else { &arguments.client };
    let mut runs = Vec::new();
    for case in cases {
        let limit = arguments.limit.map_or_else(|| case.limit(), Duration::from_secs);
        let keep_bootstrap_connections = arguments.keep_bootstrap_connections;
        let plan = Plan { case: *case, limit, keep_bootstrap_connections };
        for number in 1..=arguments.runs {
            for client in clients {
                let run = play(cluster, plan, *client, number)?;
                println!("{}", report::progress(&run));
                runs.push(run);
            }
        }
    }
    Ok(runs)
}
