//! What was appended, and how often each of it was delivered and processed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::Value;
use steadfast_core::ids::{Offset, Partition};

use super::journal::{Answer, Happening, What};

/// The records of all partitions, as the journal tells of them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tally {
    records: BTreeMap<Partition, BTreeMap<Offset, Record>>,
    events: BTreeMap<String, u64>,
    /// The services that read each record, with their places in [`Record::counted`]; none if they share them.
    apart: BTreeMap<Arc<str>, usize>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Record {
    appended: bool,
    /// By service, where each reads everything; else there is one. What is not there is zero.
    counted: Vec<Counted>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Counted {
    delivered: u32,
    processed: u32,
}

impl Record {
    fn of(&mut self, reader: usize) -> &mut Counted {
        if self.counted.len() <= reader {
            self.counted.resize(reader + 1, Counted::default());
        }
        &mut self.counted[reader]
    }

    fn by(&self, reader: usize) -> Counted {
        self.counted.get(reader).copied().unwrap_or_default()
    }
}

impl Tally {
    /// This service reads every record, whoever else does.
    pub(super) fn read_by(&mut self, service: Arc<str>) {
        let place = self.apart.len();
        self.apart.entry(service).or_insert(place);
    }

    /// How many have to read each record.
    fn readers(&self) -> usize {
        self.apart.len().max(1)
    }

    /// Counts what happened.
    pub fn count(&mut self, happening: &Happening) {
        match &happening.what {
            What::Appended(partition, span) => {
                for offset in span.from.0..span.next.0 {
                    self.record(partition, Offset(offset)).appended = true;
                }
            }
            What::Delivered(batch) => {
                for offset in &*batch.offsets {
                    self.counted(&batch.service, &batch.partition, *offset).delivered += 1;
                }
            }
            What::Answered(batch, Answer::Done) => {
                for offset in &*batch.offsets {
                    self.counted(&batch.service, &batch.partition, *offset).processed += 1;
                }
            }
            What::Logged(line) if line.name() == "record.dead_lettered" => {
                let json = line.json();
                let place = json["messaging.destination.name"].as_str().zip(index(&json));
                if let (Some((topic, index)), Some(offset)) = (place, json["messaging.kafka.offset"].as_i64())
                {
                    let partition = Partition::new(topic, index);
                    self.counted(line.service(), &partition, Offset(offset)).processed += 1;
                }
                self.count_event(line.name());
            }
            What::Logged(line) => self.count_event(line.name()),
            What::Answered(batch, Answer::Rejected(bad)) => {
                for offset in batch.offsets.iter().filter(|offset| *offset < bad) {
                    self.counted(&batch.service, &batch.partition, *offset).processed += 1;
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

    fn counted(&mut self, service: &str, partition: &Partition, offset: Offset) -> &mut Counted {
        let reader = self.apart.get(service).copied().unwrap_or(0);
        self.record(partition, offset).of(reader)
    }

    fn record(&mut self, partition: &Partition, offset: Offset) -> &mut Record {
        if !self.records.contains_key(partition) {
            self.records.insert(partition.clone(), BTreeMap::new());
        }
        match self.records.get_mut(partition) {
            Some(records) => records.entry(offset).or_default(),
            None => unreachable!("inserted above"),
        }
    }

    fn records(&self) -> impl Iterator<Item = (&Partition, Offset, &Record)> {
        let records = self.records.iter();
        records.flat_map(|(partition, records)| records.iter().map(move |(at, of)| (partition, *at, of)))
    }

    /// Records that were appended.
    pub fn appended(&self) -> usize {
        self.records().filter(|(_, _, record)| record.appended).count()
    }

    /// Records that were processed, each once.
    pub fn processed(&self) -> usize {
        let processed = |record: &Record| record.counted.iter().any(|counted| counted.processed > 0);
        self.records().filter(|(_, _, record)| processed(record)).count()
    }

    /// Records that were appended and that somebody has not processed who should have, by partition.
    pub fn missing(&self) -> BTreeMap<Partition, BTreeSet<Offset>> {
        let missed = |record: &Record| (0..self.readers()).any(|reader| record.by(reader).processed == 0);
        self.by_partition(|record| record.appended && missed(record))
    }

    /// How many records were left out: not processed, though whoever reads them has processed a later one of their
    /// partition.
    pub fn skipped(&self) -> usize {
        let processed = |record: &Record, reader| record.by(reader).processed > 0;
        let of = |records: &BTreeMap<Offset, Record>| {
            let last = |reader| records.iter().rev().find(|(_, record)| processed(record, reader));
            let last: Vec<_> = (0..self.readers()).map(|reader| last(reader).map(|(at, _)| *at)).collect();
            let left_out = |at: Offset, record: &Record| {
                let readers = last.iter().enumerate();
                let left_out =
                    |(reader, last): (usize, &Option<Offset>)| Some(at) < *last && !processed(record, reader);
                record.appended && readers.into_iter().any(left_out)
            };
            records.iter().filter(|(at, record)| left_out(**at, record)).count()
        };
        self.records.values().map(of).sum()
    }

    /// Records that were delivered to somebody more than once, by partition.
    pub fn redelivered(&self) -> BTreeMap<Partition, BTreeSet<Offset>> {
        self.by_partition(|record| record.counted.iter().any(|counted| counted.delivered > 1))
    }

    fn by_partition(&self, wanted: impl Fn(&Record) -> bool) -> BTreeMap<Partition, BTreeSet<Offset>> {
        let mut found: BTreeMap<Partition, BTreeSet<Offset>> = BTreeMap::new();
        for (partition, offset, _) in self.records().filter(|(_, _, record)| wanted(record)) {
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

#[cfg(test)]
mod tests {
    use steadfast_core::acked::Span;
    use steadfast_core::ids::{AssignmentEpoch, FetchGeneration, HandlerIncarnation, NodeId};
    use steadfast_core::progress::Lease;
    use steadfast_core::tick::Tick;

    use super::*;
    use crate::drill::journal::Delivered;

    fn orders() -> Partition {
        Partition::new("orders", 0)
    }

    fn count(tally: &mut Tally, what: What) {
        tally.count(&Happening { at: Tick::ZERO, what });
    }

    fn appended(tally: &mut Tally, records: i64) {
        count(tally, What::Appended(orders(), Span::new(Offset(0), Offset(records))));
    }

    /// The service gets this record, and is done with it.
    fn read(tally: &mut Tally, service: &str, offset: i64) {
        let batch = Delivered {
            service: service.into(),
            partition: orders(),
            leader: NodeId(1),
            span: Span::new(Offset(offset), Offset(offset + 1)),
            offsets: [Offset(offset)].into(),
            contents: [0].into(),
            lease: Lease {
                assignment: AssignmentEpoch(1),
                handler: HandlerIncarnation(1),
                generation: FetchGeneration(1),
            },
            current: true,
        };
        count(tally, What::Delivered(batch.clone()));
        count(tally, What::Answered(batch, Answer::Done));
    }

    #[test]
    fn what_one_service_missed_another_does_not_make_up_for() {
        let mut tally = Tally::default();
        for service in ["a", "b", "a"] {
            tally.read_by(service.into());
        }
        appended(&mut tally, 2);
        for (service, offset) in [("a", 0), ("a", 0), ("a", 1), ("b", 1)] {
            read(&mut tally, service, offset);
        }
        let first = BTreeMap::from([(orders(), BTreeSet::from([Offset(0)]))]);
        assert_eq!((tally.missing(), tally.redelivered(), tally.skipped()), (first.clone(), first, 1));
        read(&mut tally, "b", 0);
        assert_eq!((tally.missing(), tally.skipped()), (BTreeMap::new(), 0));
    }

    #[test]
    fn members_of_one_group_read_each_record_once_in_all() {
        let mut tally = Tally::default();
        appended(&mut tally, 3);
        read(&mut tally, "a", 0);
        read(&mut tally, "b", 2);
        assert_eq!((tally.missing().len(), tally.redelivered().len(), tally.skipped()), (1, 0, 1));
        read(&mut tally, "b", 0);
        read(&mut tally, "a", 1);
        assert_eq!((tally.missing().len(), tally.redelivered().len(), tally.skipped()), (0, 1, 0));
    }
}
