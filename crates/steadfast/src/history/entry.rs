//! One line of the ledger.

use chrono::{DateTime, Utc};
use serde_json::{Map, Value};

/// One line of the ledger. What it lacks is absent, whatever wrote it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Entry {
    pub(super) at: DateTime<Utc>,
    pub(super) name: String,
    /// The event in one sentence.
    pub(super) message: String,
    /// Everything, as it stands there.
    pub(super) fields: Map<String, Value>,
}

/// What became of one broker's endpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Change {
    pub(super) node: String,
    /// `moved`, `gone`, `added` or `resolved`.
    pub(super) kind: String,
    pub(super) from: Option<String>,
    pub(super) to: Option<String>,
}

impl Entry {
    /// Reads a line; none if it is no event with a time.
    pub(super) fn read(line: &str) -> Option<Entry> {
        let Ok(Value::Object(fields)) = serde_json::from_str(line) else { return None };
        let at = DateTime::parse_from_rfc3339(fields.get("timestamp")?.as_str()?).ok()?.with_timezone(&Utc);
        let name = fields.get("event.name")?.as_str()?.to_owned();
        let message = fields.get("message").and_then(Value::as_str).unwrap_or(&name).to_owned();
        Some(Entry { at, name, message, fields })
    }

    pub(super) fn is(&self, name: &str) -> bool {
        self.name == name
    }

    pub(super) fn number(&self, field: &str) -> Option<f64> {
        self.fields.get(field)?.as_f64().filter(|number| number.is_finite())
    }

    pub(super) fn count(&self, field: &str) -> Option<i64> {
        self.fields.get(field)?.as_i64()
    }

    pub(super) fn text(&self, field: &str) -> Option<&str> {
        self.fields.get(field)?.as_str()
    }

    /// What a drift changed.
    pub(super) fn changes(&self) -> Vec<Change> {
        let listed = self.fields.get("changes").and_then(Value::as_array);
        listed.into_iter().flatten().filter_map(change).collect()
    }
}

fn change(value: &Value) -> Option<Change> {
    let plain = |field: &str| match value.get(field)? {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    };
    Some(Change { node: plain("node")?, kind: plain("kind")?, from: plain("from"), to: plain("to") })
}
