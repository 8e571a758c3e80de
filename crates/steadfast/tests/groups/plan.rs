//! What if: with numbers, and with a group as it is.

use std::process::Command;

use serde_json::{Value, json};

use crate::place::{Ended, Place};

/// `steadfast plan` where no cluster is.
fn plan(line: &str) -> Ended {
    let mut steadfast = Command::new(env!("CARGO_BIN_EXE_steadfast"));
    let output = steadfast.arg("plan").args(line.split_whitespace()).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Ended { code: output.status.code().unwrap(), out: text(&output.stdout), err: text(&output.stderr) }
}

fn told(ended: &Ended) -> Value {
    assert_eq!(ended.code, 0, "{ended:?}");
    serde_json::from_str(&ended.out).unwrap()
}

#[test]
fn numbers_are_planned_without_a_cluster() {
    let line = "--members 4 --topic orders:12 --topic payments:3 --add-partitions orders:3 --target-rate 9000 \
                --rate-per-partition 500";
    let told = told(&plan(&format!("{line} --output json")));
    assert_eq!((&told["members"], &told["partitions"], &told["now"]), (&json!(4), &json!(15), &Value::Null));
    assert_eq!(
        (&told["topics"], &told["added"]),
        (&json!({"orders": 12, "payments": 3}), &json!({"orders": 3}))
    );
    let names: Vec<&str> =
        told["assignors"].as_array().unwrap().iter().filter_map(|of| of["assignor"].as_str()).collect();
    assert_eq!(names, ["range", "roundrobin", "sticky", "cooperative-sticky"]);
    let sticky = &told["assignors"][3];
    assert_eq!(sticky["protocol"], "cooperative");
    assert_eq!(sticky["balance"], json!({"least": 3, "most": 4, "spread": 1, "idle": 0}));
    assert_eq!(
        (&sticky["join"], &sticky["leave"]),
        (&json!({"least": 3, "most": 3}), &json!({"least": 3, "most": 4}))
    );
    assert_eq!(sticky["pays"], json!({"useful": 15, "enough": 4}));
    assert_eq!(sticky["new_partitions"]["moved"], 0);
    // 18 partitions are there with those that are added, and a member that had 4 did 2000
    assert_eq!((&told["target"]["partitions"], &told["target"]["per_member"]), (&json!(18), &json!(2000)));
    assert_eq!(sticky["needed"], 5);

    let text = plan(line).out;
    for part in [
        "4 members, 15 partitions: orders 12, payments 3\n",
        "ASSIGNOR            PROTOCOL     LEAST  MOST  IDLE",
        "with more partitions: orders 15\n",
        "for 9000 records/s, at 500 a partition and 2000 a member: 18 partitions (orders 15, payments 3), 4 a member\n",
        "Under the consumer protocol brokers assign",
    ] {
        assert!(text.contains(part), "{part:?} is not in\n{text}");
    }
}

#[test]
fn the_document_shows_what_is_printed() {
    let document = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/plan.md");
    let text = std::fs::read_to_string(document).unwrap();
    let (_, from) = text.split_once("```console\n$ steadfast plan ").unwrap();
    let (line, printed) = from.split_once("```").unwrap().0.split_once('\n').unwrap();
    assert_eq!(plan(line).out, printed);
}

#[test]
fn absurd_numbers_are_wrong_usage_and_say_what_is_too_much() {
    for (line, why) in [
        ("--members 10001 --topic t:1", "expected at most 10000 members, found 10001"),
        ("--members 1 --topic t:1000000 --topic u:1", "expected at most 1000000 partitions, found 1000001"),
        ("--members 0 --topic t:1", "expected at least one member"),
        ("--members 2 --topic t:1 --topic t:2", "topic t is given twice"),
        ("--members 2 --topic t:1 --add-partitions u:2", "no member reads topic u"),
        ("--members 2 --topic t:1 --add-partitions t:1000000", "found 1000001"),
    ] {
        let ended = plan(line);
        assert_eq!((ended.code, ended.out.as_str()), (64, ""), "{ended:?}");
        assert!(ended.err.contains(why), "{ended:?}");
    }
}

#[test]
fn a_live_group_is_planned_from_what_its_members_hold() {
    let place = Place::new();
    place.configure("");
    place.fill(3);
    place.consume();
    let running = place.run();
    let bootstrap = place.cluster.bootstrap().to_string();
    let ended = place.steadfast(&["plan", "billing", "-b", &bootstrap, "--output", "json"]);
    let told = told(&ended);
    assert_eq!(
        (&told["group"], &told["type"], &told["state"]),
        (&json!("billing"), &json!("classic"), &json!("Stable"))
    );
    assert_eq!((&told["members"], &told["topics"]), (&json!(1), &json!({"orders": 2})));
    assert_eq!(told["now"], json!({"least": 2, "most": 2, "spread": 0, "idle": 0}));
    for outlook in told["assignors"].as_array().unwrap() {
        assert_eq!((&outlook["switch"], &outlook["leave"]), (&json!(0), &Value::Null), "{outlook:#}");
        assert_eq!(outlook["join"], json!({"least": 1, "most": 1}), "{outlook:#}");
    }
    let text = place.steadfast(&["plan", "billing", "--config", "steadfast.toml"]).out;
    assert!(text.starts_with("group billing, classic, Stable, assignor "), "{text}");
    assert!(text.contains("\n1 member, 2 partitions: orders 2\n") && text.contains("\n(now) "), "{text}");
    running.stop();
    let ended = place.steadfast(&["plan", "billing", "-b", &bootstrap]);
    assert_eq!(ended.code, 1, "{ended:?}");
    assert!(ended.err.contains("group billing has no members"), "{ended:?}");
}

#[test]
fn a_group_or_a_cluster_that_is_not_there_ends_as_with_other_commands() {
    let place = Place::new();
    let bootstrap = place.cluster.bootstrap().to_string();
    let ended = place.steadfast(&["plan", "nobody", "-b", &bootstrap]);
    assert!(ended.code == 1 && ended.err.contains("there is no group nobody"), "{ended:?}");
    // discard: nobody listens there
    assert_eq!(place.steadfast(&["plan", "nobody", "-b", "127.0.0.1:9"]).code, 69);
    let ended = place.steadfast(&["plan", "nobody", "-b", &bootstrap, "-X", "securty.protocol=SSL"]);
    assert!(ended.code == 78 && ended.err.contains("securty.protocol"), "{ended:?}");
}
