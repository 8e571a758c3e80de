//! rskafka: a stream for each partition, on a runtime of its own.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use futures::StreamExt;
use rskafka::client::consumer::{StartOffset, StreamConsumerBuilder};
use rskafka::client::error::Error;
use rskafka::client::partition::{PartitionClient, UnknownTopicHandling};
use rskafka::client::{Client, ClientBuilder};
use steadfast_tests::checker::{Checker, Delivered, Mark};
use tokio::runtime::Runtime;
use tokio::time::{sleep, timeout};

use super::client::{Consumer, Place};
use crate::ground::PARTITIONS;

/// rskafka retries without bound: at the beginning every call to it is given this long.
const CALL_LIMIT: Duration = Duration::from_secs(20);
/// A stream ends with its first error. It is begun anew after this time.
const REST: Duration = Duration::from_millis(100);

pub(super) struct Streams {
    runtime: Runtime,
    checker: Arc<Mutex<Checker>>,
    /// The connections live on it.
    _client: Client,
}

impl Streams {
    pub(super) fn start(place: Place<'_>) -> io::Result<Streams> {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        let checker = Arc::new(Mutex::new(Checker::default()));
        let client = runtime.block_on(follow_all(place, &checker))?;
        Ok(Streams { runtime, checker, _client: client })
    }
}

impl Consumer for Streams {
    fn seen(&mut self) -> Checker {
        self.checker.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn end(self: Box<Self>) {
        self.runtime.shutdown_background();
    }
}

async fn follow_all(
    Place { bootstrap, name }: Place<'_>,
    checker: &Arc<Mutex<Checker>>,
) -> io::Result<Client> {
    let client = limited(ClientBuilder::new(vec![bootstrap.to_owned()]).build()).await?;
    for partition in 0..PARTITIONS {
        let of = client.partition_client(name, partition, UnknownTopicHandling::Retry);
        drop(tokio::spawn(follow(Arc::new(limited(of).await?), checker.clone())));
    }
    Ok(client)
}

/// Reads a partition from its beginning, for as long as the runtime lives.
async fn follow(partition: Arc<PartitionClient>, checker: Arc<Mutex<Checker>>) {
    let mut from = StartOffset::Earliest;
    loop {
        let mut stream = StreamConsumerBuilder::new(partition.clone(), from).build();
        while let Some(Ok((record, _))) = stream.next().await {
            let at = SystemTime::now();
            from = StartOffset::At(record.offset + 1);
            let mark = record.record.value.as_deref().and_then(Mark::read);
            if let Some(mark) = mark {
                let delivered = Delivered { mark, offset: record.offset, at };
                checker.lock().unwrap_or_else(PoisonError::into_inner).see(delivered);
            }
        }
        sleep(REST).await;
    }
}

async fn limited<T>(call: impl Future<Output = Result<T, Error>>) -> io::Result<T> {
    timeout(CALL_LIMIT, call).await?.map_err(io::Error::other)
}
