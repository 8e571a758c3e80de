//! `steadfast groups`: which groups there are, who is in one, how far behind it is, and where it shall begin.

use std::io::IsTerminal;
use std::sync::Arc;
use std::time::Duration;

use clap::{Args, Subcommand};

use super::client::ClientArgs;
use super::{Exit, Output, duration};
use crate::config::Config;
use rebalances::RebalancesArgs;
use reset::ResetArgs;

mod asker;
mod cells;
mod described;
mod lag;
mod list;
mod offsets;
mod rebalances;
mod repeat;
mod reset;
mod table;

/// What is done about groups.
#[derive(Debug, Clone, PartialEq, Eq, Subcommand)]
pub enum GroupsCommand {
    /// Show all groups: their types, states and coordinators.
    List(ListArgs),
    /// Show a group's members, what each holds, and how far behind it is.
    Describe(DescribeArgs),
    /// Watch a group's lag for some seconds, and judge it by Burrow's rules. Exits with 1 if it is STOP, STALL or REWIND.
    Lag(LagArgs),
    /// Say where a group shall begin that nobody is in. Without --execute it only shows what would change.
    Reset(ResetArgs),
    /// Show what this member's rebalances were and cost, and what would make them fewer and shorter.
    Rebalances(RebalancesArgs),
}

/// How what was found is printed, and how often.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct HowArgs {
    /// How the result is printed.
    #[arg(long, value_enum, default_value_t = Output::Text)]
    pub output: Output,
    /// Ask again and again. On a terminal the table is drawn in place; elsewhere, or as JSON, each answer is a line of
    /// JSON.
    #[arg(long, value_name = "INTERVAL", num_args = 0..=1, default_missing_value = "2s", value_parser = interval)]
    pub watch: Option<Duration>,
    /// With --watch: end after so many answers.
    #[arg(long, value_name = "N", requires = "watch", value_parser = clap::value_parser!(u64).range(1..))]
    pub count: Option<u64>,
}

/// Arguments of `steadfast groups list`.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct ListArgs {
    /// Which cluster.
    #[command(flatten)]
    pub client: ClientArgs,
    /// Only groups in this state, such as Stable or Empty; may be repeated. Brokers before 2.6 cannot tell.
    #[arg(long, value_name = "STATE")]
    pub state: Vec<Arc<str>>,
    /// Only groups of this type, classic or consumer; may be repeated. Brokers before 3.8 cannot tell.
    #[arg(long = "type", value_name = "TYPE")]
    pub types: Vec<Arc<str>>,
    /// How it is shown.
    #[command(flatten)]
    pub how: HowArgs,
}

/// Arguments of `steadfast groups describe`.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct DescribeArgs {
    /// The group's id.
    #[arg(value_name = "GROUP")]
    pub group: Arc<str>,
    /// Which cluster.
    #[command(flatten)]
    pub client: ClientArgs,
    /// How it is shown.
    #[command(flatten)]
    pub how: HowArgs,
}

/// Arguments of `steadfast groups lag`.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct LagArgs {
    /// The group's id.
    #[arg(value_name = "GROUP")]
    pub group: Arc<str>,
    /// Which cluster.
    #[command(flatten)]
    pub client: ClientArgs,
    /// What verdicts look back on, with a sample each second (with --watch, one at each look): more than two of the
    /// group's commit intervals. It ends earlier if there is no lag. Of 0s there is one sample and mostly no verdict.
    #[arg(long, value_name = "DURATION", default_value = "12s", value_parser = duration)]
    pub window: Duration,
    /// How it is shown.
    #[command(flatten)]
    pub how: HowArgs,
}

/// The longest that makes sense for somebody who waits.
const LONGEST_INTERVAL: Duration = Duration::from_secs(24 * 60 * 60);
/// Brokers are not asked more often.
const SHORTEST_INTERVAL: Duration = Duration::from_millis(100);

fn interval(text: &str) -> Result<Duration, String> {
    match duration(text) {
        Ok(found) if (SHORTEST_INTERVAL..=LONGEST_INTERVAL).contains(&found) => Ok(found),
        Ok(found) => Err(format!("expected 100ms to 24h, found {}", humantime::format_duration(found))),
        Err(error) => Err(error.to_string()),
    }
}

/// Runs the command.
pub fn groups(command: &GroupsCommand) -> Exit {
    let client = match command {
        GroupsCommand::Rebalances(args) => return rebalances::rebalances(args),
        GroupsCommand::List(args) => &args.client,
        GroupsCommand::Describe(args) => &args.client,
        GroupsCommand::Lag(args) => &args.client,
        GroupsCommand::Reset(args) => &args.client,
    };
    let config = match client.load() {
        Ok(config) => Arc::new(config),
        Err(error) => {
            eprintln!("{error}");
            return Exit::Configuration;
        }
    };
    match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime.block_on(run(command, config)),
        Err(error) => {
            eprintln!("no runtime: {error}");
            Exit::Internal
        }
    }
}

async fn run(command: &GroupsCommand, config: Arc<Config>) -> Exit {
    match command {
        GroupsCommand::List(args) => list::list(args, config).await,
        GroupsCommand::Describe(args) => {
            repeat::repeat(
                &args.how,
                config,
                async |asker| offsets::with_offsets(asker, &args.group).await,
                table::described,
                |_| Exit::Fine,
            )
            .await
        }
        GroupsCommand::Lag(args) => {
            if args.how.watch.is_none() && std::io::stderr().is_terminal() {
                eprintln!("taking samples, for {} at most", humantime::format_duration(args.window));
            }
            lag::lag(args, config).await
        }
        GroupsCommand::Reset(args) => reset::reset(args, config).await,
        // It asks no broker.
        GroupsCommand::Rebalances(args) => rebalances::rebalances(args),
    }
}
