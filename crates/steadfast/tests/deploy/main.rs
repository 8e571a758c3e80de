//! Everything that a deployment is made of, each held against what reads it: the unit against systemd, the messages
//! to the service manager against a socket like its own, manifests against Kubernetes' schemas, examples against the
//! configuration's own rules. A program that is missing ignores its trial or, with CI=true, fails it.
#![expect(clippy::unwrap_used, reason = "what fails here fails its trial")]

mod container;
mod examples;
mod kubernetes;
mod manager;
mod mounted;
mod pages;
mod probe;
mod programs;
mod systemd;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use libtest_mimic::Arguments;

fn main() -> ExitCode {
    let trials = [
        container::trials(),
        examples::trials(),
        kubernetes::trials(),
        manager::trials(),
        pages::trials(),
        probe::trials(),
        systemd::trials(),
    ];
    libtest_mimic::run(&Arguments::from_args(), trials.into_iter().flatten().collect()).exit_code()
}

/// The binary of this build.
const STEADFAST: &str = env!("CARGO_BIN_EXE_steadfast");

/// A path of the repository.
fn path(relative: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(relative)
}

/// The text of a file of the repository.
fn read(relative: &str) -> String {
    std::fs::read_to_string(path(relative)).unwrap()
}
