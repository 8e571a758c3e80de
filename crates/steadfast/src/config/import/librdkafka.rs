//! librdkafka's settings, as its users keep them: `key=value` lines, with or without `[sections]`, or one JSON object.

use serde_json::Value;

use super::{ImportError, Pair};

/// Names that librdkafka has and Java has not.
const ITS_OWN: [&str; 8] = [
    "metadata.broker.list",
    "enable.auto.offset.store",
    "ssl.ca.location",
    "sasl.username",
    "sasl.mechanisms",
    "queued.",
    "fetch.wait.max.ms",
    "statistics.interval.ms",
];

/// Whether a line begins with a name that only librdkafka has.
pub(super) fn is_likely(text: &str) -> bool {
    text.lines().any(|line| ITS_OWN.iter().any(|name| line.trim_start().starts_with(name)))
}

/// Reads pairs.
pub(super) fn read(text: &str) -> Result<Vec<Pair>, ImportError> {
    if text.trim_start().starts_with('{') { json(text) } else { lines(text) }
}

fn lines(text: &str) -> Result<Vec<Pair>, ImportError> {
    let mut pairs = Vec::new();
    for (number, line) in (1..).zip(text.lines()) {
        let line = line.trim();
        if line.is_empty() || line.starts_with(['#', ';', '[']) {
            continue;
        }
        let (name, value) = line.split_once('=').ok_or_else(|| {
            malformed("librdkafka settings", format!("line {number} is not written as key=value"))
        })?;
        let value = value.trim();
        let quoted = value.strip_prefix('"').and_then(|value| value.strip_suffix('"'));
        let value = quoted.unwrap_or(value).to_owned();
        pairs.push(Pair { name: name.trim().to_owned(), value, line: Some(number) });
    }
    Ok(pairs)
}

fn json(text: &str) -> Result<Vec<Pair>, ImportError> {
    let parsed: Value = serde_json::from_str(text).map_err(|error| {
        malformed("JSON", format!("line {}, column {} cannot be read", error.line(), error.column()))
    })?;
    let mut pairs = Vec::new();
    flatten("", &parsed, &mut pairs);
    Ok(pairs)
}

/// Nested objects are names with dots in them.
fn flatten(above: &str, value: &Value, pairs: &mut Vec<Pair>) {
    let value = match value {
        Value::Object(map) => {
            for (name, value) in map {
                let name = if above.is_empty() { name.clone() } else { format!("{above}.{name}") };
                flatten(&name, value, pairs);
            }
            return;
        }
        Value::Array(list) => {
            let items: Vec<String> = list.iter().map(plain).collect();
            items.join(",")
        }
        other => plain(other),
    };
    pairs.push(Pair { name: above.to_owned(), value, line: None });
}

fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    }
}

fn malformed(expected: &'static str, reason: String) -> ImportError {
    ImportError::Malformed { expected, reason }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(text: &str) -> Vec<(String, String)> {
        read(text).unwrap().into_iter().map(|pair| (pair.name, pair.value)).collect()
    }

    #[test]
    fn lines_and_json_come_to_the_same() {
        let expected = [("group.id", "billing"), ("metadata.broker.list", "a:1,b:2")];
        let expected = expected.map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert_eq!(pairs("[kafka]\n; so\n group.id = \"billing\"\nmetadata.broker.list=a:1,b:2\n"), expected);
        assert_eq!(
            pairs(r#"{"group": {"id": "billing"}, "metadata.broker.list": ["a:1", "b:2"]}"#),
            expected
        );
    }

    #[test]
    fn what_is_neither_is_told_without_its_content() {
        for text in ["hunter2", "{\"sasl.password\": \"hunter2\""] {
            let told = read(text).unwrap_err().to_string();
            assert!(told.contains("line 1") && !told.contains("hunter2"), "{told}");
        }
    }
}
