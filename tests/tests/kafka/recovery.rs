//! Endpoints move, and the service goes on from the same place: the scenarios that are played under virtual time too,
//! and what only a real Kafka can do.

use std::time::SystemTime;

use libtest_mimic::Trial;
use serde_json::Value;
use steadfast_tests::kafka::{Cluster, metadata};
use steadfast_tests::stage::Stage;
use steadfast_tests::within;

use crate::rehearsal::{LIMIT, Opening, expect_clean};
use crate::staged;

pub(crate) fn trials(stage: &Stage) -> Vec<Trial> {
    let mut trials = staged::recovery::trials(stage);
    trials.push(stage.trial("recovery::a_broker_that_is_added_is_routed_to_until_it_leaves", added));
    trials
}

const ADDED: &str = "recovery-added";

/// S0.2: brokers that join later are found and used. Then it hands its partition over, and leaves for good.
fn added(cluster: &mut Cluster) {
    let rehearsal = Opening::new(ADDED).with("\n[drift]\npoll_interval = \"500ms\"\n").begin(cluster);
    let broker = cluster.add_broker().unwrap();
    let named = |event: &Value| event["endpoints"][broker.to_string()].is_string();
    rehearsal.service.wait_for(LIMIT, "view.agreed", named).unwrap();
    lead(cluster, broker);
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

    lead(cluster, 1);
    cluster.remove_broker(broker).unwrap();
    rehearsal.await_flow(SystemTime::now());
    let gone = |event: &Value| event["action"] == "adapt" && event["changes"].to_string().contains("gone");
    rehearsal.service.wait_for(LIMIT, "endpoint.drifted", gone).unwrap();
    let story = rehearsal.service.story();
    assert_eq!(rehearsal.respawns(), 0, "respawns\n{story}");
    assert_eq!(rehearsal.told("group.rebalanced"), 1, "none after the first join\n{story}");
    let (verdict, service) = rehearsal.finish();
    expect_clean(&verdict, &service);
}

/// Makes `broker` the only replica of the topic's first partition, and waits until it leads.
fn lead(cluster: &Cluster, broker: i32) {
    let directory = tempfile::tempdir().unwrap();
    let plan = directory.path().join("plan.json");
    let partition = serde_json::json!({"topic": ADDED, "partition": 0, "replicas": [broker]});
    std::fs::write(&plan, serde_json::json!({"version": 1, "partitions": [partition]}).to_string()).unwrap();
    let bootstrap = cluster.bootstrap();
    let plan = plan.display().to_string();
    let arguments = ["--bootstrap-server", &bootstrap, "--reassignment-json-file", &plan, "--execute"];
    cluster.tool("org.apache.kafka.tools.reassign.ReassignPartitionsCommand", &arguments).unwrap();
    let led = || {
        let told = metadata(cluster.addresses()[&1], &[ADDED]).unwrap();
        let first = told.topics[0].partitions.iter().find(|partition| partition.partition_index == 0);
        first.is_some_and(|first| first.leader_id.0 == broker).then_some(()).ok_or("led by another")
    };
    within(LIMIT, led).unwrap();
}
