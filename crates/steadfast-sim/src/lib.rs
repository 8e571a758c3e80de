//! A Kafka cluster in memory that real clients can talk to and that breaks on command; and the drift proxy,
//! which moves the advertised endpoints of a real cluster.
//!
//! [`cluster`] is pure: it owns no clock, socket or task. What serves it over streams stands apart.

mod api;
#[cfg(test)]
mod asking;
pub mod batch;
pub mod call;
pub mod checker;
pub mod cluster;
pub mod consumer_group;
pub mod embedded;
pub mod faults;
pub mod group;
pub mod groups;
pub mod guise;
mod log;
pub mod names;
pub mod network;
pub mod notice;
pub mod offsets;
mod port;
mod producers;
pub mod proxy;
pub mod schedule;
pub mod serve;
pub mod tcp;
pub mod topics;
mod transactions;
