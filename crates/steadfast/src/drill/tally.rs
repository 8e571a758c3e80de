//! What was appended, and how often each of it was delivered and processed.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use steadfast_core::ids::{Offset, Partition};

use super::journal::{Answer, Happening, What};

/// The records of all partitions, as the journal tells of them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tally {
    records: BTreeMap<Partition, BTreeMap<Offset, Counted>>,
    events: BTreeMap<String, u64>,
    /// How many groups read each record, if more than one do.
    readers: u32,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Counted {
    appended: bool,
    delivered: u32,
    processed: u32,
}

impl Tally {
    /// So many groups read each record.
    pub(super) fn read_by(&mut self, readers: usize) {
        self.readers = u32::try_from(readers).unwrap_or(u32::MAX);
    }

    /// Counts what happened.
    pub fn count(&mut self, happening: &Happening) {
        match &happening.what {
            What::Appended(partition, span) => {
                for offset in span.from.0..span.next.0 {
                    self.counted(partition, Offset(offset)).appended = true;
                }
            }
            What::Delivered(batch) => {
                for offset in &*batch.offsets {
                    self.counted(&batch.partition, *offset).delivered += 1;
                }
            }
            What::Answered(batch, Answer::Done) => {
                for offset in &*batch.offsets {
                    self.counted(&batch.partition, *offset).processed += 1;
                }
            }
            What::Logged(line) if line.name() == "record.dead_lettered" => {
                let json = line.json();
                let place = json["messaging.destination.name"].as_str().zip(index(&json));
                if let (Some((topic, index)), Some(offset)) = (place, json["messaging.kafka.offset"].as_i64())
                {
                    self.counted(&Partition::new(topic, index), Offset(offset)).processed += 1;
                }
                self.count_event(line.name());
            }
            What::Logged(line) => self.count_event(line.name()),
            What::Answered(batch, Answer::Rejected(bad)) => {
                for offset in batch.offsets.iter().filter(|offset| *offset < bad) {
                    self.counted(&batch.partition, *offset).processed += 1;
                }
            }
            What::Answered(..) | What::Started(_) | What::Ended(..) => {}
            What::Rewritten(..) | What::Wire(_) | What::Injected(_) | What::Noticed(_) => {}
        }
    }

    fn count_event(&mut self, name: &str) {
        match self.events.get_mut(name) {
            Some(count) => *count += 1,
            None => drop(self.events.insert(name.to_owned(), 1)),
        }
    }

    fn counted(&mut self, partition: &Partition, offset: Offset) -> &mut Counted {
        if !self.records.contains_key(partition) {
            self.records.insert(partition.clone(), BTreeMap::new());
        }
        match self.records.get_mut(partition) {
            Some(records) => records.entry(offset).or_default(),
            None => unreachable!("inserted above"),
        }
    }

    fn records(&self) -> impl Iterator<Item = (&Partition, Offset, Counted)> {
        let records = self.records.iter();
        records.flat_map(|(partition, records)| records.iter().map(move |(at, of)| (partition, *at, *of)))
    }

    /// Records that were appended.
    pub fn appended(&self) -> usize {
        self.records().filter(|(_, _, counted)| counted.appended).count()
    }

    /// Records that were processed, each once.
    pub fn processed(&self) -> usize {
        self.records().filter(|(_, _, counted)| counted.processed > 0).count()
    }

    /// Records that were appended and not processed, by partition.
    pub fn missing(&self) -> BTreeMap<Partition, BTreeSet<Offset>> {
        self.by_partition(|counted| counted.appended && counted.processed < self.readers.max(1))
    }

    /// How many records were left out: not processed, though a later one of their partition was.
    pub fn skipped(&self) -> usize {
        let of = |records: &BTreeMap<Offset, Counted>| {
            let last = records.iter().rev().find(|(_, counted)| counted.processed > 0).map(|(at, _)| *at);
            let left_out = |(at, counted): &(&Offset, &Counted)| {
                Some(**at) < last && counted.appended && counted.processed == 0
            };
            records.iter().filter(left_out).count()
        };
        self.records.values().map(of).sum()
    }

    /// Records that were delivered more than once, by partition.
    pub fn redelivered(&self) -> BTreeMap<Partition, BTreeSet<Offset>> {
        self.by_partition(|counted| counted.delivered > self.readers.max(1))
    }

    fn by_partition(&self, wanted: impl Fn(Counted) -> bool) -> BTreeMap<Partition, BTreeSet<Offset>> {
        let mut found: BTreeMap<Partition, BTreeSet<Offset>> = BTreeMap::new();
        for (partition, offset, _) in self.records().filter(|(_, _, counted)| wanted(*counted)) {
            found.entry(partition.clone()).or_default().insert(offset);
        }
        found
    }

    /// How many events of this name were logged.
    pub fn events(&self, name: &str) -> u64 {
        self.events.get(name).copied().unwrap_or(0)
    }
}

fn index(event: &Value) -> Option<i32> {
    i32::try_from(event["messaging.destination.partition.id"].as_i64()?).ok()
}
