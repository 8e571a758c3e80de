//! Groups of steadfast and of today's clients, whose members join and leave under load.

use std::io;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, ValueEnum};
use serde_json::json;
use steadfast_bench::conclusion::{conclude, keep};
use steadfast_bench::ground::{PARTITIONS, RATE};
use steadfast_bench::machine;
use steadfast_bench::rebalance::client::Client;
use steadfast_bench::rebalance::play::{Life, Plan, play};
use steadfast_bench::rebalance::{promotion, report, slow};
use steadfast_tests::kafka::{Cluster, missing};

/// Has members join and leave groups on a real three-broker Kafka under load, groups of steadfast and of today's clients
/// in turns, and measures how long records waited, when the group was balanced again, what came twice or not at all, and
/// what the membership asks of the coordinator. Fails when steadfast misses a target.
#[derive(Parser)]
struct Arguments {
    /// What happens.
    #[arg(long, value_enum, default_value_t = Case::Members)]
    case: Case,
    /// Only this client; may be given several times.
    #[arg(long, value_enum)]
    client: Vec<Client>,
    /// How many groups of each client, one after the other.
    #[arg(long, default_value_t = 2)]
    lives: usize,
    /// How often a member joins a group and another leaves.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// How many seconds a group may take until it is balanced.
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    limit: u64,
    /// As text with a table in Markdown, or as JSON.
    #[arg(long, value_enum, default_value_t = Output::Text)]
    output: Output,
    /// Where the figures of a text are written to, as JSON.
    #[arg(long, default_value = "target/bench/rebalance.json")]
    json: PathBuf,
    /// Instead of a measurement: the service with this configuration and slow handlers.
    #[arg(long, hide = true)]
    slow_member: Option<PathBuf>,
    /// For how many milliseconds these work at a record.
    #[arg(long, hide = true, default_value_t = 0)]
    work: u64,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Case {
    /// A fourth member joins three, and one leaves.
    Members,
    /// Members come and go in bursts while handlers are slow: Java's before, steadfast's after.
    Promotion,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Output {
    Text,
    Json,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if let Some(config) = &arguments.slow_member {
        return slow::run(config, Duration::from_millis(arguments.work)).unwrap_or_else(|error| {
            eprintln!("{error}");
            ExitCode::FAILURE
        });
    }
    if let Some(reason) = missing() {
        eprintln!("{reason}");
        return ExitCode::FAILURE;
    }
    let measured = match arguments.case {
        Case::Members => measure(&arguments),
        Case::Promotion => promote(&arguments),
    };
    match (arguments.output, &measured) {
        (Output::Json, Ok(missed)) if missed.is_empty() => ExitCode::SUCCESS,
        (Output::Json, Ok(_)) => ExitCode::FAILURE,
        (Output::Json, Err(_)) | (Output::Text, _) => conclude(measured),
    }
}

/// What steadfast missed.
fn measure(arguments: &Arguments) -> io::Result<Vec<String>> {
    let machine = machine::describe();
    let settings = format!(
        "{RATE} records/s on {PARTITIONS} partitions, three brokers behind the drift proxy, default settings but for the \
         assignor or the protocol; three members, a fourth joins, later the oldest leaves"
    );
    eprintln!("{machine:#}\n{settings}\n\nApache Kafka starts: about 15 s");
    let cluster = Cluster::start(3, &[])?;
    let lives = play_all(&cluster, arguments)?;
    let told: Vec<_> = lives.iter().map(report::json).collect();
    let missed = report::missed(&lives);
    let whole = json!({"machine": machine, "settings": settings, "lives": told, "missed": missed});
    match arguments.output {
        Output::Json => println!("{whole:#}"),
        Output::Text => {
            println!();
            report::markdown(&lives).iter().for_each(|line| println!("{line}"));
            keep(&whole, &arguments.json)?;
        }
    }
    Ok(missed)
}

/// What steadfast missed in the promotion.
fn promote(arguments: &Arguments) -> io::Result<Vec<String>> {
    let machine = machine::describe();
    let settings = format!("{RATE} records/s on {PARTITIONS} partitions, {}", promotion::settings());
    eprintln!("{machine:#}\n{settings}\n\nApache Kafka starts: about 15 s");
    let cluster = Cluster::start(3, &[])?;
    let clients =
        if arguments.client.is_empty() { promotion::CLIENTS.to_vec() } else { arguments.client.clone() };
    let mut promotions = Vec::new();
    for number in 1..=arguments.lives {
        for client in &clients {
            let promotion = promotion::play(&cluster, *client, number, arguments.rounds)?;
            eprintln!("{}", promotion::json(&promotion));
            promotions.push(promotion);
        }
    }
    let missed = promotion::missed(&promotions);
    let told: Vec<_> = promotions.iter().map(promotion::json).collect();
    let whole = json!({"machine": machine, "settings": settings, "promotions": told, "missed": missed});
    match arguments.output {
        Output::Json => println!("{whole:#}"),
        Output::Text => {
            println!();
            promotion::markdown(&promotions).iter().for_each(|line| println!("{line}"));
            keep(&whole, &arguments.json)?;
        }
    }
    Ok(missed)
}

/// In turns: each client's group once, then each a second time, so that what else the machine does meets all of them.
fn play_all(cluster: &Cluster, arguments: &Arguments) -> io::Result<Vec<Life>> {
    let available = Client::available();
    let clients = if arguments.client.is_empty() { &available } else { &arguments.client };
    let plan = Plan { rounds: arguments.rounds, limit: Duration::from_secs(arguments.limit) };
    let mut lives = Vec::new();
    for number in 1..=arguments.lives {
        for client in clients {
            let life = play(cluster, plan, *client, number)?;
            report::progress(&life).iter().for_each(|line| eprintln!("{line}"));
            lives.push(life);
        }
    }
    Ok(lives)
}
