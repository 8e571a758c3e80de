//! `steadfast drill --real`, on a cluster in memory that is reached over TCP.

use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::Value;
use steadfast_sim::embedded::{Embedded, Spec};
use tokio::runtime::Runtime;

use super::{Place, drill, stderr, stdout};

const NOBODY: &str = "127.0.0.1:9";
const FETCH: i16 = 1;

/// A cluster, and the configuration of somebody who reads `orders` there.
struct Site {
    place: Place,
    cluster: Embedded,
    _runtime: Runtime,
}

impl Site {
    fn new() -> Site {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let cluster = {
            let _inside = runtime.enter();
            Embedded::on_loopback(&Spec::default()).unwrap()
        };
        cluster.with(|cluster| cluster.create_topic("orders", 2)).unwrap();
        let place = place(&cluster.bootstrap().to_string(), "");
        Site { place, cluster, _runtime: runtime }
    }
}

fn place(bootstrap: &str, more: &str) -> Place {
    let place = Place { directory: tempfile::tempdir().unwrap() };
    let text = format!(
        "topics = [\"orders\"]\n[kafka]\n\"bootstrap.servers\" = \"{bootstrap}\"\n\"group.id\" = \"billing\"\n\
         {more}\n[state]\ndir = {:?}\n",
        place.directory.path().join("state"),
    );
    std::fs::write(place.config(), text).unwrap();
    place
}

#[test]
fn what_can_be_played_so_is_listed_without_a_configuration() {
    let output = drill("--real --list");
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let text = stdout(&output);
    assert!(
        text.starts_with("all-replaced ") && text.contains("\nblack-hole: no SYN  every endpoint"),
        "{text}"
    );
    let rows: Value = serde_json::from_str(&stdout(&drill("--real --list --output json"))).unwrap();
    assert_eq!(rows.as_array().unwrap().len(), text.lines().count());
    assert!(rows[0]["name"] == "all-replaced" && rows[0]["happens"].is_string(), "{rows}");
    assert_eq!(stdout(&drill("--real --list --scenario partial")).lines().count(), 2);
}

#[test]
fn what_cannot_be_played_so_is_wrong_usage_that_names_what_can() {
    for arguments in ["--real --list --scenario panics", "--real --config CONFIG --scenario panics"] {
        let place = place(NOBODY, "");
        let output = drill(&arguments.replace("CONFIG", &place.config().display().to_string()));
        assert_eq!((output.status.code(), stdout(&output).as_str()), (Some(64), ""), "{}", stderr(&output));
        let told = stderr(&output);
        assert!(
            told.starts_with("panics cannot be played") && told.contains("all-replaced, rolling"),
            "{told}"
        );
    }
}

#[test]
fn a_cluster_that_cannot_be_drilled_is_told_by_the_exit_code() {
    let site = Site::new();
    let there = site.cluster.bootstrap().to_string();
    for (bootstrap, more, arguments, code, told) in [
        (NOBODY, "", "", 69, "the cluster is not reached"),
        (&*there, "\"security.protocol\" = \"SSL\"", "", 78, "plain-text listener"),
        (&*there, "[endpoints.override]\n\"a:1\" = \"b:1\"", "", 78, "[endpoints.override]"),
        (&*there, "", "--set topics=absent", 1, "topic absent: "),
        (
            &*there,
            "",
            "--set drift.cluster_id=other",
            1,
            "belongs to cluster embedded, and drift.cluster_id is other",
        ),
    ] {
        let output = place(bootstrap, more).drill(&format!("--real {arguments}"));
        let said = stderr(&output);
        assert_eq!((output.status.code(), stdout(&output).as_str()), (Some(code), ""), "{said}");
        assert!(said.contains(told), "{said}");
    }
}

#[test]
fn rows_are_told_to_people_and_to_programs() {
    let site = Site::new();
    let output = site.place.drill("--real --scenario all-replaced");
    let text = stdout(&output);
    assert_eq!((output.status.code(), stderr(&output).as_str()), (Some(0), ""), "{text}");
    let lines: Vec<&str> = text.lines().collect();
    assert!(lines[0].contains("recovery") && lines[0].contains("limit"), "{text}");
    assert!(lines[1].starts_with("all-replaced        passed ") && lines[2].starts_with("until: "), "{text}");

    let output = site.place.drill("--real --scenario all-replaced --output json");
    let rows: Value = serde_json::from_str(&stdout(&output)).unwrap();
    let (row, names) = (&rows[0], rows[0].as_object().unwrap().keys().map(String::as_str));
    let expected = [
        "evidence",
        "gap",
        "limit_ms",
        "name",
        "rebalances",
        "recovery_ms",
        "redelivered",
        "respawns",
        "result",
        "why",
    ];
    assert!(names.eq(expected), "{row}");
    assert_eq!((&row["result"], &row["evidence"]), (&"passed".into(), &"answers".into()), "{row}");
    assert!(row["recovery_ms"].as_u64() < row["limit_ms"].as_u64(), "{row}");
    assert!(!site.place.directory.path().join("state").exists(), "the state directory is another");
}

#[test]
fn an_interrupted_drill_ends_with_130() {
    let site = Site::new();
    let mut command = Command::new(env!("CARGO_BIN_EXE_steadfast"));
    command.args(["drill", "--real", "--config"]).arg(site.place.config());
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    while !site.cluster.served().traffic().contains_key(&FETCH) {
        std::thread::sleep(Duration::from_millis(10));
        assert!(child.try_wait().unwrap().is_none(), "it ended by itself");
    }
    let sent = Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(sent.success());
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.code(), stderr(&output).as_str()), (Some(130), "the drill was interrupted\n"));
}
