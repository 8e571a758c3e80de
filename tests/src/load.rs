//! A producer that knows what was acknowledged.

use std::collections::BTreeSet;
use std::io;
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime};

use rskafka::client::partition::{Compression, PartitionClient, UnknownTopicHandling};
use rskafka::client::{Client, ClientBuilder};
use rskafka::record::Record;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, timeout};

use crate::checker::{Acked, Mark};
use crate::within;

/// rskafka retries without bound: every call to it is given this long.
const CALL_LIMIT: Duration = Duration::from_secs(5);
const STOP_LIMIT: Duration = Duration::from_secs(15);

/// What is written where.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The real brokers, `host:port,host:port`: the load does not go through the proxy.
    pub bootstrap: String,
    /// An existing topic.
    pub topic: String,
    /// Its partitions; each is written to at the same rate.
    pub partitions: i32,
    /// Records per second, over all partitions.
    pub per_second: u32,
}

/// One acknowledged record.
#[derive(Debug, Clone, Copy)]
struct Answer {
    mark: Mark,
    /// Taken just before it was sent.
    sent: SystemTime,
    /// When its acknowledgement was read.
    acknowledged: SystemTime,
}

/// A running load on a thread and runtime of its own. Each partition has one record in flight at most, so
/// offsets follow sequences. Dropping it ends it.
pub struct Load {
    acked: Arc<Mutex<Acked>>,
    answers: Arc<Mutex<Vec<Answer>>>,
    stop: watch::Sender<bool>,
    thread: Option<JoinHandle<()>>,
}

impl Load {
    /// Begins to write, and returns when every partition has a record.
    ///
    /// # Errors
    /// No runtime could be made, or the first records are not acknowledged within 30 s.
    pub fn start(plan: Plan) -> io::Result<Load> {
        let partitions = 0..plan.partitions;
        Load::over(plan, partitions)
    }

    /// The same for these partitions only, each at the rate that it would have among all of the plan's.
    ///
    /// # Errors
    /// As [`Load::start`].
    pub fn over(plan: Plan, partitions: Range<i32>) -> io::Result<Load> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (stop, stopped) = watch::channel(false);
        let acked = Arc::new(Mutex::new(Acked::new()));
        let answers = Arc::new(Mutex::new(Vec::new()));
        let (writing, count) = ((acked.clone(), answers.clone()), partitions.len());
        let thread = std::thread::Builder::new().name("load".to_owned());
        let thread = thread.spawn(move || runtime.block_on(write_all(plan, partitions, writing, stopped)))?;
        let load = Load { acked, answers, stop, thread: Some(thread) };
        within(2 * STOP_LIMIT, || {
            let begun = load.acked().len();
            let all = count == begun;
            all.then_some(())
                .ok_or_else(|| io::Error::other(format!("{begun} of {count} partitions written")))
        })?;
        Ok(load)
    }

    /// What has been acknowledged so far.
    pub fn acked(&self) -> Acked {
        self.acked.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The records that were acknowledged from `since` on, each with the time at which its acknowledgement was read.
    pub fn acked_since(&self, since: SystemTime) -> Vec<(Mark, SystemTime)> {
        let answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        let late = answers.iter().rev().take_while(|answer| answer.acknowledged >= since);
        let mut late: Vec<_> = late.map(|answer| (answer.mark, answer.acknowledged)).collect();
        late.reverse();
        late
    }

    /// The records that were sent after `since` and are acknowledged: none of them was under way before.
    pub fn sent_after(&self, since: SystemTime) -> BTreeSet<Mark> {
        let answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        answers.iter().filter(|answer| answer.sent > since).map(|answer| answer.mark).collect()
    }

    /// Ends the load when what is in flight is decided: what was acknowledged in all.
    ///
    /// # Errors
    /// It does not end within 15 s, or it panicked.
    pub fn stop(mut self) -> io::Result<Acked> {
        self.stop.send_replace(true);
        let Some(thread) = self.thread.take() else { return Ok(self.acked()) };
        within(STOP_LIMIT, || {
            thread.is_finished().then_some(()).ok_or_else(|| io::Error::other("the load does not end"))
        })?;
        thread.join().map_err(|_| io::Error::other("the load panicked"))?;
        Ok(self.acked())
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.stop.send_replace(true);
    }
}

/// What was acknowledged, and when.
type Noted = (Arc<Mutex<Acked>>, Arc<Mutex<Vec<Answer>>>);

async fn write_all(plan: Plan, partitions: Range<i32>, acked: Noted, stopped: watch::Receiver<bool>) {
    let plan = Arc::new(plan);
    let mut writers = JoinSet::new();
    for partition in partitions {
        writers.spawn(write(plan.clone(), partition, acked.clone(), stopped.clone()));
    }
    while let Some(ended) = writers.join_next().await {
        if let Err(panicked) = ended {
            std::panic::resume_unwind(panicked.into_panic());
        }
    }
}

/// Writes one partition until it is stopped. A sequence whose fate is unknown is given up, not tried again.
async fn write(plan: Arc<Plan>, partition: i32, (acked, answers): Noted, mut stopped: watch::Receiver<bool>) {
    let every = Duration::from_secs(1) * plan.partitions.unsigned_abs() / plan.per_second.max(1);
    let mut beat = tokio::time::interval(every);
    beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut to = None;
    for sequence in 0.. {
        tokio::select! {
            biased;
            _ = stopped.wait_for(|stopped| *stopped) => return,
            _ = beat.tick() => {}
        }
        if to.is_none() {
            to = connect(&plan, partition).await;
        }
        let Some((_, client)) = &to else { continue };
        let mark = Mark { partition, sequence };
        let record =
            Record { key: None, value: Some(mark.value()), headers: Default::default(), timestamp: now() };
        let sent = SystemTime::now();
        match timeout(CALL_LIMIT, client.produce(vec![record], Compression::NoCompression)).await {
            Ok(Ok(_)) => {
                let mut acked = acked.lock().unwrap_or_else(PoisonError::into_inner);
                acked.entry(partition).or_default().insert(sequence);
                let answer = Answer { mark, sent, acknowledged: SystemTime::now() };
                answers.lock().unwrap_or_else(PoisonError::into_inner).push(answer);
            }
            Ok(Err(_)) | Err(_) => to = None,
        }
    }
}

/// The partition's client, and the client whose connections it lives on.
async fn connect(plan: &Plan, partition: i32) -> Option<(Client, PartitionClient)> {
    let bootstrap = plan.bootstrap.split(',').map(str::to_owned).collect();
    let client = timeout(CALL_LIMIT, ClientBuilder::new(bootstrap).build()).await.ok()?.ok()?;
    let to = client.partition_client(&plan.topic, partition, UnknownTopicHandling::Retry);
    let to = timeout(CALL_LIMIT, to).await.ok()?.ok()?;
    Some((client, to))
}

pub(crate) fn now() -> chrono::DateTime<chrono::Utc> {
    let since_epoch = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let ms = i64::try_from(since_epoch.as_millis()).unwrap_or_default();
    chrono::DateTime::from_timestamp_millis(ms).unwrap_or_default()
}
