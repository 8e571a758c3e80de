//! Addresses end in other ways than by refusing, are recycled, or leave one after the other.

use std::time::{Duration, SystemTime};

use libtest_mimic::Trial;
use steadfast_sim::proxy::{Nodes, Old};
use steadfast_tests::kafka::Cluster;
use steadfast_tests::stage::Stage;

use super::{BUDGET, expect_respawns};
use crate::rehearsal::{Opening, Rehearsal};

pub(super) fn trials(stage: &Stage) -> Vec<Trial> {
    vec![
        stage.trial("drift::all_move_and_each_end_of_their_old_addresses_costs_one_respawn", ends),
        stage
            .trial("drift::brokers_that_move_one_by_one_while_old_addresses_accept_cost_no_respawn", rolling),
        stage.trial("drift::connections_that_fall_silent_are_replaced_where_they_are", silent),
        stage.trial("drift::a_second_move_in_the_midst_of_a_recovery_is_survived", twice),
    ]
}

/// For so long isolated brokers serve stale metadata.
const STALE: Duration = Duration::from_secs(1);
/// What comes out so long after a move came through the new endpoints.
pub(super) const LATER: Duration = Duration::from_millis(100);

fn ends(cluster: &mut Cluster) {
    let rehearsal = Opening::new("drift-ends").with(BUDGET).begin(cluster);

    // No SYN is answered any more.
    rehearsal.shift(Nodes::All, Old::Drop);
    rehearsal.await_respawns(1);

    // All old brokers name each other for a while; only the bootstrap address knows better.
    rehearsal.shift(Nodes::All, Old::Stale(STALE));
    rehearsal.await_respawns(2);

    // Two of three are more than the threshold.
    rehearsal.shift(Nodes::Some([1, 2].into()), Old::Refuse);
    rehearsal.await_respawns(3);

    // Two brokers are found at each other's address.
    rehearsal.proxy.swap(2, 3).unwrap();
    rehearsal.await_respawns(4);

    // One is isolated and serves stale metadata: it is taken in place.
    rehearsal.shift(Nodes::Some([1].into()), Old::Stale(STALE));
    await_adapted(&rehearsal, 1);

    expect_respawns(rehearsal, 4);
}

fn rolling(cluster: &mut Cluster) {
    let rehearsal = Opening::new("drift-rolling").begin(cluster);
    for node in 1..=3 {
        rehearsal.shift(Nodes::Some([node].into()), Old::BlackHole);
        await_adapted(&rehearsal, usize::try_from(node).unwrap());
    }
    expect_respawns(rehearsal, 0);
}

/// All at once, then those to one broker: the addresses go on, and so does the consumer.
fn silent(cluster: &mut Cluster) {
    let rehearsal = Opening::new("drift-silent").begin(cluster);
    for nodes in [Nodes::All, Nodes::Some([2].into())] {
        let replaced = || {
            let events = rehearsal.service.events_named("connection.replaced");
            events.iter().filter(|event| event.json["node"] == 2).count()
        };
        let before = replaced();
        assert!(rehearsal.proxy.silence(&nodes).unwrap() > 0, "nothing stood");
        rehearsal.await_flow(SystemTime::now() + LATER);
        assert!(replaced() > before, "{}", rehearsal.service.story());
    }
    expect_respawns(rehearsal, 0);
}

/// The second move begins as soon as the first is suspected, or has just been answered by a respawn.
fn twice(cluster: &mut Cluster) {
    let rehearsal = Opening::new("drift-twice").with(BUDGET).begin(cluster);
    let mut moves = 0;
    for (first, moment) in [
        (Old::Refuse, "endpoint.suspected"),
        (Old::BlackHole, "endpoint.suspected"),
        (Old::Refuse, "endpoint.drifted"),
    ] {
        let told = rehearsal.told(moment) + 1;
        rehearsal.shift(Nodes::All, first);
        rehearsal.await_told(moment, told);
        let moved = rehearsal.shift(Nodes::All, Old::Refuse);
        moves += 2;
        rehearsal.await_flow(moved.at + LATER);
    }
    let respawns = rehearsal.respawns();
    assert!((3..=moves).contains(&respawns), "{respawns} respawns\n{}", rehearsal.service.story());
    expect_respawns(rehearsal, respawns);
}

/// Waits until so many drifts were taken in place, and records of every partition come out after that.
pub(super) fn await_adapted(rehearsal: &Rehearsal, count: usize) {
    let adapted = || {
        let drifted = rehearsal.service.events_named("endpoint.drifted");
        let adapted = drifted.iter().filter(|event| event.json["action"] == "adapt").count();
        if adapted >= count { Ok(()) } else { Err(rehearsal.service.story()) }
    };
    steadfast_tests::within(crate::rehearsal::LIMIT, adapted)
        .unwrap_or_else(|story| panic!("fewer than {count} drifts taken in place\n{story}"));
    rehearsal.await_flow(SystemTime::now());
}
