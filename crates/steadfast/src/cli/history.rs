//! `steadfast history`: what became of endpoints, consumers and the group, as a story.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use clap::Args;

use super::output::{print, print_line};
use super::run::load;
use super::{ConfigArgs, Exit, Output, duration};
use crate::env::real;
use crate::history::{Choice, History};
use crate::service::state_directory;

/// Arguments of `steadfast history`.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct HistoryArgs {
    /// Where the configuration comes from, which says where the history is.
    #[command(flatten)]
    pub config: ConfigArgs,
    /// Only the last episode in which anything else happened than a start or a stop.
    #[arg(long)]
    pub last: bool,
    /// Only what ended within this time, such as 2h.
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub since: Option<Duration>,
    /// How it is told: Markdown, or JSON with all events.
    #[arg(long, value_enum, default_value_t = Output::Text)]
    pub output: Output,
}

/// Runs the command.
pub fn history(args: &HistoryArgs) -> Exit {
    let config = match load(&args.config) {
        Ok((config, _)) => config,
        Err(error) => {
            eprintln!("{error}");
            return Exit::Configuration;
        }
    };
    let directory = state_directory(&config);
    let history = match History::read(&directory) {
        Ok(Some(history)) => history,
        Ok(None) => {
            eprintln!("There is no history in {}: `steadfast run` writes it.", directory.display());
            return Exit::Found;
        }
        Err(error) => {
            eprintln!("The history in {} cannot be read: {error}", directory.display());
            return Exit::StateDirectory;
        }
    };
    let choice = Choice { since: args.since.map(ago), last: args.last };
    match args.output {
        Output::Text => print(&history.story(&config.kafka.group_id, choice)),
        Output::Json => print_line(&history.json(choice).to_string()),
    }
    Exit::Fine
}

/// The time so long ago; the begin of time, when it is longer ago than that.
fn ago(time: Duration) -> DateTime<Utc> {
    let now = DateTime::from_timestamp_millis(real::wall_clock().millis()).unwrap_or_default();
    let begin = TimeDelta::from_std(time).ok().and_then(|time| now.checked_sub_signed(time));
    begin.unwrap_or(DateTime::<Utc>::MIN_UTC)
}
