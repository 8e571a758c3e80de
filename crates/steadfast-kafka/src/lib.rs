//! Kafka's wire protocol for steadfast: connections, one file per API, fetching, record batches.
//!
//! Its public face speaks in steadfast-core's types. What came over a wire is checked before anything is
//! allocated for it, and every wait has a deadline.

pub mod api;
pub mod blobs;
pub mod connection;
pub mod fetch;
pub mod frame;
mod guard;
pub mod records;
pub mod security;
pub mod transport;
pub mod versions;
