//! `steadfast plan`: what if a group had other members or partitions, or another assignor.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use clap::{ArgGroup, Args};
use serde::Serialize;
use steadfast_core::group::assign::PartitionCounts;
use steadfast_core::plan::{Changes, Group, MOST_PARTITIONS, Plan, Refused, Target, plan as planned};

use super::client::ClientArgs;
use super::groups::asker;
use super::groups::snapshot::{Name, Snapshot, snapshot};
use super::{Exit, Output};
use crate::config::ConfigError;

mod table;

/// Arguments of `steadfast plan`.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
#[command(group(ArgGroup::new("rates").args(["rate_per_partition", "rate_per_member"]).multiple(true)))]
#[command(mut_arg("config", |config| config.required_unless_present("members")))]
pub struct PlanArgs {
    /// The group to begin with, as it is in a cluster.
    #[arg(value_name = "GROUP", required_unless_present = "members")]
    pub group: Option<Arc<str>>,
    /// Without a cluster: how many members the group has.
    #[arg(long, value_name = "N", requires = "topic",
          conflicts_with_all = ["group", "config", "bootstrap_server", "settings", "sets"])]
    pub members: Option<usize>,
    /// With --members: a topic that all of them read, and its partitions; may be repeated.
    #[arg(long, value_name = "NAME:PARTITIONS", requires = "members", value_parser = topic_count)]
    pub topic: Vec<TopicCount>,
    /// Which cluster the group is in.
    #[command(flatten)]
    pub client: ClientArgs,
    /// What if a topic had so many more; may be repeated.
    #[arg(long, value_name = "NAME:N", value_parser = topic_count)]
    pub add_partitions: Vec<TopicCount>,
    /// What is needed to process so many records per second.
    #[arg(long, value_name = "R", requires = "rates", value_parser = clap::value_parser!(u64).range(1..))]
    pub target_rate: Option<u64>,
    /// With --target-rate: how many records per second one partition was seen to do.
    #[arg(long, value_name = "P", requires = "target_rate",
          value_parser = clap::value_parser!(u64).range(1..))]
    pub rate_per_partition: Option<u64>,
    /// With --target-rate: how many records per second one member was seen to do. If this is not said, a member does
    /// what the partitions do that the fullest one has now.
    #[arg(long, value_name = "M", requires = "target_rate",
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
    /// The group in the cluster, if it is one.
    #[serde(flatten)]
    name: Option<Name>,
    /// What topics get in addition.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    added: PartitionCounts,
    #[serde(flatten)]
    plan: Plan,
}

/// Why nothing is printed.
#[derive(Debug, thiserror::Error)]
enum Failure {
    /// Numbers were given that cannot be planned for.
    #[error("{0}")]
    Given(#[from] Refused),
    #[error("topic {0} is given twice")]
    Twice(Arc<str>),
    /// The cluster's group cannot be planned for.
    #[error("group {0}: {1}")]
    Found(Arc<str>, Refused),
    #[error("{0}")]
    Asked(#[from] asker::Failure),
    #[error("{0}")]
    Config(#[from] ConfigError),
    #[error("no runtime: {0}")]
    Runtime(#[from] io::Error),
}

impl Failure {
    fn exit(&self) -> Exit {
        match self {
            Failure::Given(_) | Failure::Twice(_) => Exit::Usage,
            Failure::Found(..) => Exit::Found,
            Failure::Asked(failure) => failure.exit(),
            Failure::Config(_) => Exit::Configuration,
            Failure::Runtime(_) => Exit::Internal,
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
    let (name, group) = match &args.group {
        Some(group) => live(args, group)?,
        None => (None, Group::of(args.members.unwrap_or_default(), &counts(&args.topic)?)?),
    };
    let plan = planned(&group, &changes)?;
    Ok(Told { name, added: changes.partitions, plan })
}

fn live(args: &PlanArgs, group: &Arc<str>) -> Result<(Option<Name>, Group), Failure> {
    let config = Arc::new(args.client.load()?);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let Snapshot { name, members, held, topics } = runtime.block_on(snapshot(config, group))?;
    let live = Group::live(members, &topics, held);
    Ok((Some(name), live.map_err(|refused| Failure::Found(Arc::clone(group), refused))?))
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
