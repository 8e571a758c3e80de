//! Other clients' configurations, as ours: Java's properties, Spring's YAML, librdkafka's names.
//!
//! A source is read into pairs of a name and a value; each name is looked up in a table ([`rows`]); what has a key of
//! ours is written as TOML, what has none is told with the reason. Secrets are never copied: a reference stands in
//! their place. What is written is validated like any configuration, and what is refused there is told too.

mod librdkafka;
mod properties;
mod rows;
mod secrets;
mod spring;
#[cfg(test)]
mod tests;
mod values;
mod written;

use std::collections::BTreeMap;
use std::path::Path;

use super::load;
use super::problem::{Place, Problem};
use super::reference;
use super::valid::Config;
use rows::To;
use written::{Draft, Line};

/// Whose names stand in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum From {
    /// Told from the file's name and content.
    Auto,
    /// Java's `.properties` (Spring's too).
    Java,
    /// Spring Boot's YAML: `spring.kafka`.
    Spring,
    /// librdkafka's names: `key=value` lines or JSON.
    Librdkafka,
}

/// One setting as the other client has it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Pair {
    name: String,
    value: String,
    /// Counted from 1; none where the format does not tell.
    line: Option<usize>,
}

/// What became of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Imported {
    /// Our configuration.
    pub toml: String,
    /// What has no place in it and why, without any value: one line each.
    pub left: Vec<String>,
    /// What has to be done by hand: one line each.
    pub to_do: Vec<String>,
}

/// Why a file is not imported at all.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// It cannot be read.
    #[error("{path} cannot be read: {error}")]
    Unreadable {
        /// The file.
        path: String,
        /// Why.
        error: std::io::Error,
    },
    /// It is not what it is taken for.
    #[error("no {expected}: {reason}")]
    Malformed {
        /// What it is taken for.
        expected: &'static str,
        /// What is wrong, without any value.
        reason: String,
    },
    /// Nothing in it is about a Kafka client.
    #[error("nothing in it is a setting of a Kafka client (it was read as {from})")]
    Nothing {
        /// What it was taken for.
        from: &'static str,
    },
}

/// Imports the file at `path`.
///
/// # Errors
/// It cannot be read, or there is no client's configuration in it.
pub fn import(path: &Path, from: From) -> Result<Imported, ImportError> {
    let shown = path.display().to_string();
    let text = load::read(path).map_err(|error| ImportError::Unreadable { path: shown.clone(), error })?;
    import_text(&shown, &text, from)
}

fn import_text(name: &str, text: &str, from: From) -> Result<Imported, ImportError> {
    let from = if from == From::Auto { guess(name, text) } else { from };
    let pairs = match from {
        From::Spring => spring::read(text)?,
        From::Librdkafka => librdkafka::read(text)?,
        From::Java | From::Auto => properties::read(text)?,
    };
    let spring = from == From::Spring || pairs.iter().any(|pair| spring::is_springs(&pair.name));
    let client = match (from, spring) {
        (_, true) => Client::Spring,
        (From::Librdkafka, _) => Client::Librdkafka,
        _ => Client::Java,
    };
    let pairs = if spring { spring::of_a_consumer(pairs) } else { pairs };
    if pairs.is_empty() {
        return Err(ImportError::Nothing { from: client.name() });
    }
    let mut draft = Draft::of(name, client.name());
    pairs.iter().for_each(|pair| take(&mut draft, client, pair));
    client.defaults().iter().for_each(|(key, value, note)| draft.otherwise(key, value, note));
    settle(&mut draft);
    Ok(draft.written())
}

/// Whose names and defaults hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Client {
    Java,
    Spring,
    Librdkafka,
}

type Default = (&'static str, &'static str, &'static str);

impl Client {
    fn name(self) -> &'static str {
        match self {
            Client::Java => "Java's properties",
            Client::Spring => "Spring's configuration",
            Client::Librdkafka => "librdkafka's configuration",
        }
    }

    /// What holds there if nobody sets it, where ours is another.
    fn defaults(self) -> &'static [Default] {
        const RESET: Default = (
            "kafka.auto.offset.reset",
            "latest",
            "not set there, where this is the default; steadfast's is `earliest`",
        );
        const ISOLATION: Default = (
            "kafka.isolation.level",
            "read_uncommitted",
            "not set there, where this is the default; steadfast's is `read_committed`",
        );
        match self {
            Client::Java | Client::Spring => &[RESET, ISOLATION],
            Client::Librdkafka => &[RESET],
        }
    }
}

/// What a file without a word about it is.
fn guess(name: &str, text: &str) -> From {
    let ends = |endings: &[&str]| endings.iter().any(|ending| name.to_lowercase().ends_with(ending));
    let text = text.trim_start();
    if ends(&[".yml", ".yaml"]) {
        return From::Spring;
    }
    if text.starts_with('{') || librdkafka::is_likely(text) {
        return From::Librdkafka;
    }
    From::Java
}

/// Takes one setting over, or says why not.
fn take(draft: &mut Draft, client: Client, pair: &Pair) {
    match rows::find(client, &pair.name) {
        To::Key(key, how) => match how.value(&pair.value) {
            Ok(value) => put(draft, pair, key, &value),
            Err(why) => draft.leave(pair, why),
        },
        To::Login => secrets::login(draft, pair),
        To::Nowhere(why) => draft.leave(pair, why),
    }
}

fn put(draft: &mut Draft, pair: &Pair, key: &'static str, value: &str) {
    if secrets::is_secret(key) {
        secrets::refer(draft, pair, key, value);
    } else if secrets::has_placeholder(value) {
        secrets::fill(draft, pair, key, value);
    } else {
        draft.put(key, Line::of(pair, value));
    }
}

/// Takes out what would be refused, with the reason, until nothing is.
fn settle(draft: &mut Draft) {
    for _ in 0..reference::KEYS.len() {
        for (key, value, note) in written::PLACEHOLDERS {
            draft.otherwise(key, value, note);
        }
        let text = draft.toml();
        let environment = draft.variables().chain([("XDG_STATE_HOME".to_owned(), "/".to_owned())]);
        let environment: BTreeMap<String, String> = environment.collect();
        let Err(error) = Config::from_text(Path::new("imported"), &text, environment.into_iter(), &[]) else {
            return;
        };
        let stands_in_a_line =
            |problem: &Problem| matches!(&problem.place, Place::File { line: Some(_), .. });
        let lines = error.problems().iter().filter_map(|problem| match &problem.place {
            Place::File { line: Some(line), .. } => {
                Some((*line, format!("{}: {}", problem.what, problem.advice)))
            }
            _ => None,
        });
        let refused: BTreeMap<usize, String> = lines.collect();
        if !draft.refuse(&refused) {
            let elsewhere = error.problems().iter().filter(|problem| !stands_in_a_line(problem));
            elsewhere.for_each(|problem| draft.remark(problem.to_string()));
            return;
        }
    }
}
