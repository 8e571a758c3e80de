//! Group membership: the actor around core's machine.

pub(crate) mod accounts;
pub(crate) mod advisor;
pub mod line;
pub mod member;
pub(crate) mod traffic;
