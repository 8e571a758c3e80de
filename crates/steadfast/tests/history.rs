//! The history that a real run leaves on disk, told by `steadfast history`.
#![expect(clippy::unwrap_used, reason = "a program that cannot be run fails its test")]
#![expect(clippy::disallowed_methods, reason = "real processes are waited for by the real clock")]

use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use steadfast_core::ids::NodeId;
use steadfast_sim::embedded::{Embedded, Nodes, Old, Spec};
use tokio::runtime::Runtime;

const LIMIT: Duration = Duration::from_secs(60);

struct Place {
    directory: tempfile::TempDir,
    runtime: Runtime,
    cluster: Embedded,
}

impl Place {
    fn new() -> Place {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let cluster = {
            let _inside = runtime.enter();
            Embedded::on_loopback(&Spec::default()).unwrap()
        };
        cluster.with(|cluster| cluster.create_topic("orders", 6)).unwrap();
        let directory = tempfile::tempdir().unwrap();
        let config = format!(
            "topics = [\"orders\"]\n[kafka]\n\"bootstrap.servers\" = \"{}\"\n\"group.id\" = \"billing\"\n\
             [sink]\ntype = \"discard\"\n[http]\nlisten = \"off\"\n[state]\ndir = \"{}\"\n",
            cluster.bootstrap(),
            directory.path().join("state").display()
        );
        std::fs::write(directory.path().join("steadfast.toml"), config).unwrap();
        Place { directory, runtime, cluster }
    }

    fn steadfast(&self, command: &str, arguments: &[&str]) -> Command {
        let mut steadfast = Command::new(env!("CARGO_BIN_EXE_steadfast"));
        steadfast
            .args(command.split(' '))
            .arg("--config")
            .arg(self.directory.path().join("steadfast.toml"))
            .args(arguments);
        steadfast
    }

    fn run(&self) -> Running {
        Running(self.steadfast("run", &[]).stderr(Stdio::null()).stdin(Stdio::null()).spawn().unwrap())
    }

    fn history(&self, arguments: &[&str]) -> Output {
        self.steadfast("history", arguments).output().unwrap()
    }

    /// All episodes, as soon as `ready` says so.
    fn episodes(&self, ready: impl Fn(&[Value]) -> bool) -> Vec<Value> {
        let until = Instant::now() + LIMIT;
        loop {
            let output = self.history(&["--output", "json"]);
            let told: Vec<Value> = serde_json::from_slice(&output.stdout).unwrap_or_default();
            if ready(&told) {
                return told;
            }
            assert!(Instant::now() < until, "{told:#?}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    fn file(&self) -> std::path::PathBuf {
        self.directory.path().join("state/billing/history.jsonl")
    }
}

struct Running(Child);

impl Running {
    fn signal(&mut self, signal: &str) -> Option<i32> {
        let sent = Command::new("kill").args([signal, &self.0.id().to_string()]).status().unwrap();
        assert!(sent.success());
        self.0.wait().unwrap().code()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        drop((self.0.kill(), self.0.wait()));
    }
}

fn joined(episodes: &[Value]) -> bool {
    let events = episodes.iter().flat_map(|episode| episode["events"].as_array().unwrap());
    events.filter(|event| event["event.name"] == "partitions.assigned").count() > 0
}

fn respawned(episodes: &[Value]) -> Option<&Value> {
    let by_drift =
        |episode: &&Value| episode["respawns"].as_array().unwrap().iter().any(|one| one["reason"] == "drift");
    episodes.iter().find(by_drift)
}

fn text(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn append(path: &Path, bytes: &[u8]) {
    use std::io::Write;
    std::fs::OpenOptions::new().append(true).open(path).unwrap().write_all(bytes).unwrap();
}

#[test]
fn rebalances_are_listed_with_what_they_cost() {
    let place = Place::new();
    let listed = |arguments: &[&str]| place.steadfast("groups rebalances", arguments).output().unwrap();
    assert_eq!(listed(&[]).status.code(), Some(1), "there is no history yet");
    let mut running = place.run();
    let over = |episodes: &[Value]| {
        let mut events = episodes.iter().flat_map(|episode| episode["events"].as_array().unwrap());
        events.any(|event| event["event.name"] == "group.rebalance.completed")
    };
    place.episodes(over);
    assert_eq!(running.signal("-TERM"), Some(0));
    let told: Value = serde_json::from_slice(&listed(&["--output", "json"]).stdout).unwrap();
    assert_eq!(told["rebalances"].as_array().unwrap().len(), 1, "{told:#}");
    let first = &told["rebalances"][0];
    assert_eq!((&first["reason"], &first["led"]), (&"start".into(), &true.into()), "{told:#}");
    assert_eq!((&first["taken_up"], &first["unseen"]), (&6.into(), &0.into()), "{told:#}");
    assert_eq!(told["advice"].as_array().unwrap().len(), 0, "{told:#}");
    let table = text(&listed(&["--last", "1"]));
    assert!(table.starts_with("TIME") && table.contains("start"), "{table}");
    assert_eq!(text(&listed(&["--last", "0"])), "No rebalance is in the history.\n");
}

#[test]
fn a_recovery_is_told_with_its_figures_while_the_service_runs_and_after() {
    let place = Place::new();
    assert_eq!(place.history(&[]).status.code(), Some(1), "there is no history yet");
    let mut running = place.run();
    place.episodes(joined);
    let moved = {
        let _inside = place.runtime.enter();
        place.cluster.move_endpoints(&Nodes::All, Old::Refuse).unwrap()
    };

    let told = place.episodes(|told| respawned(told).is_some());
    let recovery = respawned(&told).unwrap();
    assert_eq!((&recovery["gap"], &recovery["redelivered"]), (&0.into(), &0.into()), "{recovery:#}");
    assert!(recovery["pause_ms"].as_f64().is_some_and(|ms| ms > 0.0), "{recovery:#}");
    for change in recovery["changes"].as_array().unwrap() {
        let node = NodeId(change["node"].as_str().unwrap().parse().unwrap());
        assert_eq!(change["kind"], "moved");
        let (from, to) = (moved.from[&node].to_string(), moved.to[&node].to_string());
        assert_eq!((&change["from"], &change["to"]), (&from.into(), &to.into()));
    }
    assert_eq!(running.signal("-TERM"), Some(0));

    let last = text(&place.history(&["--last"]));
    let pause = last.lines().find(|line| line.contains("3 endpoints moved, consumer 2 took over |"));
    assert!(pause.is_some_and(|row| row.ends_with("ms | 0 | 0 |")), "{last}");
    for part in [
        "**What it cost:** gap 0, redelivered 0",
        "a pause of at most",
        "| first record |",
        "agree on 3 brokers",
    ] {
        assert!(last.replace("; ", ", ").contains(part), "{part:?} is not in\n{last}");
    }
    let all = text(&place.history(&[]));
    assert!(all.contains(". Start\n") && all.contains("stop |"), "{all}");
    assert!(!all.contains("Not known"), "{all}");
}

#[test]
fn a_run_that_did_not_say_that_it_ended_and_a_torn_line_are_told() {
    let place = Place::new();
    let mut first = place.run();
    place.episodes(joined);
    assert_eq!(first.signal("-KILL"), None);
    append(&place.file(), b"{\"timestamp\":\"2026-11-21T19:0");
    assert!(text(&place.history(&[])).contains("Lines that cannot be read: 1."));

    let mut second = place.run();
    let starts = |told: &[Value]| {
        told.iter().filter(|episode| episode["title"].as_str().unwrap().contains("start")).count()
    };
    let told = place.episodes(|told| starts(told) == 2);
    assert_eq!(second.signal("-TERM"), Some(0));
    let unknown = told.iter().filter(|episode| !episode["not_known"].as_array().unwrap().is_empty());
    assert_eq!(unknown.count(), 1, "{told:#?}");
    let all = text(&place.history(&[]));
    assert!(all.contains("how the run before ended") && !all.contains("cannot be read:"), "{all}");
}
