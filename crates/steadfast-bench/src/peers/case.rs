//! What happens to the clients.

use std::collections::BTreeSet;
use std::time::Duration;

use clap::ValueEnum;
use steadfast_sim::proxy::{Nodes, Old};

/// Which endpoints move, and what becomes of the old ones. The bootstrap address stays.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Case {
    /// Every endpoint moves, old ports refuse.
    Refuse,
    /// Every endpoint moves, old ports are black holes.
    Blackhole,
    /// One of three moves, its old port refuses.
    One,
}

impl Case {
    /// All of them, in their order.
    pub fn all() -> &'static [Case] {
        Case::value_variants()
    }

    /// Its name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Case::Refuse => "refuse",
            Case::Blackhole => "blackhole",
            Case::One => "one",
        }
    }

    /// In words.
    pub fn described(self) -> &'static str {
        match self {
            Case::Refuse => "every endpoint moves; old ports refuse, standing connections are reset",
            Case::Blackhole => {
                "every endpoint moves; old ports and standing connections stay open and silent"
            }
            Case::One => "one of three endpoints moves; its old port refuses, its connections are reset",
        }
    }

    /// How long a client is waited for.
    pub fn limit(self) -> Duration {
        match self {
            Case::Refuse | Case::One => Duration::from_secs(30),
            Case::Blackhole => Duration::from_secs(100),
        }
    }

    /// What becomes of the old ports.
    pub fn old(self) -> Old {
        match self {
            Case::Refuse | Case::One => Old::Refuse,
            Case::Blackhole => Old::BlackHole,
        }
    }

    /// Who moves in a run: if it is one broker, another in each.
    pub fn nodes(self, run: usize) -> Nodes {
        match self {
            Case::Refuse | Case::Blackhole => Nodes::All,
            Case::One => Nodes::Some(BTreeSet::from([i32::try_from(run % 3).unwrap_or_default() + 1])),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_what_the_command_line_takes() {
        for case in Case::all() {
            assert_eq!(Case::from_str(case.name(), false), Ok(*case));
        }
    }
}
