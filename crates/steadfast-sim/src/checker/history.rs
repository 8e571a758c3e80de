//! One partition's log, and what became of each of its records.

use std::collections::BTreeMap;

use steadfast_core::acked::Span;
use steadfast_core::ids::{AssignmentEpoch, FetchGeneration, Offset};
use steadfast_core::tick::Tick;

use super::happening::{Content, LogChange, Service};

/// To whom a record was delivered last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Handed {
    pub(super) service: Service,
    pub(super) assignment: AssignmentEpoch,
    pub(super) generation: FetchGeneration,
    pub(super) at: Tick,
}

/// One record.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub(super) content: Content,
    pub(super) appended: Tick,
    pub(super) handed: Option<Handed>,
    pub(super) acked: bool,
    /// Who acked it last, and under which assignment.
    pub(super) acked_by: Option<(Service, AssignmentEpoch)>,
}

/// The records that the log has, and the contents that it had at offsets before a truncation.
#[derive(Debug)]
pub(super) struct History {
    entries: BTreeMap<Offset, Entry>,
    former: BTreeMap<Offset, Vec<Content>>,
    /// Every record below it is acked or gone.
    floor: Offset,
}

impl Default for History {
    fn default() -> History {
        History { entries: BTreeMap::new(), former: BTreeMap::new(), floor: Offset(0) }
    }
}

impl History {
    /// The log changes.
    pub(super) fn change(&mut self, change: LogChange, at: Tick) {
        match change {
            LogChange::Appended(offset, content) => {
                let entry = Entry { content, appended: at, handed: None, acked: false, acked_by: None };
                self.entries.insert(offset, entry);
            }
            LogChange::Truncated(to) => {
                for (offset, entry) in self.entries.split_off(&to) {
                    self.former.entry(offset).or_default().push(entry.content);
                }
                self.floor = self.floor.min(to);
            }
            LogChange::Deleted(below) => {
                let kept = self.entries.split_off(&below);
                for (offset, entry) in std::mem::replace(&mut self.entries, kept) {
                    self.former.entry(offset).or_default().push(entry.content);
                }
                self.settle();
            }
        }
    }

    /// Nobody will ever ask for what is below `offset`.
    pub(super) fn forgo(&mut self, offset: Offset) {
        for (_, entry) in self.entries.range_mut(..offset) {
            entry.acked = true;
        }
        self.settle();
    }

    /// Whether the log has, or had, this content there.
    pub(super) fn holds(&self, offset: Offset, content: Content) -> bool {
        let now = self.entries.get(&offset).is_some_and(|entry| entry.content == content);
        now || self.former.get(&offset).is_some_and(|former| former.contains(&content))
    }

    /// The record there, if the log still has it with this content.
    pub(super) fn entry(&mut self, offset: Offset, content: Content) -> Option<&mut Entry> {
        self.entries.get_mut(&offset).filter(|entry| entry.content == content)
    }

    /// The first record of `span` that is not acked and for which `excused` does not speak.
    pub(super) fn first_open(&self, span: Span, excused: impl Fn(Offset, &Entry) -> bool) -> Option<Offset> {
        let from = span.from.max(self.floor);
        if from >= span.next {
            return None;
        }
        let mut open = self.entries.range(from..span.next).filter(|(_, entry)| !entry.acked);
        open.find(|(offset, entry)| !excused(**offset, entry)).map(|(offset, _)| *offset)
    }

    /// Everything in the span is processed.
    pub(super) fn ack(&mut self, span: Span, by: (Service, AssignmentEpoch)) {
        if !span.is_empty() {
            for (_, entry) in self.entries.range_mut(span.from..span.next) {
                entry.acked = true;
                entry.acked_by = Some(by);
            }
            self.settle();
        }
    }

    fn settle(&mut self) {
        let mut rest = self.entries.range(self.floor..);
        let open = rest.find(|(_, entry)| !entry.acked).map(|(offset, _)| *offset);
        let end = self.entries.last_key_value().map_or(self.floor, |(offset, _)| offset.next());
        self.floor = open.unwrap_or(end).max(self.floor);
    }

    /// The first record that is not acked.
    pub(super) fn oldest_open(&self) -> Option<(Offset, &Entry)> {
        let mut open = self.entries.range(self.floor..).filter(|(_, entry)| !entry.acked);
        open.next().map(|(offset, entry)| (*offset, entry))
    }

    /// The offset after the last record, if there is one.
    pub(super) fn end(&self) -> Option<Offset> {
        self.entries.last_key_value().map(|(offset, _)| offset.next())
    }

    /// Who acked the last record.
    pub(super) fn last_acker(&self) -> Option<Service> {
        self.entries.last_key_value()?.1.acked_by.map(|(service, _)| service)
    }

    /// How many records there are, and how many of them are acked.
    pub(super) fn count(&self) -> (usize, usize) {
        (self.entries.len(), self.entries.values().filter(|entry| entry.acked).count())
    }
}
