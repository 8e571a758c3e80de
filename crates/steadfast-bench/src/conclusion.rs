//! How a measurement ends: what it missed, its figures in a file, an exit code.

use std::io;
use std::path::Path;
use std::process::ExitCode;

use serde_json::Value;

/// Prints what was missed, or what stopped the measurement; success only if nothing did.
pub fn conclude(measured: io::Result<Vec<String>>) -> ExitCode {
    match measured {
        Ok(missed) if missed.is_empty() => {
            println!("\nevery target is met");
            ExitCode::SUCCESS
        }
        Ok(missed) => {
            println!();
            missed.iter().for_each(|missed| println!("MISSED  {missed}"));
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// Writes the figures into a file, and says where.
///
/// # Errors
/// It cannot be written.
pub fn keep(figures: &Value, file: &Path) -> io::Result<()> {
    if let Some(directory) = file.parent() {
        std::fs::create_dir_all(directory)?;
    }
    std::fs::write(file, format!("{figures:#}\n"))?;
    println!("\nevery single time is in {}", file.display());
    Ok(())
}
