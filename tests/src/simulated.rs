//! The whole service under virtual time, as tests play it: the world of `steadfast drill`, and on it what is drawn from
//! seeds, swept, and played on other stages too.
#![deny(clippy::disallowed_methods)]

pub use steadfast::drill::{content, doors, ear, handler, journal, judge, letters, tally, tap};

pub mod company;
pub mod deeds;
pub mod drawn;
pub mod hour;
pub mod rehearsal;
mod rumours;
pub mod stage;
pub mod sweep;
pub mod world;
