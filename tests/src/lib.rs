//! What the suites on a real Apache Kafka are made of, and those that are played on the embedded cluster too: a
//! cluster of real brokers, Java programs beside it, a load whose acknowledged records are known, readers, and the
//! checker that compares both.
#![expect(clippy::disallowed_methods, reason = "real processes are measured by the real clock")]

pub mod assignors;
pub mod brokers;
pub mod certificates;
pub mod checker;
pub mod company;
pub mod either;
pub mod finished;
pub mod gathered;
pub mod java;
pub mod kafka;
pub mod load;
pub mod offsets;
pub mod ownership;
#[cfg(feature = "librdkafka")]
pub mod reader;
pub mod scenarios;
pub mod service;
pub mod simulated;
pub mod stage;
mod times;
pub mod writer;

use std::time::{Duration, Instant};

/// Asks `question` until it answers, every 20 ms.
///
/// # Errors
/// It had no answer within `limit`: the last reason.
pub fn within<T, E>(limit: Duration, mut question: impl FnMut() -> Result<T, E>) -> Result<T, E> {
    let end = Instant::now() + limit;
    loop {
        match question() {
            Ok(answer) => return Ok(answer),
            Err(reason) if Instant::now() >= end => return Err(reason),
            Err(_) => std::thread::sleep(Duration::from_millis(20)),
        }
    }
}
