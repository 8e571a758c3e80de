//! How evenly partitions are shared.

use serde::Serialize;

use crate::group::assign::{Assignments, Candidate};

/// How evenly partitions are shared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Balance {
    /// The fewest partitions that a member has.
    pub least: usize,
    /// The most.
    pub most: usize,
    /// By how many these differ.
    pub spread: usize,
    /// Members that have none.
    pub idle: usize,
}

impl Balance {
    /// That of `members`, of which each has what `shares` says.
    pub fn of(shares: &Assignments, members: &[Candidate]) -> Balance {
        let loads = || members.iter().map(|member| shares.get(&member.id).map_or(0, |share| share.len()));
        let (least, most) = (loads().min().unwrap_or_default(), loads().max().unwrap_or_default());
        Balance { least, most, spread: most - least, idle: loads().filter(|load| *load == 0).count() }
    }
}
