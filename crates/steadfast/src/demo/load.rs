//! The load: rskafka, over TCP. It retries without bound, so every call to it has a deadline.

use std::collections::BTreeMap;
use std::time::Duration;

use chrono::DateTime;
use futures::TryFutureExt;
use futures::future::try_join_all;
use rskafka::client::partition::{Compression, PartitionClient, UnknownTopicHandling};
use rskafka::client::{Client, ClientBuilder};
use rskafka::record::Record;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout, timeout_at};

use super::notes::Notes;
use super::plan::Plan;
use super::seen::Mark;
use crate::env::WallClock;

/// For one call.
const CALL_LIMIT: Duration = Duration::from_secs(1);
/// For everything, on top of the time that the load should take.
const GRACE: Duration = Duration::from_secs(2);
/// A writer that is behind writes so many records in one request.
const MOST_AT_ONCE: u64 = 500;

/// A load that is ready to begin. Each partition has one request in flight at most, so that offsets follow
/// sequences.
pub(crate) struct Load {
    plan: Plan,
    wall_clock: WallClock,
    /// Keeps the connections that the writers share.
    _client: Client,
    partitions: Vec<(i32, PartitionClient)>,
}

/// Why there is no load, or not all of it.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LoadError {
    /// The cluster could not be asked.
    #[error("the producer cannot use {to}: {reason}")]
    Connect {
        /// The brokers that were asked.
        to: String,
        /// What became of it.
        reason: String,
    },
    /// Time was up, or requests failed.
    #[error("only {acked} of {expected} records were acknowledged to the producer")]
    Unacked {
        /// What is acknowledged.
        acked: usize,
        /// What should be.
        expected: u64,
    },
}

impl Load {
    /// Connects to the cluster and to every partition's leader, at most until `limit`.
    pub(crate) async fn connect(
        plan: Plan,
        bootstrap: Vec<String>,
        topic: &str,
        wall_clock: WallClock,
        limit: Instant,
    ) -> Result<Load, LoadError> {
        let wrong = |reason: &dyn ToString| LoadError::Connect {
            to: bootstrap.join(","),
            reason: reason.to_string(),
        };
        let client = timeout_at(limit, ClientBuilder::new(bootstrap.clone()).build());
        let client = client.await.map_err(|late| wrong(&late))?.map_err(|error| wrong(&error))?;
        let connect = |partition| {
            let its = client.partition_client(topic, partition, UnknownTopicHandling::Retry);
            its.map_ok(move |its| (partition, its))
        };
        let partitions = timeout_at(limit, try_join_all((0..plan.partitions).map(connect)));
        let partitions = partitions.await.map_err(|late| wrong(&late))?.map_err(|error| wrong(&error))?;
        Ok(Load { plan, wall_clock, _client: client, partitions })
    }

    /// Writes everything, at most until `limit`, and notes what is acknowledged.
    pub(crate) async fn write(self, notes: &Notes, limit: Instant) -> Result<(), LoadError> {
        let Load { plan, wall_clock, _client, partitions } = self;
        let begin = Instant::now();
        let mut writers = JoinSet::new();
        for (partition, client) in partitions {
            let writer = Writer {
                plan,
                partition,
                client,
                begin: begin + plan.offset_of(partition),
                notes: notes.clone(),
                wall_clock: wall_clock.clone(),
            };
            writers.spawn(writer.write());
        }
        let all = async { while writers.join_next().await.is_some() {} };
        // What is not written by then is given up.
        let _ = timeout_at(limit.min(begin + plan.load() + GRACE), all).await;
        let acked = notes.read(|written| written.acked.len());
        match u64::try_from(acked) == Ok(plan.records) {
            true => Ok(()),
            false => Err(LoadError::Unacked { acked, expected: plan.records }),
        }
    }
}

/// Who writes one partition.
struct Writer {
    plan: Plan,
    partition: i32,
    client: PartitionClient,
    begin: Instant,
    notes: Notes,
    wall_clock: WallClock,
}

impl Writer {
    /// Writes what is due, until all is written. What is not acknowledged is given up, not tried again: its fate is
    /// unknown.
    async fn write(self) {
        let (mut next, all) = (0, self.plan.records_of(self.partition));
        while next < all {
            sleep_until(
                self.begin + self.plan.beat().saturating_mul(u32::try_from(next).unwrap_or(u32::MAX)),
            )
            .await;
            let until = due(self.begin.elapsed(), self.plan.beat(), next, all);
            let marks: Vec<Mark> =
                (next..until).map(|sequence| Mark { partition: self.partition, sequence }).collect();
            let records = marks.iter().map(|mark| self.record(mark)).collect();
            let sent = self.notes.now();
            let answer = timeout(CALL_LIMIT, self.client.produce(records, Compression::NoCompression)).await;
            if matches!(answer, Ok(Ok(_))) {
                marks.iter().for_each(|mark| self.notes.acked(*mark, sent));
            }
            next = until;
        }
    }

    fn record(&self, mark: &Mark) -> Record {
        let timestamp = DateTime::from_timestamp_millis(self.wall_clock.millis()).unwrap_or_default();
        Record { key: None, value: Some(mark.value()), headers: BTreeMap::new(), timestamp }
    }
}

/// Up to which record is written now: the next one, and those that are due as well.
fn due(elapsed: Duration, beat: Duration, next: u64, all: u64) -> u64 {
    let due = elapsed.as_nanos() / beat.as_nanos().max(1) + 1;
    let due = u64::try_from(due).unwrap_or(u64::MAX);
    due.clamp(next + 1, next + MOST_AT_ONCE).min(all)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::demo::sample::ms;

    #[test]
    fn one_record_is_written_at_a_time_unless_the_writer_is_behind() {
        assert_eq!(due(ms(0), ms(10), 0, 100), 1);
        assert_eq!(due(ms(10), ms(10), 1, 100), 2);
        assert_eq!(due(ms(9), ms(10), 1, 100), 2, "a timer may be early");
        assert_eq!(due(ms(55), ms(10), 2, 100), 6);
        assert_eq!(due(ms(9_000), ms(10), 2, 100), 100);
        assert_eq!(due(ms(9_000_000), ms(1), 2, 100_000), 502);
    }
}
