//! Endpoints move in the middle of something else.

use std::time::Duration;

use futures::FutureExt;
use kafka_protocol::messages::ApiKey;
use steadfast_sim::faults::{Fault, Old};
use steadfast_sim::group::GroupState;

use crate::drill::expected::Expected;
use crate::drill::opening::Opening;
use crate::drill::rehearsal::Rehearsal;
use crate::drill::scenario::Scenario;
use crate::drill::world::GROUP;

/// What is waited for comes within this time, or the scenario cannot be played.
const LIMIT: Duration = Duration::from_secs(30);

pub(super) const MID_REBALANCE: Scenario = Scenario {
    number: 21,
    name: "mid-rebalance",
    happens: "All brokers move while a second member joins and the group is in the middle of a round.",
    opening: Opening::USUAL,
    play: |drill| mid_rebalance(drill).boxed_local(),
    expected: |policy| {
        // Either may have to be replaced; a round goes on from where it stood, or begins once more.
        let round = Duration::from_secs(5);
        Expected::within(round + policy.silent()).respawns_up_to(policy.respawns(2, 1.0)).rebalances(1, 2)
    },
};

async fn mid_rebalance(drill: &Rehearsal) {
    drill.start(2);
    let preparing = |world: &crate::drill::world::World| {
        let group = world.cluster().with(|cluster| cluster.group(GROUP));
        group.is_some_and(|group| group.state == GroupState::PreparingRebalance)
    };
    drill.until("a round of the group", LIMIT, preparing).await;
    drill.move_all(Old::Refuse);
    drill.mark();
    drill.seconds(30).await;
}

pub(super) const MID_COMMIT: Scenario = Scenario {
    number: 22,
    name: "mid-commit",
    happens: "All brokers move while a commit is on its way, whose answer never comes.",
    opening: Opening::USUAL,
    play: |drill| mid_commit(drill).boxed_local(),
    expected: |policy| Expected::within(policy.silent()).respawns(policy.respawns(1, 1.0)),
};

async fn mid_commit(drill: &Rehearsal) {
    if drill.policy().config().checkpoint.enabled {
        if let Some(node) = drill.world().cluster().with(|cluster| cluster.coordinator(GROUP)) {
            drill.befall(Fault::WithholdAnswer { node, api: ApiKey::OffsetCommit });
        }
        drill.next_commit().await;
    }
    drill.move_all(Old::BlackHole);
    drill.mark();
    drill.seconds(30).await;
}

pub(super) const TWICE: Scenario = Scenario {
    number: 23,
    name: "twice",
    happens: "All brokers move, and move again while the recovery from it runs.",
    opening: Opening::USUAL,
    play: |drill| {
        async {
            drill.move_all(Old::BlackHole);
            drill.told("endpoint.suspected", LIMIT).await;
            drill.elapse(Duration::from_millis(10)).await;
            drill.move_all(Old::Refuse);
            drill.mark();
            drill.seconds(30).await;
        }
        .boxed_local()
    },
    expected: |policy| Expected::within(policy.silent()).respawns_up_to(policy.respawns(2, 1.0)),
};

pub(super) const PANICS: Scenario = Scenario {
    number: 24,
    name: "panics",
    happens: "All brokers move, and in the middle of the recovery an actor panics: each of four in its turn.",
    opening: Opening::USUAL,
    play: |drill| panics(drill).boxed_local(),
    expected: |policy| {
        Expected::within(policy.silent() + RESTART)
            .respawns_up_to(policy.respawns(4, 1.0))
            .restarts(PANICKING.len() as u32)
    },
};

/// What it may take until who panicked knows again what it knew.
const RESTART: Duration = Duration::from_millis(500);
const PANICKING: [&str; 4] = ["consumer", "checkpointer", "metadata_poller", "endpoint_differ"];

async fn panics(drill: &Rehearsal) {
    for actor in PANICKING {
        drill.move_all(Old::BlackHole);
        drill.mark();
        drill.told("endpoint.suspected", LIMIT).await;
        drill.elapse(Duration::from_millis(3)).await;
        drill.crash(1, actor);
        drill.seconds(30).await;
    }
}
