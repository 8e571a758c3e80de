//! Records that cannot be processed, targets that are away, and quarantine.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use steadfast_core::ids::{Offset, Partition};
use steadfast_tests::simulated::handler::{Conduct, Stumble};
use steadfast_tests::simulated::letters::{Letterbox, Switch};
use steadfast_tests::simulated::world::{Manner, Plan, TOPIC, World};

use crate::play::{SECOND, Story, play, play_unfinished};

/// How many records partition 3 is given at once, and which of them is bad: the load had appended about 24 before.
const BATCH: usize = 40;
const BAD: i64 = 50;

fn poison(stumble: Stumble) -> BTreeMap<(i32, i64), Stumble> {
    [((3, BAD), stumble)].into()
}

fn tolerant(seed: u64, conduct: Conduct) -> (Plan, Letterbox) {
    let letters = Letterbox::default();
    (Plan { conduct, letters: Some(letters.clone()), ..Plan::new(seed) }, letters)
}

fn orders(index: i32) -> Partition {
    Partition::new(TOPIC, index)
}

fn at(story: &Story, name: &str) -> Vec<(i64, i64)> {
    let place = |key: &str, event: &serde_json::Value| event[key].as_i64().unwrap();
    let events = story.events(name).into_iter();
    let placed = events.map(|(_, event)| {
        (place("messaging.destination.partition.id", &event), place("messaging.kafka.offset", &event))
    });
    placed.collect()
}

/// The longest that a record of another partition than the poisoned one waited.
fn others(story: &Story) -> Duration {
    story.slowest_of(|partition| partition.index != 3)
}

/// A load of single records has its turn first; here partition 3 gets a batch that ends behind the bad record.
async fn poisoned(world: &World, time: Duration) {
    world.append(&orders(3), BATCH);
    world.elapse(time).await;
}

#[test]
fn a_rejected_record_goes_to_the_dead_letters_and_everything_else_is_processed_once() {
    let conduct = Conduct { poison: poison(Stumble::Reject), ..Conduct::default() };
    let (plan, letters) = tolerant(901, conduct);
    let story = play(plan, async |world| poisoned(world, 10 * SECOND).await);
    story.lost_nothing().cost(0, 0);
    assert_eq!(at(&story, "record.dead_lettered"), [(3, BAD)], "{}", story.told());
    assert_eq!(letters.places(), BTreeSet::from([(3, BAD)]));
    let letter = &letters.letters()[0];
    assert_eq!((letter.cause.message.as_str(), letter.cause.class), ("asked to reject", "&str"));
    assert!(story.slowest() <= SECOND, "{:?}\n{}", story.slowest(), story.told());
}

#[test]
fn a_record_over_which_the_work_fails_is_found_among_the_others_and_only_it_is_a_dead_letter() {
    for (seed, stumble) in [(902, Stumble::Fail), (903, Stumble::Panic)] {
        let conduct = Conduct { poison: poison(stumble), ..Conduct::default() };
        let (plan, letters) = tolerant(seed, conduct);
        let story = play(plan, async |world| poisoned(world, 30 * SECOND).await);
        story.lost_nothing().cost(0, 0);
        assert_eq!(letters.places(), BTreeSet::from([(3, BAD)]), "{stumble:?}\n{}", story.told());
        assert_eq!(at(&story, "partition.quarantined"), []);
        assert!(others(&story) <= SECOND, "{:?}\n{}", others(&story), story.told());
        // What is before the bad record does not wait for it: it was found by halves.
        let waits = story.waits();
        let before = waits.iter().filter(|((partition, offset), _)| partition.index == 3 && offset.0 < BAD);
        let slowest = before.map(|(_, (_, wait))| *wait).max().unwrap();
        assert!(slowest <= 5 * SECOND, "{stumble:?}: {slowest:?}\n{}", story.told());
    }
}

#[test]
fn without_tolerance_the_partition_is_quarantined_before_the_bad_record_and_the_others_flow_on() {
    for (seed, stumble) in [(904, Stumble::Reject), (905, Stumble::Fail), (906, Stumble::Panic)] {
        let conduct = Conduct { poison: poison(stumble), ..Conduct::default() };
        let plan = Plan { conduct, ..Plan::new(seed) };
        let story = play_unfinished(plan, async |world| poisoned(world, 40 * SECOND).await);
        story.broke_nothing();
        assert_eq!(at(&story, "partition.quarantined"), [(3, BAD)], "{stumble:?}\n{}", story.told());
        assert!(others(&story) <= SECOND, "{:?}\n{}", others(&story), story.told());
        let missing = story.report.tally.missing();
        assert_eq!(missing.keys().collect::<Vec<_>>(), [&orders(3)], "{stumble:?}");
        assert_eq!(missing[&orders(3)].first(), Some(&Offset(BAD)), "everything before it is processed");
    }
}

#[test]
fn while_the_dead_letters_are_away_nothing_is_acked_and_when_they_are_back_it_goes_on() {
    let conduct = Conduct { poison: poison(Stumble::Reject), ..Conduct::default() };
    let (plan, letters) = tolerant(907, conduct);
    letters.away.turn(true);
    let story = play(plan, async |world| {
        poisoned(world, 60 * SECOND).await;
        let control = world.services()[&1].clone().unwrap();
        let acked = |control: &steadfast::service::Control| {
            control.progress().read(&orders(3), |progress| (progress.acked(), progress.state())).unwrap()
        };
        assert_eq!(acked(&control).0, Offset(BAD));
        assert!(control.away()[&orders(3)].reason.contains("away"));
        letters.away.turn(false);
        world.elapse(10 * SECOND).await;
        assert!(acked(&control).0 > Offset(BAD) && control.away().is_empty());
    });
    story.lost_nothing().cost(0, 0);
    assert!(story.events("deadletters.unavailable").len() >= 5, "{}", story.told());
    assert_eq!(letters.places(), BTreeSet::from([(3, BAD)]));
    assert!(others(&story) <= SECOND, "{:?}\n{}", others(&story), story.told());
}

#[test]
fn who_writes_dead_letters_may_crash_and_none_is_lost() {
    let conduct = Conduct { poison: poison(Stumble::Reject), ..Conduct::default() };
    let (plan, letters) = tolerant(908, conduct);
    letters.away.turn(true);
    let story = play(plan, async |world| {
        poisoned(world, 5 * SECOND).await;
        assert!(world.services()[&1].as_ref().unwrap().crash("bad_records"));
        letters.away.turn(false);
        world.elapse(10 * SECOND).await;
    });
    story.lost_nothing();
    assert_eq!(letters.places(), BTreeSet::from([(3, BAD)]), "{}", story.told());
}

#[test]
fn a_target_that_is_away_is_waited_for_and_no_record_is_to_blame() {
    let away = Switch::default();
    let conduct = Conduct { away: away.clone(), ..Conduct::default() };
    let (plan, letters) = tolerant(909, conduct);
    let story = play(plan, async |world| {
        away.turn(true);
        world.elapse(120 * SECOND).await;
        assert!(!world.services()[&1].as_ref().unwrap().away().is_empty());
        away.turn(false);
        world.elapse(20 * SECOND).await;
        assert!(world.services()[&1].as_ref().unwrap().away().is_empty());
    });
    story.lost_nothing().cost(0, 0);
    assert_eq!(at(&story, "partition.quarantined"), []);
    assert_eq!(letters.letters(), []);
    let recovered: BTreeSet<i64> = story
        .events("sink.recovered")
        .into_iter()
        .map(|(_, event)| event["messaging.destination.partition.id"].as_i64().unwrap())
        .collect();
    assert_eq!(recovered, (0..12).collect(), "{}", story.told());
}

#[test]
fn a_partition_that_is_released_goes_on_from_where_it_stood_with_a_handler_that_begins_anew() {
    let conduct = Conduct { poison: poison(Stumble::Reject), ..Conduct::default() };
    let story = play(Plan { conduct, ..Plan::new(910) }, async |world| {
        poisoned(world, 5 * SECOND).await;
        let control = world.services()[&1].clone().unwrap();
        let told = control.quarantined();
        assert_eq!(told[&orders(3)].offset, Offset(BAD));
        assert!(told[&orders(3)].reason.contains("asked to reject"), "{told:?}");
        assert!(!control.release(&orders(4)), "it is not in quarantine");
        assert!(control.release(&orders(3)));
        world.elapse(5 * SECOND).await;
        assert_eq!(control.quarantined()[&orders(3)].offset, Offset(BAD), "it is as bad as before");
        // The handler is mended by another version of the service.
        world.stop_service(1).await.unwrap();
        let mended = Manner { conduct: Some(Conduct::default()), ..Manner::default() };
        world.start_service_as(1, &mended);
        world.elapse(10 * SECOND).await;
    });
    story.lost_nothing();
    assert_eq!(at(&story, "partition.released"), [(3, BAD)], "{}", story.told());
    assert_eq!(at(&story, "partition.quarantined"), [(3, BAD), (3, BAD)]);
}
