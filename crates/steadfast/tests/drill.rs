//! `steadfast drill` as a program: what it prints, and how it ends.
#![expect(clippy::unwrap_used, reason = "a program that cannot be run fails its test")]

#[path = "drill/real.rs"]
mod real;

use std::path::PathBuf;
use std::process::{Command, Output};

use serde_json::Value;
use tempfile::TempDir;

struct Place {
    directory: TempDir,
}

impl Place {
    fn with(settings: &str) -> Place {
        let place = Place { directory: tempfile::tempdir().unwrap() };
        let text = format!(
            "topics = [\"orders\"]\n[kafka]\n\"bootstrap.servers\" = \"nowhere:9092\"\n\"group.id\" = \"billing\"\n\
             \"security.protocol\" = \"SASL_PLAINTEXT\"\n\"sasl.mechanism\" = \"PLAIN\"\n\
             \"sasl.username\" = \"u\"\n\"sasl.password\" = \"p\"\n{settings}\n[state]\ndir = {:?}\n",
            place.directory.path().join("state"),
        );
        std::fs::write(place.config(), text).unwrap();
        place
    }

    fn config(&self) -> PathBuf {
        self.directory.path().join("steadfast.toml")
    }

    fn drill(&self, arguments: &str) -> Output {
        drill(&format!("--config {} {arguments}", self.config().display()))
    }
}

fn drill(arguments: &str) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_steadfast"));
    command.arg("drill").args(arguments.split_whitespace()).output().unwrap()
}

fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn a_drill_that_is_passed_prints_a_row_each_and_nothing_else() {
    let place = Place::with("");
    // An actor panics in one of them: its words are in the log and not on the terminal.
    let output = place.drill("--scenario panics --scenario all-replaced");
    assert_eq!((output.status.code(), stderr(&output).as_str()), (Some(0), ""), "{}", stdout(&output));
    let text = stdout(&output);
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 4, "{text}");
    assert!(lines[0].contains("scenario") && lines[0].contains("redelivered"), "{text}");
    assert!(lines[1].contains(" 1  all-replaced") && lines[1].contains("passed"), "{text}");
    assert!(lines[2].contains("24  panics") && lines[2].contains("passed"), "{text}");
    assert!(lines[3].starts_with("2 of 2 passed, "), "{text}");
    assert!(!place.directory.path().join("state").exists(), "the state directory is another");
}

#[test]
fn what_a_policy_cannot_bear_fails_with_the_reason() {
    let place = Place::with("[drift]\npoll_interval = \"60s\"\n");
    let output = place.drill("--scenario grace --output json");
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    let rows: Value = serde_json::from_str(&stdout(&output)).unwrap();
    let row = &rows[0];
    assert_eq!(
        (&row["number"], &row["name"], &row["result"]),
        (&25.into(), &"grace".into(), &"failed".into())
    );
    let why = row["why"].to_string();
    assert!(why.contains("drift.poll_interval is 60.0 s"), "{why}");
}

#[test]
fn figures_are_told_to_programs() {
    let output = Place::with("").drill("--scenario all-replaced --output json --seed 7");
    assert_eq!(output.status.code(), Some(0), "{}", stdout(&output));
    let rows: Value = serde_json::from_str(&stdout(&output)).unwrap();
    let row = &rows[0];
    assert_eq!(row["result"], "passed");
    for (figure, expected) in
        [("lost", 0), ("gap", 0), ("redelivered", 0), ("respawns", 1), ("rebalances", 0)]
    {
        assert_eq!(row[figure], expected, "{row}");
    }
    assert!(row["records"].as_u64() > Some(100) && row["recovery_ms"].as_u64() > Some(0), "{row}");
}

#[test]
fn the_log_of_the_drilled_service_goes_to_a_file() {
    let place = Place::with("");
    let log = place.directory.path().join("drill.log");
    let output = place.drill(&format!("--scenario all-replaced --log {}", log.display()));
    assert_eq!(output.status.code(), Some(0), "{}", stdout(&output));
    assert!(std::fs::read_to_string(log).unwrap().contains("\"event.name\":\"consumer.respawned\""));
}

#[test]
fn the_list_needs_no_configuration() {
    let output = drill("--list");
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert!(stdout(&output).starts_with(" 1  all-replaced "), "{}", stdout(&output));
    let listed: Value = serde_json::from_str(&stdout(&drill("--list --output json"))).unwrap();
    assert_eq!(listed.as_array().unwrap().len(), stdout(&output).lines().count());
    assert!(listed[0]["happens"].is_string());
}

#[test]
fn wrong_usage_is_64_and_a_wrong_configuration_78() {
    let place = Place::with("[drift]\nthreshold = 7\n");
    for (output, code) in [
        (drill(""), 64),
        (drill("--list --scenario nothing-of-the-kind"), 64),
        (place.drill(""), 78),
        (drill("--config /nowhere/steadfast.toml"), 78),
    ] {
        assert_eq!(output.status.code(), Some(code), "{}", stderr(&output));
        assert!(output.stdout.is_empty() && !output.stderr.is_empty());
    }
}
