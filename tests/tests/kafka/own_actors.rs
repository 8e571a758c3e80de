//! The library as its user sees it: handlers and observers of one's own.

use std::collections::BTreeMap;
use std::process::{Command, Stdio};

use libtest_mimic::Trial;
use steadfast_sim::proxy::{Nodes, Old};
use steadfast_tests::kafka::Cluster;
use steadfast_tests::service::{Service, example};
use steadfast_tests::stage::Stage;
use steadfast_tests::within;

use crate::rehearsal::{LIMIT, proxied};
use steadfast_tests::company::{ALL, Company, Member, Ours, await_sharing};

pub(crate) fn trials(stage: &Stage) -> Vec<Trial> {
    vec![
        stage.beside("members::a_users_own_actors", own_actors),
        stage.beside("members::observers_that_panic_or_block_cost_nothing", misbehaving_observers),
    ]
}

/// Runs this program in a place with the usual configuration.
fn launch(company: &Company, program: impl AsRef<std::ffi::OsStr>) -> Ours {
    let workplace = company.workplace("");
    let mut command = Command::new(program);
    command.arg(workplace.config());
    Ours { service: Service::launch(command, &workplace, Stdio::piped()).unwrap(), workplace }
}

/// The example counts by key; the load's records have none. Who counts beside it reads in a group of its own.
fn own_actors(cluster: &Cluster) {
    let mut company = Company::gather(&cluster.brokers(), "members-own-actors");
    let mut example = launch(&company, example("totals").unwrap());
    example.await_owned(ALL);
    let bystander = company.bystander();
    await_sharing(&[(&bystander, ALL)]);
    let acked = company.stop_load();
    let outstanding = || bystander.given().outstanding(&acked);
    within(LIMIT, || if outstanding().is_empty() { Ok(()) } else { Err(outstanding()) }).unwrap();
    let mut counted: BTreeMap<i64, u64> = BTreeMap::new();
    for delivered in bystander.given().delivered() {
        *counted.entry(delivered.mark.partition.into()).or_default() += 1;
    }
    let totals = || {
        let lines = example.service.records();
        let total =
            |line: &serde_json::Value| Some((line["partition"].as_i64()?, line["totals"][""].as_u64()?));
        // The last line of each partition is the one that stays.
        let totals: BTreeMap<i64, u64> = lines.iter().filter_map(total).collect();
        if totals == counted { Ok(()) } else { Err(totals) }
    };
    assert_eq!(within(LIMIT, totals), Ok(()), "counted beside it: {counted:?}");
    example.service.signal("TERM").unwrap();
    assert_eq!(example.service.wait(LIMIT).unwrap().code(), Some(0));
    let seen: Vec<String> = example.service.events().into_iter().map(|event| event.name).collect();
    assert_eq!(seen.first().map(String::as_str), Some("service.started"), "{seen:?}");
    assert_eq!(seen.last().map(String::as_str), Some("service.stopped"), "{seen:?}");
}

fn misbehaving_observers(cluster: &Cluster) {
    let (runtime, proxy) = proxied(cluster);
    let company = Company::gather(&cluster.brokers(), "members-misbehaving-observers").behind(&proxy);
    let ours = launch(&company, env!("CARGO_BIN_EXE_misbehaving_observers"));
    ours.await_owned(ALL);
    await_sharing(&[(&ours, ALL)]);
    runtime.block_on(proxy.move_endpoints(Nodes::All, Old::BlackHole)).unwrap();
    await_sharing(&[(&ours, ALL)]);
    let drift = |event: &serde_json::Value| event["reason"] == "drift";
    ours.service.wait_for(LIMIT, "consumer.respawned", drift).unwrap();
    let panics = |event: &serde_json::Value| event["actor"] == "observer 1";
    ours.service.wait_for(LIMIT, "actor.restarted", panics).unwrap();
    assert_eq!(ours.rounds().len(), 1, "{}", ours.service.story());
    company.disband(vec![ours]);
}
