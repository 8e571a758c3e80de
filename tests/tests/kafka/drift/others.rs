//! Another cluster answers at the old addresses.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use kafka_protocol::messages::ApiKey;
use libtest_mimic::Trial;
use steadfast_sim::embedded::{Embedded, Spec};
use steadfast_sim::proxy::{Door, Nodes, Old};
use steadfast_tests::kafka::Cluster;
use steadfast_tests::stage::Stage;
use steadfast_tests::within;

use super::expect_respawns;
use crate::rehearsal::{LIMIT, Opening, Rehearsal};

pub(super) fn trials(stage: &Stage) -> Vec<Trial> {
    vec![stage.trial("drift::another_cluster_at_the_old_addresses_is_never_read", taken)]
}

/// The old addresses are all that is known, and they are another cluster's now, with the same numbers of brokers.
fn taken(cluster: &mut Cluster) {
    let rehearsal = Opening::new("drift-taken").only_old_addresses().begin(cluster);
    let other = rehearsal.drift(async { Ok(Embedded::on_loopback(&Spec::default())) }).unwrap();
    let address: SocketAddr = other.bootstrap().to_string().parse().unwrap();
    let moved = rehearsal.shift(Nodes::All, Old::Refuse);
    let before = asked_at_old(&rehearsal);

    rehearsal.drift(rehearsal.proxy.give_old_to(vec![address]));
    let seen = || {
        let failed = rehearsal.service.events_named("witness.failed");
        let others = failed.iter().filter(|event| event.json.to_string().contains("other_cluster")).count();
        if others >= moved.from.len() { Ok(()) } else { Err(rehearsal.service.story()) }
    };
    within(LIMIT, seen).unwrap_or_else(|story| panic!("the other cluster was not noticed\n{story}"));
    rehearsal.await_told("service.degraded", 1);
    let story = rehearsal.service.story();
    assert_eq!(asked_of_records(&asked_at_old(&rehearsal)), asked_of_records(&before), "{story}");
    assert_eq!(rehearsal.respawns(), 0, "{story}");

    let new: Vec<String> = moved.to.values().map(ToString::to_string).collect();
    let renamed = rehearsal.reconfigure(&new.join(","));
    rehearsal.await_flow(renamed);
    rehearsal.await_respawns(1);
    assert_eq!(asked_of_records(&asked_at_old(&rehearsal)), asked_of_records(&before), "{story}");
    expect_respawns(rehearsal, 1);
}

/// By api, how many requests came in at the brokers' first addresses.
fn asked_at_old(rehearsal: &Rehearsal) -> BTreeMap<i16, u64> {
    let mut asked = BTreeMap::new();
    for (door, requests) in rehearsal.proxy.requests() {
        if matches!(door, Door::Broker { generation: 0, .. }) {
            for (api, count) in requests {
                *asked.entry(api).or_default() += count;
            }
        }
    }
    asked
}

/// Of these, all that are more than asking who is there.
fn asked_of_records(asked: &BTreeMap<i16, u64>) -> BTreeMap<i16, u64> {
    let who = [ApiKey::ApiVersions as i16, ApiKey::Metadata as i16];
    asked.iter().filter(|(api, _)| !who.contains(api)).map(|(api, count)| (*api, *count)).collect()
}
