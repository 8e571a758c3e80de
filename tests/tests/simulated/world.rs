//! The whole service under virtual time, against a cluster in memory: its real actors in their real wiring.
#![expect(clippy::unwrap_used, reason = "a scenario that cannot be played fails its test")]

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use steadfast::exit::Exit;
use steadfast_core::ids::NodeId;
use steadfast_sim::embedded::{Nodes, Old};
use steadfast_tests::simulated::handler::Conduct;
use steadfast_tests::simulated::hour;
use steadfast_tests::simulated::journal::{Happening, Line, What};
use steadfast_tests::simulated::world::{GROUP, Plan, Report, World, simulate};
use tracing::Level;

const SECOND: Duration = Duration::from_secs(1);

fn nothing_checked(_: &World, _: &Happening) {}

/// Everything that was appended was processed, nothing was delivered twice, and the service ended in order.
fn all_went_well(report: &Report) {
    assert_eq!(report.tally.missing(), BTreeMap::new(), "lost");
    assert_eq!(report.tally.redelivered(), BTreeMap::new(), "redelivered");
    assert!(report.exits.values().all(|exit| *exit == Exit::Fine), "{:?}", report.exits);
}

#[test]
fn a_service_reads_what_is_appended_and_commits() {
    let ((committed, ends), report) = simulate(Plan::new(1), nothing_checked, async |world| {
        let load = world.load(100.0);
        world.elapse(20 * SECOND).await;
        drop(load);
        assert!(world.caught_up(5 * SECOND).await);
        assert_eq!(world.stop_service(1).await, Some(Exit::Fine));
        let partitions = world.partitions();
        world.cluster().with(|cluster| {
            let committed =
                cluster.committed(GROUP).into_iter().map(|(partition, of)| (partition, of.offset));
            let ends = partitions.into_iter().map(|partition| {
                let end = cluster.log_end(&partition).unwrap();
                (partition, end)
            });
            (committed.collect::<BTreeMap<_, _>>(), ends.collect::<BTreeMap<_, _>>())
        })
    });
    all_went_well(&report);
    assert!(report.tally.appended() > 1_500, "{}", report.tally.appended());
    assert_eq!(committed, ends);
}

fn every_endpoint_moves(seed: u64, old: Old, within: Duration) {
    let (moved, report) = simulate(Plan::new(seed), nothing_checked, async |world| {
        let load = world.load(100.0);
        world.elapse(10 * SECOND).await;
        let before = world.tally().processed();
        world.inject(format!("every endpoint moves: {old:?}"), |cluster| {
            cluster.move_endpoints(&Nodes::All, old)
        })?;
        world.elapse(within).await;
        let after = world.tally().processed();
        world.elapse(10 * SECOND).await;
        drop(load);
        assert!(world.caught_up(5 * SECOND).await);
        Ok::<_, steadfast_sim::embedded::CommandError>((before, after))
    });
    println!("{}", String::from_utf8_lossy(&report.log));
    let (before, after) = moved.unwrap();
    assert!(after > before, "{old:?}: nothing was processed within {within:?} of the move");
    all_went_well(&report);
    assert_eq!(report.tally.events("consumer.respawned"), 2, "{old:?}: the first one and its successor");
    assert_eq!(report.tally.events("group.rebalanced"), 1);
}

#[test]
fn when_every_endpoint_moves_and_the_old_ones_refuse_nothing_is_lost() {
    every_endpoint_moves(2, Old::Refuse, SECOND / 5);
}

#[test]
fn when_every_endpoint_moves_and_the_old_ones_are_black_holes_nothing_is_lost() {
    every_endpoint_moves(3, Old::BlackHole, 2 * SECOND);
}

#[test]
fn when_every_endpoint_moves_and_the_old_ones_drop_packets_nothing_is_lost() {
    every_endpoint_moves(4, Old::Drop, 2 * SECOND);
}

/// Two services, slow and failing handlers, endpoints that move in every way: as much as can come out differently.
fn turbulence(seed: u64) -> Vec<u8> {
    let plan = Plan {
        services: 2,
        conduct: Conduct {
            delay: Duration::ZERO..SECOND / 5,
            failing: 0.01,
            dropping: 0.01,
            panicking: 0.005,
            ..Conduct::default()
        },
        latency: (Duration::from_millis(1), Duration::from_millis(9)),
        level: Level::DEBUG,
        ..Plan::new(seed)
    };
    let ((), report) = simulate(plan, nothing_checked, async |world| {
        let load = world.load(50.0);
        for old in [Old::Refuse, Old::BlackHole, Old::Drop, Old::Grace(SECOND)] {
            world.elapse(world.dice().jittered(10 * SECOND)).await;
            let one = Nodes::Some([NodeId(1 + (world.dice().fraction() * 3.0) as i32)].into());
            let nodes = if world.dice().fraction() < 0.5 { Nodes::All } else { one };
            let moved = world
                .inject(format!("{nodes:?} move: {old:?}"), |cluster| cluster.move_endpoints(&nodes, old));
            moved.unwrap();
        }
        world.elapse(5 * SECOND).await;
        world.stop_service(2).await;
        world.elapse(5 * SECOND).await;
        drop(load);
        assert!(world.caught_up(60 * SECOND).await, "{:?}", world.tally().missing());
    });
    report.log
}

/// Set by a process to the one that it starts: where that is to write its event log.
const LOG_TO: &str = "STEADFAST_SIMULATED_LOG";

fn turbulence_in_another_process(directory: &Path, number: usize) -> Vec<u8> {
    let log = directory.join(format!("{number}.log"));
    let mut command = Command::new(std::env::current_exe().unwrap());
    let played = command
        .args(["--exact", "world::a_run_is_reproducible_from_its_seed"])
        .env(LOG_TO, &log)
        .output()
        .unwrap();
    assert!(played.status.success(), "{}", String::from_utf8_lossy(&played.stderr));
    fs::read(log).unwrap()
}

#[test]
fn a_run_is_reproducible_from_its_seed() {
    let log = turbulence(7);
    if let Some(path) = std::env::var_os(LOG_TO) {
        return fs::write(path, log).unwrap();
    }
    assert!(log.len() > 10_000, "{}", String::from_utf8_lossy(&log));
    same(&log, &turbulence(7));
    let directory = tempfile::tempdir().unwrap();
    for number in 0..3 {
        same(&log, &turbulence_in_another_process(directory.path(), number));
    }
    assert_ne!(turbulence(8), log);
}

fn same(one: &[u8], other: &[u8]) {
    let (one, other) = (String::from_utf8_lossy(one), String::from_utf8_lossy(other));
    let differs = one.lines().zip(other.lines()).position(|(one, other)| one != other);
    if let Some(line) = differs {
        let around =
            |log: &str| log.lines().skip(line.saturating_sub(3)).take(6).collect::<Vec<_>>().join("\n");
        panic!("line {line} differs:\n{}\n\n{}", around(&one), around(&other));
    }
    assert_eq!(one.len(), other.len());
}

/// Three respawns in ten minutes are the budget; the other moves are taken in place.
#[test]
fn an_hour_with_a_move_every_minute() {
    let (respawned, respawns) =
        (Arc::new(Mutex::new(Vec::new())), |line: &Line| line.name() == "consumer.respawned");
    let seen = Arc::clone(&respawned);
    let report = hour::an_hour_with_a_move_every_minute(5, move |_, happening| match &happening.what {
        What::Logged(line) if respawns(line) && line.json()["reason"] == "drift" => {
            seen.lock().unwrap().push(happening.at);
        }
        _ => {}
    });
    all_went_well(&report);
    assert!(report.tally.appended() > 30_000, "{}", report.tally.appended());
    assert_eq!(report.tally.events("endpoint.drifted"), u64::from(hour::MOVES));
    assert_eq!(report.tally.events("group.rebalanced"), 1);
    let respawned = respawned.lock().unwrap();
    assert_eq!(respawned.len(), 18, "{respawned:?}");
    let crowded = respawned.windows(4).find(|four| four[3].since(four[0]) < 600 * SECOND);
    assert_eq!(crowded, None, "more than three in ten minutes");
}
