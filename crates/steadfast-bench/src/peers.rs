//! steadfast beside today's clients: the same move, one client after the other, each measured from outside.

pub mod case;
pub mod client;
mod java;
#[cfg(feature = "krafka")]
mod krafka;
#[cfg(feature = "librdkafka")]
mod librdkafka;
pub mod play;
pub mod report;
mod rskafka;
mod steadfast;
