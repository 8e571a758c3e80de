//! Fetching: one loop per leader, with all of its partitions in one request.

pub mod answer;
mod claims;
pub mod intake;
pub mod leader;
pub mod memory;
mod request;
