//! docs/events.md lists exactly the events there are, with their levels and fields.

use std::collections::BTreeMap;

use serde_json::Value;

use super::*;

/// One example of every event; one that is missing here does not compile.
macro_rules! samples {
    ($($event:ident { $($field:ident: $value:expr),* $(,)? })+) => {
        fn samples() -> Vec<Event> {
            let samples = vec![$(Event::$event { $($field: $value),* }),+];
            for sample in &samples {
                match sample {
                    $(Event::$event { .. } => {})+
                }
            }
            samples
        }
    };
}

samples! {
    ServiceStarted { version: "1", group: "g".into(), topics: vec![], bootstrap: vec![] }
    ViewAgreed { cluster: None, endpoints: BTreeMap::new(), support: 1, electorate: 1 }
    WitnessFailed { witness: Address::new("a", 1), reason: "r".into() }
    EndpointSuspected { reason: "r".into(), node: None, address: None }
    EndpointDrifted { changes: vec![], score: 1.0, threshold: 0.5, action: "respawn" }
    ConsumerRespawned {
        incarnation: ConsumerIncarnation(2),
        reason: "drift",
        detect_ms: 0.0,
        discover_ms: 0.0,
        verify_ms: 0.0,
        handover_ms: 0.0,
        first_record_ms: Some(0.0),
        gap: 0,
        redelivered: 0,
    }
    PartitionResumed { topic: "t".into(), partition: 0, before: Offset(0), after: Offset(0) }
    PartitionStalled { topic: "t".into(), partition: 0, position: Offset(0), stalled_ms: 0.0 }
    PartitionsAssigned { partitions: vec![], generation: 1, owned: 0 }
    PartitionStarted {
        topic: "t".into(),
        partition: 0,
        offset: Offset(0),
        source: "earliest",
        handed_again: 0,
    }
    PartitionsRevoked { partitions: vec![], took_ms: 0.0, undrained: 0 }
    PartitionsLost { partitions: vec![], reason: "r".into() }
    GroupRebalanced {
        generation: 1,
        reason: "r".into(),
        assignor: "range".into(),
        led: true,
        took_ms: 0.0,
    }
    CheckpointCommitted { partitions: 1, occasion: "interval", took_ms: 0.0 }
    CheckpointFailed { occasion: "interval", error: "e".into(), partitions: 1 }
    ActorRestarted { actor: "a".into(), incarnation: 1, reason: "r".into() }
    ActorFailed { actor: "a".into(), reason: "r".into() }
    ConfigReloaded { applied: vec![], after_restart: vec![] }
    ConfigRejected { reason: "r".into() }
    BatchReturned { topic: "t".into(), partition: 0, from: Offset(0), reason: "r".into() }
    RecordsRedelivered { topic: "t".into(), partition: 0, records: 1, reason: "rewind" }
    PartitionQuarantined { topic: "t".into(), partition: 0, acked: Offset(0), reason: "r".into() }
    PartitionUndecodable { topic: "t".into(), partition: 0, position: Offset(0), error: "e".into() }
    PartitionRefused { topic: "t".into(), partition: 0, error: "e".into() }
    OffsetsOutOfRange {
        topic: "t".into(),
        partition: 0,
        position: Offset(0),
        available: Offset(1),
        cause: "deleted",
        action: "stop",
    }
    ClusterRegressed { topic: "t".into(), partition: 0, before: LeaderEpoch(2), after: LeaderEpoch(1) }
    TopicRecreated { topic: "t".into() }
    ServiceDegraded { missing: vec![] }
    ServiceRecovered { degraded_ms: 0.0 }
    RespawnBudgetSpent { budget: 3, window_ms: 0.0 }
    MemberRefused { reason: "r".into() }
    ServiceStopped {
        reason: "signal".into(),
        records: 0,
        bytes: 0,
        redelivered: 0,
        elapsed_ms: 0.0,
        unfinished: 0,
    }
}

/// An event as the document or the type has it: its level, and its fields in alphabetical order.
#[derive(Debug, PartialEq, Eq)]
struct Listed {
    level: String,
    fields: Vec<String>,
}

fn typed(event: &Event) -> (String, Listed) {
    let Value::Object(mut fields) = serde_json::to_value(event).unwrap() else { panic!("{event:?}") };
    let name = fields.remove("event.name").unwrap().as_str().unwrap().to_owned();
    let mut fields: Vec<String> = fields.into_iter().map(|(field, _)| field).collect();
    fields.sort();
    (name, Listed { level: event.level().to_string(), fields })
}

/// A heading ``### `name` (LEVEL)``, and below it a row ``| `field` | … |`` for each field.
fn documented(text: &str) -> BTreeMap<String, Listed> {
    let mut events = BTreeMap::new();
    for section in text.split("\n### `").skip(1) {
        let section = section.split("\n## ").next().unwrap();
        let (name, rest) = section.split_once("` (").unwrap();
        let (level, rest) = rest.split_once(")\n").unwrap();
        let field = |line: &str| Some(line.strip_prefix("| `")?.split_once("` |")?.0.to_owned());
        let mut fields: Vec<String> = rest.lines().filter_map(field).collect();
        fields.sort();
        let listed = Listed { level: level.to_owned(), fields };
        assert!(events.insert(name.to_owned(), listed).is_none(), "{name} stands twice in docs/events.md");
    }
    events
}

#[test]
fn the_documentation_lists_exactly_the_events_there_are() {
    let typed: BTreeMap<String, Listed> = samples().iter().map(typed).collect();
    let documented = documented(include_str!("../../../../docs/events.md"));
    let names = |events: &BTreeMap<String, Listed>| events.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(&documented), names(&typed), "docs/events.md and the type name other events");
    for (name, listed) in typed {
        assert_eq!(documented[&name], listed, "docs/events.md says something else of {name}");
    }
}

#[test]
fn a_section_of_the_document_is_read_with_level_and_fields() {
    let text = "# Events\n\n### `b.c` (WARN)\nText (in brackets).\n\n| field | meaning |\n|---|---|\n\
                | `y` | why |\n| `x.z` | ex |\n\n## Another chapter\n\n| `w` | no field |\n";
    let fields = ["x.z", "y"].map(str::to_owned).to_vec();
    let expected = BTreeMap::from([("b.c".to_owned(), Listed { level: "WARN".into(), fields })]);
    assert_eq!(documented(text), expected);
}
