//! The status line of `steadfast run`, on a terminal that `script` makes.
#![expect(clippy::unwrap_used, reason = "a program that cannot be run fails its test")]

use std::process::{Command, Stdio};

use steadfast_sim::embedded::{Embedded, Spec};

/// Everything that a run until the end of an empty topic shows on a terminal.
fn shown(sink: &str, arguments: &str) -> String {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let cluster = {
        let _inside = runtime.enter();
        Embedded::on_loopback(&Spec::default()).unwrap()
    };
    cluster.with(|cluster| cluster.create_topic("orders", 2)).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("steadfast.toml");
    let config = format!(
        "topics = [\"orders\"]\n[kafka]\n\"bootstrap.servers\" = \"{}\"\n\"group.id\" = \"g\"\n\
         [sink]\ntype = \"{sink}\"\n[http]\nlisten = \"off\"\n[state]\ndir = \"{}\"\n",
        cluster.bootstrap(),
        directory.path().join("state").display()
    );
    std::fs::write(&file, config).unwrap();
    let run = format!(
        "{} run --config {} --until-end {arguments}",
        env!("CARGO_BIN_EXE_steadfast"),
        file.display()
    );
    let mut script = Command::new("script");
    script.args(["-qefc", &run, "/dev/null"]).env("TERM", "xterm").stdin(Stdio::null());
    let output = script.output().unwrap();
    let shown = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{shown}");
    shown
}

#[test]
fn a_terminal_shows_a_line_below_the_log_and_nothing_of_it_at_the_end() {
    let shown = shown("discard", "");
    assert!(shown.contains("\r\x1b[K") && shown.contains(" records/s  "), "{shown:?}");
    let last = shown.rsplit("\x1b[K").next().unwrap();
    assert!(!last.contains("records/s"), "{shown:?}");
    let stopped = shown.split("\x1b[K").filter_map(|part| part.lines().next());
    let stopped: Vec<&str> = stopped.filter(|line| line.contains("service.stopped")).collect();
    assert!(stopped.len() == 1 && !stopped[0].contains("records/s"), "{shown:?}");
}

#[test]
fn there_is_none_where_records_go_to_the_terminal_or_nobody_wants_it() {
    for (sink, arguments) in [("stdout", ""), ("discard", "--no-status")] {
        let shown = shown(sink, arguments);
        assert!(
            !shown.contains("\x1b[K") && shown.contains("service.stopped"),
            "{sink} {arguments}: {shown:?}"
        );
    }
}
