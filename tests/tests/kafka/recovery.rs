//! Endpoints move, and the service goes on from the same place: the scenarios that are played under virtual time too,
//! and what only a real Kafka can do.

use std::time::SystemTime;

use libtest_mimic::Trial;
use serde_json::Value;
use steadfast_tests::kafka::Cluster;
use steadfast_tests::stage::Stage;
use steadfast_tests::within;

use crate::rehearsal::{LIMIT, Opening, expect_clean};
use crate::staged;

pub(crate) fn trials(stage: &Stage) -> Vec<Trial> {
    let mut trials = staged::recovery::trials(stage);
    trials.push(stage.trial("recovery::a_broker_that_is_added_is_routed_to", added));
    trials
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
    let story = rehearsal.service.story();
    assert_eq!(rehearsal.respawns(), 0, "respawns\n{story}");
    assert_eq!(rehearsal.told("group.rebalanced"), 1, "none after the first join\n{story}");
    let (verdict, service) = rehearsal.finish();
    expect_clean(&verdict, &service);
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
