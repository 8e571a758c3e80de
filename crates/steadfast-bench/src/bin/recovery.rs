//! steadfast and today's clients, each put to the same moves.

use std::collections::BTreeSet;
use std::io;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use serde_json::json;
use steadfast_bench::conclusion::{conclude, keep};
use steadfast_bench::ground::{PARTITIONS, RATE};
use steadfast_bench::machine;
use steadfast_bench::peers::case::Case;
use steadfast_bench::peers::client::Client;
use steadfast_bench::peers::play::{Life, Plan, play};
use steadfast_bench::peers::report;
use steadfast_tests::kafka::{Cluster, missing};

/// Moves the endpoints of a real three-broker Kafka while steadfast and today's clients consume from it, in turns, and
/// measures how long each takes to go on, what it loses, what it delivers again, and how often it rebalances. Fails when
/// steadfast misses a target.
#[derive(Parser)]
struct Arguments {
    /// Only this case; may be given several times.
    #[arg(long, value_enum)]
    case: Vec<Case>,
    /// Only this client; may be given several times.
    #[arg(long, value_enum)]
    client: Vec<Client>,
    /// How many moves steadfast is put to in each case.
    #[arg(long, default_value_t = 20)]
    moves: usize,
    /// How many times each of the others is started in a case, for up to three moves. One that does not come back is not
    /// started again.
    #[arg(long, default_value_t = 2)]
    runs: usize,
    /// How many seconds a client is waited for.
    #[arg(long, value_name = "SECONDS", default_value_t = 30)]
    limit: u64,
    /// When every endpoint moves, leave the connections that stand on the bootstrap address as they are; otherwise
    /// they end as those to the old endpoints do. The address itself goes on in any case.
    #[arg(long)]
    keep_bootstrap_connections: bool,
    /// Where the figures are written to, as JSON.
    #[arg(long, default_value = "target/bench/recovery.json")]
    json: PathBuf,
}

fn main() -> ExitCode {
    if let Some(reason) = missing() {
        eprintln!("{reason}");
        return ExitCode::FAILURE;
    }
    conclude(measure(&Arguments::parse()))
}

/// What steadfast missed.
fn measure(arguments: &Arguments) -> io::Result<Vec<String>> {
    let machine = machine::describe();
    let connections =
        if arguments.keep_bootstrap_connections { "stand" } else { "end with the old endpoints" };
    let settings = format!(
        "{RATE} records/s on {PARTITIONS} partitions, three brokers, default settings, a bootstrap address that \
         stays (but in `grace`); its connections {connections}"
    );
    println!("{machine:#}\n{settings}");
    for (built, name) in [(cfg!(feature = "librdkafka"), "librdkafka"), (cfg!(feature = "krafka"), "krafka")]
    {
        if !built {
            println!(
                "built without {name}, which is left out (--features {name}; just bench recovery has it)"
            );
        }
    }
    println!("\nApache Kafka starts: about 15 s");
    let cluster = Cluster::start(3, &[])?;
    let lives = play_all(&cluster, arguments)?;
    println!();
    report::markdown(&lives, &machine, &settings).iter().for_each(|line| println!("{line}"));
    let told: Vec<_> = lives.iter().map(report::json).collect();
    let whole = json!({"machine": machine, "settings": settings, "lives": told});
    keep(&whole, &arguments.json)?;
    Ok(report::missed(&lives))
}

/// In turns: each client once, then each a second time, so that what else the machine does meets all of them.
fn play_all(cluster: &Cluster, arguments: &Arguments) -> io::Result<Vec<Life>> {
    let cases = if arguments.case.is_empty() { Case::all() } else { &arguments.case };
    let available = Client::available();
    let clients = if arguments.client.is_empty() { &available } else { &arguments.client };
    let mut lives = Vec::new();
    for case in cases {
        let limit = Duration::from_secs(arguments.limit);
        let keep_bootstrap_connections = arguments.keep_bootstrap_connections;
        let plan = Plan { case: *case, limit, keep_bootstrap_connections };
        let most = case.moves_in_a_life();
        let rounds = arguments.moves.div_ceil(most).max(arguments.runs);
        let mut gone: BTreeSet<&str> = BTreeSet::new();
        for number in 1..=rounds {
            for client in clients.iter().filter(|client| !gone.contains(client.name())).collect::<Vec<_>>() {
                let ours = *client == Client::Steadfast;
                let moves = match ours {
                    true => most.min(arguments.moves.saturating_sub((number - 1) * most)),
                    false if number <= arguments.runs => most,
                    false => 0,
                };
                if moves == 0 {
                    continue;
                }
                let life = play(cluster, plan, *client, number, moves)?;
                println!("{}", report::progress(&life));
                if !life.came_back() {
                    gone.insert(client.name());
                }
                lives.push(life);
            }
        }
    }
    Ok(lives)
}
