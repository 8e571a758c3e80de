//! What is committed and where it is gone on, whatever moves, hangs, ends or is created anew meanwhile.

use std::collections::BTreeMap;

use futures::future::join_all;
use steadfast::exit::Exit;
use steadfast_core::endpoints::view::Address;
use steadfast_core::ids::{NodeId, Offset, Partition};
use steadfast_core::tick::Tick;
use steadfast_sim::call::ConnectionId;
use steadfast_sim::faults::{Fault, Old, Way};
use steadfast_tests::simulated::journal::What;
use steadfast_tests::simulated::tap::{Wire, WireEvent};
use steadfast_tests::simulated::world::{GROUP, Plan, TOPIC, World};

use crate::play::{SECOND, Story, all, befall, ms, play, play_unfinished};

/// A fetch's max wait, and 100 ms for the suspicion.
const NOTICED: std::time::Duration = std::time::Duration::from_millis(600);
const OFFSET_COMMIT: i16 = 8;

fn coordinator(world: &World) -> NodeId {
    world.cluster().with(|cluster| cluster.coordinator(GROUP)).unwrap()
}

fn committed(world: &World) -> BTreeMap<Partition, Offset> {
    let all = world.cluster().with(|cluster| cluster.committed(GROUP));
    all.into_iter().map(|(partition, committed)| (partition, committed.offset)).collect()
}

/// Whether all is committed up to what may have come since the last commits, which are 5 s apart.
fn is_level(world: &World) -> bool {
    let committed = committed(world);
    let is = |partition: &Partition| {
        let end = world.cluster().with(|cluster| cluster.log_end(partition)).unwrap();
        committed.get(partition).is_some_and(|offset| *offset <= end && offset.0 + 30 >= end.0)
    };
    world.partitions().iter().all(is)
}

/// A commit that was asked for.
#[derive(Debug)]
struct Asked {
    at: Tick,
    to: Address,
    connection: ConnectionId,
    partitions: usize,
    answered: bool,
}

/// The commits that were asked for since the scenario began.
fn commits(story: &Story) -> Vec<Asked> {
    let mut asked: Vec<(i32, Asked)> = Vec::new();
    for happening in story.happenings.iter().filter(|happening| happening.at >= story.began) {
        let What::Wire(Wire { connection, to, event, .. }) = &happening.what else { continue };
        match event {
            WireEvent::Asked { correlation, api: OFFSET_COMMIT, commits, .. } => {
                let (at, to, connection) = (happening.at, to.clone(), *connection);
                let commit = Asked { at, to, connection, partitions: commits.len(), answered: false };
                asked.push((*correlation, commit));
            }
            WireEvent::Answered { correlation } => {
                let same =
                    |(of, asked): &&mut (i32, Asked)| of == correlation && asked.connection == *connection;
                if let Some((_, asked)) = asked.iter_mut().find(same) {
                    asked.answered = true;
                }
            }
            _ => {}
        }
    }
    asked.into_iter().map(|(_, asked)| asked).collect()
}

/// Commits are hung, one is on its way, and then this happens. 40 s later it is over.
fn in_mid_commit(seed: u64, stored: bool, fault: impl Fn(&World) -> Fault) -> Story {
    play(Plan::new(seed), async |world| {
        befall(world, Fault::HangCommits { during: 20 * SECOND, stored });
        // Commits are 5 s apart, and each has 2 s.
        world.elapse(ms(5_500)).await;
        befall(world, fault(world));
        world.elapse(40 * SECOND).await;
    })
}

#[test]
fn a_respawn_waits_for_no_commit_that_hangs() {
    let noticed = NOTICED + ms(100);
    for (old, limit) in [(Old::Refuse, ms(10)), (Old::BlackHole, noticed), (Old::Drop, noticed)] {
        for stored in [true, false] {
            let story = in_mid_commit(1001, stored, |_| Fault::MoveEndpoints { nodes: all(), old });
            story.is_clean(limit).cost(1, 0);
            let hung = commits(&story).iter().filter(|asked| !asked.answered).count();
            assert!(hung >= 2, "{}", story.told());
            // Once commits are answered again, what was kept is stored through the new endpoints.
            let last = story.stored().into_iter().find(|at| *at >= 20 * SECOND).unwrap();
            assert!(last <= 20 * SECOND + ms(3_100), "{last:?}\n{}", story.told());
        }
    }
}

#[test]
fn a_commit_whose_coordinator_moves_away_is_repeated_at_the_new_one_and_nothing_is_lowered() {
    for stored in [true, false] {
        let mut moved_to = None;
        let story = play(Plan::new(1002), async |world| {
            befall(world, Fault::HangCommits { during: 6 * SECOND, stored });
            world.elapse(ms(5_500)).await;
            befall(world, Fault::MoveCoordinator);
            moved_to = world.cluster().endpoints().remove(&coordinator(world));
            world.elapse(40 * SECOND).await;
        });
        story.is_clean(ms(10)).cost(0, 0);
        let answered: Vec<Asked> = commits(&story).into_iter().filter(|asked| asked.answered).collect();
        let first = answered.iter().find(|asked| Some(&asked.to) == moved_to.as_ref());
        let first = first.unwrap_or_else(|| panic!("{answered:?}")).at.since(story.began);
        assert!(first <= ms(9_000), "{first:?}\n{}", story.told());
    }
}

#[test]
fn a_commit_whose_coordinator_is_killed_is_repeated_at_the_next_one() {
    for stored in [true, false] {
        let story = in_mid_commit(1003, stored, |world| Fault::Kill { node: coordinator(world) });
        story.is_clean(ms(200)).cost(0, 0);
        assert!(story.stored().iter().any(|at| *at >= 20 * SECOND), "{}", story.told());
    }
}

#[test]
fn a_commit_that_is_heard_and_not_answered_leaves_its_connection_and_is_made_again_twice() {
    let story = play(Plan::new(1004), async |world| {
        let at = coordinator(world);
        befall(world, Fault::Isolate { node: at, way: Way::Answers });
        world.elapse(8 * SECOND).await;
        befall(world, Fault::Heal { nodes: all() });
        world.elapse(50 * SECOND).await;
    });
    story.is_clean(9 * SECOND + ms(100)).cost(0, 0);
    let asked = commits(&story);
    let unknown = asked.iter().find(|asked| !asked.answered).unwrap_or_else(|| panic!("{asked:?}"));
    let later = asked.iter().filter(|asked| asked.at > unknown.at);
    assert!(later.clone().all(|asked| asked.connection != unknown.connection), "{asked:?}");
    // And all that is owned is committed once more, after the request could have arrived at the latest: counted from the
    // last of those that had no answer, and one that found no connection is among them.
    let mended = later.filter(|asked| asked.answered && asked.partitions == 12);
    let mended: Vec<_> = mended.map(|asked| asked.at.since(unknown.at)).collect();
    assert!(
        mended.iter().any(|after| (30 * SECOND..33 * SECOND).contains(after)),
        "{mended:?}\n{}",
        story.told()
    );
}

#[test]
fn a_crash_of_the_checkpointer_does_not_forget_the_commit_that_was_under_way() {
    let mut crashed = Tick::ZERO;
    let story = play(Plan::new(1005), async |world| {
        befall(world, Fault::HangCommits { during: 6 * SECOND, stored: true });
        world.elapse(ms(5_500)).await;
        crashed = world.now();
        assert!(world.services()[&1].as_ref().unwrap().crash("checkpointer"));
        world.elapse(50 * SECOND).await;
    });
    story.is_clean(ms(10)).cost(0, 0);
    let asked = commits(&story);
    let under_way = asked.iter().rfind(|asked| asked.at < crashed && !asked.answered).unwrap();
    let mended = asked.iter().filter(|asked| asked.partitions == 12);
    let after: Vec<_> = mended.map(|asked| asked.at.since(under_way.at)).collect();
    assert!(
        after.iter().any(|after| (30 * SECOND..33 * SECOND).contains(after)),
        "{after:?}\n{}",
        story.told()
    );
}

/// Three members are stopped at the same instant, so long after the third began to join; then one comes back.
fn stopped_together(seed: u64, strategy: &str, after: std::time::Duration) -> Story {
    let settings = format!("\"partition.assignment.strategy\" = \"{strategy}\"\n");
    let plan = Plan { services: 2, settings, latency: (ms(1), ms(3)), ..Plan::new(seed) };
    play(plan, async |world| {
        world.start_service(3);
        world.elapse(after).await;
        let exits = join_all((1..=3).map(|number| world.stop_service(number))).await;
        assert_eq!(exits, [Some(Exit::Fine); 3], "after {after:?}");
        world.start_service(1);
        world.elapse(10 * SECOND).await;
    })
}

#[test]
fn members_that_are_stopped_together_in_mid_round_commit_what_they_processed() {
    for strategy in ["range", "cooperative-sticky"] {
        // A calm member hears of the round within 300 ms.
        for after in (0..=600).step_by(25).map(ms) {
            let story = stopped_together(1006, strategy, after);
            story.lost_nothing();
            assert_eq!(story.report.tally.redelivered(), BTreeMap::new(), "{after:?}\n{}", story.told());
        }
    }
}

fn created_anew(world: &World) {
    world.inject("the topic is created anew", |cluster| {
        cluster.with(|cluster| {
            cluster.delete_topic(TOPIC).unwrap();
            cluster.create_topic(TOPIC, 12).unwrap();
        });
    });
}

#[test]
fn a_partition_of_a_topic_that_was_created_anew_begins_anew_when_it_is_released() {
    let mut level = false;
    let story = play_unfinished(Plan::new(1007), async |world| {
        let id = |world: &World| world.cluster().with(|cluster| cluster.topic_id(TOPIC)).unwrap().to_string();
        let before = id(world);
        created_anew(world);
        let after = id(world);
        world.elapse(10 * SECOND).await;
        let control = world.services()[&1].clone().unwrap();
        assert_eq!(control.quarantined().len(), 12);
        assert!(committed(world).is_empty(), "offsets of the old topic: {:?}", committed(world));
        for partition in world.partitions() {
            assert!(control.release(&partition));
        }
        world.elapse(20 * SECOND).await;
        level = is_level(world);
        let log = String::from_utf8(world.journal().log()).unwrap();
        let told = log.lines().find(|line| line.contains("\"topic.recreated\"")).unwrap();
        assert!(told.contains(&before) && told.contains(&after), "{told}");
    });
    assert!(level, "{}", story.told());
    let started = story.events("partition.started");
    assert_eq!(started.len(), 12, "{}", story.told());
    for (_, event) in &started {
        assert_eq!((&event["source"], &event["messaging.kafka.offset"]), (&"earliest".into(), &0.into()));
        assert_eq!(event["handed_again"], 0);
    }
    assert_eq!(story.events("partition.released").len(), 12);
    assert!(story.events("partition.released")[0].1.get("messaging.kafka.offset").is_none());
    assert_eq!(story.events("records.redelivered").len(), 0, "{}", story.told());
    story.cost(0, 0);
}

#[test]
fn a_service_that_begins_after_its_topic_was_created_anew_reads_all_of_it() {
    let mut level = false;
    let story = play_unfinished(Plan::new(1008), async |world| {
        created_anew(world);
        world.elapse(10 * SECOND).await;
        assert_eq!(
            world.stop_service(1).await,
            Some(Exit::Fine),
            "nothing of the old topic is left to commit"
        );
        assert!(committed(world).is_empty(), "offsets of the old topic: {:?}", committed(world));
        world.start_service(1);
        world.elapse(20 * SECOND).await;
        level = is_level(world);
    });
    assert!(level, "{}", story.told());
    assert_eq!(story.events("partition.quarantined").len(), 12, "{}", story.told());
}
