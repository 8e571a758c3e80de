//! Writes a known number of records at once, batch by batch.

use std::collections::BTreeSet;
use std::io;
use std::time::Duration;

use rskafka::client::ClientBuilder;
use rskafka::client::partition::{Compression, UnknownTopicHandling};
use rskafka::record::Record;
use tokio::time::timeout;

use crate::checker::{Acked, Mark};
use crate::load::now;

/// rskafka retries without bound: every call to it is given this long.
const CALL_LIMIT: Duration = Duration::from_secs(20);

/// Records to be written.
#[derive(Debug, Clone)]
pub struct Filling<'a> {
    /// The real brokers.
    pub bootstrap: &'a str,
    /// An existing topic.
    pub topic: &'a str,
    /// Its partitions.
    pub partitions: i32,
    /// The sequences to write to each of them.
    pub sequences: std::ops::Range<u64>,
    /// How many records are one batch.
    pub batch: usize,
    /// Bytes that each value is longer by.
    pub padding: usize,
}

impl<'a> Filling<'a> {
    /// The sequences from 0 to `count` on each partition, as small records in batches of 100.
    pub fn new(bootstrap: &'a str, topic: &'a str, partitions: i32, count: u64) -> Filling<'a> {
        Filling { bootstrap, topic, partitions, sequences: 0..count, batch: 100, padding: 0 }
    }

    /// Writes them: what was acknowledged, which is all.
    ///
    /// # Errors
    /// A write failed, or had no answer within 20 s.
    pub fn write(&self) -> io::Result<Acked> {
        tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(self.write_all())
    }

    async fn write_all(&self) -> io::Result<Acked> {
        let bootstrap = self.bootstrap.split(',').map(str::to_owned).collect();
        let client = limited(ClientBuilder::new(bootstrap).build()).await?;
        let mut acked = Acked::new();
        for partition in 0..self.partitions {
            let to = client.partition_client(self.topic, partition, UnknownTopicHandling::Retry);
            let to = limited(to).await?;
            let sequences: Vec<u64> = self.sequences.clone().collect();
            for batch in sequences.chunks(self.batch) {
                let records = batch.iter().map(|sequence| self.record(partition, *sequence)).collect();
                limited(to.produce(records, Compression::NoCompression)).await?;
            }
            acked.insert(partition, BTreeSet::from_iter(sequences));
        }
        Ok(acked)
    }

    fn record(&self, partition: i32, sequence: u64) -> Record {
        let mut value = Mark { partition, sequence }.value();
        value.resize(value.len() + self.padding, b' ');
        Record {
            key: Some(sequence.to_string().into_bytes()),
            value: Some(value),
            headers: Default::default(),
            timestamp: now(),
        }
    }
}

async fn limited<T>(call: impl Future<Output = Result<T, rskafka::client::error::Error>>) -> io::Result<T> {
    timeout(CALL_LIMIT, call).await?.map_err(io::Error::other)
}
