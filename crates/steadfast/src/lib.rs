//! steadfast: a Kafka consumer that keeps its place while the cluster's endpoints drift.
//!
//! A service binary stands thinly over this library; your own binary can put its own actors beside or in place
//! of the built-in ones: see [`service::Service`].

pub mod cli;
pub mod config;
pub mod consume;
pub mod control_socket;
mod demo;
mod dialler;
pub mod drift;
pub mod drill;
pub mod env;
pub mod events;
pub mod exit;
pub mod group;
mod history;
mod http;
pub mod ledger;
mod locked;
pub mod log;
pub mod messages;
pub mod observers;
pub mod placement;
mod post;
pub mod service;
pub mod sinks;
mod tokens;
pub mod vitals;
mod watching;
mod wiring;
