//! Handlers fail, crash and are slow.

use std::collections::BTreeSet;

use steadfast::exit::Exit;
use steadfast_tests::simulated::handler::Conduct;
use steadfast_tests::simulated::journal::{Answer, What};
use steadfast_tests::simulated::world::{Manner, Plan};

use crate::play::{SECOND, Story, play};

fn with(seed: u64, conduct: Conduct) -> Plan {
    Plan { conduct, ..Plan::new(seed) }
}

/// The partitions in quarantine.
fn quarantined(story: &Story) -> BTreeSet<i64> {
    let told = story.events("partition.quarantined");
    told.iter().map(|(_, event)| event["messaging.destination.partition.id"].as_i64().unwrap()).collect()
}

#[test]
fn a_batch_that_fails_now_and_then_is_delivered_again_within_a_fetch_s_max_wait() {
    for (seed, conduct) in [
        (801, Conduct { failing: 0.02, ..Conduct::default() }),
        (802, Conduct { dropping: 0.02, ..Conduct::default() }),
    ] {
        let story = play(with(seed, conduct), async |world| world.elapse(60 * SECOND).await);
        story.lost_nothing().cost(0, 0);
        let returned = story.events("batch.returned").len();
        assert!(returned >= 20, "only {returned} were returned");
        assert!(quarantined(&story).is_empty(), "{}", story.told());
        // Twice, where it fails again.
        assert!(story.slowest() <= SECOND, "{:?}\n{}", story.slowest(), story.told());
    }
}

#[test]
fn a_handler_that_panics_now_and_then_begins_anew_and_its_partition_alone_goes_back() {
    let conduct = Conduct { panicking: 0.005, ..Conduct::default() };
    let story = play(with(803, conduct), async |world| world.elapse(60 * SECOND).await);
    story.lost_nothing().cost(0, 0);
    let panicked = story.happenings.iter();
    let panicked = panicked.filter(|told| matches!(told.what, What::Answered(_, Answer::Panicked))).count();
    assert!(panicked >= 5, "only {panicked} panicked");
    assert!(quarantined(&story).is_empty(), "{}", story.told());
    assert!(story.slowest() <= SECOND, "{:?}\n{}", story.slowest(), story.told());
}

#[test]
fn handlers_that_always_panic_are_quarantined_and_what_they_did_not_process_is_kept() {
    let story = play(Plan::new(804), async |world| {
        assert_eq!(world.stop_service(1).await, Some(Exit::Fine));
        let conduct = Some(Conduct { panicking: 1.0, ..Conduct::default() });
        world.start_service_as(1, &Manner { conduct, ..Manner::default() });
        world.elapse(60 * SECOND).await;
        world.stop_service(1).await.unwrap();
        world.start_service(1);
        world.elapse(10 * SECOND).await;
    });
    assert_eq!(quarantined(&story), (0..12).collect(), "{}", story.told());
    story.lost_nothing().cost(0, 2);
    let last = story.times("partition.quarantined").into_iter().max().unwrap();
    assert!(last <= 30 * SECOND, "{last:?}\n{}", story.told());
}

#[test]
fn a_member_whose_drain_exceeds_its_limit_gives_its_partitions_up_at_the_limit() {
    let strategy = "\"partition.assignment.strategy\" = \"range\"\n";
    let plan = Plan { settings: strategy.to_owned(), ..Plan::new(805) };
    let story = play(plan, async |world| {
        assert_eq!(world.stop_service(1).await, Some(Exit::Fine));
        let conduct = Some(Conduct { delay: 20 * SECOND..20 * SECOND, ..Conduct::default() });
        world.start_service_as(1, &Manner { conduct, ..Manner::default() });
        world.elapse(15 * SECOND).await;
        world.start_service(2);
        world.elapse(60 * SECOND).await;
        world.stop_service(1).await.unwrap();
        world.elapse(10 * SECOND).await;
    });
    story.lost_nothing();
    let revoked = story.events("partitions.revoked");
    let (_, given_up) =
        revoked.iter().find(|(_, event)| event["undrained"].as_u64().is_some_and(|left| left > 0)).unwrap();
    let took = given_up["took_ms"].as_f64().unwrap();
    assert!((5_000.0..5_200.0).contains(&took), "{took}\n{}", story.told());
    // What the handlers held then came to the second member, as what it was: handed again.
    let held = story.report.tally.redelivered();
    let handed = story.events("records.redelivered");
    assert!(!held.is_empty() && !handed.is_empty(), "{}", story.told());
    assert!(handed.iter().all(|(_, event)| event["reason"] == "former_owner"), "{}", story.told());
}
