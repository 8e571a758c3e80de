//! Where records go: the built-in sinks, one file each, and what they are made of.

pub mod dead_letters;
pub mod discard;
pub mod envelope;
pub mod kafka;
pub mod lines;
pub mod rotation;
