//! What is consumed, as configured: topics by name, or all whose names match a pattern.

use std::fmt;
use std::sync::Arc;

use regex::Regex;
use steadfast_kafka::api::metadata::TopicMetadata;

/// What to consume.
#[derive(Debug, Clone, PartialEq)]
pub enum Topics {
    /// These: at least one, legal names, none twice.
    Named(Vec<Arc<str>>),
    /// Whatever matches, now and later, but for Kafka's internal topics.
    Matching(TopicPattern),
}

impl Topics {
    /// What to ask Metadata for; none: all topics.
    pub fn question(&self) -> Option<Vec<Arc<str>>> {
        match self {
            Topics::Named(names) => Some(names.clone()),
            Topics::Matching(_) => None,
        }
    }

    /// Whether this one of an answer to [`Self::question`] is meant. Internal topics match no pattern, as in Java
    /// (`exclude.internal.topics`); by name they are consumed like others.
    pub fn take(&self, topic: &TopicMetadata) -> bool {
        match self {
            Topics::Named(names) => names.contains(&topic.name),
            Topics::Matching(pattern) => !topic.is_internal && pattern.matches(&topic.name),
        }
    }

    /// Whether a topic of this name, which is no internal one, is meant.
    pub fn include(&self, name: &str) -> bool {
        match self {
            Topics::Named(names) => names.iter().any(|one| **one == *name),
            Topics::Matching(pattern) => pattern.matches(name),
        }
    }

    /// The names, if they are named.
    pub fn names(&self) -> &[Arc<str>] {
        match self {
            Topics::Named(names) => names,
            Topics::Matching(_) => &[],
        }
    }

    /// The pattern, if there is one.
    pub fn pattern(&self) -> Option<&TopicPattern> {
        match self {
            Topics::Named(_) => None,
            Topics::Matching(pattern) => Some(pattern),
        }
    }

    /// The key that says it.
    pub fn key(&self) -> &'static str {
        match self {
            Topics::Named(_) => "topics",
            Topics::Matching(_) => "topics_pattern",
        }
    }
}

/// A regular expression over whole names of topics: RE2's syntax, as brokers take it (KIP-848), so without look-around
/// and back references; and the whole name has to match, as by Java's `Pattern.matches` and by the brokers.
#[derive(Clone)]
pub struct TopicPattern {
    text: Arc<str>,
    whole: Regex,
}

impl TopicPattern {
    /// The pattern of this text.
    ///
    /// # Errors
    /// It is none, or one that would take more than 10 MiB; in words.
    pub fn new(text: &str) -> Result<TopicPattern, String> {
        // By itself first: `a)(b` must not come to mean something between our parentheses.
        let alone = Regex::new(text).map_err(|error| in_one_line(&error.to_string()))?;
        let whole = Regex::new(&format!("^(?:{alone})$")).map_err(|error| in_one_line(&error.to_string()))?;
        Ok(TopicPattern { text: text.into(), whole })
    }

    /// As it was written.
    pub fn text(&self) -> &Arc<str> {
        &self.text
    }

    /// Whether the whole of this name matches.
    pub fn matches(&self, name: &str) -> bool {
        self.whole.is_match(name)
    }
}

fn in_one_line(error: &str) -> String {
    let last = error.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or(error);
    last.trim().trim_start_matches("error: ").to_owned()
}

impl PartialEq for TopicPattern {
    fn eq(&self, other: &TopicPattern) -> bool {
        self.text == other.text
    }
}

impl fmt::Debug for TopicPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("TopicPattern").field(&self.text).finish()
    }
}

impl fmt::Display for TopicPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use steadfast_core::ids::TopicId;
    use steadfast_kafka::api::ErrorCode;

    use super::*;

    fn matches(pattern: &str, name: &str) -> bool {
        TopicPattern::new(pattern).unwrap().matches(name)
    }

    #[test]
    fn the_whole_name_has_to_match() {
        assert!(matches("orders", "orders") && matches(r"orders\..*", "orders.eu"));
        assert!(!matches("orders", "orders.eu") && !matches(r"^orders\.", "orders.eu"));
        assert!(matches("a|bc", "bc") && !matches("a|bc", "ac") && !matches("a|bc", "bcd"));
        assert!(matches("(?i)ORDERS", "orders") && matches("", "") && !matches("", "x"));
    }

    #[test]
    fn what_is_no_expression_by_itself_is_none() {
        for wrong in ["(", "a)(b", "[", "*", r"(a)\1", "(?=a)", "a{100}{100}{100}{100}"] {
            assert!(TopicPattern::new(wrong).is_err(), "{wrong}");
        }
        let told = TopicPattern::new("(").unwrap_err();
        assert!(!told.contains('\n') && told.contains("unclosed"), "{told}");
    }

    #[test]
    fn internal_topics_match_no_pattern() {
        let topic = |name: &str, is_internal| TopicMetadata {
            error: ErrorCode::NONE,
            name: name.into(),
            id: TopicId::UNKNOWN,
            is_internal,
            partitions: Vec::new(),
        };
        let all = Topics::Matching(TopicPattern::new(".*").unwrap());
        assert!(all.take(&topic("orders", false)) && !all.take(&topic("__consumer_offsets", true)));
        let named = Topics::Named(vec!["__consumer_offsets".into()]);
        assert!(named.take(&topic("__consumer_offsets", true)) && !named.take(&topic("orders", false)));
    }
}
