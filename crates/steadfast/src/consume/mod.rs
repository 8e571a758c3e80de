//! A record's way: fetch loop, batch, handler, progress, checkpoint.

pub(crate) mod bad_records;
pub mod batch;
pub mod checkpointer;
pub mod consumer;
pub mod handlers;
pub mod intake;
pub mod letter;
pub mod progress;
