//! Spring Boot's configuration: what stands below `spring.kafka`, in YAML or in properties.

use serde::Deserialize;
use serde_yaml_ng::Value;

use super::{ImportError, Pair};

const ROOT: &str = "spring.kafka.";
/// What holds for every client there, and what for a consumer, which goes before it.
const CONSUMER: &str = "spring.kafka.consumer.";
/// Deeper maps hold nothing that is known.
const DEEPEST: usize = 16;

/// Reads every document that holds without a profile.
pub(super) fn read(text: &str) -> Result<Vec<Pair>, ImportError> {
    let mut pairs = Vec::new();
    for document in serde_yaml_ng::Deserializer::from_str(text) {
        let value = Value::deserialize(document).map_err(|error| {
            let line = error.location().map(|at| format!(" at line {}", at.line())).unwrap_or_default();
            ImportError::Malformed { expected: "YAML", reason: format!("it cannot be read{line}") }
        })?;
        let mut found = Vec::new();
        flatten("", &value, DEEPEST, &mut found);
        let of_a_profile = |pair: &Pair| {
            matches!(uniform(&pair.name).as_str(), "spring.config.activate.onprofile" | "spring.profiles")
        };
        if !found.iter().any(of_a_profile) {
            pairs.append(&mut found);
        }
    }
    Ok(pairs)
}

/// Whether it is a setting of Spring's for Kafka.
pub(super) fn is_springs(name: &str) -> bool {
    uniform(name).starts_with(ROOT)
}

/// What of it a consumer uses: a consumer's own settings in place of those for all.
pub(super) fn of_a_consumer(pairs: Vec<Pair>) -> Vec<Pair> {
    let own: Vec<String> = pairs
        .iter()
        .filter_map(|pair| uniform(&pair.name).strip_prefix(CONSUMER).map(str::to_owned))
        .collect();
    let is_used = |pair: &Pair| {
        let name = uniform(&pair.name);
        let common = name.strip_prefix(ROOT);
        common.is_some_and(|common| name.starts_with(CONSUMER) || !own.iter().any(|own| own == common))
    };
    pairs.into_iter().filter(is_used).collect()
}

/// The name as Spring compares it: `bootstrap-servers`, `bootstrapServers` and `bootstrap_servers` are one.
pub(super) fn uniform(name: &str) -> String {
    name.chars().filter(|c| !matches!(c, '-' | '_' | '[' | ']')).flat_map(char::to_lowercase).collect()
}

fn flatten(above: &str, value: &Value, depth: usize, pairs: &mut Vec<Pair>) {
    let value = match value {
        Value::Mapping(map) if depth > 0 => {
            for (name, value) in map {
                let Some(name) = plain(name) else { continue };
                // Spring has keys with dots of their own in brackets.
                let name = name.trim_start_matches('[').trim_end_matches(']');
                let name = if above.is_empty() { name.to_owned() } else { format!("{above}.{name}") };
                flatten(&name, value, depth - 1, pairs);
            }
            return;
        }
        Value::Sequence(list) => list.iter().filter_map(plain).collect::<Vec<_>>().join(","),
        other => match plain(other) {
            Some(text) => text,
            None => return,
        },
    };
    pairs.push(Pair { name: above.to_owned(), value, line: None });
}

fn plain(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(flag) => Some(flag.to_string()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(text: &str) -> Vec<(String, String)> {
        of_a_consumer(read(text).unwrap()).into_iter().map(|pair| (pair.name, pair.value)).collect()
    }

    #[test]
    fn a_consumers_own_settings_go_before_those_of_all_clients() {
        let text = "server.port: 80\nspring:\n  kafka:\n    bootstrapServers: [a:1, b:2]\n    clientId: all\n\
                    \x20   consumer:\n      client-id: mine\n      properties:\n        \"[max.poll.records]\": 5\n\
                    \x20       security.protocol: SSL\n";
        let expected = [
            ("spring.kafka.bootstrapServers", "a:1,b:2"),
            ("spring.kafka.consumer.client-id", "mine"),
            ("spring.kafka.consumer.properties.max.poll.records", "5"),
            ("spring.kafka.consumer.properties.security.protocol", "SSL"),
        ];
        assert_eq!(pairs(text), expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
    }

    #[test]
    fn documents_of_a_profile_are_left_out() {
        let text = "spring.kafka.client-id: all\n---\nspring:\n  config.activate.on-profile: test\n  kafka.client-id: t\n";
        assert_eq!(pairs(text), [("spring.kafka.client-id".to_owned(), "all".to_owned())]);
    }

    #[test]
    fn what_is_no_yaml_is_told_without_its_content() {
        let told = read("a: [hunter2\nb: }").unwrap_err().to_string();
        assert!(told.starts_with("no YAML") && !told.contains("hunter2"), "{told}");
        let bomb = "a: &a [x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b]\n\
                    d: &d [*c,*c,*c,*c,*c,*c,*c,*c,*c]\ne: &e [*d,*d,*d,*d,*d,*d,*d,*d,*d]\n\
                    f: &f [*e,*e,*e,*e,*e,*e,*e,*e,*e]\ng: [*f,*f,*f,*f,*f,*f,*f,*f,*f]\n";
        assert!(read(bomb).is_err());
    }
}
