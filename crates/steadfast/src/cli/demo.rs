//! `steadfast demo`: a cluster, a load and the service in one process; every endpoint moves in mid-flow.

use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::Mutex;

use tracing::level_filters::LevelFilter;

use super::output::print_line;
use super::{DemoArgs, Exit, Output};
use crate::demo::{self, Plan};
use crate::env::real;
use crate::log::{Format, Lines};

/// Runs the command.
pub fn demo(args: &DemoArgs) -> Exit {
    if let Some(path) = &args.log
        && let Err(error) = log_to(path)
    {
        eprintln!("{} cannot be written to: {error}", path.display());
        return Exit::Usage;
    }
    let played = demo::play(plan(args), real::wall_clock());
    print_line(&match args.output {
        Output::Text => played.story(),
        Output::Json => played.json(),
    });
    if let Some(path) = &args.picture {
        let drawn = played.picture().map(|picture| std::fs::write(path, picture));
        match drawn {
            Some(Ok(())) => {}
            Some(Err(error)) => {
                eprintln!("{} cannot be written: {error}", path.display());
                return Exit::Found;
            }
            None => eprintln!("nothing moved: there is no picture"),
        }
    }
    if played.holds() { Exit::Fine } else { Exit::Found }
}

fn plan(args: &DemoArgs) -> Plan {
    Plan {
        brokers: i32::from(args.brokers),
        partitions: i32::from(args.partitions),
        records: u64::from(args.records),
        rate: args.rate,
        mode: args.mode,
        seed: args.seed,
        limit: demo::LIMIT,
    }
}

/// The service's log goes to a file or nowhere: the story is what is told.
pub(super) fn log_to(path: &Path) -> io::Result<()> {
    let lines = Lines::new(Format::Json, "demo", real::wall_clock());
    let subscriber = tracing_subscriber::fmt()
        .event_format(lines)
        .with_max_level(LevelFilter::DEBUG)
        .with_writer(Mutex::new(File::create(path)?))
        .finish();
    // A program that embeds the command may have set one already.
    let _ = tracing::subscriber::set_global_default(subscriber);
    Ok(())
}
