//! Fetching: one loop per leader, with all of its partitions in one request.

pub mod answer;
mod claimed;
pub mod intake;
pub mod leader;
pub mod memory;
mod positions;
mod request;
mod session;
mod silence;
#[cfg(test)]
mod tests;
mod wider;
