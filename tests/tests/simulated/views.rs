//! Brokers that say something else than the truth.

use std::collections::BTreeMap;
use std::sync::Arc;

use steadfast_core::ids::TopicId;
use steadfast_sim::faults::{Fault, Old};
use steadfast_sim::guise::Guise;
use steadfast_tests::simulated::world::{Plan, TOPIC, World};

use crate::play::{SECOND, Story, all, befall, ms, node, only, play, play_unfinished, under};

#[test]
fn a_broker_of_another_cluster_is_no_witness() {
    let story = under(301, Fault::AnswerAsOtherCluster { node: node(2) });
    story.is_clean(ms(10)).cost(0, 0);
    expect_failed_witnesses(&story, "another-cluster");
}

/// So says a broker at its own address, and at the stable one, which leads to it in its turn.
fn expect_failed_witnesses(story: &Story, why: &str) {
    let failed = story.events("witness.failed");
    assert!((1..=2).contains(&failed.len()), "{}", story.told());
    for (_, event) in failed {
        assert!(event["error.message"].as_str().unwrap().contains(why), "{}", story.told());
    }
}

#[test]
fn a_view_without_brokers_is_no_witness() {
    let story = under(302, Fault::AnswerWithNoBrokers { nodes: only(2) });
    story.is_clean(ms(10)).cost(0, 0);
    expect_failed_witnesses(&story, "an empty list");
}

#[test]
fn when_no_broker_names_any_broker_all_goes_on_as_it_is() {
    let story = under(303, Fault::AnswerWithNoBrokers { nodes: all() });
    story.is_clean(ms(10)).cost(0, 0);
    assert_eq!(story.times("service.degraded").len(), 1, "{}", story.told());
    assert_eq!(story.times("service.recovered").len(), 1, "{}", story.told());
}

#[test]
fn when_all_brokers_come_to_be_another_cluster_s_the_old_consumer_stays_and_says_what_a_person_may_do() {
    let advice = "steadfast endpoints --accept-cluster another-cluster";
    let story = play(Plan::new(306), async |world| {
        for number in 1..=3 {
            befall(world, Fault::AnswerAsOtherCluster { node: node(number) });
        }
        world.elapse(30 * SECOND).await;
        let control = world.services().remove(&1).flatten().unwrap();
        let reading = control.vitals().read(world.now());
        let failed = reading.failed().map(|check| check.message.clone()).collect::<Vec<_>>().join("; ");
        assert!(failed.contains(advice), "not ready: {failed}");
        befall(world, Fault::Heal { nodes: all() });
        world.elapse(15 * SECOND).await;
        assert_eq!(control.vitals().read(world.now()).failed().count(), 0);
    });
    story.is_clean(ms(10)).cost(0, 0);
    let degraded = story.events("service.degraded");
    assert_eq!(degraded.len(), 1, "{}", story.told());
    assert!(degraded[0].1["missing"][0].as_str().unwrap().contains(advice), "{}", story.told());
    assert_eq!(story.times("service.recovered").len(), 1, "{}", story.told());
}

#[test]
fn half_of_the_brokers_named_by_one_of_three_change_nothing() {
    let story = under(304, Fault::AnswerWithHalfOfTheBrokers { nodes: only(2) });
    story.is_clean(ms(10)).cost(0, 0);
    assert_eq!(story.events("view.agreed").len(), 0, "{}", story.told());
}

#[test]
fn a_broker_that_does_not_name_itself_after_a_move_holds_up_its_own_partitions_only() {
    let story = play(Plan::new(305), async |world| {
        befall(world, Fault::AnswerWithHalfOfTheBrokers { nodes: only(2) });
        world.elapse(10 * SECOND).await;
        befall(world, Fault::MoveEndpoints { nodes: all(), old: Old::Refuse });
        world.elapse(30 * SECOND).await;
        befall(world, Fault::Heal { nodes: all() });
        world.elapse(30 * SECOND).await;
    });
    // It cannot be verified before it is healed, and then addresses are asked again every 5 s at the latest.
    story.is_clean(35 * SECOND).cost(1, 0);
    let slowest = story.slowest_of(|partition| partition.index % 3 != 1);
    assert!(slowest <= ms(10), "{slowest:?}\n{}", story.told());
}

#[test]
fn metadata_that_lags_holds_up_a_move_until_it_tells_the_truth() {
    let story = play(Plan::new(306), async |world| {
        befall(world, Fault::LagMetadata { during: 5 * SECOND });
        befall(world, Fault::MoveEndpoints { nodes: all(), old: Old::Refuse });
        world.elapse(30 * SECOND).await;
    });
    // Addresses are asked again every 5 s at the latest.
    story.is_clean(10 * SECOND).cost(1, 0);
    assert!(story.times("view.agreed")[0] >= 5 * SECOND, "{}", story.told());
}

/// The broker goes on showing the topic under this id.
fn show_topic_as(world: &World, number: i32, id: TopicId) {
    let guise = Arc::new(Guise::TopicIds(BTreeMap::from([(TOPIC.to_owned(), id)])));
    world.inject(format!("broker {number} shows the topic as {id}"), |cluster| {
        cluster.machine(node(number)).unwrap().change_link(|link| link.guise = Some(guise));
    });
}

#[test]
fn a_broker_that_shows_the_topic_under_another_id_costs_nothing() {
    for number in 1..=3 {
        let story = play(Plan::new(307), async |world| {
            show_topic_as(world, number, TopicId(0xdead));
            world.elapse(60 * SECOND).await;
            // It is heard in a discovery too, and beside a move.
            befall(world, Fault::MoveEndpoints { nodes: all(), old: Old::Refuse });
            world.elapse(60 * SECOND).await;
        });
        story.is_clean(ms(10)).cost(1, 0);
        for event in ["topic.recreated", "partition.quarantined", "partition.refused"] {
            assert!(story.times(event).is_empty(), "{}", story.told());
        }
        assert!(!story.times("endpoint.suspected").is_empty(), "it is noticed: {}", story.told());
    }
}

#[test]
fn a_service_that_begins_beside_a_broker_with_an_old_topic_id_takes_nothing_for_created_again() {
    for number in 1..=3 {
        let plan = Plan { services: 0, ..Plan::new(308) };
        let story = play(plan, async |world| {
            show_topic_as(world, number, TopicId(0xdead));
            world.start_service(1);
            world.elapse(60 * SECOND).await;
        });
        story.lost_nothing().cost(0, 1);
        for event in ["topic.recreated", "partition.quarantined"] {
            assert!(story.times(event).is_empty(), "{}", story.told());
        }
    }
}

#[test]
fn a_topic_that_was_created_again_is_noticed_at_once_although_one_broker_never_shows_it() {
    for number in 1..=3 {
        let story = play_unfinished(Plan::new(309), async |world| {
            let before = world.cluster().with(|cluster| cluster.topic_id(TOPIC)).unwrap();
            show_topic_as(world, number, before);
            world.inject("the topic is created anew", |cluster| {
                cluster.with(|cluster| {
                    cluster.delete_topic(TOPIC).unwrap();
                    cluster.create_topic(TOPIC, 12).unwrap();
                });
            });
            world.elapse(60 * SECOND).await;
        });
        let told = story.times("topic.recreated");
        assert!(told.len() == 1 && told[0] <= SECOND, "{told:?}\n{}", story.told());
        // Each of three brokers refuses four partitions, which makes one line.
        let suspected = story.times("endpoint.suspected").into_iter().filter(|at| *at < ms(100)).count();
        assert!(suspected <= 3, "{}", story.told());
        assert_eq!(story.times("partition.quarantined").len(), 12, "{}", story.told());
    }
}
