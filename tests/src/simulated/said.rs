//! The lines of the event log that the checker wants to know of.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use steadfast_core::endpoints::view::Address;
use steadfast_core::ids::{ClusterId, NodeId, Offset, Partition};
use steadfast_sim::checker::{Said, Source};

use super::journal::Line;

/// After so long without a first record a respawn is told without it.
const FIRST_RECORD_LIMIT: Duration = Duration::from_secs(30);

/// Who said what, if it matters.
pub(super) fn said(line: &Line) -> Option<(Arc<str>, Said)> {
    let read: fn(&Value) -> Option<Said> = match line.name() {
        "view.agreed" => agreed,
        "consumer.respawned" => respawned,
        "partition.started" => started,
        "records.redelivered" => redelivered,
        "partition.quarantined" => |json| Some(Said::Quarantined { partition: partition(json)? }),
        "offsets.out_of_range" => |json| Some(Said::OutOfRange { partition: partition(json)? }),
        "partitions.lost" => |json| Some(Said::GivenUp { partitions: partitions(json)? }),
        "partitions.revoked" => undrained,
        "checkpoint.failed" => |_| Some(Said::CheckpointFailed),
        _ => return None,
    };
    Some((line.service().into(), read(&line.json())?))
}

fn agreed(json: &Value) -> Option<Said> {
    let endpoints = json.get("endpoints")?.as_object()?.iter().map(endpoint);
    let cluster = text(json, "cluster").map(ClusterId::from);
    Some(Said::Agreed { cluster, endpoints: endpoints.collect::<Option<_>>()? })
}

fn respawned(json: &Value) -> Option<Said> {
    let first_record = json.get("phase.first_record_ms").and_then(Value::as_f64);
    let known = first_record.map(|millis| Duration::from_secs_f64(millis / 1e3));
    Some(Said::Respawned {
        drift: text(json, "reason")? == "drift",
        promoted_ago: known.unwrap_or(FIRST_RECORD_LIMIT),
        gap: json.get("gap")?.as_i64()?,
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

/// What a former owner had been handed is not known exactly.
fn redelivered(json: &Value) -> Option<Said> {
    let rewound = text(json, "reason")? == "rewind";
    let records = json.get("records")?.as_u64()?;
    if rewound { Some(Said::Redelivered { partition: partition(json)?, records }) } else { None }
}

fn undrained(json: &Value) -> Option<Said> {
    let some = json.get("undrained")?.as_u64()? > 0;
    if some { Some(Said::GivenUp { partitions: partitions(json)? }) } else { None }
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
