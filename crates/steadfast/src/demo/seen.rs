//! What was seen of a run, from outside. Times are counted from the demo's begin, all by one clock.

use std::collections::BTreeMap;
use std::time::Duration;

use steadfast_core::endpoints::view::Address;
use steadfast_core::ids::NodeId;

use super::plan::Plan;
use crate::events::Event;

/// One record of the load: its value says which it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Mark {
    /// The partition that it was written to.
    pub(crate) partition: i32,
    /// Its number in that partition, from 0 on.
    pub(crate) sequence: u64,
}

impl Mark {
    /// The value of this record.
    pub(crate) fn value(&self) -> Vec<u8> {
        format!("{}/{}", self.partition, self.sequence).into_bytes()
    }

    /// Reads a record's value; none when it is no record of the load.
    pub(crate) fn read(value: &[u8]) -> Option<Mark> {
        let (partition, sequence) = std::str::from_utf8(value).ok()?.split_once('/')?;
        Some(Mark { partition: partition.parse().ok()?, sequence: sequence.parse().ok()? })
    }
}

/// A record that the cluster acknowledged to the producer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Acked {
    /// Which record.
    pub(crate) mark: Mark,
    /// Just before it was sent.
    pub(crate) sent: Duration,
}

/// A record that reached the sink.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Delivery {
    /// Which record.
    pub(crate) mark: Mark,
    /// The offset that it came from.
    pub(crate) offset: i64,
    /// When the sink was given it.
    pub(crate) at: Duration,
}

/// Something that the service told its observers.
#[derive(Debug, Clone)]
pub(crate) struct Told {
    /// When the observer was given it.
    pub(crate) at: Duration,
    /// What it told.
    pub(crate) event: Event,
}

/// The move of all endpoints.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Move {
    /// When it began.
    pub(crate) at: Duration,
    /// When the last old endpoint was of no use any more: what is written later cannot have been under way on an
    /// old connection.
    pub(crate) closed: Duration,
    /// Where each broker was.
    pub(crate) from: BTreeMap<NodeId, Address>,
    /// Where it is now.
    pub(crate) to: BTreeMap<NodeId, Address>,
    /// What did not move.
    pub(crate) bootstrap: Address,
}

/// Everything that was seen of a run.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    /// What was played.
    pub(crate) plan: Plan,
    /// By order of acknowledgement.
    pub(crate) acked: Vec<Acked>,
    /// By order of arrival.
    pub(crate) deliveries: Vec<Delivery>,
    /// By order of arrival.
    pub(crate) told: Vec<Told>,
    /// None when it did not come to it.
    pub(crate) moved: Option<Move>,
    /// How often the group's coordinator completed a round.
    pub(crate) rounds: usize,
    /// What did not go as it should, beside what the records show.
    pub(crate) trouble: Vec<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_is_read_as_it_is_written() {
        let mark = Mark { partition: 3, sequence: 99 };
        assert_eq!(Mark::read(&mark.value()), Some(mark));
        for other in [&b"3"[..], b"", b"/", b"3/x", b"99999999999/1", b"\xff/1"] {
            assert_eq!(Mark::read(other), None);
        }
    }
}
