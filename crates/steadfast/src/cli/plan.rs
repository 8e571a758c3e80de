//! `steadfast plan`: what if a group had other members or partitions, or another assignor.

use std::collections::BTreeMap;
use std::sync::Arc;

use clap::Args;
use serde::Serialize;
use steadfast_core::group::assign::PartitionCounts;
use steadfast_core::plan::{Changes, Group, MOST_PARTITIONS, Plan, Refused, Target, plan as planned};

use super::{Exit, Output};

mod table;

/// Arguments of `steadfast plan`.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct PlanArgs {
    /// How many members the group has.
    #[arg(long, value_name = "N", requires = "topic")]
    pub members: usize,
    /// A topic that all of them read, and its partitions; may be repeated.
    #[arg(long, value_name = "NAME:PARTITIONS", required = true, value_parser = topic_count)]
    pub topic: Vec<TopicCount>,
    /// What if a topic had so many more; may be repeated.
    #[arg(long, value_name = "NAME:N", value_parser = topic_count)]
    pub add_partitions: Vec<TopicCount>,
    /// What is needed to process so many records per second.
    #[arg(long, value_name = "R", requires = "rates", value_parser = clap::value_parser!(u64).range(1..))]
    pub target_rate: Option<u64>,
    /// With --target-rate: how many records per second one partition was seen to do.
    #[arg(long, value_name = "P", group = "rates", requires = "target_rate",
          value_parser = clap::value_parser!(u64).range(1..))]
    pub rate_per_partition: Option<u64>,
    /// With --target-rate: how many records per second one member was seen to do. If this is not said, a member does
    /// what the partitions do that the fullest one has now.
    #[arg(long, value_name = "M", group = "rates", requires = "target_rate",
          value_parser = clap::value_parser!(u64).range(1..))]
    pub rate_per_member: Option<u64>,
    /// How the result is printed.
    #[arg(long, value_enum, default_value_t = Output::Text)]
    pub output: Output,
}

/// A topic, and a number of partitions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicCount {
    /// Its name.
    pub topic: Arc<str>,
    /// At least 1.
    pub partitions: i32,
}

fn topic_count(text: &str) -> Result<TopicCount, String> {
    let expected =
        || format!("expected NAME:PARTITIONS with 1 to {MOST_PARTITIONS} partitions, found {text}");
    let (topic, count) = text.rsplit_once(':').ok_or_else(expected)?;
    let partitions: i32 = count.parse().map_err(|_| expected())?;
    let fits = usize::try_from(partitions).is_ok_and(|count| (1..=MOST_PARTITIONS).contains(&count));
    match fits && !topic.is_empty() {
        true => Ok(TopicCount { topic: topic.into(), partitions }),
        false => Err(expected()),
    }
}

/// What is printed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Told {
    /// What topics get in addition.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    added: PartitionCounts,
    #[serde(flatten)]
    plan: Plan,
}

/// Why nothing is printed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
enum Failure {
    /// Numbers were given that cannot be planned for.
    #[error("{0}")]
    Given(#[from] Refused),
    #[error("topic {0} is given twice")]
    Twice(Arc<str>),
}

impl Failure {
    fn exit(&self) -> Exit {
        match self {
            Failure::Given(_) | Failure::Twice(_) => Exit::Usage,
        }
    }
}

/// Runs the command.
pub fn plan(args: &PlanArgs) -> Exit {
    match told(args) {
        Ok(told) => {
            args.output.print(&told, table::plan);
            Exit::Fine
        }
        Err(failure) => {
            eprintln!("{failure}");
            failure.exit()
        }
    }
}

fn told(args: &PlanArgs) -> Result<Told, Failure> {
    let changes = args.changes()?;
    let group = Group::of(args.members, &counts(&args.topic)?)?;
    let plan = planned(&group, &changes)?;
    Ok(Told { added: changes.partitions, plan })
}

impl PlanArgs {
    fn changes(&self) -> Result<Changes, Failure> {
        let target = self.target_rate.map(|rate| Target {
            rate,
            per_partition: self.rate_per_partition,
            per_member: self.rate_per_member,
        });
        Ok(Changes { partitions: counts(&self.add_partitions)?, target })
    }
}

fn counts(of: &[TopicCount]) -> Result<PartitionCounts, Failure> {
    let mut counts = PartitionCounts::new();
    for TopicCount { topic, partitions } in of {
        if counts.insert(Arc::clone(topic), *partitions).is_some() {
            return Err(Failure::Twice(Arc::clone(topic)));
        }
    }
    Ok(counts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_topic_comes_with_its_partitions() {
        let found = topic_count("a.b:12").unwrap();
        assert_eq!((&*found.topic, found.partitions), ("a.b", 12));
        for wrong in ["a", "a:", ":3", "a:0", "a:-1", "a:1000001", "a:99999999999"] {
            assert!(topic_count(wrong).unwrap_err().contains(wrong), "{wrong}");
        }
    }
}
