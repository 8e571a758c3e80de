//! The whole service under virtual time: its real actors in their real wiring, on one thread, against a cluster in
//! memory. A run is reproducible from its seed alone, byte for byte in its event log.
#![deny(clippy::disallowed_methods)]

pub mod company;
pub mod content;
pub mod deeds;
pub mod doors;
pub mod drawn;
pub mod ear;
pub mod handler;
pub mod hour;
mod inhabitant;
pub mod journal;
pub mod judge;
pub mod letters;
pub mod rehearsal;
mod rumours;
mod said;
pub mod stage;
pub mod sweep;
pub mod tally;
pub mod tap;
pub mod world;
