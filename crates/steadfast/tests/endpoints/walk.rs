//! The commands of docs/operations/migrating-listeners.md, as it has them.

use std::collections::BTreeMap;
use std::process::Output;
use std::time::{Duration, Instant};

const DOCUMENT: &str = include_str!("../../../../docs/operations/migrating-listeners.md");
/// The document's `soon`.
const SOON: Duration = Duration::from_secs(15);

/// The commands by the heading that they stand under.
pub(crate) struct Walk(BTreeMap<&'static str, Vec<Step>>);

/// A command of the document, and the exit code that it says.
struct Step {
    arguments: Vec<&'static str>,
    code: i32,
    soon: bool,
}

impl Walk {
    /// Reads the document.
    pub(crate) fn read() -> Walk {
        let mut walk: BTreeMap<&str, Vec<Step>> = BTreeMap::new();
        let mut heading = "";
        for line in DOCUMENT.lines() {
            if let Some(next) = line.strip_prefix("## ") {
                heading = next;
            }
            if let Some(command) = line.strip_prefix("$ steadfast ") {
                let (command, ends) =
                    command.split_once('#').unwrap_or_else(|| panic!("{command}: which exit code?"));
                let (code, soon) = match ends.trim().split_once(' ') {
                    Some((code, "soon")) => (code, true),
                    _ => (ends.trim(), false),
                };
                let (arguments, code) = (command.split_whitespace().collect(), code.parse().unwrap());
                walk.entry(heading).or_default().push(Step { arguments, code, soon });
            }
        }
        assert_eq!(walk.keys().copied().collect::<Vec<_>>(), ["After", "Back", "Before", "Meanwhile"]);
        Walk(walk)
    }

    /// Plays what stands under a heading, with `http` for the address of the document's probe: `run` runs `steadfast`
    /// with these arguments where the configuration is.
    pub(crate) fn play(&self, heading: &str, http: &str, run: impl Fn(&[&str]) -> Output) {
        for Step { arguments, code, soon } in &self.0[heading] {
            let arguments: Vec<&str> =
                arguments.iter().map(|word| if *word == "127.0.0.1:9404" { http } else { word }).collect();
            let until = Instant::now() + if *soon { SOON } else { Duration::ZERO };
            loop {
                let output = run(&arguments);
                if output.status.code() == Some(*code) {
                    break;
                }
                assert!(Instant::now() < until, "{heading}, {arguments:?}: {output:?}");
                std::thread::sleep(Duration::from_millis(50));
            }
        }
    }
}
