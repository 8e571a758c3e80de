//! What the witnesses say, what is agreed, and what drifted.

use serde_json::{Value, json};
use steadfast_core::endpoints::view::Address;
use steadfast_core::ids::NodeId;
use steadfast_sim::embedded::Nodes;

use crate::place::{Place, some};

/// Discard: nobody listens there.
const NOBODY: &str = "127.0.0.1:9";

fn witness<'a>(told: &'a Value, address: &str) -> &'a Value {
    let witnesses = told["witnesses"].as_array().unwrap();
    witnesses.iter().find(|one| one["address"] == address).unwrap_or_else(|| panic!("{address} in {told:#}"))
}

#[test]
fn with_nothing_to_compare_it_tells_who_says_what_and_that_all_is_agreed() {
    let place = Place::new();
    let (code, told) = place.told(&[]);
    assert_eq!((code, &told["result"]), (0, &json!("no_baseline")), "{told:#}");
    let agreed = &told["agreed"];
    let grounds = (&agreed["cluster"], &agreed["support"], &agreed["electorate"], &agreed["verified"]);
    assert_eq!(grounds, (&json!("embedded"), &json!(3), &json!(3), &json!([1, 2, 3])));
    let bootstrap = place.cluster.bootstrap().to_string();
    assert_eq!(witness(&told, &bootstrap)["source"], "bootstrap");
    for (node, address) in place.cluster.endpoints() {
        assert_eq!(agreed["endpoints"][node.to_string()], address.to_string());
        let witness = witness(&told, &address.to_string());
        assert_eq!((&witness["source"], &witness["agrees"]), (&json!("named"), &json!(true)));
        assert_eq!(witness["peer"], address.to_string());
        assert!(witness["round_trip_ms"].as_f64().is_some_and(|ms| ms > 0.0 && ms < 1e4), "{witness}");
    }
    let text = place.endpoints(&[]).out;
    for part in
        ["agreed: cluster embedded, 3 of the 3 addresses", "the agreed view", "nothing to compare it with"]
    {
        assert!(text.contains(part), "{part:?} is not in\n{text}");
    }
}

#[test]
fn a_saved_view_shows_what_drifted_and_what_a_service_would_do() {
    let place = Place::new();
    let saved = place.endpoints(&["--save", "before.json"]);
    assert_eq!((saved.code, saved.out.lines().last()), (0, Some("saved")), "{}", saved.err);
    let compare = ["--baseline", "before.json"];
    assert_eq!(place.told(&compare).1["result"], "no_drift");
    assert_eq!(place.endpoints(&compare).code, 0);

    let moved = place.move_endpoints(&some(&[2]));
    let (code, told) = place.told(&compare);
    let change =
        json!({"kind": "moved", "node": 2, "from": moved.from[&NodeId(2)], "to": moved.to[&NodeId(2)]});
    assert_eq!((code, &told["drift"]["changes"]), (1, &json!([change])), "{told:#}");
    assert_eq!((&told["result"], &told["drift"]["action"]), (&json!("drift"), &json!("adapt")));
    assert!(witness(&told, &moved.from[&NodeId(2)].to_string())["failure"].is_string());

    place.move_endpoints(&some(&[3]));
    let (code, told) = place.told(&compare);
    assert_eq!((code, &told["drift"]["action"]), (1, &json!("respawn")), "{told:#}");
    assert_eq!(told["drift"]["score"].as_f64().map(|score| (score * 3.0).round()), Some(2.0));
    let text = place.endpoints(&compare).out;
    assert!(text.contains("drift.threshold 0.50") && text.ends_with("(respawn)\ndrift\n"), "{text}");
    let (_, told) = place.told(&[&compare[..], &["--set", "drift.threshold=0.7"]].concat());
    assert_eq!(told["drift"]["action"], "adapt");
}

#[test]
fn what_a_service_agreed_on_last_is_what_drift_is_told_of() {
    let place = Place::new();
    place.run().stop();
    let (code, told) = place.told(&[]);
    assert_eq!((code, &told["result"], &told["pin"]["cluster"]), (0, &json!("no_drift"), &json!("embedded")));
    place.move_endpoints(&Nodes::All);
    let (code, told) = place.told(&[]);
    assert_eq!((code, &told["drift"]["score"]), (1, &json!(1.0)), "{told:#}");
    let file = told["compared_with"]["file"].as_str().unwrap();
    assert!(file.ends_with("state/billing/endpoints.json"), "{file}");
}

#[test]
fn where_nobody_answers_it_is_not_known_whether_anything_drifted() {
    let place = Place::new();
    place.configure_at(NOBODY, "");
    let (code, told) = place.told(&[]);
    assert_eq!((code, &told["result"], &told["agreed"]), (69, &json!("unreachable"), &Value::Null));
    assert!(witness(&told, NOBODY)["failure"].as_str().unwrap().contains("refused"), "{told:#}");
    assert_eq!(place.endpoints(&["--save", "before.json"]).code, 69);
    assert!(!place.path("before.json").exists());
}

#[test]
fn brokers_that_advertise_what_leads_nowhere_are_named_as_missing() {
    let place = Place::new();
    for node in 1..=3 {
        place.cluster.with(|cluster| cluster.advertise(NodeId(node), Address::new("127.0.0.1", 9)));
    }
    let (code, told) = place.told(&[]);
    assert_eq!((code, &told["result"]), (69, &json!("not_agreed")), "{told:#}");
    assert!(told["missing"][NOBODY].as_str().unwrap().contains("refused"), "{told:#}");
}

#[test]
fn overridden_addresses_are_asked_in_place_of_the_advertised_ones() {
    let place = Place::new();
    let endpoints = place.cluster.endpoints();
    let mut more = "[endpoints.override]\n".to_owned();
    for (node, address) in &endpoints {
        let advertised = Address::new("kafka.invalid", 9000 + u16::try_from(node.0).unwrap());
        place.cluster.with(|cluster| cluster.advertise(*node, advertised.clone()));
        more += &format!("\"{advertised}\" = \"{address}\"\n");
    }
    place.configure(&place.cluster, &more);
    let (code, told) = place.told(&[]);
    assert_eq!((code, &told["agreed"]["support"]), (0, &json!(3)), "{told:#}");
    assert_eq!(told["agreed"]["endpoints"], json!(endpoints));
}

#[test]
fn a_file_that_holds_no_view_is_wrong_usage_and_one_that_cannot_be_written_says_so() {
    let place = Place::new();
    let ended = place.endpoints(&["--baseline", "steadfast.toml"]);
    assert!(ended.code == 64 && ended.err.contains("holds no saved view"), "{}", ended.err);
    let ended = place.endpoints(&["--baseline", "absent.json"]);
    assert!(ended.code == 64 && ended.err.contains("absent.json"), "{}", ended.err);
    let ended = place.endpoints(&["--save", "steadfast.toml/before.json"]);
    assert!(ended.code == 73 && ended.err.contains("cannot be written"), "{}", ended.err);
    let ended = place.endpoints(&["--set", "kafka.group.di=x"]);
    assert_eq!(ended.code, 78, "{}", ended.err);
}
