//! Rules of the source that no lint of the compiler knows.
#![expect(clippy::unwrap_used, reason = "a source that cannot be read fails its test")]

use std::fs;
use std::path::{Path, PathBuf};

/// A file past this holds a second idea.
const MOST_LINES: usize = 500;

struct Source {
    /// From the root of the repository.
    path: String,
    text: String,
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

/// Every Rust file under these directories, in order.
fn sources(directories: impl IntoIterator<Item = PathBuf>) -> Vec<Source> {
    let root = root();
    let mut found = Vec::new();
    let mut open: Vec<PathBuf> = directories.into_iter().collect();
    while let Some(directory) = open.pop() {
        for entry in fs::read_dir(&directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                open.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = fs::read_to_string(&path).unwrap();
                let path = path.strip_prefix(&root).unwrap().display().to_string();
                found.push(Source { path, text });
            }
        }
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    found
}

/// The sources of all crates and of the suites' library.
fn production() -> Vec<Source> {
    let crates = fs::read_dir(root().join("crates")).unwrap().map(|of| of.unwrap().path().join("src"));
    let sources = sources(crates.chain([root().join("tests/src")]));
    assert!(sources.len() > 100, "only {} sources were found: is the path right?", sources.len());
    sources
}

/// The lines of `source` that hold a `select!` which does not begin with `biased;`.
fn unbiased(source: &str) -> Vec<usize> {
    let begins = |(number, line): (usize, &str)| {
        let code = line.split("//").next().unwrap_or_default();
        let (_, inside) = code.split_once("select! {").or_else(|| code.split_once("select!{"))?;
        let rest: String = source.lines().skip(number + 1).collect::<Vec<_>>().join("\n");
        let first = format!("{inside}\n{rest}");
        (!first.trim_start().starts_with("biased;")).then_some(number + 1)
    };
    source.lines().enumerate().filter_map(begins).collect()
}

/// What branch is polled first would otherwise be random, and no run could be repeated.
#[test]
fn every_select_is_biased() {
    let random = |source: &Source| {
        let path = source.path.clone();
        unbiased(&source.text).into_iter().map(move |line| format!("{path}:{line}"))
    };
    let found: Vec<String> = production().iter().flat_map(random).collect();
    assert!(found.is_empty(), "`biased;` is missing as the first word of select! in {found:#?}");
}

#[test]
fn an_unbiased_select_is_seen() {
    assert_eq!(unbiased("a\n    tokio::select! {\n        biased;\n"), Vec::<usize>::new());
    assert_eq!(unbiased("select! {biased; a = b => c}"), Vec::<usize>::new());
    assert_eq!(unbiased("a\ntokio::select! {\n    a = b => c,\n}"), [2]);
    assert_eq!(unbiased("// a select! { in a comment"), Vec::<usize>::new());
}

/// tokio's own wakes its waiters in random order. (The drift proxy is never part of a simulation, and the suites'
/// load runs on real clusters.)
#[test]
fn watched_values_wake_in_order() {
    let real = ["crates/steadfast-sim/src/proxy", "tests/src/load.rs"];
    let random = |source: &&Source| {
        let uses = source.text.split(';').filter(|statement| statement.contains("use tokio::"));
        let named = uses
            .flat_map(|statement| statement.split(|c: char| !c.is_alphanumeric()))
            .any(|word| word == "watch");
        named && !real.iter().any(|path| source.path.starts_with(path))
    };
    let sources = production();
    let found: Vec<&str> = sources.iter().filter(random).map(|source| source.path.as_str()).collect();
    assert!(found.is_empty(), "use steadfast-watch in {found:#?}");
}

fn before_tests(text: &str) -> &str {
    text.split("#[cfg(test)]").next().unwrap_or_default()
}

/// A second thread is not reproducible: under virtual time the service has none. Sinks that write have their own
/// (docs/decisions), and are not part of a simulation. A world is one runtime, on the thread of who plays it.
#[test]
fn threads_begin_in_few_places() {
    let allowed = [
        "placement.rs",
        "service.rs",
        "sinks/lines.rs",
        "sinks/dead_letters/file.rs",
        "tokens.rs",
        "cli/",
        "demo/",
        "drill/real",
        "drill/world.rs",
    ];
    let begins = ["thread::spawn", "thread::Builder", "Arbiter::new(", "runtime::Builder"];
    let rooms = ["crates/steadfast/src/", "crates/steadfast-kafka/src/", "crates/steadfast-supervision/src/"];
    let elsewhere = |source: &&Source| {
        let room = rooms.iter().find_map(|room| source.path.strip_prefix(room));
        room.is_some_and(|room| !room.contains("tests") && !allowed.iter().any(|path| room.starts_with(path)))
            && begins.iter().any(|begin| before_tests(&source.text).contains(begin))
    };
    let sources = production();
    let found: Vec<&str> = sources.iter().filter(elsewhere).map(|source| source.path.as_str()).collect();
    assert!(found.is_empty(), "threads begin in {found:#?}");
}

#[test]
fn no_file_is_longer_than_500_lines() {
    let sources = production();
    let too_long = |source: &&Source| source.text.lines().count() > MOST_LINES;
    let found: Vec<&str> = sources.iter().filter(too_long).map(|source| source.path.as_str()).collect();
    assert!(found.is_empty(), "divide {found:#?}");
}

/// What is not done is no comment in the source: docs/roadmap.md says it.
#[test]
fn no_source_puts_work_off() {
    let marks = [["TO", "DO"].concat(), ["FIX", "ME"].concat()];
    let everything = sources([root().join("crates"), root().join("tests")]);
    let off = |source: &&Source| marks.iter().any(|mark| source.text.contains(mark));
    let found: Vec<&str> = everything.iter().filter(off).map(|source| source.path.as_str()).collect();
    assert!(found.is_empty(), "work is put off in {found:#?}");
}
