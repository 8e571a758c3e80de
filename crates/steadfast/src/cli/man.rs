//! `steadfast man`: the manual pages.

use std::io::{self, Write};

use clap::{Command, CommandFactory};

use super::{Cli, Exit, ManArgs};

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
