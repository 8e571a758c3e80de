//! The story of a move, as a person reads it.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use serde_json::Value;
use steadfast_tests::service::Event;

use crate::scene::{Proof, Shift};

/// The phases of a respawn, in their order, with the fields that carry them.
const PHASES: [(&str, &str); 5] = [
    ("detect", "phase.detect_ms"),
    ("discover", "phase.discover_ms"),
    ("verify", "phase.verify_ms"),
    ("handover", "phase.handover_ms"),
    ("first record", "phase.first_record_ms"),
];

/// A time in milliseconds, short.
pub fn millis(time: Duration) -> String {
    let ms = time.as_secs_f64() * 1e3;
    if ms < 10.0 { format!("{ms:.1}") } else { format!("{ms:.0}") }
}

/// Who moved where.
pub fn moves(shift: &Shift) -> Vec<String> {
    let moved = shift.moved.from.iter();
    moved
        .filter_map(|(node, from)| {
            Some(format!("broker {node}    {from}  ->  {}", shift.moved.to.get(node)?))
        })
        .collect()
}

/// What the service told, each with its time relative to the move as its line was read from outside. What it told
/// of single partitions, and suspicions that come in a row, are summed up.
pub fn told(events: &[Event], moved: SystemTime) -> Vec<String> {
    let of_note: Vec<&Event> = events.iter().filter(|event| event.name != "checkpoint.committed").collect();
    let rows = of_note.chunk_by(|one, next| one.name == next.name && SUMMED_UP.contains(&one.name.as_str()));
    rows.filter_map(|row| Some(line(row.first()?, moved, &sentence(row)?))).collect()
}

const SUMMED_UP: [&str; 2] = ["partition.resumed", "endpoint.suspected"];

/// One sentence for events of one kind that came in a row.
fn sentence(row: &[&Event]) -> Option<String> {
    let (first, last) = (row.first()?, row.last()?);
    let more = match row.len() {
        1 => String::new(),
        _ => {
            let span = last.at.duration_since(first.at).unwrap_or_default();
            format!("{} in {} ms: ", row.len(), millis(span))
        }
    };
    Some(match first.name.as_str() {
        "partition.resumed" => {
            let skipped = row.iter().filter(|event| event.json["before"] != event.json["after"]).count();
            let where_from = match skipped {
                0 => "each from the offset where it was".to_owned(),
                skipped => format!("{skipped} NOT from the offset where they were"),
            };
            format!("{} partitions go on, {where_from}", row.len())
        }
        "endpoint.suspected" => format!("{more}{}", first.json["reason"].as_str()?),
        _ => first.json["message"].as_str().unwrap_or_default().to_owned(),
    })
}

fn line(event: &Event, moved: SystemTime, text: &str) -> String {
    let after = match event.at.duration_since(moved) {
        Ok(after) => format!("+{}", millis(after)),
        Err(before) => format!("-{}", millis(before.duration())),
    };
    let text: String = match text.char_indices().nth(84) {
        Some((cut, _)) => format!("{}...", &text[..cut]),
        None => text.to_owned(),
    };
    format!("{after:>7}  {:<19} {text}", event.name)
}

/// The phases of a respawn, in one line.
pub fn phases(respawned: &Value) -> String {
    let phase = |(name, field): (&str, &str)| {
        let ms = respawned[field].as_f64()?;
        Some(format!("{name} {}", millis(Duration::from_secs_f64(ms / 1e3))))
    };
    PHASES.into_iter().filter_map(phase).collect::<Vec<_>>().join(", ")
}

/// Times by partition: a line of numbers over a line of times.
pub fn by_partition(times: &BTreeMap<i32, Duration>) -> [String; 2] {
    let row = |cells: Vec<String>| cells.iter().map(|cell| format!("{cell:>6}")).collect();
    [row(times.keys().map(i32::to_string).collect()), row(times.values().map(|time| millis(*time)).collect())]
}

/// What was counted from outside.
pub fn proof(proof: &Proof) -> Vec<String> {
    let Proof { acknowledged, delivered, lost, redelivered, disordered, rebalances, respawns, .. } = *proof;
    vec![
        format!("acknowledged {acknowledged:>6}   by the brokers, to the producer"),
        format!("delivered    {delivered:>6}   by steadfast, to its standard output"),
        format!("lost         {lost:>6}"),
        format!("redelivered  {redelivered:>6}   ({disordered} out of order)"),
        format!("rebalances   {rebalances:>6}   after the first join"),
        format!("respawns     {respawns:>6}"),
    ]
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn event(ms: u64, json: Value) -> Event {
        let name = json["event.name"].as_str().unwrap().to_owned();
        Event { at: SystemTime::UNIX_EPOCH + Duration::from_millis(ms), name, json }
    }

    #[test]
    fn partitions_that_go_on_are_summed_up_in_one_line() {
        let resumed =
            |before, after| json!({"event.name": "partition.resumed", "before": before, "after": after});
        let agreed = json!({"event.name": "view.agreed", "message": "3 of 3"});
        let events = [event(990, agreed), event(1020, resumed(5, 5)), event(1030, resumed(7, 8))];
        let expected = [
            "    -10  view.agreed         3 of 3".to_owned(),
            "    +20  partition.resumed   2 partitions go on, 1 NOT from the offset where they were"
                .to_owned(),
        ];
        assert_eq!(told(&events, SystemTime::UNIX_EPOCH + Duration::from_secs(1)), expected);
    }

    #[test]
    fn phases_that_were_not_seen_are_left_out() {
        let respawned = json!({"phase.detect_ms": 0.04, "phase.discover_ms": 31.6});
        assert_eq!(phases(&respawned), "detect 0.0, discover 32");
    }
}
