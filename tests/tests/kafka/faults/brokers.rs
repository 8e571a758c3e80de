//! A broker is killed in full flow.

use std::time::SystemTime;

use kafka_protocol::messages::FindCoordinatorRequest;
use kafka_protocol::protocol::StrBytes;
use libtest_mimic::Trial;
use steadfast_tests::kafka::{Cluster, Signal, ask};
use steadfast_tests::stage::Stage;
use steadfast_tests::within;

use crate::rehearsal::{LIMIT, Opening, Rehearsal, expect_clean};

pub(super) fn trials(stage: &Stage) -> Vec<Trial> {
    vec![
        stage.trial("faults::a_broker_that_is_killed_costs_nothing_but_its_election", leader),
        stage.trial("faults::a_coordinator_that_is_killed_costs_no_rebalance", coordinator),
        stage.trial("faults::a_leader_that_is_elected_is_followed_without_asking_everybody", elected),
    ]
}

const OFTEN: &str = "\n[checkpoint]\ninterval = \"500ms\"\n\n[log]\nlevel = \"debug\"\n";

fn leader(cluster: &mut Cluster) {
    let rehearsal = Opening::new("faults-leader").with(OFTEN).begin(cluster);
    let coordinator = coordinator_of(cluster, "faults-leader");
    let other = cluster.addresses().into_keys().find(|id| *id != coordinator).unwrap();
    killed(cluster, rehearsal, other);
}

fn coordinator(cluster: &mut Cluster) {
    let rehearsal = Opening::new("faults-coordinator").with(OFTEN).begin(cluster);
    let coordinator = coordinator_of(cluster, "faults-coordinator");
    killed(cluster, rehearsal, coordinator);
    assert_ne!(coordinator_of(cluster, "faults-coordinator"), coordinator);
}

/// The old leader names the new one (KIP-951).
fn elected(cluster: &mut Cluster) {
    let rehearsal = Opening::new("faults-elected").with(OFTEN).begin(cluster);
    for node in cluster.addresses().into_keys() {
        cluster.brokers().move_leader("faults-elected", 0, node).unwrap();
        rehearsal.await_flow(SystemTime::now());
    }
    let suspected = rehearsal.service.events_named("endpoint.suspected");
    let asked = suspected.iter().filter(|event| event.json["reason"].to_string().contains("NOT_LEADER"));
    assert_eq!(asked.count(), 0, "{}", rehearsal.service.story());
    let (verdict, service) = rehearsal.finish();
    expect_clean(&verdict, &service);
}

fn killed(cluster: &mut Cluster, rehearsal: Rehearsal, broker: i32) {
    cluster.kill(broker, Signal::Kill).unwrap();
    let killed = SystemTime::now();
    rehearsal.await_flow(killed);
    // What has just been processed is committed: a commit that begins after the flow is back.
    await_commit(&rehearsal, SystemTime::now());
    let story = rehearsal.service.story();
    assert_eq!(rehearsal.told("group.rebalanced"), 1, "none after the first join\n{story}");
    assert_eq!(rehearsal.respawns(), 0, "{story}");
    let (verdict, service) = rehearsal.finish();
    expect_clean(&verdict, &service);
}

fn await_commit(rehearsal: &Rehearsal, since: SystemTime) {
    let committed = || {
        let commits = rehearsal.service.events_named("checkpoint.committed");
        commits.iter().any(|commit| commit.at > since).then_some(()).ok_or_else(|| rehearsal.service.story())
    };
    within(LIMIT, committed).unwrap();
}

/// Who coordinates the group, as a running broker says.
pub(crate) fn coordinator_of(cluster: &Cluster, group: &str) -> i32 {
    let question = FindCoordinatorRequest::default().with_key(StrBytes::from_string(group.to_owned()));
    let at = *cluster.addresses().values().next().unwrap();
    let found = || {
        let answer = ask(at, 3, &question).map_err(|error| error.to_string())?;
        (answer.error_code == 0).then_some(answer.node_id.0).ok_or_else(|| answer.error_code.to_string())
    };
    within(LIMIT, found).unwrap()
}
