//! A row of the table that a drill prints: each figure in it was counted.

use std::time::Duration;

use serde::Serialize;

use super::expected::seconds;
use super::scenario::{Outcome, Scenario};
use super::verdict::Verdict;
use super::world::WorldError;

/// What became of one scenario, for people and for programs.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Row {
    /// The scenario's number.
    pub number: u8,
    /// Its name.
    pub name: &'static str,
    /// Whether all was as it should be.
    pub result: Verdict,
    /// What was not, each in words.
    pub why: Vec<String>,
    /// What is worth knowing besides.
    pub notes: Vec<String>,
    /// From the move to the first record on every partition, in milliseconds; the longest if there were several. None
    /// if a partition was waited for in vain.
    pub recovery_ms: Option<u64>,
    /// Records that were appended.
    pub records: u64,
    /// Those of them that were never processed.
    pub lost: u64,
    /// Those that were left out although a later one of their partition was processed.
    pub gap: u64,
    /// Those that were delivered again.
    pub redelivered: u64,
    /// Consumers that were replaced because of drift.
    pub respawns: u32,
    /// Drifts that were taken in place.
    pub adaptations: u32,
    /// Generations that the group began.
    pub rebalances: u32,
    /// Rounds of asking everybody who may know the cluster.
    pub discoveries: u64,
}

impl Row {
    /// The row of a scenario that could not be played.
    pub fn of_unplayed(scenario: &Scenario, error: &WorldError) -> Row {
        Row { why: vec![format!("it could not be played: {error}")], ..Row::empty(scenario) }
    }

    fn empty(scenario: &Scenario) -> Row {
        Row {
            number: scenario.number,
            name: scenario.name,
            result: Verdict::Failed,
            why: Vec::new(),
            notes: Vec::new(),
            recovery_ms: None,
            records: 0,
            lost: 0,
            gap: 0,
            redelivered: 0,
            respawns: 0,
            adaptations: 0,
            rebalances: 0,
            discoveries: 0,
        }
    }

    /// The row of a scenario that was played.
    pub fn of(scenario: &Scenario, outcome: &Outcome) -> Row {
        let Outcome { figures, tally, found, .. } = outcome;
        let records = |of: std::collections::BTreeMap<_, std::collections::BTreeSet<_>>| {
            of.values().map(|offsets| offsets.len() as u64).sum()
        };
        Row {
            result: Verdict::of(found),
            why: found.clone(),
            notes: outcome.notes.clone(),
            recovery_ms: figures.recovery().map(|time| u64::try_from(time.as_millis()).unwrap_or(u64::MAX)),
            records: tally.appended() as u64,
            lost: records(tally.missing()),
            gap: tally.skipped() as u64,
            redelivered: records(tally.redelivered()),
            respawns: figures.respawns,
            adaptations: figures.adaptations,
            rebalances: figures.rebalances,
            discoveries: figures.discoveries.len() as u64,
            ..Row::empty(scenario)
        }
    }

    /// The line above rows.
    pub fn heading() -> String {
        format!(
            "{:>2}  {:<18}  {:<7}  {:>9}  {:>5}  {:>5}  {:>11}  {:>8}  {:>10}",
            "#", "scenario", "verdict", "recovery", "lost", "gap", "redelivered", "respawns", "rebalances"
        )
    }

    /// The row as text; what is wrong stands in lines below it.
    pub fn text(&self) -> String {
        let recovery =
            self.recovery_ms.map_or("-".to_owned(), |millis| seconds(Duration::from_millis(millis)));
        let mut text = format!(
            "{:>2}  {:<18}  {:<7}  {:>9}  {:>5}  {:>5}  {:>11}  {:>8}  {:>10}",
            self.number,
            self.name,
            self.result.text(),
            recovery,
            self.lost,
            self.gap,
            self.redelivered,
            self.respawns,
            self.rebalances
        );
        for why in self.why.iter().chain(&self.notes) {
            text += &format!("\n      {why}");
        }
        text
    }
}
