//! `steadfast completions`: what a shell needs to complete our command line.

use std::io::{self, Write};

use clap::CommandFactory;
use clap_complete::Shell;

use super::{Cli, CompletionsArgs, Exit};

/// Runs the command.
pub fn completions(args: &CompletionsArgs) -> Exit {
    match io::stdout().write_all(&script(args.shell)) {
        // Whoever reads only the begin has what he wanted.
        Ok(()) => Exit::Fine,
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Exit::Fine,
        Err(error) => {
            eprintln!("the completions cannot be written: {error}");
            Exit::Internal
        }
    }
}

/// The script for `shell`.
fn script(shell: Shell) -> Vec<u8> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "steadfast", &mut script);
    script
}
