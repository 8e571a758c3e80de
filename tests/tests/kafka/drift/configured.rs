//! The configuration changes in the same instant, or names nothing that lives any more.

use std::time::Duration;

use libtest_mimic::Trial;
use steadfast_sim::proxy::{Nodes, Old};
use steadfast_tests::kafka::Cluster;
use steadfast_tests::stage::Stage;

use super::{BUDGET, expect_respawns};
use crate::faults::lives::Lives;
use crate::rehearsal::Opening;

pub(super) fn trials(stage: &Stage) -> Vec<Trial> {
    vec![
        stage.trial("drift::configuration_and_endpoints_change_at_once_in_either_order", at_once),
        stage.trial("drift::a_service_finds_back_by_the_endpoints_on_disk_when_the_bootstrap_is_dead", disk),
    ]
}

/// The file names the stable address in another way, then as before.
fn at_once(cluster: &mut Cluster) {
    let rehearsal = Opening::new("drift-at-once").with(BUDGET).begin(cluster);
    let stable = rehearsal.proxy.bootstrap();
    let later = Duration::from_millis(100);

    rehearsal.reconfigure(&format!("localhost:{}", stable.port()));
    let moved = rehearsal.shift(Nodes::All, Old::Refuse);
    rehearsal.await_flow(moved.at + later);
    rehearsal.await_told("config.reloaded", 1);
    rehearsal.await_respawns(1);

    rehearsal.shift(Nodes::All, Old::Refuse);
    let renamed = rehearsal.reconfigure(&stable.to_string());
    rehearsal.await_flow(renamed + later);
    rehearsal.await_told("config.reloaded", 2);
    rehearsal.await_respawns(2);

    expect_respawns(rehearsal, 2);
}

fn disk(cluster: &mut Cluster) {
    let mut lives = Lives::begin(Opening::new("drift-disk"), cluster);
    lives.rehearsal.shift(Nodes::All, Old::Refuse);
    lives.rehearsal.await_respawns(1);
    lives.rehearsal.drift(lives.rehearsal.proxy.fence_bootstrap(Old::Refuse));
    lives.rehearsal.service.signal("TERM").unwrap();
    assert_eq!(lives.await_end(), Some(0), "{}", lives.rehearsal.service.story());

    lives.next(None);

    let (verdict, service) = lives.finish();
    assert!(verdict.is_clean(), "{verdict:?}\n{}", service.story());
}
