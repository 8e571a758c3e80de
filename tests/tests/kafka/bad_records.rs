//! A bad record in one of twelve partitions under load: it becomes a dead letter, or its partition waits for a person;
//! the other eleven flow on as if nothing were.

use std::io;
use std::process::Command;

use libtest_mimic::Trial;
use serde_json::Value;
use steadfast_tests::checker::Mark;
use steadfast_tests::java::Program;
use steadfast_tests::kafka::Cluster;
use steadfast_tests::offsets::committed;
use steadfast_tests::service::binary;
use steadfast_tests::stage::Stage;

use crate::rehearsal::{LIMIT, Opening, PARTITIONS, Rehearsal, backlog, keeping_up};

pub(crate) fn trials(stage: &Stage) -> Vec<Trial> {
    vec![
        stage.beside(
            "bad_records::a_bad_record_waits_for_its_topic_and_no_other_partition_waits",
            dead_letter,
        ),
        stage.beside("bad_records::a_quarantined_partition_is_listed_and_released", released),
    ]
}

/// A steadfast whose handlers reject records on command.
const DRILLED: &str = env!("CARGO_BIN_EXE_drilled");
/// The partition with the bad record.
const ILL: i32 = 3;

fn of_ill(event: &Value) -> bool {
    event["messaging.destination.partition.id"] == ILL
}

/// What is committed of the partition with the bad record.
fn stored(cluster: &Cluster, name: &str) -> i64 {
    committed(&cluster.brokers(), name, name, PARTITIONS).unwrap()[&ILL]
}

/// The event of this name about the ill partition; no other one falls behind until it comes.
fn told(rehearsal: &Rehearsal, name: &str) -> Value {
    keeping_up(rehearsal, Some(ILL), || {
        let told = rehearsal.service.events_named(name).into_iter().find(|event| of_ill(&event.json));
        told.map(|event| event.json).ok_or_else(|| io::Error::other(rehearsal.service.story()))
    })
}

/// Waits until the ill partition is level with its log; no other one falls behind meanwhile.
fn recovered(rehearsal: &Rehearsal, but: usize) {
    keeping_up(rehearsal, Some(ILL), || {
        let waiting = backlog(rehearsal)[&ILL];
        let level = usize::try_from(waiting).is_ok_and(|waiting| waiting <= 5 + but);
        level.then_some(()).ok_or_else(|| io::Error::other(rehearsal.service.story()))
    });
}

fn dead_letter(cluster: &Cluster) {
    const NAME: &str = "bad-records";
    const LETTERS: &str = "bad-records-letters";
    let settings = format!(
        "\n[errors]\ntolerance = \"all\"\n\"deadletterqueue.topic.name\" = \"{LETTERS}\"\n\n\
         [checkpoint]\ninterval = \"100ms\"\n"
    );
    let mut rehearsal = Opening::new(NAME).with(&settings).run_by(DRILLED).begin(cluster);
    rehearsal.service.tell(&format!("reject {ILL}")).unwrap();
    let away = told(&rehearsal, "deadletters.unavailable");
    let offset = away["messaging.kafka.offset"].as_i64().unwrap();
    assert!(away["error.message"].as_str().unwrap().contains("does not exist"), "{away}");
    // The third try is a second or so later: everything before the record is committed by then, and not the record.
    keeping_up(&rehearsal, Some(ILL), || {
        let tries = rehearsal.service.events_named("deadletters.unavailable").len();
        (tries >= 4).then_some(()).ok_or_else(|| io::Error::other(rehearsal.service.story()))
    });
    assert_eq!(stored(cluster, NAME), offset, "{}", rehearsal.service.story());
    cluster.create_topic(LETTERS, 2, &[]).unwrap();
    let lettered = told(&rehearsal, "record.dead_lettered");
    assert_eq!(lettered["messaging.kafka.offset"], offset);
    recovered(&rehearsal, 1);

    let acked = rehearsal.load.acked();
    let lines = Program::run("ReadAll", &[&cluster.bootstrap(), LETTERS, "read_committed"], LIMIT).unwrap();
    let letters: Vec<&Value> = lines.iter().filter(|line| line["partition"].is_i64()).collect();
    assert_eq!(letters.len(), 1, "{letters:?}");
    let mark = Mark::read(letters[0]["value"].as_str().unwrap().as_bytes()).unwrap();
    assert!(mark.partition == ILL && acked[&ILL].contains(&mark.sequence), "{mark:?}");
    let header = |name: &str| letters[0]["headers"][format!("__connect.errors.{name}")].as_str().unwrap();
    assert_eq!((header("topic"), header("partition")), (NAME, ILL.to_string().as_str()));
    assert_eq!(header("offset"), offset.to_string());
    assert_eq!((header("connector.name"), header("task.id")), (NAME, "steadfast"));
    assert_eq!((header("stage"), header("exception.message")), ("TASK_PUT", "told to reject it"));
    assert!(header("exception.stacktrace").ends_with("told to reject it"));
    assert!(letters[0]["ts"].as_i64().unwrap() > 1_600_000_000_000, "{letters:?}");

    let Rehearsal { load, mut service, .. } = rehearsal;
    let mut acked = load.stop().unwrap();
    // All but the dead letter came out.
    acked.get_mut(&ILL).unwrap().remove(&mark.sequence);
    let verdict = service.verdict_within(LIMIT, &acked).unwrap();
    assert_eq!((verdict.lost, verdict.disordered), (vec![], vec![]), "{}", service.story());
    assert_eq!(verdict.redelivered, vec![], "{}", service.story());
    service.signal("TERM").unwrap();
    assert_eq!(service.wait(LIMIT).unwrap().code(), Some(0), "{}", service.story());
}

fn released(cluster: &Cluster) {
    const NAME: &str = "bad-records-released";
    let settings = "\n[checkpoint]\ninterval = \"100ms\"\n";
    let mut rehearsal = Opening::new(NAME).with(settings).run_by(DRILLED).begin(cluster);
    rehearsal.service.tell(&format!("reject {ILL}")).unwrap();
    let quarantined = told(&rehearsal, "partition.quarantined");
    let listed = quarantine(&rehearsal, &["list", "--output", "json"], 0);
    let row = &listed["partitions"][0];
    assert_eq!((&row["topic"], &row["partition"]), (&NAME.into(), &ILL.into()));
    assert_eq!(row["offset"], quarantined["messaging.kafka.offset"]);
    assert!(row["reason"].as_str().unwrap().contains("told to reject it"), "{row}");
    let other = format!("{NAME}/{}", ILL + 1);
    let refused = quarantine(&rehearsal, &["release", &other, "--output", "json"], 1);
    assert_eq!(refused["not_quarantined"], serde_json::json!([other]));
    quarantine(&rehearsal, &["release", &format!("{NAME}/{ILL}"), "--output", "json"], 0);
    told(&rehearsal, "partition.released");
    recovered(&rehearsal, 0);
    assert_eq!(quarantine(&rehearsal, &["list", "--output", "json"], 0)["partitions"], serde_json::json!([]));
    let workplace = rehearsal.workplace.path("state");
    let (verdict, service) = rehearsal.finish();
    assert!(verdict.is_clean(), "{verdict:?}\n{}", service.story());
    assert!(!workplace.join(NAME).join("control.sock").exists(), "it is gone with the service");
}

/// Runs `steadfast quarantine` against the service, which has to end with this code: what it prints.
fn quarantine(rehearsal: &Rehearsal, arguments: &[&str], code: i32) -> Value {
    let mut command = Command::new(binary().unwrap());
    command.arg("quarantine").args(arguments).arg("--config").arg(rehearsal.workplace.config());
    let output = command.env("STATE_DIRECTORY", rehearsal.workplace.path("state")).output().unwrap();
    assert_eq!(output.status.code(), Some(code), "{output:?}");
    serde_json::from_slice(&output.stdout).unwrap()
}
