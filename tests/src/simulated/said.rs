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
    let json = match line.name() {
        "consumer.respawned"
        | "partition.started"
        | "records.redelivered"
        | "partition.quarantined"
        | "offsets.out_of_range"
        | "partitions.lost"
        | "partitions.revoked"
        | "checkpoint.failed" => line.json(),
        _ => return None,
    };
    Some((line.service().into(), read(line.name(), &json)?))
}

fn read(name: &str, json: &Value) -> Option<Said> {
    Some(match name {
        "view.agreed" => Said::Agreed {
            cluster: text(json, "cluster").map(ClusterId::from),
            endpoints: json.get("endpoints")?.as_object()?.iter().map(endpoint).collect::<Option<_>>()?,
        },
        "consumer.respawned" => {
            let first_record = json.get("phase.first_record_ms").and_then(Value::as_f64);
            let known = first_record.map(|millis| Duration::from_secs_f64(millis / 1e3));
            Said::Respawned {
                drift: text(json, "reason")? == "drift",
                promoted_ago: known.unwrap_or(FIRST_RECORD_LIMIT),
                gap: json.get("gap")?.as_i64()?,
            }
        }
        "partition.started" => Said::Started {
            partition: partition(json)?,
            offset: Offset(json.get("messaging.kafka.offset")?.as_i64()?),
            source: match text(json, "source")? {
                "committed" => Source::Committed,
                "earliest" => Source::Earliest,
                "latest" => Source::Latest,
                _ => return None,
            },
        },
        "records.redelivered" if text(json, "reason")? == "rewind" => {
            Said::Redelivered { partition: partition(json)?, records: json.get("records")?.as_u64()? }
        }
        "partition.quarantined" => Said::Quarantined { partition: partition(json)? },
        "offsets.out_of_range" => Said::OutOfRange { partition: partition(json)? },
        "partitions.lost" => Said::GivenUp { partitions: partitions(json)? },
        "partitions.revoked" if json.get("undrained")?.as_u64()? > 0 => {
            Said::GivenUp { partitions: partitions(json)? }
        }
        "checkpoint.failed" => Said::CheckpointFailed,
        _ => return None,
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
