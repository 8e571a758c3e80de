//! Where records go: what the built-in sinks are made of.

pub mod envelope;
pub mod rotation;
