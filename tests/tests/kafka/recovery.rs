//! Endpoints move, and the service goes on from the same place.

use std::collections::BTreeSet;
use std::time::{Duration, SystemTime};

use libtest_mimic::Trial;
use serde_json::Value;
use steadfast_sim::proxy::{Moved, Nodes, Old};
use steadfast_tests::kafka::{Cluster, Signal};
use steadfast_tests::stage::Stage;
use steadfast_tests::within;

use crate::rehearsal::{LIMIT, Opening, Rehearsal, expect_clean};

pub(crate) fn trials(stage: &Stage) -> Vec<Trial> {
    vec![
        stage.trial("recovery::every_endpoint_moves_and_old_ports_refuse", refuse),
        stage.trial("recovery::every_endpoint_moves_and_old_ports_are_black_holes", black_hole),
        stage.trial("recovery::old_ports_serve_the_new_view_before_they_die", grace),
        stage.trial("recovery::the_configuration_file_names_new_addresses", reconfigured),
        stage.trial("recovery::one_of_three_moves_in_place", one_of_three),
        stage.trial("recovery::past_the_budget_drift_is_taken_in_place", past_the_budget),
        stage.trial("recovery::a_broker_that_is_added_is_routed_to", added),
        stage.trial("recovery::a_broker_that_restarts_costs_no_respawn", restarted),
    ]
}

/// The moves that are counted here; the benchmark makes 20 and measures.
const MOVES: usize = 3;

fn refuse(cluster: &mut Cluster) {
    every_endpoint_moves(cluster, "recovery-refuse", Old::Refuse);
}

fn black_hole(cluster: &mut Cluster) {
    every_endpoint_moves(cluster, "recovery-black-hole", Old::BlackHole);
}

fn every_endpoint_moves(cluster: &mut Cluster, name: &str, old: Old) {
    let rehearsal = Opening::new(name).begin(cluster);
    for done in 1..=MOVES {
        let moved = rehearsal.shift(Nodes::All, old);
        rehearsal.await_flow(moved.at);
        await_incarnation(&rehearsal, done + 1);
    }
    expect_respawns(rehearsal, MOVES);
}

fn await_incarnation(rehearsal: &Rehearsal, incarnation: usize) {
    let respawned = |event: &Value| event["incarnation"] == incarnation;
    rehearsal.service.wait_for(LIMIT, "consumer.respawned", respawned).unwrap();
}

/// So many respawns, no rebalance after the first join, nothing lost and nothing twice.
fn expect_respawns(rehearsal: Rehearsal, respawns: usize) {
    let story = rehearsal.service.story();
    assert_eq!(rehearsal.respawns(), respawns, "respawns\n{story}");
    assert_eq!(rehearsal.told("group.rebalanced"), 1, "none after the first join\n{story}");
    let (verdict, service) = rehearsal.finish();
    expect_clean(&verdict, &service);
}

/// With the old addresses as the only bootstrap: the new view has to be seen while they still serve it.
fn grace(cluster: &mut Cluster) {
    let rehearsal = Opening::new("recovery-grace").only_old_addresses().begin(cluster);
    for done in 1..=MOVES {
        let moved = rehearsal.shift(Nodes::All, Old::Grace(GRACE));
        await_incarnation(&rehearsal, done + 1);
        rehearsal.await_flow(moved.at + GRACE);
    }
    expect_respawns(rehearsal, MOVES);
}

/// For so long old ports serve the new view: twice the time between polls.
const GRACE: Duration = Duration::from_secs(10);

/// Nothing that the service knows is left; it says what is missing, and goes on as soon as the file helps.
fn reconfigured(cluster: &mut Cluster) {
    let rehearsal = Opening::new("recovery-reconfigured").only_old_addresses().begin(cluster);
    for done in 1..=MOVES {
        let moved = rehearsal.shift(Nodes::All, Old::Refuse);
        if done == 1 {
            says_what_is_missing(&rehearsal, &moved);
        }
        let new: Vec<String> = moved.to.values().map(ToString::to_string).collect();
        let renamed = rehearsal.reconfigure(&new.join(","));
        rehearsal.await_flow(renamed);
        await_incarnation(&rehearsal, done + 1);
        assert_eq!(rehearsal.told("config.reloaded"), done, "{}", rehearsal.service.story());
    }
    rehearsal.service.wait_for(LIMIT, "service.recovered", |_| true).unwrap();
    expect_respawns(rehearsal, MOVES);
}

fn says_what_is_missing(rehearsal: &Rehearsal, moved: &Moved) {
    let degraded = rehearsal.service.wait_for(LIMIT, "service.degraded", |_| true).unwrap();
    let missing = degraded.json["missing"].to_string();
    for old in moved.from.values() {
        assert!(missing.contains(&old.to_string()), "{old} is not named in {missing}");
    }
}

fn one_of_three(cluster: &mut Cluster) {
    let rehearsal = Opening::new("recovery-one-of-three").begin(cluster);
    for node in 1..=3 {
        let moved = rehearsal.shift(Nodes::Some(BTreeSet::from([node])), Old::Refuse);
        rehearsal.await_flow(moved.at + Duration::from_millis(100));
        rehearsal.await_told("endpoint.drifted", usize::try_from(node).unwrap());
    }
    let drifted = rehearsal.service.events_named("endpoint.drifted");
    assert!(drifted.iter().all(|event| event.json["action"] == "adapt"), "{}", rehearsal.service.story());
    expect_respawns(rehearsal, 0);
}

/// The default budget is three: the fourth move within the window is taken in place.
fn past_the_budget(cluster: &mut Cluster) {
    let rehearsal = Opening::new("recovery-budget").begin(cluster);
    for done in 1..=3 {
        let moved = rehearsal.shift(Nodes::All, Old::Refuse);
        rehearsal.await_flow(moved.at + Duration::from_millis(100));
        await_incarnation(&rehearsal, done + 1);
    }
    let moved = rehearsal.shift(Nodes::All, Old::Refuse);
    rehearsal.service.wait_for(LIMIT, "respawn.budget_spent", |_| true).unwrap();
    rehearsal.await_flow(moved.at + Duration::from_millis(100));
    expect_respawns(rehearsal, 3);
}

/// S0.2: brokers that join later are found and used.
fn added(cluster: &mut Cluster) {
    let rehearsal =
        Opening::new("recovery-added").with("\n[drift]\npoll_interval = \"500ms\"\n").begin(cluster);
    let broker = cluster.add_broker().unwrap();
    let named = |event: &Value| event["endpoints"][broker.to_string()].is_string();
    rehearsal.service.wait_for(LIMIT, "view.agreed", named).unwrap();
    lead(cluster, "recovery-added", broker);
    let fetched = || {
        let doors = rehearsal.proxy.connections();
        let fetches = doors.iter().any(|connection| {
            let to =
                matches!(connection.door, steadfast_sim::proxy::Door::Broker { node, .. } if node == broker);
            to && connection.requests.contains_key(&1)
        });
        if fetches { Ok(()) } else { Err(rehearsal.service.story()) }
    };
    within(LIMIT, fetched).unwrap();
    rehearsal.await_flow(SystemTime::now());
    expect_respawns(rehearsal, 0);
}

/// Makes `broker` the leader of the topic's first partition.
fn lead(cluster: &Cluster, topic: &str, broker: i32) {
    let directory = tempfile::tempdir().unwrap();
    let plan = directory.path().join("plan.json");
    let partition = serde_json::json!({"topic": topic, "partition": 0, "replicas": [broker]});
    std::fs::write(&plan, serde_json::json!({"version": 1, "partitions": [partition]}).to_string()).unwrap();
    let bootstrap = cluster.bootstrap();
    let plan = plan.display().to_string();
    let arguments = ["--bootstrap-server", &bootstrap, "--reassignment-json-file", &plan, "--execute"];
    cluster.tool("org.apache.kafka.tools.reassign.ReassignPartitionsCommand", &arguments).unwrap();
}

/// Its leaders are elected elsewhere, and come back: neither is a reason to replace anything.
fn restarted(cluster: &mut Cluster) {
    let rehearsal = Opening::new("recovery-restarted").begin(cluster);
    cluster.kill(3, Signal::Term).unwrap();
    rehearsal.await_flow(SystemTime::now());
    cluster.restart(3).unwrap();
    cluster.heal().unwrap();
    rehearsal.await_flow(SystemTime::now());
    assert_eq!(rehearsal.respawns(), 0, "{}", rehearsal.service.story());
    let (verdict, service) = rehearsal.finish();
    expect_clean(&verdict, &service);
}
