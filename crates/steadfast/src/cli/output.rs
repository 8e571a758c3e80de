//! What commands print. That standard output is closed is no reason to fail differently.

use std::io::{self, Write};

use clap::ValueEnum;
use serde::Serialize;
use serde_json::json;

/// How a table is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// For people.
    Text,
    /// For programs.
    Json,
}

impl Output {
    /// Prints what `text` makes of it, or one line of JSON.
    pub(super) fn print<T: Serialize + ?Sized>(self, told: &T, text: impl FnOnce(&T) -> String) {
        match self {
            Output::Text => print(&text(told)),
            Output::Json => print_line(&json!(told).to_string()),
        }
    }
}

pub(super) fn print(text: &str) {
    let _ = io::stdout().write_all(text.as_bytes());
}

pub(super) fn print_line(line: &str) {
    let _ = writeln!(io::stdout(), "{line}");
}
