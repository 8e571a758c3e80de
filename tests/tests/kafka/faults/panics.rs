//! Actors panic, one after the other, and a partition's handler.

use std::fs;
use std::io;
use std::time::SystemTime;

use libtest_mimic::Trial;
use steadfast_tests::kafka::Cluster;
use steadfast_tests::service::Event;
use steadfast_tests::stage::Stage;

use super::DRILLED;
use super::lives::Lives;
use crate::rehearsal::{BACKLOG, LIMIT, Opening, PARTITIONS, Rehearsal, backlog, expect_clean, keeping_up};

pub(super) fn trials(stage: &Stage) -> Vec<Trial> {
    vec![
        stage.trial("faults::any_actor_may_panic_and_nothing_is_lost_or_comes_twice", every_actor),
        stage.trial("faults::a_handler_that_panics_costs_only_its_own_partition", handler),
        stage.trial("faults::a_poisoned_partition_stops_no_other", poisoned),
        stage.trial("faults::a_checkpointer_that_panics_keeps_to_the_reloaded_interval", interval),
    ]
}

/// All that `Control` can crash.
const ACTORS: [&str; 9] = [
    "bad_records",
    "checkpointer",
    "config_watcher",
    "consumer",
    "endpoint_differ",
    "handlers",
    "member",
    "metadata_poller",
    "supervisor",
];
/// The partition whose handler panics.
const ILL: i32 = 3;

fn every_actor(cluster: &mut Cluster) {
    let mut rehearsal = Opening::new("faults-panics").run_by(DRILLED).begin(cluster);
    for actor in ACTORS {
        rehearsal.service.tell(&format!("crash {actor}")).unwrap();
        let restarted = keeping_up(&rehearsal, None, || restarted(&rehearsal, actor));
        keeping_up(&rehearsal, None, || flowing(&rehearsal, restarted.at));
    }
    assert_eq!(rehearsal.told("actor.restarted"), ACTORS.len(), "{}", rehearsal.service.story());
    assert_eq!(rehearsal.told("group.rebalanced"), 1, "{}", rehearsal.service.story());
    let (verdict, service) = rehearsal.finish();
    expect_clean(&verdict, &service);
}

/// What had been written and not acked is written again, and is reported.
fn handler(cluster: &mut Cluster) {
    let mut rehearsal = Opening::new("faults-handler").run_by(DRILLED).begin(cluster);
    rehearsal.service.tell(&format!("crash-handler {ILL}")).unwrap();
    let restarted = keeping_up(&rehearsal, Some(ILL), || restarted(&rehearsal, "handler"));
    keeping_up(&rehearsal, Some(ILL), || flowing(&rehearsal, restarted.at));
    assert_eq!(rehearsal.told("group.rebalanced"), 1, "{}", rehearsal.service.story());
    let (verdict, service) = rehearsal.finish();
    assert_eq!((verdict.lost, verdict.disordered), (vec![], vec![]), "{}", service.story());
    let twice = verdict.redelivered;
    assert!(!twice.is_empty() && twice.iter().all(|(mark, _)| mark.partition == ILL), "{twice:?}");
    let reported = service.events_named("records.redelivered");
    assert!(reported.iter().all(|event| event.json["messaging.destination.partition.id"] == ILL));
    let reported: u64 = reported.iter().filter_map(|event| event.json["records"].as_u64()).sum();
    // What still lay in its mailbox was delivered and not written: it is reported, and comes once.
    let twice = twice.len() as u64;
    assert!((twice..=twice + u64::from(BACKLOG)).contains(&reported), "{twice}\n{}", service.story());
}

/// It is quarantined when one record has failed alone for long enough; the others never notice, and its records wait
/// for a better handler.
fn poisoned(cluster: &mut Cluster) {
    let opening = Opening::new("faults-poisoned").with("\n[checkpoint]\ninterval = \"200ms\"\n");
    let mut lives = Lives::begin(opening.run_by(DRILLED), cluster);
    lives.rehearsal.service.tell(&format!("poison {ILL}")).unwrap();
    keeping_up(&lives.rehearsal, Some(ILL), || {
        let quarantined = lives.rehearsal.service.events_named("partition.quarantined").pop();
        quarantined.ok_or_else(|| io::Error::other(lives.rehearsal.service.story()))
    });
    let waiting = backlog(&lives.rehearsal);
    assert!(waiting[&ILL] > BACKLOG, "it is the only one that waits: {waiting:?}");
    lives.rehearsal.service.signal("TERM").unwrap();
    assert_eq!(lives.await_end(), Some(0), "{}", lives.rehearsal.service.story());

    lives.next(None);

    let (verdict, service) = lives.finish();
    assert!(verdict.is_clean(), "{verdict:?}\n{}", service.story());
}

/// The interval it began with would outlast the trial.
fn interval(cluster: &mut Cluster) {
    let hourly = "\n[log]\nlevel = \"debug\"\n\n[checkpoint]\ninterval = \"1h\"\n";
    let mut rehearsal = Opening::new("faults-interval").with(hourly).run_by(DRILLED).begin(cluster);
    let config = fs::read_to_string(rehearsal.workplace.config()).unwrap();
    rehearsal.workplace.configure(&config.replace("1h", "200ms")).unwrap();
    rehearsal.service.wait_for(LIMIT, "config.reloaded", |_| true).unwrap();
    rehearsal.service.tell("crash checkpointer").unwrap();
    rehearsal.await_told("actor.restarted", 1);
    let committed = rehearsal.told("checkpoint.committed");
    rehearsal.await_told("checkpoint.committed", committed + 2);
    let (verdict, service) = rehearsal.finish();
    expect_clean(&verdict, &service);
}

/// The first restart of the actor that was not counted yet.
fn restarted(rehearsal: &Rehearsal, actor: &str) -> io::Result<Event> {
    let restarts = rehearsal.service.events_named("actor.restarted");
    let of_actor = |event: &&Event| event.json["actor"].as_str().is_some_and(|name| name.starts_with(actor));
    let found = restarts.iter().find(of_actor);
    found.cloned().ok_or_else(|| io::Error::other(rehearsal.service.story()))
}

fn flowing(rehearsal: &Rehearsal, since: SystemTime) -> io::Result<()> {
    let flowing = rehearsal.service.checker().first_after(since).len();
    let all = usize::try_from(PARTITIONS) == Ok(flowing);
    all.then_some(()).ok_or_else(|| io::Error::other(rehearsal.service.story()))
}
