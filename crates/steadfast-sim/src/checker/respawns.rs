//! Respawns: how many, and what they skipped.

use std::collections::VecDeque;

use steadfast_core::tick::Tick;

use super::Checker;
use super::deliveries::name;
use super::happening::Service;
use super::history::History;
use super::violation::{Broken, Invariant, ensure};

/// One respawn, as the service tells it.
pub(super) struct Respawn {
    pub(super) service: Service,
    pub(super) drift: bool,
    pub(super) promoted: Tick,
    pub(super) gap: i64,
}

impl Checker {
    pub(super) fn respawned(&mut self, respawn: &Respawn) -> Result<(), Broken> {
        let Respawn { service, drift, promoted, gap } = *respawn;
        let lost: usize = self.log.values().map(History::lost).sum();
        let fine = usize::try_from(gap).is_ok_and(|gap| gap <= lost);
        ensure(fine, Invariant::RespawnGapless, || {
            format!("{} says gap {gap}, and logs have lost {lost}", name(service))
        })?;
        if !drift {
            return Ok(());
        }
        self.summary.respawns += 1;
        let window = self.limits.respawn_window;
        let taken: &mut VecDeque<Tick> = self.respawns.entry(service).or_default();
        taken.retain(|at| promoted.since(*at) < window);
        taken.push_back(promoted);
        let budget = usize::try_from(self.limits.respawn_budget).unwrap_or(usize::MAX);
        ensure(taken.len() <= budget, Invariant::RespawnBudget, || {
            format!("{} has respawned at {taken:?}, allowed are {budget} in {window:?}", name(service))
        })
    }
}
