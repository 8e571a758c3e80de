//! Group membership: the actor around core's machine.

pub mod line;
pub mod member;
