//! Is this a key that we know, and if not, which one was meant?

use super::kafka_keys;
use super::problem::{Place, Problem};
use super::reference::{self, KEYS, Key};

/// Longer names are not compared with the known ones: comparing costs their length.
const LONGEST_COMPARED: usize = 120;

/// The key that `path` names, or the problem with it at `place`.
pub(super) fn known(path: &str, place: &Place) -> Result<&'static Key, Problem> {
    reference::key(path).ok_or_else(|| unknown(path, place.clone()))
}

/// The key whose name in the environment `variable` is, or the problem with it.
pub(super) fn known_variable(variable: &str) -> Result<&'static Key, Problem> {
    if let Some(key) = KEYS.iter().find(|key| key.variable() == variable) {
        return Ok(key);
    }
    let place = Place::Environment(variable.to_owned());
    let name = variable.to_ascii_lowercase().replace('_', ".");
    if let Some(advice) = name.strip_prefix("steadfast.kafka.").and_then(kafka_keys::advice) {
        return Err(Problem::new("a setting that is not supported", place, advice));
    }
    let nearest = nearest(variable, KEYS.iter().map(Key::variable));
    Err(Problem::new("an unknown setting", place, advice_for(nearest)))
}

fn unknown(path: &str, place: Place) -> Problem {
    if let Some(advice) = path.strip_prefix("kafka.").and_then(kafka_keys::advice) {
        return Problem::new(format!("`{path}` is not supported"), place, advice);
    }
    let shown = shorten(path);
    let under_kafka = reference::key(&format!("kafka.{path}")).map(|key| key.path.to_owned());
    let nearest = under_kafka.or_else(|| nearest(path, KEYS.iter().map(|key| key.path.to_owned())));
    Problem::new(format!("unknown key `{shown}`"), place, advice_for(nearest))
}

fn advice_for(nearest: Option<String>) -> String {
    match nearest {
        Some(name) => format!("did you mean `{name}`?"),
        None => "remove it; docs/configuration.md lists every key".to_owned(),
    }
}

/// The nearest of the known names, if one is near: at most a third of the letters differ.
pub(super) fn nearest(name: &str, known: impl Iterator<Item = String>) -> Option<String> {
    if name.len() > LONGEST_COMPARED {
        return None;
    }
    let distances = known.map(|known| (strsim::damerau_levenshtein(name, &known), known));
    let (distance, nearest) = distances.min()?;
    (distance * 3 <= name.chars().count()).then_some(nearest)
}

/// A text from outside, no longer than a person wants to read.
pub(super) fn shorten(text: &str) -> String {
    match text.char_indices().nth(LONGEST_COMPARED) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(path: &str) -> String {
        known(path, &Place::Unset).unwrap_err().to_string()
    }

    #[test]
    fn unknown_keys_come_with_the_nearest_known_one() {
        for (wrong, meant) in [
            ("drift.treshold", "drift.threshold"),
            ("kafka.bootstrap_servers", "kafka.bootstrap.servers"),
            ("bootstrap.servers", "kafka.bootstrap.servers"),
            ("group.id", "kafka.group.id"),
            ("topic", "topics"),
            ("checkpoint.intervall", "checkpoint.interval"),
        ] {
            assert_eq!(told(wrong), format!("unknown key `{wrong}`: did you mean `{meant}`?"));
        }
    }

    #[test]
    fn what_resembles_nothing_gets_no_guess() {
        assert_eq!(told("x"), "unknown key `x`: remove it; docs/configuration.md lists every key");
        assert!(told(&"drift.".repeat(100_000)).len() < 600);
    }

    #[test]
    fn settings_of_later_versions_are_unknown_to_this_one() {
        for later in ["topics_patterns.first", "http.password", "quarantine.window"] {
            assert!(told(later).starts_with("unknown key"), "{later}");
        }
    }

    #[test]
    fn javas_settings_that_are_not_taken_say_so() {
        assert_eq!(
            told("kafka.metadata.max.age.ms"),
            "`kafka.metadata.max.age.ms` is not supported: set `drift.poll_interval` instead"
        );
        let told = known_variable("STEADFAST_KAFKA_SASL_KERBEROS_SERVICE_NAME").unwrap_err().to_string();
        assert!(told.contains("not supported"), "{told}");
    }

    #[test]
    fn the_environments_names_are_known_and_no_two_are_the_same() {
        for key in KEYS.iter() {
            assert_eq!(known_variable(&key.variable()).unwrap().path, key.path);
        }
        assert_eq!(
            known_variable("STEADFAST_KAFKA_BOOTSTRAP_SERVER").unwrap_err().to_string(),
            "an unknown setting in the environment variable STEADFAST_KAFKA_BOOTSTRAP_SERVER: did you mean \
             `STEADFAST_KAFKA_BOOTSTRAP_SERVERS`?"
        );
    }

    #[test]
    fn no_key_begins_another() {
        for key in KEYS.iter() {
            let below = format!("{}.", key.path);
            assert!(!KEYS.iter().any(|other| other.path.starts_with(&below)), "{}", key.path);
        }
    }
}
