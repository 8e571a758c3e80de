//! `steadfast config`: another client's configuration as ours, and the settings in force.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use serde_json::json;

use super::output::print;
use super::run::environment;
use super::{ConfigArgs, Exit, Output};
use crate::config::import::{self, From, Imported};
use crate::config::{Config, ConfigError, Place, Shown};

/// Arguments of `steadfast config`.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct ConfigCommandArgs {
    /// What to do.
    #[command(subcommand)]
    pub command: ConfigCommand,
}

/// What is done about configurations.
#[derive(Debug, Clone, PartialEq, Eq, Subcommand)]
pub enum ConfigCommand {
    /// Print another client's configuration as ours. Exits with 1 if a setting could not be carried over.
    Import(ImportArgs),
    /// Print the settings in force, and where each comes from. Secrets are shown as set.
    Show(ShowArgs),
}

/// Arguments of `steadfast config import`.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct ImportArgs {
    /// The file: Java's .properties, Spring's application.yml, librdkafka's key=value lines or JSON.
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// Whose names stand in it.
    #[arg(long, value_enum, default_value_t = From::Auto)]
    pub from: From,
}

/// Arguments of `steadfast config show`.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct ShowArgs {
    /// Where the configuration comes from.
    #[command(flatten)]
    pub config: ConfigArgs,
    /// How the result is printed.
    #[arg(long, value_enum, default_value_t = Output::Text)]
    pub output: Output,
}

/// Runs the command.
pub fn config(args: &ConfigCommandArgs) -> Exit {
    match &args.command {
        ConfigCommand::Import(args) => import(args),
        ConfigCommand::Show(args) => show(args),
    }
}

fn import(args: &ImportArgs) -> Exit {
    let Imported { toml, left, to_do } = match import::import(&args.file, args.from) {
        Ok(imported) => imported,
        Err(error) => {
            eprintln!("{}: {error}", args.file.display());
            return Exit::Configuration;
        }
    };
    print(&toml);
    for (title, lines) in [("By hand:", &to_do), ("Not carried over:", &left)] {
        if !lines.is_empty() {
            eprintln!("{title}");
            lines.iter().for_each(|line| eprintln!("  {line}"));
        }
    }
    if left.is_empty() { Exit::Fine } else { Exit::Found }
}

fn show(args: &ShowArgs) -> Exit {
    let ConfigArgs { config, sets } = &args.config;
    let shown: Result<Vec<Shown>, ConfigError> = Config::shown(config, environment().into_iter(), sets);
    match shown {
        Ok(shown) => {
            print(&match args.output {
                Output::Text => table(&shown),
                Output::Json => json_of(&shown),
            });
            Exit::Fine
        }
        Err(error) => {
            eprintln!("{error}");
            Exit::Configuration
        }
    }
}

fn source(place: &Place) -> String {
    match place {
        Place::Unset => "default".to_owned(),
        place => place.to_string(),
    }
}

/// What is set, or holds by itself.
fn table(shown: &[Shown]) -> String {
    let rows: Vec<(&str, &str, String)> =
        shown.iter().filter_map(|one| Some((one.key, one.value.as_deref()?, source(&one.place)))).collect();
    let widest = |of: fn(&(&str, &str, String)) -> usize| rows.iter().map(of).max().unwrap_or(0).min(60);
    let (keys, values) = (widest(|row| row.0.len()), widest(|row| row.1.chars().count()));
    rows.iter().map(|(key, value, source)| format!("{key:<keys$}  {value:<values$}  {source}\n")).collect()
}

fn json_of(shown: &[Shown]) -> String {
    let rows =
        shown.iter().map(|one| json!({"key": one.key, "value": one.value, "source": source(&one.place)}));
    format!("{}\n", rows.collect::<serde_json::Value>())
}
