//! Where a discovery looks: all addresses of a bootstrap name, and what a user's own sources propose.

use steadfast_core::endpoints::view::Address;
use steadfast_sim::faults::{Fault, Old};
use steadfast_tests::simulated::world::{Manner, Plan, World};

use crate::play::{SECOND, all, befall, ms, node, only, play};

/// Addresses at which nobody was ever reached.
const NOWHERE: &str = "10.77.0.1:9092";

fn broker(world: &World, number: i32) -> Address {
    world.cluster().endpoints()[&node(number)].clone()
}

/// Where service 1 gets what it is fed from.
fn propose(world: &World, addresses: impl IntoIterator<Item = Address>) -> bool {
    let control = world.services().remove(&1).flatten().unwrap();
    world.inject("a source proposes endpoints", |_| control.propose_endpoints("registry", addresses)).unwrap()
}

#[test]
fn of_a_bootstrap_name_every_address_is_asked_and_not_only_the_first() {
    let plan = Plan { services: 0, ..Plan::new(901) };
    let story = play(plan, async |world| {
        befall(world, Fault::AnswerWithNoBrokers { nodes: only(1) });
        let hosts = vec![broker(world, 1).host, broker(world, 2).host];
        befall(world, Fault::ChangeDns { name: "bootstrap".to_owned(), hosts });
        world.start_service_as(1, &Manner::default());
        world.elapse(30 * SECOND).await;
        assert!(world.with_tally(|tally| tally.events("view.agreed") == 1));
        befall(world, Fault::Heal { nodes: all() });
        world.elapse(30 * SECOND).await;
    });
    story.lost_nothing().cost(0, 1);
    assert!(story.times("view.agreed")[0] <= 3 * SECOND, "{}", story.told());
}

#[test]
fn a_source_of_the_user_s_own_leads_to_a_cluster_that_nothing_else_knows() {
    let plan = Plan { services: 0, ..Plan::new(902) };
    let story = play(plan, async |world| {
        world.start_service_as(1, &Manner { bootstrap: Some(NOWHERE.to_owned()), ..Manner::default() });
        world.elapse(20 * SECOND).await;
        let found = [broker(world, 3)];
        assert!(propose(world, found.clone()));
        assert!(!propose(world, found), "said before");
        world.elapse(30 * SECOND).await;
    });
    story.lost_nothing().cost(0, 1);
    let agreed = story.times("view.agreed")[0];
    assert!(agreed >= 20 * SECOND && agreed <= 20 * SECOND + ms(10), "{}", story.told());
}

#[test]
fn what_a_source_says_survives_the_crash_of_the_poller_and_ends_with_an_empty_list() {
    let plan = Plan { services: 0, ..Plan::new(903) };
    let mut moved = steadfast_core::tick::Tick::ZERO;
    let story = play(plan, async |world| {
        let known = [1, 2, 3].map(|number| broker(world, number).to_string()).join(",");
        world.start_service_as(1, &Manner { bootstrap: Some(known), ..Manner::default() });
        world.elapse(15 * SECOND).await;
        let balancer = world.cluster().bootstrap();
        assert!(propose(world, [balancer.clone()]));
        let control = world.services().remove(&1).flatten().unwrap();
        assert!(world.inject("the poller panics", |_| control.crash("metadata_poller")));
        world.elapse(15 * SECOND).await;
        moved = world.now();
        befall(world, Fault::MoveEndpoints { nodes: all(), old: Old::Refuse });
        world.elapse(15 * SECOND).await;
        assert!(propose(world, []));
        world.elapse(15 * SECOND).await;
    });
    story.lost_nothing().cost(1, 1);
    let late = story.waits().into_values().filter(|(since, _)| *since >= moved);
    assert!(late.map(|(_, wait)| wait).max().unwrap() <= ms(20), "{}", story.told());
}
