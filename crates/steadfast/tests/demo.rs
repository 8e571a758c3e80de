//! `steadfast demo` as a program: what it prints, and how it ends. Counts are asserted, times are not.
#![expect(clippy::unwrap_used, reason = "a program that cannot be run fails its test")]

use std::process::{Command, Output};

use serde_json::Value;

fn demo(arguments: &str) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_steadfast"));
    command.arg("demo").args(arguments.split_whitespace()).output().unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// What every run has to come to.
fn assert_kept_its_place(arguments: &str, records: u64) -> Value {
    let output = demo(&format!("{arguments} --output json --records {records}"));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let told = format!("{report:#}\n{}", stderr(&output));
    assert_eq!(output.status.code(), Some(0), "{told}");
    for (field, expected) in [
        ("produced", records),
        ("consumed", records),
        ("lost", 0),
        ("redelivered", 0),
        ("out_of_order", 0),
        ("rebalances", 0),
        ("respawns", 1),
    ] {
        assert_eq!(report[field], expected, "{field} in {told}");
    }
    assert!(report["recovery_ms"].as_f64().is_some_and(|ms| ms > 0.0), "{told}");
    for phase in ["detect", "discover", "verify", "handover", "first_record"] {
        assert!(report["phases_ms"][phase].as_f64().is_some(), "{phase} in {told}");
    }
    report
}

#[test]
fn when_the_old_ports_refuse_nothing_is_lost_or_comes_twice() {
    let report = assert_kept_its_place("--rate 1000 --seed 7", 2_000);
    assert_eq!((&report["mode"], &report["seed"]), (&"refused".into(), &7.into()));
    assert_eq!((&report["brokers"], &report["partitions"]), (&3.into(), &12.into()));
}

#[test]
fn when_the_old_ports_fall_silent_nothing_is_lost_or_comes_twice() {
    let report = assert_kept_its_place("--mode blackhole --brokers 4 --partitions 5 --rate 500", 1_500);
    assert_eq!(report["mode"], "blackhole");
    assert_eq!((&report["brokers"], &report["partitions"]), (&4.into(), &5.into()));
}

#[test]
fn a_cluster_of_one_broker_can_move_too() {
    assert_kept_its_place("--brokers 1 --partitions 1 --rate 200", 200);
}

#[test]
fn a_person_gets_a_story_and_a_picture_and_standard_error_tells_the_steps() {
    let directory = tempfile::tempdir().unwrap();
    let (picture, log) = (directory.path().join("recovery.svg"), directory.path().join("demo.log"));
    let files = format!("--picture {} --log {}", picture.display(), log.display());
    let output = demo(&format!("--records 1000 {files}"));
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let story = String::from_utf8(output.stdout.clone()).unwrap();
    for part in [
        "all 3 brokers move: the old ports refuse",
        "  noticed: ",
        "  agreed: ",
        "  handed over: 12 partitions, each goes on at the offset where it was",
        "produced 1000, consumed 1000, lost 0, redelivered 0, rebalances 0, one respawn",
        "It kept its place",
    ] {
        assert!(story.contains(part), "{part:?} is not in\n{story}");
    }
    assert!(stderr(&output).contains("s  EVERY ENDPOINT MOVES\n"), "{}", stderr(&output));
    assert!(std::fs::read_to_string(picture).unwrap().ends_with("</svg>\n"));
    assert!(std::fs::read_to_string(log).unwrap().contains("\"event.name\":\"consumer.respawned\""));
}

#[test]
fn a_file_that_cannot_be_written_is_said_before_anything_is_played() {
    let output = demo("--log /nowhere/demo.log");
    assert_eq!(output.status.code(), Some(64));
    assert!(output.stdout.is_empty() && stderr(&output).starts_with("/nowhere/demo.log cannot be written"));
}
