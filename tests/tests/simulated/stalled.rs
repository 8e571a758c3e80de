//! Handlers that stand still over what they hold, and how much they are given at once.

use std::collections::BTreeSet;
use std::time::Duration;

use steadfast::exit::Exit;
use steadfast_core::ids::Partition;
use steadfast_tests::simulated::handler::Conduct;
use steadfast_tests::simulated::journal::What;
use steadfast_tests::simulated::world::{Manner, Plan, TOPIC};

use crate::play::{SECOND, play, play_unfinished};

/// The partition whose handler hangs.
const ILL: i32 = 3;

fn hanging(settings: &str) -> Manner {
    let conduct = Conduct { hanging: BTreeSet::from([ILL]), ..Conduct::default() };
    Manner { conduct: Some(conduct), settings: settings.to_owned(), ..Manner::default() }
}

fn plan(seed: u64) -> Plan {
    Plan { services: 0, settings: "\"max.poll.interval.ms\" = 20000\n".to_owned(), ..Plan::new(seed) }
}

#[test]
fn a_handler_that_stands_still_costs_its_partition_only() {
    let story = play_unfinished(plan(2421), async |world| {
        world.start_service_as(1, &hanging(""));
        world.elapse(60 * SECOND).await;
        let control = world.control_of("service-1").unwrap();
        let quarantined = control.quarantined();
        let ill = Partition::new(TOPIC, ILL);
        assert_eq!(quarantined.keys().collect::<Vec<_>>(), [&ill]);
        let reason = &quarantined[&ill].reason;
        assert!(reason.contains("acked nothing") && reason.contains("for 20 s"), "{reason}");
        assert!(!control.vitals().read(world.now()).ready, "it is not ready as long as nobody looks into it");
        assert_eq!(control.standing().owned.len(), 12, "it is still owned");
    });
    let told = story.events("partition.quarantined");
    assert_eq!(told.len(), 1, "{}", story.told());
    // What waited when the service began was delivered within a moment of its first fetch.
    assert!((20 * SECOND..23 * SECOND).contains(&told[0].0), "{}", story.told());
    assert_eq!(story.rounds(), 1, "{}", story.told());
    let others = story.slowest_of(|partition| partition.index != ILL);
    assert!(others <= SECOND, "{others:?}\n{}", story.told());
}

#[test]
fn one_that_is_to_leave_for_it_leaves_and_what_others_can_do_is_theirs() {
    let story = play_unfinished(plan(2422), async |world| {
        world.start_service_as(1, &hanging("[handler]\non_stall = \"leave\"\n"));
        world.elapse(40 * SECOND).await;
        // Who has left is not waited for.
        world.start_service(2);
        world.elapse(10 * SECOND).await;
        let heir = world.control_of("service-2").unwrap().standing();
        assert_eq!(heir.owned.len(), 12, "{heir:?}");
    });
    let stopped: Vec<_> = story.events("service.stopped").into_iter().map(|(_, event)| event).collect();
    let reason = stopped[0]["reason"].as_str().unwrap();
    assert!(reason.contains(&format!("{TOPIC}-{ILL}")) && reason.contains("acked nothing"), "{reason}");
    assert_eq!(story.report.exits[&1], Exit::Internal, "{}", story.told());
}

#[test]
fn a_slow_handler_that_acks_now_and_then_does_not_stand_still() {
    let settings = "\"max.poll.interval.ms\" = 20000\n\"max.poll.records\" = 1\n".to_owned();
    let delay = Duration::from_secs(15)..Duration::from_secs(15);
    let conduct = Conduct { delay, ..Conduct::default() };
    let story =
        play(Plan { settings, conduct, ..Plan::new(2423) }, async |world| world.elapse(60 * SECOND).await);
    assert!(story.events("partition.quarantined").is_empty(), "{}", story.told());
}

#[test]
fn a_handler_is_given_no_more_records_at_once_than_max_poll_records_says() {
    for (seed, setting, most) in [(2424, "", 500), (2425, "\"max.poll.records\" = 70\n", 70)] {
        let plan = Plan { settings: setting.to_owned(), ..Plan::new(seed) };
        let story = play(plan, async |world| {
            for partition in world.partitions() {
                world.append(&partition, 1_300);
            }
            world.elapse(5 * SECOND).await;
        });
        story.lost_nothing();
        let sizes = story.happenings.iter().filter_map(|happening| match &happening.what {
            What::Delivered(batch) => Some(batch.offsets.len()),
            _ => None,
        });
        assert_eq!(sizes.max(), Some(most), "{}", story.told());
    }
}
