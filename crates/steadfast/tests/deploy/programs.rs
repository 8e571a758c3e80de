//! Programs that do not come with the repository.

use std::path::PathBuf;
use std::process::{Command, Output};

use libtest_mimic::{Completion, Trial};

/// A trial that fails by a panic. Where one of `programs` is missing it is ignored or, with CI=true, has failed.
pub(crate) fn trial(name: &str, programs: &'static [&'static str], run: fn()) -> Trial {
    Trial::ignorable_test(name, move || {
        let missing: Vec<&str> =
            programs.iter().copied().filter(|program| found(program).is_none()).collect();
        if missing.is_empty() {
            run();
            return Ok(Completion::Completed);
        }
        let reason = format!("not installed: {}", missing.join(", "));
        match std::env::var("CI").as_deref() {
            Ok("true") => Err(reason.into()),
            _ => Ok(Completion::ignored_with(reason)),
        }
    })
}

/// Where the program is found.
fn found(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|directory| directory.join(program)).find(|file| file.is_file())
}

/// Runs a command that has to succeed: what it printed.
pub(crate) fn succeed(command: &mut Command) -> String {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", told(&output));
    String::from_utf8(output.stdout).unwrap()
}

/// What a command printed, for people.
pub(crate) fn told(output: &Output) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    format!("{}\n{}{}", output.status, text(&output.stdout), text(&output.stderr))
}
