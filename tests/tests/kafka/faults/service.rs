//! The service itself is killed in full flow, or ends, and is started again.

use std::time::SystemTime;

use libtest_mimic::Trial;
use serde_json::Value;
use steadfast_tests::checker::Verdict;
use steadfast_tests::kafka::Cluster;
use steadfast_tests::service::Service;
use steadfast_tests::stage::Stage;

use super::DRILLED;
use super::lives::Lives;
use crate::rehearsal::{LIMIT, Opening};

pub(super) fn trials(stage: &Stage) -> Vec<Trial> {
    vec![
        stage.trial("faults::what_comes_twice_after_a_kill_is_at_least_what_is_reported", killed),
        stage.trial("faults::a_static_member_that_is_killed_has_its_partitions_back_at_once", killed_static),
        stage.trial("faults::nothing_comes_twice_after_an_orderly_stop", stopped),
        stage.trial("faults::the_end_of_any_root_supervisor_ends_the_process", roots),
        stage.trial("faults::an_actor_that_keeps_crashing_ends_the_process", exhausted),
    ]
}

/// The shortest session that brokers allow by default: a group waits for a dead member no longer.
const SHORT: &str =
    "\"session.timeout.ms\" = \"6s\"\n\n[checkpoint]\ninterval = \"200ms\"\n\n[log]\nlevel = \"debug\"\n";
/// Who waited for the end of this session would wait longer than any trial does.
const STATIC: &str = "\"group.instance.id\" = \"the-one\"\n\"session.timeout.ms\" = \"4m\"\n\n\
                      [checkpoint]\ninterval = \"200ms\"\n\n[log]\nlevel = \"debug\"\n";

fn killed(cluster: &mut Cluster) {
    kill_and_start_again(cluster, Opening::new("faults-killed").with(SHORT));
}

fn killed_static(cluster: &mut Cluster) {
    kill_and_start_again(cluster, Opening::new("faults-killed-static").with(STATIC));
}

fn kill_and_start_again(cluster: &mut Cluster, opening: Opening<'_>) {
    let mut lives = Lives::begin(opening.run_by(DRILLED), cluster);
    // Commits say how far delivery was ahead of them: from now on it always is.
    lives.rehearsal.service.tell("lag").unwrap();
    for _ in 0..2 {
        lives.rehearsal.await_flow(SystemTime::now());
    }
    let committed = lives.rehearsal.told("checkpoint.committed");
    lives.rehearsal.await_told("checkpoint.committed", committed + 2);
    lives.rehearsal.service.signal("KILL").unwrap();
    assert_eq!(lives.await_end(), None);

    lives.next(None);

    let (verdict, service) = lives.finish();
    expect_nothing_lost(&verdict, &service);
    let reported = former_owner(&service);
    assert!(reported > 0, "{}", service.story());
    assert!(verdict.redelivered.len() as u64 >= reported, "{} redelivered", verdict.redelivered.len());
    let handed_again = service.events_named("partition.started");
    let handed_again = handed_again.iter().filter_map(|started| started.json["handed_again"].as_u64());
    assert_eq!(handed_again.sum::<u64>(), reported, "{}", service.story());
}

fn stopped(cluster: &mut Cluster) {
    let mut lives = Lives::begin(Opening::new("faults-stopped").run_by(DRILLED), cluster);
    // A member that panics when it is told to leave is told again.
    lives.rehearsal.service.tell("crash member").unwrap();
    lives.rehearsal.service.signal("TERM").unwrap();
    assert_eq!(lives.await_end(), Some(0));

    lives.next(None);

    let (verdict, service) = lives.finish();
    assert!(verdict.is_clean(), "{verdict:?}\n{}", service.story());
    assert_eq!(former_owner(&service), 0);
}

fn expect_nothing_lost(verdict: &Verdict, service: &Service) {
    assert_eq!((&verdict.lost, &verdict.disordered), (&vec![], &vec![]), "{}", service.story());
}

/// The records that the service says were handed to a former owner too.
fn former_owner(service: &Service) -> u64 {
    let events = service.events_named("records.redelivered");
    let former_owner = events.iter().filter(|event| event.json["reason"] == "former_owner");
    former_owner.filter_map(|event| event.json["records"].as_u64()).sum()
}

const INTERNAL: Option<i32> = Some(70);

fn roots(cluster: &mut Cluster) {
    let mut lives = Lives::begin(Opening::new("faults-roots").with(STATIC).run_by(DRILLED), cluster);
    for root in ["steadfast", "consumers", "handlers"] {
        lives.rehearsal.service.tell(&format!("end {root}")).unwrap();
        assert_eq!(lives.await_end(), INTERNAL, "{root}");
        let stopped = &lives.rehearsal.service.events_named("service.stopped")[0].json;
        assert!(stopped["reason"].as_str().unwrap().starts_with(root), "{stopped}");
        lives.next(Some(DRILLED));
    }
    let (verdict, service) = lives.finish();
    expect_nothing_lost(&verdict, &service);
}

/// Ten restarts within a minute are allowed to each.
fn exhausted(cluster: &mut Cluster) {
    let mut lives = Lives::begin(Opening::new("faults-exhausted").with(STATIC).run_by(DRILLED), cluster);
    let service = &mut lives.rehearsal.service;
    for life in 1..=11 {
        service.tell("crash config_watcher").unwrap();
        let ended = |event: &Value| event["actor"] == "config_watcher" && event["incarnation"] == life;
        match life {
            11 => service.wait_for(LIMIT, "actor.failed", |event| event["actor"] == "config_watcher"),
            _ => service.wait_for(LIMIT, "actor.restarted", ended),
        }
        .unwrap();
    }
    assert_eq!(lives.await_end(), INTERNAL);
    lives.next(None);
    let (verdict, service) = lives.finish();
    expect_nothing_lost(&verdict, &service);
}
