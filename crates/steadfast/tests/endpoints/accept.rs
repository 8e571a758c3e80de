//! The deliberate change of cluster.

use std::fs;
use std::os::unix::net::UnixListener;

use serde_json::{Value, json};

use crate::place::{Ended, Place, fill};

/// A place where a service has pinned `embedded`, and the configuration leads to `new` by now. There the group has
/// committed 5 in partition 0 and 0 in partition 1; the third has come since.
fn migrated() -> Place {
    let mut place = Place::new();
    place.run().stop();
    let new = place.another("new");
    fill(&new, 5);
    place.configure(&new, "");
    let elsewhere = format!("state.dir={}", place.path("elsewhere").display());
    let there = ["run", "--config", "steadfast.toml", "--until-end", "--set", &elsewhere];
    let ended = Ended::of(&place.command(&there).output().unwrap());
    assert_eq!(ended.code, 0, "{}", ended.err);
    new.with(|cluster| cluster.add_partitions("orders", 3)).unwrap();
    place.cluster = new;
    place
}

fn stored(place: &Place, name: &str) -> Value {
    serde_json::from_slice(&fs::read(place.state(name)).unwrap()).unwrap()
}

#[test]
fn another_cluster_is_told_as_one_and_accepted_on_purpose_only() {
    let place = migrated();
    let before = stored(&place, "endpoints.json");
    let (code, told) = place.told(&[]);
    assert_eq!((code, &told["result"]), (1, &json!("other_cluster")), "{told:#}");
    assert_eq!((&told["other_cluster"]["cluster"], &told["agreed"]), (&json!("new"), &Value::Null));
    let text = place.endpoints(&[]).out;
    assert!(text.contains("--accept-cluster new") && text.contains("pinned is cluster embedded"), "{text}");
    assert_eq!(stored(&place, "endpoints.json"), before, "a look changes nothing");

    let (code, told) = place.told(&["--accept-cluster", "new"]);
    assert_eq!(
        (code, &told["result"], &told["was"]),
        (0, &json!("accepted"), &json!("embedded")),
        "{told:#}"
    );
    let committed =
        |partition: i32, offset: Option<i64>| json!({"partition": partition, "committed": offset});
    let partitions = [committed(0, Some(5)), committed(1, Some(0)), committed(2, None)];
    assert_eq!(told["offsets"], json!([{"topic": "orders", "partitions": partitions}]));
    assert_eq!(told["auto_offset_reset"], "earliest");
    let now = stored(&place, "endpoints.json");
    assert_eq!((&now["cluster"], &now["endpoints"]), (&json!("new"), &json!(place.cluster.endpoints())));
    assert_eq!(stored(&place, "endpoints.before.json"), before);
    assert_eq!(place.told(&[]).1["result"], "no_drift");
    let history = place.command(&["history", "--config", "steadfast.toml"]).output().unwrap();
    let history = Ended::of(&history).out;
    assert!(
        history.contains("cluster new accepted by a person's command, pinned before: embedded"),
        "{history}"
    );

    // The service takes it from there, and once more is once.
    place.run().stop();
    let again = place.endpoints(&["--accept-cluster", "new"]);
    assert!(again.code == 0 && again.out.contains("pinned already"), "{}", again.out);
    assert_eq!(stored(&place, "endpoints.before.json"), before);
}

#[test]
fn people_are_told_where_the_group_begins() {
    let place = migrated();
    let text = place.endpoints(&["--accept-cluster", "new"]).out;
    for part in [
        "pinned until now: cluster embedded",
        "orders/0  at 5, which it has committed there",
        "orders/2  at the earliest offset: nothing is committed there, auto.offset.reset applies",
        "Offsets committed in another cluster mean nothing in this one.",
        "the pin is moved to new",
        "endpoints.before.json",
    ] {
        assert!(text.contains(part), "{part:?} is not in\n{text}");
    }
}

#[test]
fn a_cluster_that_is_not_there_is_refused_with_what_was_found() {
    let place = migrated();
    let before = fs::read(place.state("endpoints.json")).unwrap();
    let (code, told) = place.told(&["--accept-cluster", "newer"]);
    assert_eq!((code, &told["result"]), (1, &json!("refused")), "{told:#}");
    assert_eq!(told["found"]["other_cluster"]["cluster"], "new");
    assert!(told["reason"].as_str().unwrap().contains("cluster newer is not what"), "{told:#}");
    place.configure_at("127.0.0.1:9", "");
    // What was stored still leads to the old cluster, which is gone with its place.
    let (code, told) = place.told(&["--accept-cluster", "new"]);
    assert_eq!((code, &told["result"]), (69, &json!("refused")), "{told:#}");
    assert_eq!(fs::read(place.state("endpoints.json")).unwrap(), before);
}

#[test]
fn a_configuration_that_says_another_cluster_is_corrected_first() {
    let place = migrated();
    place.configure(&place.cluster, "[drift]\ncluster_id = \"embedded\"\n");
    let (code, told) = place.told(&["--accept-cluster", "new"]);
    assert_eq!((code, &told["result"]), (78, &json!("refused")));
    assert!(told["reason"].as_str().unwrap().contains("drift.cluster_id"), "{told:#}");
    place.configure(&place.cluster, "[drift]\ncluster_id = \"new\"\n");
    assert_eq!(place.endpoints(&["--accept-cluster", "new"]).code, 0);
}

#[test]
fn beside_a_service_that_runs_nothing_is_changed() {
    let place = migrated();
    let before = fs::read(place.state("endpoints.json")).unwrap();
    let service = UnixListener::bind(place.state("control.sock")).unwrap();
    let (code, told) = place.told(&["--accept-cluster", "new"]);
    assert_eq!((code, &told["result"], &told["found"]), (1, &json!("refused"), &Value::Null));
    assert!(told["reason"].as_str().unwrap().contains("a service runs on this state directory"), "{told:#}");
    assert_eq!(fs::read(place.state("endpoints.json")).unwrap(), before);
    // One that was killed leaves its socket behind.
    drop(service);
    assert_eq!(place.endpoints(&["--accept-cluster", "new"]).code, 0);
}

#[test]
fn a_topic_that_is_not_there_is_said_and_does_not_hold_up_the_change() {
    let place = migrated();
    let (code, told) = place.told(&["--accept-cluster", "new", "--set", "topics=missing"]);
    assert_eq!((code, &told["result"]), (0, &json!("accepted")), "{told:#}");
    let problem = told["offsets"][0]["problem"].as_str().unwrap();
    assert!(problem.contains("UNKNOWN_TOPIC"), "{problem}");
}
