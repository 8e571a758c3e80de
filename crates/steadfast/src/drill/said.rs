//! The lines of the event log that the checker wants to know of.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use steadfast_core::acked::Span;
use steadfast_core::endpoints::view::Address;
use steadfast_core::ids::{ClusterId, NodeId, Offset, Partition};
use steadfast_sim::checker::{Said, Source};

use super::journal::Line;

/// After so long without a first record a respawn is told without it.
const FIRST_RECORD_LIMIT: Duration = Duration::from_secs(30);

/// Who said what, if it matters.
pub(super) fn said(line: &Line) -> Option<(Arc<str>, Said)> {
    let read = reader(line.name())?;
    Some((line.service().into(), read(&line.json())?))
}

type Read = fn(&Value) -> Option<Said>;

/// How an event is read, by its name: only those that matter are parsed at all.
fn reader(name: &str) -> Option<Read> {
    Some(match name {
        "view.agreed" => |json| {
            let endpoints = json.get("endpoints")?.as_object()?;
            Some(Said::Agreed {
                cluster: text(json, "cluster").map(ClusterId::from),
                endpoints: endpoints.iter().map(endpoint).collect::<Option<_>>()?,
            })
        },
        "consumer.respawned" => |json| {
            let first_record = json.get("phase.first_record_ms").and_then(Value::as_f64);
            let known = first_record.map(|millis| Duration::from_secs_f64(millis / 1e3));
            Some(Said::Respawned {
                drift: text(json, "reason")? == "drift",
                promoted_ago: known.unwrap_or(FIRST_RECORD_LIMIT),
                gap: json.get("gap")?.as_i64()?,
            })
        },
        "partition.started" => started,
        "records.redelivered" => |json| {
            Some(Said::Redelivered { partition: partition(json)?, records: json.get("records")?.as_u64()? })
        },
        "partition.quarantined" => |json| Some(Said::Quarantined { partition: partition(json)? }),
        "partition.released" => |json| Some(Said::Released { partition: partition(json)? }),
        "record.dead_lettered" => |json| {
            let offset = |key| Some(Offset(json.get(key)?.as_i64()?));
            let span = Span::new(offset("messaging.kafka.offset")?, offset("next")?);
            Some(Said::DeadLettered { partition: partition(json)?, span })
        },
        "offsets.out_of_range" => |json| Some(Said::OutOfRange { partition: partition(json)? }),
        "partitions.lost" => |json| Some(Said::GivenUp { partitions: partitions(json)? }),
        "partitions.revoked" => |json| {
            let undrained = json.get("undrained")?.as_u64()? > 0;
            let partitions = partitions(json)?;
            undrained.then_some(Said::GivenUp { partitions })
        },
        "checkpoint.failed" => |_| Some(Said::CheckpointFailed),
        "service.stopped" => |json| {
            let partitions = json.get("unfinished")?.as_u64()?;
            (partitions > 0).then_some(Said::Unfinished { partitions })
        },
        _ => return None,
    })
}

fn started(json: &Value) -> Option<Said> {
    Some(Said::Started {
        partition: partition(json)?,
        offset: Offset(json.get("messaging.kafka.offset")?.as_i64()?),
        source: match text(json, "source")? {
            "committed" => Source::Committed,
            "earliest" => Source::Earliest,
            "latest" => Source::Latest,
            _ => return None,
        },
    })
}

fn text<'a>(json: &'a Value, key: &str) -> Option<&'a str> {
    json.get(key)?.as_str()
}

fn endpoint((node, address): (&String, &Value)) -> Option<(NodeId, Address)> {
    let (host, port) = address.as_str()?.rsplit_once(':')?;
    Some((NodeId(node.parse().ok()?), Address::new(host, port.parse().ok()?)))
}

fn index(json: &Value, key: &str) -> Option<i32> {
    i32::try_from(json.get(key)?.as_i64()?).ok()
}

fn partition(json: &Value) -> Option<Partition> {
    let topic = text(json, "messaging.destination.name")?;
    Some(Partition::new(topic, index(json, "messaging.destination.partition.id")?))
}

fn partitions(json: &Value) -> Option<BTreeSet<Partition>> {
    let one = |json: &Value| Some(Partition::new(text(json, "topic")?, index(json, "index")?));
    json.get("partitions")?.as_array()?.iter().map(one).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_event_that_matters_reaches_the_checker() {
        let place = json!({"messaging.destination.name": "orders", "messaging.destination.partition.id": 3});
        let (orders, several) = (Partition::new("orders", 3), json!([{"topic": "orders", "index": 3}]));
        let given_up = || Said::GivenUp { partitions: BTreeSet::from([orders.clone()]) };
        let cases = [
            (
                "view.agreed",
                json!({"cluster": "c", "endpoints": {"1": "broker:9092"}}),
                Said::Agreed {
                    cluster: Some(ClusterId::from("c")),
                    endpoints: [(NodeId(1), Address::new("broker", 9092))].into(),
                },
            ),
            (
                "consumer.respawned",
                json!({"reason": "drift", "gap": 0, "phase.first_record_ms": 40.0}),
                Said::Respawned { drift: true, promoted_ago: Duration::from_millis(40), gap: 0 },
            ),
            (
                "partition.started",
                json!({"messaging.kafka.offset": 7, "source": "committed"}),
                Said::Started { partition: orders.clone(), offset: Offset(7), source: Source::Committed },
            ),
            (
                "records.redelivered",
                json!({"records": 2}),
                Said::Redelivered { partition: orders.clone(), records: 2 },
            ),
            ("partition.quarantined", json!({}), Said::Quarantined { partition: orders.clone() }),
            ("partition.released", json!({}), Said::Released { partition: orders.clone() }),
            (
                "record.dead_lettered",
                json!({"messaging.kafka.offset": 7, "next": 8}),
                Said::DeadLettered { partition: orders.clone(), span: Span::new(Offset(7), Offset(8)) },
            ),
            ("offsets.out_of_range", json!({}), Said::OutOfRange { partition: orders.clone() }),
            ("partitions.lost", json!({"partitions": several}), given_up()),
            ("partitions.revoked", json!({"partitions": several, "undrained": 1}), given_up()),
            ("checkpoint.failed", json!({}), Said::CheckpointFailed),
            ("service.stopped", json!({"unfinished": 1}), Said::Unfinished { partitions: 1 }),
        ];
        for (name, fields, expected) in cases {
            let head = json!({"event.name": name, "service.instance.id": "service-2"});
            let parts = [&head, &place, &fields].map(|part| part.as_object().unwrap().clone());
            let line = serde_json::Map::from_iter(parts.into_iter().flatten());
            let line = Line::new(&Value::Object(line).to_string());
            assert_eq!(said(&line), Some(("service-2".into(), expected)), "{name}");
        }
    }

    #[test]
    fn what_was_drained_was_not_given_up() {
        let line = json!({"event.name": "partitions.revoked", "partitions": [], "undrained": 0});
        assert_eq!(said(&Line::new(&line.to_string())), None);
    }
}
