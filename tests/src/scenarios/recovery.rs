//! Endpoints move, and the service goes on from the same place.

use std::time::Duration;

use steadfast_core::ids::NodeId;
use steadfast_sim::faults::{Nodes, Old};

use super::{Opening, PARTITIONS, Rehearsal, Shifted, Stage, named, story};

/// Hands the names of this room's scenarios to a macro: the one list that all stages play.
#[macro_export]
macro_rules! recovery_scenarios {
    ($play:ident) => {
        $play! { recovery:
            every_endpoint_moves_and_old_ports_refuse,
            every_endpoint_moves_and_old_ports_are_black_holes,
            old_ports_serve_the_new_view_before_they_die,
            the_configuration_file_names_new_addresses,
            one_of_three_moves_in_place,
            past_the_budget_drift_is_taken_in_place,
            a_broker_that_restarts_costs_no_respawn,
        }
    };
}

/// The moves that are counted here; the benchmark makes 20 and measures.
const MOVES: usize = 3;

/// A record that comes out so long after a move came through the new endpoints.
const LATER: Duration = Duration::from_millis(100);

/// All move; the old ports refuse.
pub async fn every_endpoint_moves_and_old_ports_refuse(stage: &mut impl Stage) {
    every_endpoint_moves(stage, "recovery-refuse", Old::Refuse).await;
}

/// All move; the old ports accept and are silent.
pub async fn every_endpoint_moves_and_old_ports_are_black_holes(stage: &mut impl Stage) {
    every_endpoint_moves(stage, "recovery-black-hole", Old::BlackHole).await;
}

async fn every_endpoint_moves(stage: &mut impl Stage, name: &str, old: Old) {
    let mut rehearsal = stage.open(Opening::new(name)).await;
    for done in 1..=MOVES {
        let moved = rehearsal.shift(&Nodes::All, old).await;
        await_flow(&rehearsal, moved.at).await;
        await_incarnation(&rehearsal, done + 1).await;
    }
    expect_respawns(rehearsal, MOVES).await;
}

/// For so long old ports serve the new view: twice the time between polls.
const GRACE: Duration = Duration::from_secs(10);

/// With the old addresses as the only bootstrap: the new view has to be seen while they still serve it. One move: each
/// takes as long as the grace.
pub async fn old_ports_serve_the_new_view_before_they_die(stage: &mut impl Stage) {
    let mut rehearsal = stage.open(Opening::new("recovery-grace").only_old_addresses()).await;
    let moved = rehearsal.shift(&Nodes::All, Old::Grace(GRACE)).await;
    await_incarnation(&rehearsal, 2).await;
    await_flow(&rehearsal, moved.at + GRACE).await;
    expect_respawns(rehearsal, 1).await;
}

/// Nothing that the service knows is left; it says what is missing, and goes on as soon as the file helps.
pub async fn the_configuration_file_names_new_addresses(stage: &mut impl Stage) {
    let mut rehearsal = stage.open(Opening::new("recovery-reconfigured").only_old_addresses()).await;
    for done in 1..=MOVES {
        let moved = rehearsal.shift(&Nodes::All, Old::Refuse).await;
        if done == 1 {
            says_what_is_missing(&rehearsal, &moved).await;
        }
        let new: Vec<_> = moved.to.into_values().collect();
        let renamed = rehearsal.reconfigure(&new).await;
        await_flow(&rehearsal, renamed).await;
        await_incarnation(&rehearsal, done + 1).await;
        assert_eq!(told(&rehearsal, "config.reloaded"), done, "{}", story(&rehearsal.events()));
    }
    await_told(&rehearsal, "service.recovered", 1).await;
    expect_respawns(rehearsal, MOVES).await;
}

async fn says_what_is_missing(rehearsal: &impl Rehearsal, moved: &Shifted) {
    await_told(rehearsal, "service.degraded", 1).await;
    let missing = named(rehearsal.events(), "service.degraded")[0]["missing"].to_string();
    for old in moved.from.values() {
        assert!(missing.contains(&old.to_string()), "{old} is not named in {missing}");
    }
}

/// One after the other; none is worth a respawn.
pub async fn one_of_three_moves_in_place(stage: &mut impl Stage) {
    let mut rehearsal = stage.open(Opening::new("recovery-one-of-three")).await;
    for (node, done) in [1, 2, 3].map(NodeId).into_iter().zip(1..) {
        let moved = rehearsal.shift(&Nodes::one(node), Old::Refuse).await;
        await_flow(&rehearsal, moved.at + LATER).await;
        await_told(&rehearsal, "endpoint.drifted", done).await;
    }
    let drifted = named(rehearsal.events(), "endpoint.drifted");
    assert!(drifted.iter().all(|event| event["action"] == "adapt"), "{}", story(&drifted));
    expect_respawns(rehearsal, 0).await;
}

/// The default budget is three: the fourth move within the window is taken in place.
pub async fn past_the_budget_drift_is_taken_in_place(stage: &mut impl Stage) {
    let mut rehearsal = stage.open(Opening::new("recovery-budget")).await;
    for done in 1..=3 {
        let moved = rehearsal.shift(&Nodes::All, Old::Refuse).await;
        await_flow(&rehearsal, moved.at + LATER).await;
        await_incarnation(&rehearsal, done + 1).await;
    }
    let moved = rehearsal.shift(&Nodes::All, Old::Refuse).await;
    await_told(&rehearsal, "respawn.budget_spent", 1).await;
    await_flow(&rehearsal, moved.at + LATER).await;
    expect_respawns(rehearsal, 3).await;
}

/// Its leaders are elected elsewhere, and come back: neither is a reason to replace anything.
pub async fn a_broker_that_restarts_costs_no_respawn(stage: &mut impl Stage) {
    let rehearsal = stage.open(Opening::new("recovery-restarted")).await;
    stage.stop_broker(NodeId(3)).await;
    await_flow(&rehearsal, rehearsal.now()).await;
    stage.restart_broker(NodeId(3)).await;
    await_flow(&rehearsal, rehearsal.now()).await;
    assert_eq!(respawns(&rehearsal), 0, "{}", story(&rehearsal.events()));
    rehearsal.finish().await;
}

/// Waits until a record of every partition has come out after `since`.
async fn await_flow(rehearsal: &impl Rehearsal, since: Duration) {
    let flowing = |rehearsal: &_| (Rehearsal::flowing_since(rehearsal, since) == PARTITIONS).then_some(());
    rehearsal.until("records of every partition", flowing).await;
}

async fn await_incarnation(rehearsal: &impl Rehearsal, incarnation: usize) {
    let is_it = |event: &serde_json::Value| event["incarnation"] == incarnation;
    let wanted = format!("incarnation {incarnation}");
    let respawned = |rehearsal: &_| {
        named(Rehearsal::events(rehearsal), "consumer.respawned").iter().any(is_it).then_some(())
    };
    rehearsal.until(&wanted, respawned).await;
}

/// Waits until so many events of this name were told.
async fn await_told(rehearsal: &impl Rehearsal, name: &str, count: usize) {
    rehearsal.until(name, |rehearsal| (told(rehearsal, name) >= count).then_some(())).await;
}

fn told(rehearsal: &impl Rehearsal, name: &str) -> usize {
    named(rehearsal.events(), name).len()
}

/// How many respawns because of drift.
fn respawns(rehearsal: &impl Rehearsal) -> usize {
    let respawned = named(rehearsal.events(), "consumer.respawned");
    respawned.iter().filter(|event| event["reason"] == "drift").count()
}

/// So many respawns, no rebalance after the first join, nothing lost and nothing twice.
async fn expect_respawns(rehearsal: impl Rehearsal, wanted: usize) {
    let story = story(&rehearsal.events());
    assert_eq!(respawns(&rehearsal), wanted, "respawns\n{story}");
    assert_eq!(told(&rehearsal, "group.rebalanced"), 1, "none after the first join\n{story}");
    rehearsal.finish().await;
}
