//! The whole service under virtual time, against a cluster in memory: its real actors in their real wiring.
//!
//! `world` is about the simulation itself. The other rooms are a specification, by subject: what befalls the cluster,
//! what the service does about it, and within what time. Virtual time is exact, and so are the bounds.

#![expect(clippy::unwrap_used, reason = "what fails here fails its test")]

mod bad_records;
mod brokers;
mod content;
mod coordinators;
mod coverage;
mod crashes;
mod crowds;
mod damping;
mod drill;
mod endpoints;
mod frames;
mod handlers;
mod idle;
mod members;
mod names;
mod offsets;
mod partitions;
mod pauses;
mod play;
mod rebalances;
mod rehearsals;
mod silence;
mod sources;
mod stalled;
mod storms;
mod subscriptions;
mod views;
mod world;
