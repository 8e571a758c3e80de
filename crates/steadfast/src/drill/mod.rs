//! The drill: the whole service, its real actors in their real wiring, rehearses on a cluster in memory what may befall
//! it. One thread, no real time: a run is reproducible from its seed alone, byte for byte in its event log.
//!
//! A [`world::World`] is a cluster, services, a load, and whatever is done to them; its [`journal`] holds all that
//! happens in one order, and a [`judge::Judge`] looks at each happening before the next one. [`scenarios::ALL`] is the
//! catalogue of what is rehearsed: each scenario is played on a world under somebody's own [`policy::Policy`], and held to
//! what it may cost.

pub mod content;
pub mod doors;
pub mod ear;
pub mod expected;
pub mod failure;
pub mod figures;
pub mod handler;
mod inhabitant;
pub mod journal;
pub mod judge;
pub mod letters;
pub mod opening;
mod plan;
pub mod policy;
pub mod real;
pub mod rehearsal;
pub mod row;
mod said;
pub mod scenario;
pub mod scenarios;
pub mod tally;
pub mod tap;
pub mod verdict;
pub mod world;
