//! Addresses stay, and what comes from them is late: pauses, quotas, commits under way, a network that is cut one way.

use std::time::{Duration, SystemTime};

use kafka_protocol::messages::ApiKey;
use libtest_mimic::Trial;
use steadfast_sim::proxy::{Nodes, Old};
use steadfast_tests::kafka::Cluster;
use steadfast_tests::stage::Stage;
use steadfast_tests::within;

use super::{BUDGET, expect_respawns};
use crate::faults::brokers::coordinator_of;
use crate::rehearsal::{LIMIT, Opening, Rehearsal};

pub(super) fn trials(stage: &Stage) -> Vec<Trial> {
    vec![
        stage.trial("drift::brokers_that_pause_or_throttle_are_waited_for", paused),
        stage.trial("drift::a_move_while_a_commit_is_under_way_costs_no_record", mid_commit),
        stage.trial("drift::a_network_that_is_cut_one_way_costs_nothing_within_the_session", cut),
        stage
            .trial("drift::a_network_that_is_cut_one_way_past_the_session_is_rejoined_through", cut_for_long),
    ]
}

/// As long as a stop-the-world collection that is long and no rarity.
const PAUSE: Duration = Duration::from_secs(2);

/// Pauses and throttling are no drift.
fn paused(cluster: &mut Cluster) {
    const NAME: &str = "drift-paused";
    let rehearsal = Opening::new(NAME).with("\n\"client.id\" = \"drift-paused\"\n").begin(cluster);
    let one = Nodes::Some([1].into());
    rehearsal.proxy.hold_answers(&one).unwrap();
    std::thread::sleep(PAUSE);
    rehearsal.proxy.pass_answers(&one).unwrap();
    rehearsal.await_flow(SystemTime::now());
    let quota = |change: &[&str]| {
        let bootstrap = cluster.bootstrap();
        let user =
            ["--bootstrap-server", &bootstrap, "--alter", "--entity-type", "clients", "--entity-name", NAME];
        cluster.tool("kafka.admin.ConfigCommand", &[&user, change].concat()).unwrap();
    };
    quota(&["--add-config", "consumer_byte_rate=6000"]);
    rehearsal.await_flow(SystemTime::now());
    quota(&["--delete-config", "consumer_byte_rate"]);
    rehearsal.await_flow(SystemTime::now());
    assert_eq!(rehearsal.told("endpoint.drifted"), 0, "{}", rehearsal.service.story());
    expect_respawns(rehearsal, 0);
}

/// The answer to a commit never comes, and its coordinator is elsewhere.
fn mid_commit(cluster: &mut Cluster) {
    const NAME: &str = "drift-mid-commit";
    const INTERVAL: Duration = Duration::from_millis(200);
    let settings = format!("{BUDGET}\n[checkpoint]\ninterval = \"{}ms\"\n", INTERVAL.as_millis());
    let rehearsal = Opening::new(NAME).with(&settings).begin(cluster);
    let commits = || rehearsal.proxy.requests_of(ApiKey::OffsetCommit as i16);
    for done in 1..=2 {
        let coordinator = Nodes::Some([coordinator_of(cluster, NAME)].into());
        let before = commits();
        let committed = || if commits() > before { Ok(()) } else { Err("nothing is committed") };
        within(LIMIT, committed).unwrap();
        let before = commits();
        rehearsal.proxy.hold_answers(&coordinator).unwrap();
        let since = SystemTime::now();
        // One is on its way at a time: when none comes any more, it is that one's answer that is held back.
        let under_way = || commits() > before || since.elapsed().unwrap() > 2 * INTERVAL;
        within(LIMIT, || if under_way() { Ok(()) } else { Err("it is not due") }).unwrap();
        rehearsal.shift(Nodes::All, Old::Refuse);
        rehearsal.await_respawns(done);
    }
    expect_respawns(rehearsal, 2);
}

/// What the service asks for arrives, its heartbeats too; no answer does.
fn cut(cluster: &mut Cluster) {
    let rehearsal = Opening::new("drift-cut").begin(cluster);
    one_way(&rehearsal, "endpoint.suspected", 5);
    assert_eq!(rehearsal.told("partitions.lost"), 0, "{}", rehearsal.service.story());
    expect_respawns(rehearsal, 0);
}

/// The shortest session that brokers allow is over before an answer comes: its partitions are somebody else's to give.
fn cut_for_long(cluster: &mut Cluster) {
    let rehearsal =
        Opening::new("drift-cut-for-long").with("\n\"session.timeout.ms\" = 6000\n").begin(cluster);
    one_way(&rehearsal, "partitions.lost", 1);
    let story = rehearsal.service.story();
    assert_eq!(rehearsal.respawns(), 0, "{story}");
    let (verdict, service) = rehearsal.finish();
    assert!(verdict.lost.is_empty(), "{verdict:?}\n{}", service.story());
}

/// Cuts until this was told so often, and waits until records flow again.
fn one_way(rehearsal: &Rehearsal, told: &str, times: usize) {
    rehearsal.proxy.hold_answers(&Nodes::All).unwrap();
    rehearsal.await_told(told, times);
    rehearsal.proxy.pass_answers(&Nodes::All).unwrap();
    rehearsal.await_flow(SystemTime::now());
}
