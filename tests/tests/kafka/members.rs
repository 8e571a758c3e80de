//! Every endpoint moves while members of a group are in the middle of a round.

use libtest_mimic::Trial;
use steadfast_sim::proxy::{Nodes, Old};
use steadfast_tests::company::{ALL, Company, await_sharing};
use steadfast_tests::kafka::Cluster;
use steadfast_tests::stage::Stage;
use steadfast_tests::within;

use crate::rehearsal::{LIMIT, proxied};

pub(crate) fn trials(stage: &Stage) -> Vec<Trial> {
    vec![
        stage.trial("members::every_endpoint_moves_in_an_eager_round", moved_in_eager_round),
        stage.trial("members::every_endpoint_moves_in_a_cooperative_round", moved_in_cooperative_round),
    ]
}

const RANGE: &str = "\"partition.assignment.strategy\" = \"range\"\n";
const COOPERATIVE: &str = "\"partition.assignment.strategy\" = \"cooperative-sticky\"\n";
const HALF: usize = ALL / 2;

fn moved_in_eager_round(cluster: &mut Cluster) {
    moved_in_round(cluster, "members-moved-eager", RANGE, Old::BlackHole);
}

fn moved_in_cooperative_round(cluster: &mut Cluster) {
    moved_in_round(cluster, "members-moved-cooperative", COOPERATIVE, Old::Refuse);
}

/// The first member hears of the round by its next heartbeat, which is far away: until then the second one's
/// join is parked.
const SLOW_BEAT: &str = "\"heartbeat.interval.ms\" = 15000\n";
const JOIN_GROUP: i16 = 11;

fn moved_in_round(cluster: &mut Cluster, name: &str, strategy: &str, old: Old) {
    let (runtime, proxy) = proxied(cluster);
    let company = Company::gather(&cluster.brokers(), name).behind(&proxy);
    let first = company.ours(&format!("{strategy}{SLOW_BEAT}"));
    first.await_owned(ALL);
    await_sharing(&[(&first, ALL)]);
    let joins = proxy.requests_of(JOIN_GROUP);
    let second = company.ours(strategy);
    // The first of them is answered with a member id.
    within(LIMIT, || if proxy.requests_of(JOIN_GROUP) >= joins + 2 { Ok(()) } else { Err(()) }).unwrap();
    let moved = runtime.block_on(proxy.move_endpoints(Nodes::All, old)).unwrap();
    second.await_owned(HALF);
    first.await_owned(HALF);
    let round = first.service.events_named("group.rebalanced").into_iter().nth(1).unwrap();
    assert!(moved.at < round.at, "the round was over before the move\n{}", first.service.story());
    await_sharing(&[(&first, HALF), (&second, HALF)]);
    company.disband(vec![first, second]);
}
