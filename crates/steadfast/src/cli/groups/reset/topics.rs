//! Which partitions are reset.

use std::collections::BTreeSet;
use std::str::FromStr;
use std::sync::Arc;

use steadfast_core::ids::Partition;
use steadfast_kafka::api::ErrorCode;

use super::super::asker::{Asker, Failure};
use super::super::offsets::Committed;

/// A topic with all of its partitions, or with these.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    topic: Arc<str>,
    /// All of them if empty.
    partitions: BTreeSet<i32>,
}

impl FromStr for Wanted {
    type Err = String;

    fn from_str(text: &str) -> Result<Wanted, String> {
        // No topic's name has a colon.
        let (topic, indexes) = text.split_once(':').map_or((text, None), |(topic, rest)| (topic, Some(rest)));
        if topic.is_empty() {
            return Err("expected the name of a topic".to_owned());
        }
        let index = |text: &str| match text.trim().parse::<i32>() {
            Ok(index @ 0..) => Ok(index),
            _ => Err(format!("expected a partition's number, found {text:?}")),
        };
        let indexes = indexes.map(|rest| rest.split(',').map(index).collect()).transpose()?;
        Ok(Wanted { topic: topic.into(), partitions: indexes.unwrap_or_default() })
    }
}

/// The partitions of these topics, or of all that the group has committed anything for.
pub(super) async fn partitions(
    asker: &mut Asker,
    wanted: &[Wanted],
    all: bool,
    committed: &Committed,
) -> Result<BTreeSet<Partition>, Failure> {
    let names: BTreeSet<Arc<str>> = match all {
        true => committed.keys().map(|partition| Arc::clone(&partition.topic)).collect(),
        false => wanted.iter().map(|wanted| Arc::clone(&wanted.topic)).collect(),
    };
    if names.is_empty() {
        return Ok(BTreeSet::new());
    }
    let mut partitions = BTreeSet::new();
    for topic in asker.topics(names).await? {
        if topic.error != ErrorCode::NONE {
            return Err(Failure::code(format!("topic {}", topic.name), topic.error));
        }
        let there = topic.partitions.iter().map(|partition| partition.index).collect();
        let chosen = chosen(&topic.name, &there, wanted)?;
        partitions.extend(chosen.into_iter().map(|index| Partition::new(Arc::clone(&topic.name), index)));
    }
    Ok(partitions)
}

/// Those of one topic; all of it if it is not named.
fn chosen(topic: &str, there: &BTreeSet<i32>, wanted: &[Wanted]) -> Result<BTreeSet<i32>, Failure> {
    let named = wanted.iter().filter(|wanted| &*wanted.topic == topic);
    let mut chosen = BTreeSet::new();
    for wanted in named {
        if wanted.partitions.is_empty() {
            return Ok(there.clone());
        }
        chosen.extend(wanted.partitions.iter().copied());
    }
    match chosen.difference(there).next() {
        Some(absent) => {
            Err(Failure::Found(format!("topic {topic} has no partition {absent}: it has {}", there.len())))
        }
        None if chosen.is_empty() => Ok(there.clone()),
        None => Ok(chosen),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(text: &str) -> Wanted {
        text.parse().unwrap()
    }

    #[test]
    fn a_topic_comes_with_all_or_some_partitions() {
        assert_eq!(wanted("orders"), Wanted { topic: "orders".into(), partitions: [].into() });
        assert_eq!(wanted("orders:0,2"), Wanted { topic: "orders".into(), partitions: [0, 2].into() });
        for text in ["", ":1", "orders:", "orders:a", "orders:-1", "orders:1,,2"] {
            assert!(text.parse::<Wanted>().is_err(), "{text}");
        }
    }

    #[test]
    fn what_is_named_twice_is_taken_together_and_what_is_not_there_is_named() {
        let there = [0, 1, 2].into();
        let of =
            |named: &[&str]| chosen("t", &there, &named.iter().map(|text| wanted(text)).collect::<Vec<_>>());
        assert_eq!(of(&["t:0", "t:2", "u:1"]), Ok([0, 2].into()));
        assert_eq!(of(&["t:0", "t"]), Ok(there.clone()));
        assert_eq!(of(&[]), Ok(there.clone()), "of all topics");
        assert_eq!(of(&["t:7"]), Err(Failure::Found("topic t has no partition 7: it has 3".to_owned())));
    }
}
