//! The unit, as systemd reads it.

use std::process::Command;

use libtest_mimic::Trial;
use steadfast::exit::Exit;

use crate::programs::{told, trial};
use crate::{STEADFAST, path, read};

const UNIT: &str = "deploy/systemd/steadfast@.service";
/// In tenths: below 2.0 systemd says OK.
const MOST_EXPOSED: &str = "--threshold=13";

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("systemd::the_unit_is_one_without_a_warning", &["systemd-analyze"], verified),
        trial("systemd::a_misspelt_unit_is_noticed", &["systemd-analyze"], misspelt),
        trial("systemd::the_service_is_hardly_exposed", &["systemd-analyze"], hardened),
        trial("systemd::what_no_restart_mends_is_not_restarted", &[], not_restarted),
    ]
}

/// What `systemd-analyze verify` has to say of a unit whose binary is there.
fn findings(unit: &str) -> String {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("steadfast@.service");
    std::fs::write(&file, unit.replace("/usr/bin/steadfast", STEADFAST)).unwrap();
    let output = Command::new("systemd-analyze").args(["verify", "--man=no"]).arg(&file).output().unwrap();
    let said = !output.stdout.is_empty() || !output.stderr.is_empty();
    if output.status.success() && !said { String::new() } else { told(&output) }
}

fn verified() {
    assert_eq!(findings(&read(UNIT)), "");
}

fn misspelt() {
    let misspelt = read(UNIT).replace("WatchdogSec", "WatchdogSek");
    assert!(findings(&misspelt).contains("WatchdogSek"));
}

fn hardened() {
    let mut command = Command::new("systemd-analyze");
    command.args(["security", "--offline=true", "--no-pager", MOST_EXPOSED]).arg(path(UNIT));
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", told(&output));
}

fn not_restarted() {
    let hopeless = [Exit::Usage, Exit::StateDirectory, Exit::Denied, Exit::Configuration];
    let codes = hopeless.map(|exit| exit.code().to_string()).join(" ");
    assert!(read(UNIT).contains(&format!("\nRestartPreventExitStatus={codes}\n")), "{codes}");
}
