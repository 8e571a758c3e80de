//! The operator's walk through a change of listeners, with the commands as docs/operations/migrating-listeners.md has them.

use std::collections::BTreeMap;
use std::net::TcpListener;
use std::path::Path;
use std::time::{Duration, Instant};

use steadfast_sim::embedded::{Nodes, Old};

use crate::place::{Ended, LIMIT, Place};

/// A command of the document, and the exit code that it says.
struct Step {
    arguments: Vec<String>,
    code: i32,
}

/// The commands, by the heading that they stand under.
fn walk() -> BTreeMap<String, Vec<Step>> {
    let document = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/operations/migrating-listeners.md");
    let text = std::fs::read_to_string(document).unwrap();
    let mut walk: BTreeMap<String, Vec<Step>> = BTreeMap::new();
    let mut heading = String::new();
    for line in text.lines() {
        if let Some(next) = line.strip_prefix("## ") {
            heading = next.to_owned();
        }
        if let Some(command) = line.strip_prefix("$ ") {
            let (command, code) =
                command.split_once('#').unwrap_or_else(|| panic!("{command}: which exit code?"));
            let mut words = command.split_whitespace().map(str::to_owned);
            assert_eq!(words.next().as_deref(), Some("steadfast"), "{command}");
            let step = Step { arguments: words.collect(), code: code.trim().parse().unwrap() };
            walk.entry(heading.clone()).or_default().push(step);
        }
    }
    walk
}

/// Plays what stands under a heading; each command until it ends as the document says.
fn play(place: &Place, steps: &[Step], http: &str) {
    for Step { arguments, code } in steps {
        let arguments: Vec<&str> = arguments.iter().map(|word| word.as_str()).collect();
        let arguments: Vec<&str> =
            arguments.iter().map(|word| if *word == "127.0.0.1:9404" { http } else { *word }).collect();
        let until = Instant::now() + LIMIT;
        loop {
            let ended = Ended::of(&place.command(&arguments).output().unwrap());
            if ended.code == *code {
                break;
            }
            assert!(Instant::now() < until, "{arguments:?}: {} {} {}", ended.code, ended.out, ended.err);
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

/// A port that was free a moment ago.
fn free_address() -> String {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string()
}

#[test]
fn every_command_of_the_walk_ends_as_the_document_says() {
    let walk = walk();
    assert_eq!(walk.keys().collect::<Vec<_>>(), ["After", "Back", "Before", "Meanwhile"]);
    let (place, http) = (Place::new(), free_address());
    place.configure_http(&http);
    let service = place.run();
    play(&place, &walk["Before"], &http);
    let moved = place.end_old(&Nodes::All, Old::Grace(LIMIT * 10));
    play(&place, &walk["Meanwhile"], &http);
    play(&place, &walk["After"], &http);
    for (node, before) in &moved.from {
        place.cluster.with(|cluster| cluster.advertise(*node, before.clone()));
    }
    play(&place, &walk["Back"], &http);
    service.stop();
}
