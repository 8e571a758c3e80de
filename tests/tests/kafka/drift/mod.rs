//! Further ways in which endpoints drift, several in the life of one service: what is expected of each is counted in
//! respawns. Nothing is lost, nothing comes twice, and the group notices nothing.

mod addresses;
mod configured;
mod drill;
mod hindered;
mod others;
mod words;

use libtest_mimic::Trial;
use steadfast_tests::stage::Stage;

use crate::rehearsal::{Rehearsal, expect_clean};

pub(crate) fn trials(stage: &Stage) -> Vec<Trial> {
    let rooms = [
        addresses::trials(stage),
        configured::trials(stage),
        drill::trials(stage),
        hindered::trials(stage),
        others::trials(stage),
        words::trials(stage),
    ];
    rooms.into_iter().flatten().collect()
}

/// More respawns than any trial has moves.
const BUDGET: &str = "\n[respawn]\nbudget = 100\n";

/// Ends the rehearsal: so many respawns because of drift, no rebalance after the first join, nothing lost, nothing
/// twice.
fn expect_respawns(rehearsal: Rehearsal, wanted: usize) {
    let story = rehearsal.service.story();
    assert_eq!(rehearsal.respawns(), wanted, "respawns\n{story}");
    assert_eq!(rehearsal.told("group.rebalanced"), 1, "none after the first join\n{story}");
    let (verdict, service) = rehearsal.finish();
    expect_clean(&verdict, &service);
}
