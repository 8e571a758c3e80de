//! Where a group shall begin.

use serde_json::{Value, json};
use steadfast_core::ids::{Offset, Partition};

use crate::place::Place;

/// Old and new offset of each partition.
fn moves(told: &Value) -> Vec<(Option<i64>, Option<i64>)> {
    let rows = told["partitions"].as_array().unwrap_or_else(|| panic!("{told:#}"));
    rows.iter().map(|row| (row["old"].as_i64(), row["new"].as_i64())).collect()
}

/// A group that has committed 10 in both partitions.
fn committed_10() -> Place {
    let place = Place::new();
    place.configure("");
    place.fill(10);
    place.consume();
    place
}

fn at(offsets: [i64; 2]) -> Vec<(i32, Offset)> {
    (0..).zip(offsets.map(Offset)).collect()
}

#[test]
fn without_execute_nothing_is_changed() {
    let place = committed_10();
    let reset = ["reset", "billing", "--topic", "orders", "--to-earliest"];
    let (code, told) = place.told(&reset);
    assert_eq!((code, &told["result"]), (0, &json!("dry_run")), "{told:#}");
    assert_eq!(moves(&told), [(Some(10), Some(0)); 2]);
    assert_eq!(place.committed("billing"), at([10, 10]));
    let text = place.groups(&reset).out;
    assert!(text.ends_with("nothing is changed: --execute does it\n"), "{text}");
}

#[test]
fn each_way_leads_where_it_says_and_a_service_begins_there() {
    let place = committed_10();
    place.fill(2);
    for (way, to) in [
        (&["--to-offset", "3"][..], 3),
        (&["--shift-by", "2"], 5),
        (&["--shift-by", "-1"], 4),
        (&["--to-latest"], 12),
        (&["--to-current"], 12),
        // Records carry the time at which they were appended, from 1970 on: no record is this late.
        (&["--to-datetime", "2999-01-01T00:00:00"], 12),
        (&["--to-datetime", "1970-01-01T00:00:00Z"], 0),
        (&["--to-offset", "7"], 7),
        (&["--to-earliest"], 0),
    ] {
        let (code, told) =
            place.told(&[&["reset", "billing", "--all-topics", "--execute"][..], way].concat());
        assert_eq!((code, &told["result"]), (0, &json!("done")), "{way:?}: {told:#}");
        assert_eq!(place.committed("billing"), at([to, to]), "{way:?}");
    }
    place.consume();
    assert_eq!(place.committed("billing"), at([12, 12]));
}

#[test]
fn some_partitions_alone_are_reset() {
    let place = committed_10();
    let (code, _) = place.told(&["reset", "billing", "--topic", "orders:1", "--to-offset", "4", "--execute"]);
    assert_eq!((code, place.committed("billing")), (0, at([10, 4])));
    let ended = place.groups(&["reset", "billing", "--topic", "orders:2", "--to-latest"]);
    assert!(ended.code == 1 && ended.err.contains("no partition 2"), "{ended:?}");
    let ended = place.groups(&["reset", "billing", "--topic", "nothing", "--to-latest"]);
    assert!(ended.code == 1 && ended.err.contains("UNKNOWN_TOPIC_OR_PARTITION"), "{ended:?}");
}

#[test]
fn offsets_that_are_not_in_the_log_become_the_nearest_and_that_is_said() {
    let place = committed_10();
    place.cluster.with(|cluster| cluster.delete_before(&Partition::new("orders", 0), Offset(4))).unwrap();
    let low = ["reset", "billing", "--topic", "orders", "--to-offset", "2", "--execute"];
    let (_, told) = place.told(&low);
    assert_eq!(moves(&told), [(Some(10), Some(4)), (Some(10), Some(2))]);
    assert_eq!((&told["partitions"][0]["asked"], told["partitions"][1].get("asked")), (&json!(2), None));
    let (_, told) = place.told(&["reset", "billing", "--topic", "orders", "--shift-by", "100"]);
    assert_eq!(moves(&told), [(Some(4), Some(10)), (Some(2), Some(10))]);
    let text = place.groups(&low).out;
    assert!(text.contains("2 is not in the log"), "{text}");
}

#[test]
fn a_group_with_members_is_refused_and_they_are_named() {
    let place = committed_10();
    let running = place.run();
    let reset = ["reset", "billing", "--topic", "orders", "--to-earliest", "--execute"];
    let (code, told) = place.told(&reset);
    assert_eq!((code, &told["result"], &told["state"]), (1, &json!("refused"), &json!("Stable")), "{told:#}");
    assert_eq!(told["members"][0]["client"], "till");
    assert_eq!(told["members"][0]["assigned"], json!({"orders": [0, 1]}));
    let text = place.groups(&reset).out;
    assert!(text.contains("till") && text.contains("stop its members first"), "{text}");
    running.stop();
    assert_eq!(place.committed("billing"), at([10, 10]));
    assert_eq!(place.told(&reset).0, 0);
}

#[test]
fn a_group_that_never_was_comes_to_be() {
    let place = Place::new();
    place.fill(5);
    let (code, told) = place.told(&["reset", "fresh", "--topic", "orders", "--to-latest", "--execute"]);
    assert_eq!((code, moves(&told)), (0, vec![(None, Some(5)); 2]), "{told:#}");
    assert_eq!(place.committed("fresh"), at([5, 5]));
    assert_eq!(place.told(&["lag", "fresh"]).1["verdict"], "OK");
}

#[test]
fn what_cannot_be_done_everywhere_is_done_nowhere() {
    let place = Place::new();
    place.fill(5);
    place.told(&["reset", "half", "--topic", "orders:0", "--to-offset", "1", "--execute"]);
    let shift = ["reset", "half", "--topic", "orders", "--shift-by", "1", "--execute"];
    let (code, told) = place.told(&shift);
    assert_eq!((code, &told["result"]), (1, &json!("refused")), "{told:#}");
    assert_eq!(told["partitions"][1]["problem"], "nothing is committed that could be shifted");
    assert_eq!(place.committed("half"), [(0, Offset(1))]);
    let (code, told) = place.told(&["reset", "none", "--all-topics", "--to-latest"]);
    assert!(code == 1 && told["reason"].as_str().unwrap().contains("has committed nothing"), "{told:#}");
}
