//! Kafka's record batches (magic 2), read without copying and record by record.
//!
//! A fetch answer's records field goes through [`batch::batches`], which cuts it into batches and checks
//! them; [`aborted::TransactionFilter`] says which of them are delivered; [`batch::RecordBatch::decompress`]
//! gives a [`lazy::PlainBatch`], whose [`records`](lazy::PlainBatch::records) borrow from it. Nothing here
//! trusts a length or a count from the wire, and nothing is allocated for a record.

pub mod aborted;
pub mod batch;
pub mod compression;
pub mod lazy;
pub mod write;

mod varint;

#[cfg(test)]
mod tests;
