//! `steadfast man`: the manual pages.

use std::io::{self, Write};
use std::path::PathBuf;

use clap::{Args, Command, CommandFactory};

use super::{Cli, Exit};

/// Arguments of `steadfast man`.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct ManArgs {
    /// Write steadfast.1 and a page for each command here.
    #[arg(long, value_name = "DIRECTORY")]
    pub directory: Option<PathBuf>,
}

/// Runs the command.
pub fn man(args: &ManArgs) -> Exit {
    let written = match &args.directory {
        Some(directory) => {
            std::fs::create_dir_all(directory).and_then(|()| clap_mangen::generate_to(command(), directory))
        }
        None => page(),
    };
    match written {
        Ok(()) => Exit::Fine,
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Exit::Fine,
        Err(error) => {
            eprintln!("the manual cannot be written: {error}");
            Exit::Internal
        }
    }
}

/// The page of steadfast itself on standard output.
fn page() -> io::Result<()> {
    let mut page = Vec::new();
    clap_mangen::Man::new(command()).render(&mut page)?;
    io::stdout().write_all(&page)
}

/// Without `help`, which is no command of its own to a manual.
fn command() -> Command {
    Cli::command().disable_help_subcommand(true)
}
