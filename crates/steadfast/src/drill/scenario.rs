//! One scenario of the catalogue: what happens, how it is played, what it may cost; and what became of it.

use std::collections::BTreeMap;
use std::fmt;

use futures::future::LocalBoxFuture;

use super::expected::Expected;
use super::figures::Figures;
use super::opening::Opening;
use super::policy::Policy;
use super::rehearsal::Rehearsal;
use super::tally::Tally;
use super::world::WorldError;
use crate::exit::Exit;

/// One way in which endpoints drift.
#[derive(Clone, Copy)]
pub struct Scenario {
    /// Its number in the documentation.
    pub number: u8,
    /// Its name on the command line.
    pub name: &'static str,
    /// What happens, in a sentence.
    pub happens: &'static str,
    /// How the world is when it begins.
    pub opening: Opening,
    /// What is done, once the world is calm.
    pub play: for<'a> fn(&'a Rehearsal) -> LocalBoxFuture<'a, ()>,
    /// What it may cost under a policy.
    pub expected: fn(&Policy) -> Expected,
}

/// What became of a scenario.
#[derive(Debug)]
pub struct Outcome {
    /// What was counted.
    pub figures: Figures,
    /// What became of the records.
    pub tally: Tally,
    /// How the services ended.
    pub exits: BTreeMap<usize, Exit>,
    /// Everything that is not as it should be, in words; nothing if it is passed.
    pub found: Vec<String>,
    /// What is worth knowing although it is as it should be.
    pub notes: Vec<String>,
    /// The event log.
    pub log: Vec<u8>,
}

impl Scenario {
    /// Plays it from this seed under this policy.
    ///
    /// # Errors
    /// It cannot be played: that says nothing about the service.
    pub fn play(&self, policy: &Policy, seed: u64) -> Result<Outcome, WorldError> {
        super::rehearsal::play(self, policy, seed)
    }
}

impl Outcome {
    /// Whether all is as it should be.
    pub fn passed(&self) -> bool {
        self.found.is_empty()
    }
}

impl fmt::Debug for Scenario {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.number, self.name)
    }
}
