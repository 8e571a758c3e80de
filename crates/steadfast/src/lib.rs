//! A Kafka consumer service that keeps its place while the cluster's endpoints drift.

pub mod cli;
pub mod config;
pub mod sinks;
