//! Every endpoint moves, and an actor panics in the middle of the recovery.

use std::time::SystemTime;

use libtest_mimic::Trial;
use steadfast_sim::proxy::{Nodes, Old};
use steadfast_tests::kafka::Cluster;
use steadfast_tests::stage::Stage;

use super::DRILLED;
use crate::rehearsal::{Opening, expect_clean};

pub(super) fn trials(stage: &Stage) -> Vec<Trial> {
    vec![
        stage.trial("faults::an_actor_panics_when_every_endpoint_has_just_moved", just_moved),
        stage.trial("faults::an_actor_panics_when_a_drift_is_suspected", suspected),
        stage.trial("faults::an_actor_panics_when_the_successor_is_being_prepared", preparing),
        stage.trial("faults::all_actors_panic_at_once_in_mid_recovery", all_at_once),
    ]
}

/// Those who take part in a recovery.
const ACTORS: [&str; 6] =
    ["consumer", "checkpointer", "metadata_poller", "endpoint_differ", "supervisor", "member"];

fn just_moved(cluster: &mut Cluster) {
    in_mid_recovery(cluster, "faults-moved", None);
}

fn suspected(cluster: &mut Cluster) {
    in_mid_recovery(cluster, "faults-suspected", Some("endpoint.suspected"));
}

fn preparing(cluster: &mut Cluster) {
    in_mid_recovery(cluster, "faults-preparing", Some("endpoint.drifted"));
}

/// What one had to tell another is lost with both, and found out again.
fn all_at_once(cluster: &mut Cluster) {
    let settings = "\n[respawn]\nbudget = 100\n";
    let mut rehearsal = Opening::new("faults-all").with(settings).run_by(DRILLED).begin(cluster);
    let mut crashes = 0;
    for moment in [None, Some("endpoint.suspected"), Some("endpoint.drifted"), Some("consumer.respawned")] {
        let told = moment.map(|moment| (moment, rehearsal.told(moment) + 1));
        rehearsal.shift(Nodes::All, Old::Refuse);
        if let Some((moment, count)) = told {
            rehearsal.await_told(moment, count);
        }
        rehearsal.service.tell(&format!("crash {}", ACTORS.join(" "))).unwrap();
        crashes += ACTORS.len();
        rehearsal.await_told("actor.restarted", crashes);
        rehearsal.await_flow(SystemTime::now());
    }
    assert_eq!(rehearsal.told("group.rebalanced"), 1, "{}", rehearsal.service.story());
    let (verdict, service) = rehearsal.finish();
    expect_clean(&verdict, &service);
}

/// The actor panics when the next event of this name is told, or at once.
fn in_mid_recovery(cluster: &mut Cluster, name: &str, moment: Option<&str>) {
    let settings = "\n[respawn]\nbudget = 100\n";
    let mut rehearsal = Opening::new(name).with(settings).run_by(DRILLED).begin(cluster);
    for (done, actor) in ACTORS.into_iter().enumerate() {
        let told = moment.map(|moment| (moment, rehearsal.told(moment) + 1));
        rehearsal.shift(Nodes::All, Old::Refuse);
        if let Some((moment, count)) = told {
            rehearsal.await_told(moment, count);
        }
        rehearsal.service.tell(&format!("crash {actor}")).unwrap();
        rehearsal.await_told("actor.restarted", done + 1);
        rehearsal.await_flow(SystemTime::now());
    }
    let story = rehearsal.service.story();
    assert_eq!(rehearsal.told("actor.restarted"), ACTORS.len(), "{story}");
    assert_eq!(rehearsal.told("group.rebalanced"), 1, "{story}");
    let (verdict, service) = rehearsal.finish();
    expect_clean(&verdict, &service);
}
