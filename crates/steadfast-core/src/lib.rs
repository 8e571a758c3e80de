//! steadfast's decisions as values and state machines: no IO, no clock, no randomness, no async.
//!
//! A machine is `handle(event, now) -> actions` with `next_deadline()`; whoever owns sockets and timers
//! feeds it events and carries its actions out.

pub mod acked;
pub mod checkpoint;
pub mod cluster;
pub mod endpoints;
pub mod group;
pub mod ids;
pub mod lag;
pub mod patience;
pub mod plan;
pub mod progress;
pub mod ramp;
pub mod retry;
pub mod stall;
pub mod standstill;
pub mod tick;
