//! The command line: what may be written there, and the exit codes.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};

pub use crate::demo::Mode;
pub use crate::exit::Exit;
pub use output::Output;

pub mod check;
pub mod client;
pub mod completions;
pub mod config;
pub mod demo;
pub mod drill;
pub mod endpoints;
pub mod groups;
pub mod history;
pub mod man;
mod output;
pub mod probe;
pub mod proxy;
pub mod quarantine;
pub mod run;
mod status;

/// A Kafka consumer that keeps its place while the cluster's endpoints drift.
#[derive(Debug, Clone, PartialEq, Eq, Parser)]
#[command(name = "steadfast", version, arg_required_else_help = true, after_help = EXIT_CODES)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What steadfast does.
#[derive(Debug, Clone, PartialEq, Eq, Subcommand)]
pub enum Command {
    /// Consume as a member of the group until told to stop.
    Run(RunArgs),
    /// Check configuration, names, connections, cluster, topics and group coordinator; say what to do.
    Check(CheckArgs),
    /// Ask every broker where the cluster is: what each says, what is agreed, what drifted; change the cluster on purpose.
    Endpoints(endpoints::EndpointsArgs),
    /// Show what steadfast is for: a cluster in this process, every endpoint of which moves in mid-flow.
    Demo(DemoArgs),
    /// Rehearse every way in which endpoints drift under your own policy, on a cluster in memory.
    Drill(drill::DrillArgs),
    /// Another client's configuration as ours; the settings in force.
    Config(config::ConfigCommandArgs),
    /// Tell what became of endpoints, consumers and the group: a story in Markdown, ready for a postmortem.
    History(history::HistoryArgs),
    /// Show groups of any client: who is in them, how far behind they are; say where one shall begin.
    #[command(subcommand)]
    Groups(groups::GroupsCommand),
    /// Show the partitions that stand still, and let them go on.
    #[command(subcommand)]
    Quarantine(QuarantineCommand),
    /// Stand in front of a cluster and move its advertised endpoints on command, to try any client.
    Proxy(proxy::ProxyArgs),
    /// Ask a running service whether it lives, or whether it is ready.
    Probe(probe::ProbeArgs),
    /// Print what a shell needs to complete this command line.
    Completions(completions::CompletionsArgs),
    /// Print the manual page, or write those of all commands into a directory.
    Man(man::ManArgs),
}

/// What is done about quarantine. The configuration says where the running service is found on this machine: its
/// state directory, group and instance.
#[derive(Debug, Clone, PartialEq, Eq, Subcommand)]
pub enum QuarantineCommand {
    /// Show the partitions in quarantine: where, since when and why.
    List(ListArgs),
    /// Let partitions go on from where they stand, with a new handler.
    Release(ReleaseArgs),
}

/// Arguments of `steadfast quarantine list`.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct ListArgs {
    /// Where the configuration comes from.
    #[command(flatten)]
    pub config: ConfigArgs,
    /// How the result is printed.
    #[arg(long, value_enum, default_value_t = Output::Text)]
    pub output: Output,
}

/// Arguments of `steadfast quarantine release`.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct ReleaseArgs {
    /// Where the configuration comes from.
    #[command(flatten)]
    pub config: ConfigArgs,
    /// Which ones.
    #[arg(value_name = "TOPIC/PARTITION", required_unless_present = "all", conflicts_with = "all")]
    pub partitions: Vec<String>,
    /// All of them.
    #[arg(long)]
    pub all: bool,
    /// How the result is printed.
    #[arg(long, value_enum, default_value_t = Output::Text)]
    pub output: Output,
}

/// Where the configuration comes from.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct ConfigArgs {
    /// The configuration file (TOML).
    #[arg(long, value_name = "FILE")]
    pub config: PathBuf,
    /// A setting over file and environment, such as kafka.group.id=billing; may be repeated.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub sets: Vec<String>,
}

/// Arguments of `steadfast run`.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct RunArgs {
    /// Where the configuration comes from.
    #[command(flatten)]
    pub config: ConfigArgs,
    /// Do not watch the file for changes (SIGHUP still reads it again).
    #[arg(long)]
    pub no_watch_config: bool,
    /// On a terminal: no line at the bottom that says how it does.
    #[arg(long)]
    pub no_status: bool,
    /// Consume to the end offsets as they are at the start, commit, leave the group and exit 0.
    #[arg(long)]
    pub until_end: bool,
    /// With --until-end: how long to wait for an absent cluster before giving up with 69.
    #[arg(long, value_name = "DURATION", default_value = "60s", value_parser = duration)]
    pub start_timeout: Duration,
}

/// Arguments of `steadfast check`.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct CheckArgs {
    /// Where the configuration comes from.
    #[command(flatten)]
    pub config: ConfigArgs,
    /// Check only what needs no network.
    #[arg(long)]
    pub offline: bool,
    /// How the result is printed.
    #[arg(long, value_enum, default_value_t = Output::Text)]
    pub output: Output,
}

/// Arguments of `steadfast demo`.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
#[command(
    after_help = "It ends by itself within 15 s, or later by as much as records / rate is above 4 s. It exits \
                        with 0 only if nothing was lost, redelivered or rebalanced."
)]
pub struct DemoArgs {
    /// Brokers of the cluster.
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u8).range(1..=50))]
    pub brokers: u8,
    /// Partitions of the topic.
    #[arg(long, value_name = "N", default_value_t = 12, value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub partitions: u16,
    /// Records that are written in all.
    #[arg(long, value_name = "N", default_value_t = 4000, value_parser = clap::value_parser!(u32).range(1..))]
    pub records: u32,
    /// Records per second, over all partitions.
    #[arg(long, value_name = "R", default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub rate: u32,
    /// What becomes of the old endpoints.
    #[arg(long, value_enum, default_value_t = Mode::Refused)]
    pub mode: Mode,
    /// Decides when exactly the endpoints move, and the partitions' rhythm.
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub seed: u64,
    /// How the result is printed.
    #[arg(long, value_enum, default_value_t = Output::Text)]
    pub output: Output,
    /// Draw the recovery into this file.
    #[arg(long, value_name = "FILE.svg")]
    pub picture: Option<PathBuf>,
    /// Write the service's log to this file.
    #[arg(long, value_name = "FILE")]
    pub log: Option<PathBuf>,
}

/// What the binary does: reads the command line and runs the command.
pub fn main() -> Exit {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // A closed standard output is no reason to fail differently.
            let _ = error.print();
            return Exit::of_usage(&error);
        }
    };
    match &cli.command {
        Command::Run(args) => run::run(args),
        Command::Check(args) => check::check(args),
        Command::Endpoints(args) => endpoints::endpoints(args),
        Command::Demo(args) => demo::demo(args),
        Command::Drill(args) => drill::drill(args),
        Command::Config(args) => config::config(args),
        Command::History(args) => history::history(args),
        Command::Groups(command) => groups::groups(command),
        Command::Quarantine(command) => quarantine::quarantine(command),
        Command::Proxy(args) => proxy::proxy(args),
        Command::Probe(args) => probe::probe(args),
        Command::Completions(args) => completions::completions(args),
        Command::Man(args) => man::man(args),
    }
}

const EXIT_CODES: &str = "\
Exit codes:
  0    fine
  1    a check, a probe, endpoints or groups found something, a demo did not keep its place,
       or a drill failed
  64   wrong usage
  69   the cluster could not be reached
  70   internal error
  73   the state directory cannot be used
  75   checkpoint.drain exceeded at shutdown
  77   authentication failed, or fenced by another member
  78   wrong configuration
  130  ended by a second SIGINT
  143  ended by a second SIGTERM";

fn duration(text: &str) -> Result<Duration, humantime::DurationError> {
    humantime::parse_duration(text)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    fn parse(line: &str) -> Result<Cli, clap::Error> {
        Cli::try_parse_from(line.split(' '))
    }

    fn run(line: &str) -> RunArgs {
        match parse(line).unwrap().command {
            Command::Run(args) => args,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_definitions_are_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn run_watches_the_file_and_never_ends_unless_told() {
        let args = run("steadfast run --config s.toml");
        assert_eq!(args.config.config, PathBuf::from("s.toml"));
        assert!(args.config.sets.is_empty() && !args.no_watch_config && !args.until_end);
        assert_eq!(args.start_timeout, Duration::from_secs(60));
    }

    #[test]
    fn run_takes_settings_and_limits() {
        let args = run("steadfast run --config s.toml --set a=1 --set b=2=3 --no-watch-config --until-end \
                        --start-timeout 5s");
        assert_eq!(args.config.sets, ["a=1", "b=2=3"]);
        assert!(args.no_watch_config && args.until_end);
        assert_eq!(args.start_timeout, Duration::from_secs(5));
    }

    #[test]
    fn check_prints_text_or_json() {
        let check = |line| match parse(line).unwrap().command {
            Command::Check(args) => args,
            other => panic!("{other:?}"),
        };
        let plain = check("steadfast check --config s.toml");
        assert!(!plain.offline && plain.output == Output::Text);
        let full = check("steadfast check --config s.toml --offline --set a=1 --output json");
        assert!(full.offline && full.output == Output::Json && full.config.sets == ["a=1"]);
    }

    #[test]
    fn quarantine_is_listed_and_released_by_name_or_as_a_whole() {
        let of = |line| match parse(line).unwrap().command {
            Command::Quarantine(command) => command,
            other => panic!("{other:?}"),
        };
        assert!(matches!(of("steadfast quarantine list --config s.toml"), QuarantineCommand::List(_)));
        let QuarantineCommand::Release(some) = of("steadfast quarantine release --config s.toml a/0 b/1")
        else {
            panic!("not a release")
        };
        assert_eq!((some.partitions, some.all), (vec!["a/0".to_owned(), "b/1".to_owned()], false));
        let QuarantineCommand::Release(all) = of("steadfast quarantine release --config s.toml --all") else {
            panic!("not a release")
        };
        assert!(all.all && all.partitions.is_empty());
    }

    #[test]
    fn groups_are_asked_by_file_or_by_address_and_a_reset_goes_one_way() {
        let of = |line| match parse(line).unwrap().command {
            Command::Groups(command) => command,
            other => panic!("{other:?}"),
        };
        let groups::GroupsCommand::Lag(lag) = of("steadfast groups lag g -b k:1 -X client.id=a --watch")
        else {
            panic!("not lag")
        };
        assert_eq!(
            (lag.client.settings, lag.how.watch),
            (vec!["client.id=a".to_owned()], Some(Duration::from_secs(2)))
        );
        assert_eq!(lag.window, Duration::from_secs(12));
        let line = "steadfast groups reset g --config s.toml --topic t:0,1 --topic u --shift-by -5 --execute";
        let groups::GroupsCommand::Reset(reset) = of(line) else { panic!("not reset") };
        assert_eq!((reset.topic.len(), reset.shift_by, reset.execute), (2, Some(-5), true));
    }

    #[test]
    fn demo_needs_no_arguments_and_takes_all_of_its_contract() {
        let demo = |line| match parse(line).unwrap().command {
            Command::Demo(args) => args,
            other => panic!("{other:?}"),
        };
        let plain = demo("steadfast demo");
        assert_eq!((plain.brokers, plain.partitions, plain.records, plain.rate), (3, 12, 4000, 1000));
        assert_eq!((plain.mode, plain.seed, plain.output), (Mode::Refused, 1, Output::Text));
        let full = demo(
            "steadfast demo --brokers 1 --partitions 7 --records 9 --rate 8 --mode blackhole --seed 6 \
                         --output json --picture a.svg --log b.log",
        );
        assert_eq!((full.brokers, full.partitions, full.records, full.rate), (1, 7, 9, 8));
        assert_eq!((full.mode, full.seed, full.output), (Mode::Blackhole, 6, Output::Json));
        assert_eq!((full.picture, full.log), (Some("a.svg".into()), Some("b.log".into())));
    }

    #[test]
    fn wrong_usage_exits_64_and_help_0() {
        for line in [
            "steadfast",
            "steadfast walk",
            "steadfast run",
            "steadfast run --config",
            "steadfast run --config s.toml --start-timeout soon",
            "steadfast check --config s.toml --output xml",
            "steadfast check --config s.toml --until-end",
            "steadfast quarantine release --config s.toml",
            "steadfast quarantine release --config s.toml --all a/0",
            "steadfast demo --brokers 0",
            "steadfast demo --partitions 0",
            "steadfast demo --rate 0",
            "steadfast demo --mode dropped",
            "steadfast endpoints",
            "steadfast endpoints --config s.toml --baseline a --save b",
            "steadfast endpoints --config s.toml --save a --accept-cluster b",
            "steadfast endpoints --config s.toml --accept-cluster ",
            "steadfast groups",
            "steadfast groups list",
            "steadfast groups lag -b k:1",
            "steadfast groups lag g -b k:1 --watch 1ms",
            "steadfast groups list -b k:1 --count 2",
            "steadfast groups reset g -b k:1 --to-latest",
            "steadfast groups reset g -b k:1 --topic t",
            "steadfast groups reset g -b k:1 --topic t --all-topics --to-latest",
            "steadfast groups reset g -b k:1 --topic t --to-latest --to-offset 3",
            "steadfast groups reset g -b k:1 --topic t --to-datetime yesterday",
            "steadfast probe",
            "steadfast probe live --address localhost",
            "steadfast completions",
            "steadfast completions basic",
        ] {
            assert_eq!(Exit::of_usage(&parse(line).unwrap_err()).code(), 64, "{line}");
        }
        for line in ["steadfast --help", "steadfast --version", "steadfast run --help"] {
            assert_eq!(Exit::of_usage(&parse(line).unwrap_err()).code(), 0, "{line}");
        }
    }

    #[test]
    fn every_exit_code_is_in_the_help() {
        use Exit::*;
        for exit in [
            Fine,
            Found,
            Usage,
            Unreachable,
            Internal,
            StateDirectory,
            DrainExceeded,
            Denied,
            Configuration,
            Interrupted,
            Terminated,
        ] {
            assert!(EXIT_CODES.contains(&format!("\n  {:<4} ", exit.code())), "{exit:?}");
        }
    }
}
