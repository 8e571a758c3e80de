//! What it costs to watch: requests and bytes of an idle service, counted by the embedded cluster under virtual time.

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use steadfast_sim::serve::Traffic;
use steadfast_tests::simulated::world::{Plan, World, simulate};

/// Plays a service to which no record comes, at default settings, and counts what passes between it and the brokers.
#[derive(Parser)]
struct Arguments {
    /// Minutes of virtual time.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..))]
    minutes: u32,
    /// Brokers of the cluster.
    #[arg(long, default_value_t = 3)]
    brokers: u16,
    /// Partitions of its topic.
    #[arg(long, default_value_t = 12)]
    partitions: usize,
}

/// For the group's first round, and discoveries of the beginning.
const SETTLED: Duration = Duration::from_secs(60);

/// What each API is asked for, by an idle service.
const PURPOSES: [(i16, &str, &str); 7] = [
    (1, "Fetch", "waiting for records"),
    (3, "Metadata", "watching endpoints"),
    (18, "ApiVersions", "watching endpoints"),
    (10, "FindCoordinator", "group"),
    (12, "Heartbeat", "group"),
    (8, "OffsetCommit", "group"),
    (9, "OffsetFetch", "group"),
];

fn main() -> ExitCode {
    let Arguments { minutes, brokers, partitions } = Arguments::parse();
    let plan = Plan { brokers, partitions, ..Plan::new(1) };
    let (passed, _) = simulate(
        plan,
        |_, _| {},
        async move |world| {
            world.elapse(SETTLED).await;
            let before = traffic(world);
            world.elapse(Duration::from_secs(60) * minutes).await;
            let after = traffic(world);
            after
                .into_iter()
                .map(|(api, now)| (api, since(before.get(&api).copied().unwrap_or_default(), now)))
                .collect::<BTreeMap<i16, Traffic>>()
        },
    );
    println!(
        "{minutes} virtual minutes, default settings, {brokers} brokers, {partitions} partitions, no records"
    );
    println!("\nper minute and service:\n");
    println!(
        "| request | what for | requests | bytes to the brokers | bytes from them |\n|---|---|---|---|---|"
    );
    let each = |whole: u64| format!("{:.1}", whole as f64 / f64::from(minutes));
    for (api, Traffic { requests, received, sent }) in
        passed.into_iter().filter(|(_, passed)| passed.requests > 0)
    {
        let known = PURPOSES.iter().find(|(key, _, _)| *key == api);
        let (name, purpose) =
            known.map_or((format!("api {api}"), ""), |(_, name, what)| ((*name).to_owned(), *what));
        println!("| {name} | {purpose} | {} | {} | {} |", each(requests), each(received), each(sent));
    }
    ExitCode::SUCCESS
}

fn traffic(world: &World) -> BTreeMap<i16, Traffic> {
    world.cluster().served().traffic()
}

fn since(before: Traffic, now: Traffic) -> Traffic {
    Traffic {
        requests: now.requests - before.requests,
        received: now.received - before.received,
        sent: now.sent - before.sent,
    }
}
