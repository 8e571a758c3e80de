//! What the [ledger](crate::ledger) kept, read again and told as a story.

mod entry;
mod episode;
mod facts;
mod story;
#[cfg(test)]
mod tests;

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use chrono::{DateTime, Utc};
use serde_json::Value;

use crate::events::Rebalance;
use crate::ledger;
use entry::Entry;
use episode::Episode;

/// Far above what the ledger writes into one file.
const MOST_BYTES: u64 = 16 << 20;

/// What is left of the past.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct History {
    entries: Vec<Entry>,
    /// Lines that are none, such as the last one after a power cut.
    unreadable: usize,
}

/// Which episodes are told.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Choice {
    /// Those that ended before are left out.
    pub(crate) since: Option<DateTime<Utc>>,
    /// The last one in which anything else than a start or a stop happened; without any, the last one.
    pub(crate) last: bool,
}

impl History {
    /// Reads both files of the state directory, the older first. None if there is neither.
    ///
    /// # Errors
    /// A file is there and cannot be read.
    pub(crate) fn read(directory: &Path) -> io::Result<Option<History>> {
        let names = [format!("{}.1", ledger::FILE), ledger::FILE.to_owned()];
        let mut found = None;
        for name in names {
            if let Some(text) = content(&directory.join(name))? {
                found.get_or_insert_with(History::default).add(&text);
            }
        }
        Ok(found)
    }

    fn add(&mut self, text: &str) {
        for line in text.lines().filter(|line| !line.trim().is_empty()) {
            match Entry::read(line) {
                Some(entry) => self.entries.push(entry),
                None => self.unreadable += 1,
            }
        }
    }

    /// The rebalances that are over, each with the time of its end.
    pub(crate) fn rebalances(&self) -> Vec<(DateTime<Utc>, Rebalance)> {
        let over = self.entries.iter().filter(|entry| entry.is("group.rebalance.completed"));
        let read = |entry: &Entry| {
            Some((entry.at, serde_json::from_value(Value::Object(entry.fields.clone())).ok()?))
        };
        over.filter_map(read).collect()
    }

    /// In Markdown.
    pub(crate) fn story(&self, group: &str, choice: Choice) -> String {
        story::markdown(group, &self.chosen(choice), self.unreadable)
    }

    /// The same for programs.
    pub(crate) fn json(&self, choice: Choice) -> Value {
        self.chosen(choice).iter().map(Episode::json).collect()
    }

    fn chosen(&self, choice: Choice) -> Vec<Episode<'_>> {
        let mut episodes = episode::episodes(&self.entries);
        if let Some(since) = choice.since {
            episodes.retain(|episode| episode.end() >= since);
        }
        if choice.last {
            let notable = episodes.iter().rposition(Episode::is_notable);
            let last = notable.or(episodes.len().checked_sub(1));
            episodes = last.map(|at| episodes.swap_remove(at)).into_iter().collect();
        }
        episodes
    }
}

/// The file's text. Bytes that are no text spoil their line only.
fn content(path: &Path) -> io::Result<Option<String>> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let mut bytes = Vec::new();
    file.take(MOST_BYTES).read_to_end(&mut bytes)?;
    Ok(Some(String::from_utf8_lossy(&bytes).into_owned()))
}
