//! krafka, on a runtime of its own.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use krafka::Kafka;
use krafka::consumer::{AutoOffsetReset, Consumer as Group};
use steadfast_tests::checker::{Checker, Delivered, Mark};
use tokio::runtime::Runtime;
use tokio::time::{sleep, timeout};

use super::client::{Consumer, Place};

const CALL_LIMIT: Duration = Duration::from_secs(20);
const POLL: Duration = Duration::from_millis(100);
/// After an error.
const REST: Duration = Duration::from_millis(100);

pub(super) struct Member {
    runtime: Runtime,
    checker: Arc<Mutex<Checker>>,
}

impl Member {
    pub(super) fn start(place: Place<'_>) -> io::Result<Member> {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        let checker = Arc::new(Mutex::new(Checker::default()));
        let joined = runtime.block_on(async { timeout(CALL_LIMIT, join(place)).await })?;
        drop(runtime.spawn(follow(joined.map_err(io::Error::other)?, checker.clone())));
        Ok(Member { runtime, checker })
    }
}

impl Consumer for Member {
    fn seen(&mut self) -> Checker {
        self.checker.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn end(self: Box<Self>) {
        self.runtime.shutdown_background();
    }
}

async fn join(Place { bootstrap, name }: Place<'_>) -> krafka::error::Result<Group> {
    let kafka = Kafka::builder(bootstrap).client_id("krafka").connect().await?;
    let group = kafka.consumer(name).auto_offset_reset(AutoOffsetReset::Earliest).build().await?;
    group.subscribe([name]).await?;
    Ok(group)
}

/// Polls for as long as the runtime lives.
async fn follow(group: Group, checker: Arc<Mutex<Checker>>) {
    loop {
        let Ok(records) = group.poll(POLL).await else {
            sleep(REST).await;
            continue;
        };
        let at = SystemTime::now();
        let mut checker = checker.lock().unwrap_or_else(PoisonError::into_inner);
        for record in &records {
            if let Some(mark) = record.value.as_deref().and_then(Mark::read) {
                checker.see(Delivered { mark, offset: record.offset, at });
            }
        }
    }
}
