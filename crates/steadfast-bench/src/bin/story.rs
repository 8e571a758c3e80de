//! The main job on a real Kafka: every endpoint moves in mid-flow, and the service goes on from the same offset.
#![expect(clippy::disallowed_methods, reason = "real processes are measured by the real clock")]

use std::io;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::{Parser, ValueEnum};
use steadfast_bench::scene::{Opening, PARTITIONS, Proof, RATE, Scene, Shift};
use steadfast_bench::seen::first_written_after;
use steadfast_bench::story;
use steadfast_sim::proxy::{Nodes, Old};
use steadfast_tests::kafka::{Cluster, Version, missing};

/// Moves every endpoint of a real three-broker Kafka while steadfast consumes from it, and tells what happened.
#[derive(Parser)]
struct Arguments {
    /// What becomes of the old addresses.
    #[arg(value_enum, default_value_t = How::Refuse)]
    how: How,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum How {
    /// They refuse, and the connections that stand are reset.
    Refuse,
    /// They accept and stay silent, also for the connections that stand.
    Blackhole,
}

/// Flow before the move, and after the last partition has gone on.
const FLOW: Duration = Duration::from_secs(2);

fn main() -> ExitCode {
    if let Some(reason) = missing() {
        eprintln!("{reason}");
        return ExitCode::FAILURE;
    }
    match play(Arguments::parse().how) {
        Ok(proof) if proof.holds() => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn play(how: How) -> io::Result<Proof> {
    let begun = Instant::now();
    let step = |text: &str| println!("{:>5.1} s  {text}", begun.elapsed().as_secs_f64());
    let kafka = Version::chosen();
    step(&format!(
        "Apache Kafka {kafka} starts, three brokers: about 15 s (the first time, Maven fetches it)"
    ));
    let cluster = Cluster::start(3, &[])?;
    step(&format!(
        "it runs; now the drift proxy, {RATE} records/s on {PARTITIONS} partitions, and steadfast"
    ));
    let opening = Opening { name: "drift", settings: "", stable_bootstrap: true };
    let scene = Scene::begin(&cluster, opening)?;
    step("every partition flows to steadfast, a member of the group \"drift\"");
    std::thread::sleep(FLOW);
    let old = match how {
        How::Refuse => Old::Refuse,
        How::Blackhole => Old::BlackHole,
    };
    let shift = scene.shift(Nodes::All, old)?;
    step("EVERY ENDPOINT MOVES");
    scene.await_flow(&shift)?;
    step("every partition flows again");
    std::thread::sleep(FLOW);
    let (seen, events) = (scene.seen_from(shift.records), scene.events_from(shift.events));
    step("the load ends; what it wrote is compared with what came out");
    let (proof, _) = scene.finish()?;

    tell_move(&shift, how);
    println!("\nWhat steadfast told, in ms from the move");
    story::told(&events, shift.moved.at).iter().for_each(|line| println!("{line}"));
    if let Some(respawned) = events.iter().find(|event| event.name == "consumer.respawned") {
        println!("\nThe respawn's phases in ms: {}", story::phases(&respawned.json));
    }
    let first = first_written_after(&seen, shift.closed, shift.moved.at);
    let last = first.values().max().copied().unwrap_or_default();
    println!(
        "\nThe first record written after the move came out of steadfast, by partition, in ms from the move"
    );
    story::by_partition(&first).iter().for_each(|row| println!("{row}"));
    println!("  all of them after {} ms", story::millis(last));
    println!("\nCounted from outside");
    story::proof(&proof).iter().for_each(|line| println!("  {line}"));
    println!("\n{}", if proof.holds() { "It kept its place." } else { "IT DID NOT KEEP ITS PLACE." });
    Ok(proof)
}

fn tell_move(shift: &Shift, how: How) {
    let end = match how {
        How::Refuse => "old ports refuse, standing connections are reset",
        How::Blackhole => "old ports and standing connections are black holes: open, and silent",
    };
    println!("\nWho moved ({end})");
    story::moves(shift).iter().for_each(|line| println!("  {line}"));
}
