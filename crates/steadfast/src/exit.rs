//! How the process ends.

use std::process::ExitCode;

/// How the process ends. The numbers are an interface: sysexits(3) where it has one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Exit {
    /// All went well.
    Fine = 0,
    /// A check found something.
    Found = 1,
    /// The command line was wrong (EX_USAGE).
    Usage = 64,
    /// The cluster could not be reached (EX_UNAVAILABLE).
    Unreachable = 69,
    /// steadfast itself failed (EX_SOFTWARE).
    Internal = 70,
    /// The state directory cannot be used (EX_CANTCREAT).
    StateDirectory = 73,
    /// Handlers did not finish within `checkpoint.drain` at shutdown (EX_TEMPFAIL).
    DrainExceeded = 75,
    /// Refused by the cluster, or fenced by another member (EX_NOPERM).
    Denied = 77,
    /// The configuration is wrong (EX_CONFIG).
    Configuration = 78,
    /// A second SIGINT ended the shutdown.
    Interrupted = 130,
    /// A second SIGTERM ended the shutdown.
    Terminated = 143,
}

impl Exit {
    /// The number that the parent process sees.
    pub const fn code(self) -> u8 {
        self as u8
    }

    /// What a refused command line, or a wish for help, ends with: 64, or 0 after help and version.
    pub fn of_usage(error: &clap::Error) -> Exit {
        use clap::error::ErrorKind::{DisplayHelp, DisplayVersion};
        match error.kind() {
            DisplayHelp | DisplayVersion => Exit::Fine,
            _ => Exit::Usage,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> ExitCode {
        ExitCode::from(exit.code())
    }
}
