//! A consumer by librdkafka that tells the checker what it is given.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime};

use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext, Rebalance};
use rdkafka::message::BorrowedMessage;
use rdkafka::{ClientConfig, ClientContext, Message};

use crate::checker::{Acked, Checker, Delivered, Mark, Verdict};
use crate::ownership::Turn;
use crate::within;

const POLL: Duration = Duration::from_millis(50);

/// librdkafka's version.
pub fn version() -> String {
    rdkafka::util::get_rdkafka_version().1
}

/// A librdkafka consumer on a thread of its own. Dropping it has it leave the group, but does not wait for that:
/// after a drift librdkafka takes up to a minute to close.
pub struct Reader {
    checker: Arc<Mutex<Checker>>,
    turns: Turns,
    stop: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

/// What its callbacks say, also while it leaves.
#[derive(Clone, Default)]
pub struct Turns(Arc<Mutex<Vec<Turn>>>);

impl Turns {
    /// All of it so far.
    pub fn said(&self) -> Vec<Turn> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl ClientContext for Turns {}

impl ConsumerContext for Turns {
    /// On the thread that polls: what is revoked is not read any more from here on.
    fn pre_rebalance(&self, _: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        let (has, partitions) = match rebalance {
            Rebalance::Assign(partitions) => (true, partitions),
            Rebalance::Revoke(partitions) => (false, partitions),
            Rebalance::Error(_) => return,
        };
        let partitions = partitions.elements().iter().map(|one| i64::from(one.partition())).collect();
        let turn = Turn { at: SystemTime::now(), has, partitions };
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(turn);
    }
}

impl Reader {
    /// Joins `group` and reads `topic` from its beginning. `settings` are librdkafka's; those of the group and the
    /// bootstrap servers are set.
    ///
    /// # Errors
    /// A setting is wrong, or no thread could be made.
    pub fn start(bootstrap: &str, group: &str, topic: &str, settings: &[(&str, &str)]) -> io::Result<Reader> {
        let mut config = ClientConfig::new();
        config
            .set("bootstrap.servers", bootstrap)
            .set("group.id", group)
            .set("auto.offset.reset", "earliest")
            // Its close polls on, and would commit records that nobody was given.
            .set("enable.auto.offset.store", "false");
        for (key, value) in settings {
            config.set(*key, *value);
        }
        let turns = Turns::default();
        let consumer: BaseConsumer<Turns> =
            config.create_with_context(turns.clone()).map_err(io::Error::other)?;
        consumer.subscribe(&[topic]).map_err(io::Error::other)?;
        let (checker, stop) = (Arc::new(Mutex::new(Checker::default())), Arc::new(AtomicBool::new(false)));
        let (noted, stopped) = (checker.clone(), stop.clone());
        let thread = std::thread::Builder::new().name("reader".to_owned());
        let thread = thread.spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                // Errors are librdkafka's reports of what it mends itself.
                let Some(Ok(message)) = consumer.poll(POLL) else { continue };
                if let Some(delivered) = delivered(&message) {
                    noted.lock().unwrap_or_else(PoisonError::into_inner).see(delivered);
                }
                // Refused only for a partition that is not assigned any more, and so given to another again.
                drop(consumer.store_offset_from_message(&message));
            }
        })?;
        Ok(Reader { checker, turns, stop, thread })
    }

    /// What it has been given so far.
    pub fn checker(&self) -> Checker {
        self.checker.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What its callbacks say of its partitions.
    pub fn turns(&self) -> Turns {
        self.turns.clone()
    }

    /// Waits until all of `acked` is delivered, and judges.
    ///
    /// # Errors
    /// Something is outstanding after `limit`.
    pub fn verdict_within(&self, limit: Duration, acked: &Acked) -> io::Result<Verdict> {
        within(limit, || {
            let outstanding = self.checker().outstanding(acked);
            let first = outstanding.first();
            first.map_or(Ok(()), |first| {
                Err(io::Error::other(format!(
                    "{} records did not come, the first is {first:?}",
                    outstanding.len()
                )))
            })
        })?;
        Ok(self.checker().verdict(acked))
    }

    /// Has it commit and leave the group, and does not wait for that.
    pub fn begin_to_leave(&self) {
        self.stop.store(true, Ordering::Relaxed);
    }

    /// Has it commit and leave the group, and waits until it has.
    ///
    /// # Errors
    /// It did not close within `limit`.
    pub fn leave(self, limit: Duration) -> io::Result<Checker> {
        self.begin_to_leave();
        within(limit, || {
            let closed = self.thread.is_finished();
            closed
                .then_some(())
                .ok_or_else(|| io::Error::other(format!("librdkafka did not close within {limit:?}")))
        })?;
        Ok(self.checker())
    }
}

/// None for a record that is not the load's.
fn delivered(message: &BorrowedMessage<'_>) -> Option<Delivered> {
    let mark = Mark::read(message.payload()?)?;
    Some(Delivered { mark, offset: message.offset(), at: SystemTime::now() })
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}
