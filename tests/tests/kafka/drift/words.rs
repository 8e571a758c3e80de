//! What brokers say of themselves is late, incomplete, or right and of no use.

use std::time::SystemTime;

use kafka_protocol::messages::ApiKey;
use libtest_mimic::Trial;
use steadfast_sim::proxy::{Door, Nodes, Old};
use steadfast_tests::kafka::Cluster;
use steadfast_tests::stage::Stage;
use steadfast_tests::within;

use super::addresses::{LATER, await_adapted};
use super::{BUDGET, expect_respawns};
use crate::rehearsal::{LIMIT, Opening, Rehearsal};

pub(super) fn trials(stage: &Stage) -> Vec<Trial> {
    vec![
        stage.trial(
            "drift::metadata_that_lags_names_nobody_or_names_whom_nobody_reaches_misleads_nobody",
            words,
        ),
        stage.trial("drift::an_endpoint_that_flaps_costs_no_more_respawns_than_the_budget", flapping),
    ]
}

fn words(cluster: &mut Cluster) {
    let settings = format!("{BUDGET}\n[drift]\npoll_interval = \"500ms\"\n");
    let rehearsal = Opening::new("drift-words").with(&settings).begin(cluster);
    let proxy = &rehearsal.proxy;

    // All move, and are named where they were.
    proxy.hold_names();
    rehearsal.shift(Nodes::All, Old::Refuse);
    await_questions(&rehearsal, 3);
    assert_eq!(rehearsal.respawns(), 0, "{}", rehearsal.service.story());
    proxy.pass_names();
    rehearsal.await_respawns(1);

    // They move one by one; who has moved names nobody until it knows the others.
    for node in 1..=3 {
        proxy.name_nobody([node]);
        rehearsal.shift(Nodes::Some([node].into()), Old::Refuse);
        await_questions(&rehearsal, 2);
        proxy.name_nobody([]);
        await_adapted(&rehearsal, usize::try_from(node).unwrap());
    }

    // All move to where they are heard by nobody: what is named is right, and is not used before it answers.
    let moved = rehearsal.shift(Nodes::All, Old::Refuse);
    let all = Nodes::Some(moved.to.keys().copied().collect());
    proxy.hold_answers(&all).unwrap();
    await_questions(&rehearsal, 3);
    assert_eq!(rehearsal.respawns(), 1, "{}", rehearsal.service.story());
    proxy.pass_answers(&all).unwrap();
    rehearsal.await_respawns(2);

    expect_respawns(rehearsal, 2);
}

/// Waits until the bootstrap address was asked so many times more who is in the cluster.
fn await_questions(rehearsal: &Rehearsal, more: u64) {
    let asked = || {
        let requests = rehearsal.proxy.requests();
        let of = requests.get(&Door::Bootstrap).and_then(|seen| seen.get(&(ApiKey::Metadata as i16)));
        of.copied().unwrap_or_default()
    };
    let wanted = asked() + more;
    let enough = || (asked() >= wanted).then_some(()).ok_or_else(|| rehearsal.service.story());
    within(LIMIT, enough).unwrap_or_else(|story| panic!("nobody is asked\n{story}"));
}

/// Two of three brokers are found at each other's address, and where they were before, over and over.
fn flapping(cluster: &mut Cluster) {
    const BUDGET: usize = 3;
    let rehearsal = Opening::new("drift-flapping").begin(cluster);
    for turn in 1..=2 * BUDGET {
        let moved = rehearsal.proxy.swap(2, 3).unwrap();
        rehearsal.await_flow(moved.at + LATER);
        rehearsal.await_told("endpoint.drifted", turn);
        rehearsal.await_flow(SystemTime::now());
    }
    rehearsal.await_told("respawn.budget_spent", 1);
    expect_respawns(rehearsal, BUDGET);
}
