//! `[errors]`: what becomes of bad records.

use std::path::PathBuf;
use std::time::Duration;

use super::super::choices::Tolerance;
use super::super::problem::Problem;
use super::super::read::Reader;
use super::super::topics::Topics;

/// `[errors]`: what becomes of records that cannot be processed.
#[derive(Debug, Clone, PartialEq)]
pub struct Errors {
    /// How long a record that fails alone is tried before it counts as bad.
    pub retry_timeout: Duration,
    /// The longest rest between two tries.
    pub retry_delay_max: Duration,
    /// Where bad records go: set if, and only if, `errors.tolerance` is `all`.
    pub dead_letters: Option<DeadLetters>,
}

impl Errors {
    /// `errors.tolerance`.
    pub fn tolerance(&self) -> Tolerance {
        if self.dead_letters.is_some() { Tolerance::All } else { Tolerance::None }
    }
}

/// Where bad records go.
#[derive(Debug, Clone, PartialEq)]
pub enum DeadLetters {
    /// A topic.
    Topic(DeadLetterTopic),
    /// JSON lines in a file.
    File(PathBuf),
}

/// The topic that bad records go to.
#[derive(Debug, Clone, PartialEq)]
pub struct DeadLetterTopic {
    /// A topic of the cluster that is consumed, and none of the consumed topics.
    pub name: String,
    /// Whether headers say where a record is from and what is wrong with it.
    pub context_headers: bool,
}

const TOPIC: &str = "errors.deadletterqueue.topic.name";
const FILE: &str = "errors.deadletterqueue.file";
const HEADERS: &str = "errors.deadletterqueue.context.headers.enable";

pub(super) fn errors(from: &mut Reader<'_>) -> Option<Errors> {
    let tolerance = from.choice("errors.tolerance");
    let retry_timeout = from.duration("errors.retry.timeout");
    let retry_delay_max = from.duration("errors.retry.delay.max.ms");
    let topic = from.name_if_set(TOPIC);
    let file = from.set_at(FILE).and_then(|_| from.path(FILE));
    let context_headers = from.flag(HEADERS);
    let dead_letters = match tolerance? {
        Tolerance::None => {
            let unused = "is set, but `errors.tolerance` is none";
            refuse(from, &[TOPIC, FILE, HEADERS], unused, "leave it out, or write tolerance = \"all\"");
            None
        }
        Tolerance::All => Some(dead_letters(from, topic?, file, context_headers?)?),
    };
    Some(Errors { retry_timeout: retry_timeout?, retry_delay_max: retry_delay_max?, dead_letters })
}

fn dead_letters(
    from: &mut Reader<'_>,
    topic: Option<String>,
    file: Option<PathBuf>,
    context_headers: bool,
) -> Option<DeadLetters> {
    match (topic, file) {
        (Some(name), None) => Some(DeadLetters::Topic(DeadLetterTopic { name, context_headers })),
        (None, Some(file)) => {
            refuse(from, &[HEADERS], "is set, but the dead letters go to a file", "leave it out");
            Some(DeadLetters::File(file))
        }
        (Some(_), Some(_)) => {
            refuse(from, &[FILE], "is set, and so is a topic for dead letters", "leave one of them out");
            None
        }
        (None, None) => {
            from.require(
                false,
                "errors.tolerance",
                "`errors.tolerance` is all, and nothing says where bad records go",
                "set `errors.deadletterqueue.topic.name` or `errors.deadletterqueue.file`: they are never dropped",
            );
            None
        }
    }
}

/// Notes those of `keys` that somebody set.
fn refuse(from: &mut Reader<'_>, keys: &[&str], what: &str, advice: &str) {
    for key in keys {
        if let Some(place) = from.set_at(key) {
            from.problems.push(Problem::new(format!("`{key}` {what}"), place, advice));
        }
    }
}

pub(super) fn check_loop(from: &mut Reader<'_>, topics: &Topics, errors: &Errors) {
    let Some(DeadLetters::Topic(letters)) = &errors.dead_letters else { return };
    from.require(
        !topics.include(&letters.name),
        TOPIC,
        format!("`{TOPIC}` {:?} is one of `{}`", letters.name, topics.key()),
        "use another topic: every bad record would come back for ever",
    );
}
