//! What happens to the clients.

use std::collections::BTreeSet;
use std::time::Duration;

use clap::ValueEnum;
use steadfast_sim::proxy::{Nodes, Old};

/// Which endpoints move, and what becomes of the old ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Case {
    /// Every endpoint moves, old ports refuse.
    Refuse,
    /// Every endpoint moves, old ports accept and are silent.
    BlackHole,
    /// Every endpoint moves, old ports answer no SYN.
    Drop,
    /// One of three moves, its old port refuses.
    OneOfThree,
    /// Every endpoint moves; only the old ones are configured, and they serve the new view for 10 s before they refuse.
    Grace,
}

/// For so long old ports serve the new view.
pub const GRACE: Duration = Duration::from_secs(10);

impl Case {
    /// All of them, in their order.
    pub fn all() -> &'static [Case] {
        Case::value_variants()
    }

    /// Its name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Case::Refuse => "refuse",
            Case::BlackHole => "black-hole",
            Case::Drop => "drop",
            Case::OneOfThree => "one-of-three",
            Case::Grace => "grace",
        }
    }

    /// In words.
    pub fn described(self) -> &'static str {
        match self {
            Case::Refuse => "every endpoint moves; old ports refuse, standing connections are reset",
            Case::BlackHole => {
                "every endpoint moves; old ports and standing connections stay open and silent"
            }
            Case::Drop => "every endpoint moves; old ports answer no SYN, standing connections are silent",
            Case::OneOfThree => {
                "one of three endpoints moves; its old port refuses, its connections are reset"
            }
            Case::Grace => {
                "only the old endpoints are configured; they serve the new view for 10 s, then they refuse: counted \
                 from then on"
            }
        }
    }

    /// What becomes of the old ports.
    pub fn old(self) -> Old {
        match self {
            Case::Refuse | Case::OneOfThree => Old::Refuse,
            Case::BlackHole => Old::BlackHole,
            Case::Drop => Old::Drop,
            Case::Grace => Old::Grace(GRACE),
        }
    }

    /// How long old ports go on: time is counted from their end.
    pub fn grace(self) -> Duration {
        if self == Case::Grace { GRACE } else { Duration::ZERO }
    }

    /// Whether clients are told the brokers' first addresses only, instead of the stable one.
    pub fn old_addresses_only(self) -> bool {
        self == Case::Grace
    }

    /// How many moves a client is put to in one life: a second one here would find nothing that it could know.
    pub fn moves_in_a_life(self) -> usize {
        if self.old_addresses_only() { 1 } else { 3 }
    }

    /// Who moves at a move: if it is one broker, another at each.
    pub fn nodes(self, number: usize) -> Nodes {
        match self {
            Case::OneOfThree => {
                Nodes::Some(BTreeSet::from([i32::try_from(number % 3).unwrap_or_default() + 1]))
            }
            _ => Nodes::All,
        }
    }

    /// What steadfast has to hold: median and worst.
    pub fn target(self) -> Option<(Duration, Duration)> {
        let ms = Duration::from_millis;
        match self {
            Case::Refuse => Some((ms(100), ms(250))),
            Case::BlackHole | Case::Drop => Some((ms(1000), ms(1500))),
            Case::OneOfThree | Case::Grace => None,
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
