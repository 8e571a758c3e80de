//! Completions and manual pages, as shells and man read them.

use std::fs;
use std::process::Command;

use libtest_mimic::Trial;

use crate::STEADFAST;
use crate::programs::{succeed, told, trial};

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("pages::bash_completes_commands_and_options", &["bash"], bash),
        trial("pages::every_shell_knows_every_command", &[], shells),
        trial("pages::man_reads_every_page_without_a_warning", &["man", "lexgrog"], man),
        trial("pages::the_page_on_standard_output_is_that_of_the_directory", &[], page),
    ]
}

fn steadfast(arguments: &[&str]) -> String {
    succeed(Command::new(STEADFAST).args(arguments))
}

/// The commands, as the help lists them.
fn commands() -> Vec<String> {
    let help = steadfast(&["--help"]);
    let (_, listed) = help.split_once("\nCommands:\n").unwrap();
    let (listed, _) = listed.split_once("\n\n").unwrap();
    let entries =
        listed.lines().filter_map(|line| line.strip_prefix("  ").filter(|line| !line.starts_with(' ')));
    entries.filter_map(|line| line.split_whitespace().next()).map(str::to_owned).collect()
}

fn bash() {
    const ASK: &str = r#"
        source /dev/stdin
        ask() { COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _steadfast steadfast "${!#}" ""; echo "${COMPREPLY[*]}"; }
        ask steadfast ru
        ask steadfast run --until
    "#;
    let directory = tempfile::tempdir().unwrap();
    let script = directory.path().join("steadfast.bash");
    fs::write(&script, steadfast(&["completions", "bash"])).unwrap();
    let mut asked = Command::new("bash");
    asked.args(["--norc", "-euc", ASK]).stdin(fs::File::open(&script).unwrap());
    assert_eq!(succeed(&mut asked), "run\n--until-end\n");
}

fn shells() {
    let commands = commands();
    assert!(commands.iter().any(|command| command == "run"), "{commands:?}");
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let script = steadfast(&["completions", shell]);
        let unknown: Vec<&String> = commands.iter().filter(|command| !script.contains(*command)).collect();
        assert!(unknown.is_empty(), "{shell} does not know {unknown:?}");
    }
}

fn man() {
    let directory = tempfile::tempdir().unwrap();
    steadfast(&["man", "--directory", directory.path().to_str().unwrap()]);
    for command in commands().into_iter().filter(|command| command != "help") {
        let page = directory.path().join(format!("steadfast-{command}.1"));
        assert!(page.is_file(), "there is no page for {command}");
    }
    for page in fs::read_dir(directory.path()).unwrap() {
        let page = page.unwrap().path();
        let mut man = Command::new("man");
        // A list of options that one of is needed is a long word, which no justified line holds.
        man.args(["--warnings", "--no-justification", "--local-file"]).arg(&page);
        man.env("MANPAGER", "cat").env("LC_ALL", "C.UTF-8");
        let output = man.output().unwrap();
        assert!(output.status.success() && output.stderr.is_empty(), "{page:?}: {}", told(&output));
        let name = succeed(Command::new("lexgrog").arg(&page));
        assert!(name.contains("steadfast"), "{page:?} has no name and purpose: {name}");
    }
}

fn page() {
    let directory = tempfile::tempdir().unwrap();
    steadfast(&["man", "--directory", directory.path().to_str().unwrap()]);
    let written = fs::read_to_string(directory.path().join("steadfast.1")).unwrap();
    assert_eq!(steadfast(&["man"]), written);
}
