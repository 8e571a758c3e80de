//! Kafka's wire protocol for steadfast: connections, one file per API, fetching, record batches.

pub mod blobs;
