//! Who is there, and how far behind.

use serde_json::{Value, json};

use crate::place::Place;

/// Discard: nobody listens there.
const NOBODY: &str = "127.0.0.1:9";

#[test]
fn groups_are_listed_with_type_state_and_coordinator() {
    let place = Place::new();
    assert_eq!(place.groups(&["list"]).out, "no groups\n");
    place.configure("");
    place.fill(3);
    place.consume();
    let coordinator = place.cluster.with(|cluster| cluster.coordinator("billing")).unwrap();
    let row = |state| {
        json!([{"group": "billing", "type": "classic", "protocol_type": "consumer", "state": state,
                "coordinator": coordinator}])
    };
    assert_eq!(place.told(&["list"]), (0, json!({"groups": row("Empty")})));
    let running = place.run();
    assert_eq!(place.told(&["list"]).1["groups"], row("Stable"));
    assert_eq!(place.told(&["list", "--state", "Empty"]).1["groups"], json!([]));
    assert_eq!(place.told(&["list", "--type", "classic"]).1["groups"], row("Stable"));
    let text = place.groups(&["list"]).out;
    let words = |line: &str| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(words(text.lines().next().unwrap()), ["GROUP", "TYPE", "PROTOCOL", "STATE", "COORDINATOR"]);
    let line = format!("billing classic consumer Stable {coordinator}");
    assert_eq!(words(text.lines().last().unwrap()), words(&line));
    running.stop();
}

#[test]
fn a_group_is_described_with_its_members_and_what_each_holds() {
    let place = Place::new();
    place.configure("kafka.\"group.instance.id\" = \"till-1\"");
    place.fill(3);
    place.consume();
    let running = place.run();
    let (code, told) = place.told(&["describe", "billing"]);
    assert_eq!((code, &told["type"], &told["state"]), (0, &json!("classic"), &json!("Stable")), "{told:#}");
    let coordinator = place.cluster.with(|cluster| cluster.coordinator("billing")).unwrap();
    assert_eq!(told["coordinator"]["broker"], json!(coordinator));
    assert_eq!(told["coordinator"]["address"], place.cluster.endpoints()[&coordinator].to_string());
    let [member] = &told["members"].as_array().unwrap()[..] else { panic!("{told:#}") };
    assert_eq!(member["instance"], "till-1");
    assert_eq!((&member["client"], &member["host"]), (&json!("till"), &json!("127.0.0.1")));
    assert_eq!((&member["topics"], &member["assigned"]), (&json!(["orders"]), &json!({"orders": [0, 1]})));
    let rows = told["partitions"].as_array().unwrap();
    let numbers = |row: &Value| {
        (row["partition"].as_i64(), row["committed"].as_i64(), row["end"].as_i64(), row["lag"].as_i64())
    };
    let found: Vec<_> = rows.iter().map(numbers).collect();
    assert_eq!(found, [0, 1].map(|index| (Some(index), Some(3), Some(3), Some(0))));
    assert!(rows.iter().all(|row| row["member"] == member["member"]), "{told:#}");

    let text = place.groups(&["describe", "billing"]).out;
    for part in ["group billing, classic, Stable, assignor ", "till-1", "orders: 0,1", "total lag 0\n"] {
        assert!(text.contains(part), "{part:?} is not in\n{text}");
    }
    running.stop();
}

#[test]
fn a_file_says_where_the_cluster_is_too_and_an_address_goes_before_it() {
    let place = Place::new();
    place.configure("");
    place.fill(1);
    place.consume();
    let ended = place.groups_at(&["describe", "billing", "--config", "steadfast.toml"]);
    assert_eq!(ended.code, 0, "{}", ended.err);
    let ended = place.groups_at(&["list", "--config", "steadfast.toml", "-b", NOBODY]);
    assert_eq!(ended.code, 69, "{ended:?}");
}

#[test]
fn what_cannot_be_told_says_why() {
    let place = Place::new();
    for command in ["describe", "lag"] {
        let ended = place.groups(&[command, "nobody"]);
        assert_eq!((ended.code, ended.out.as_str()), (1, ""), "{ended:?}");
        assert!(ended.err.contains("there is no group nobody"), "{ended:?}");
    }
    let ended = place.groups_at(&["list", "-b", NOBODY]);
    assert_eq!((ended.code, ended.out.as_str()), (69, ""), "{ended:?}");
    assert!(ended.err.contains(NOBODY), "{ended:?}");
    let ended = place.groups(&["list", "-X", "securty.protocol=SSL"]);
    assert!(ended.code == 78 && ended.err.contains("kafka.securty.protocol"), "{ended:?}");
    let ended = place.groups(&["list", "-X", "security.protocol=SSL"]);
    assert_eq!(ended.code, 69, "a plain listener does not speak TLS: {ended:?}");
}

#[test]
fn lag_is_ok_where_all_is_processed_and_that_is_known_at_once() {
    let place = Place::new();
    place.configure("");
    place.fill(3);
    place.consume();
    let (code, told) = place.told(&["lag", "billing"]);
    assert_eq!((code, &told["verdict"], &told["samples"]), (0, &json!("OK"), &json!(1)), "{told:#}");
    let text = place.groups(&["lag", "billing"]).out;
    assert!(text.contains("OK: group billing, Empty, total lag 0, 1 sample"), "{text}");
}

#[test]
fn lag_that_nobody_works_on_is_a_stop() {
    let place = Place::new();
    place.configure("");
    place.fill(3);
    place.consume();
    place.fill(2);
    let (code, told) = place.told(&["lag", "billing", "--window", "1s"]);
    assert_eq!((code, &told["verdict"], &told["total_lag"]), (1, &json!("STOP"), &json!(4)), "{told:#}");
    assert_eq!((&told["samples"], &told["window_s"]), (&json!(2), &json!(1.0)), "{told:#}");
    let (code, told) = place.told(&["lag", "billing", "--window", "0s"]);
    assert_eq!((code, &told["verdict"], &told["samples"]), (0, &Value::Null, &json!(1)), "{told:#}");
}

#[test]
fn a_member_that_holds_a_partition_and_commits_nothing_is_a_stall() {
    let place = Place::new();
    place.configure("");
    place.fill(3);
    place.consume();
    place.configure("checkpoint.enabled = false");
    let running = place.run();
    place.fill(2);
    let (code, told) = place.told(&["lag", "billing", "--window", "1s"]);
    let verdicts: Vec<_> =
        told["partitions"].as_array().unwrap().iter().map(|row| row["verdict"].clone()).collect();
    assert_eq!((code, verdicts), (1, vec![json!("STALL"), json!("STALL")]), "{told:#}");
    running.stop();
}

#[test]
fn watched_through_a_pipe_each_look_is_a_line_of_json() {
    let place = Place::new();
    place.configure("");
    place.fill(3);
    place.consume();
    place.fill(1);
    for (command, field) in [("list", "groups"), ("describe", "members"), ("lag", "verdict")] {
        let mut arguments = vec![command, "--watch", "200ms", "--count", "3"];
        if command != "list" {
            arguments.push("billing");
        }
        let ended = place.groups(&arguments);
        let lines: Vec<Value> = ended.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(lines.len(), 3, "{ended:?}");
        assert!(lines.iter().all(|line| line.get(field).is_some()), "{ended:?}");
        assert_eq!(ended.code, i32::from(command == "lag"), "the last answer decides: {ended:?}");
    }
}

#[test]
fn who_watches_is_told_of_a_cluster_that_is_away_and_goes_on() {
    let place = Place::new();
    let ended = place.groups_at(&["list", "-b", NOBODY, "--watch", "100ms", "--count", "2"]);
    assert_eq!((ended.code, ended.out.as_str(), ended.err.lines().count()), (69, "", 2), "{ended:?}");
}
