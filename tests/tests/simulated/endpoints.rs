//! Endpoints move.

use std::time::Duration;

use steadfast_core::endpoints::view::Address;
use steadfast_sim::faults::{Fault, Nodes, Old};
use steadfast_tests::simulated::world::{Manner, Plan, World};

use crate::play::{SECOND, Story, all, befall, ms, node, only, play, under};

fn all_move(old: Old) -> Story {
    under(101, Fault::MoveEndpoints { nodes: all(), old })
}

#[test]
fn every_endpoint_that_moves_and_refuses_costs_one_respawn_and_no_time() {
    all_move(Old::Refuse).is_clean(ms(10)).cost(1, 0);
}

fn at(world: &World, number: i32) -> Address {
    world.cluster().endpoints()[&node(number)].clone()
}

/// A fetch's max wait, and 100 ms for the suspicion.
const NOTICED: Duration = Duration::from_millis(600);

#[test]
fn a_black_hole_is_noticed_within_a_fetch_s_max_wait_and_100_ms() {
    let story = all_move(Old::BlackHole);
    story.is_clean(NOTICED + ms(100)).cost(1, 0);
    assert!(story.times("endpoint.suspected")[0] <= NOTICED, "{}", story.told());
}

#[test]
fn dropped_packets_are_noticed_as_soon_as_a_black_hole() {
    let story = all_move(Old::Drop);
    story.is_clean(NOTICED + ms(100)).cost(1, 0);
    assert!(story.times("endpoint.suspected")[0] <= NOTICED, "{}", story.told());
}

#[test]
fn old_addresses_that_serve_the_new_view_for_a_while_cost_one_respawn_and_no_time() {
    all_move(Old::Grace(10 * SECOND)).is_clean(ms(10)).cost(1, 0);
}

#[test]
fn old_addresses_that_serve_stale_metadata_for_a_while_cost_one_respawn() {
    all_move(Old::Stale(10 * SECOND)).is_clean(ms(10)).cost(1, 0);
}

#[test]
fn one_of_three_moves_in_place() {
    for (old, limit) in [
        (Old::Refuse, ms(10)),
        (Old::BlackHole, NOTICED + ms(100)),
        (Old::Drop, NOTICED + ms(100)),
        (Old::Grace(10 * SECOND), ms(10)),
        (Old::Stale(10 * SECOND), ms(10)),
    ] {
        let story = under(102, Fault::MoveEndpoints { nodes: only(2), old });
        story.is_clean(limit).cost(0, 0);
        let drifted = story.events("endpoint.drifted");
        assert_eq!(drifted.len(), 1, "{old}\n{}", story.told());
        assert_eq!(drifted[0].1["action"], "adapt");
    }
}

#[test]
fn two_of_three_are_more_than_the_threshold() {
    let nodes = Nodes::Some([node(1), node(3)].into());
    under(103, Fault::MoveEndpoints { nodes, old: Old::Refuse }).is_clean(ms(10)).cost(1, 0);
}

#[test]
fn addresses_that_are_swapped_cost_one_respawn_and_nothing_twice() {
    under(104, Fault::SwapAddresses { a: node(1), b: node(2) }).is_clean(ms(10)).cost(1, 0);
}

#[test]
fn past_the_budget_drift_is_taken_in_place_and_costs_no_more_time() {
    let story = play(Plan::new(105), async |world| {
        for _ in 0..5 {
            befall(world, Fault::MoveEndpoints { nodes: all(), old: Old::Refuse });
            world.elapse(30 * SECOND).await;
        }
    });
    story.is_clean(ms(10)).cost(3, 0);
    assert_eq!(story.times("respawn.budget_spent").len(), 2, "{}", story.told());
}

#[test]
fn the_budget_is_back_after_its_window() {
    let settings = "\n[respawn]\nwindow = \"60s\"\n".to_owned();
    let story = play(Plan { settings, ..Plan::new(106) }, async |world| {
        for _ in 0..4 {
            befall(world, Fault::MoveEndpoints { nodes: all(), old: Old::Refuse });
            world.elapse(21 * SECOND).await;
        }
    });
    story.is_clean(ms(10)).cost(4, 0);
    assert_eq!(story.times("respawn.budget_spent").len(), 0, "{}", story.told());
}

#[test]
fn another_cluster_at_the_old_addresses_is_never_read() {
    let story = play(Plan::new(107), async |world| {
        befall(world, Fault::MoveEndpoints { nodes: all(), old: Old::BlackHole });
        for number in 1..=3 {
            befall(world, Fault::AddressTakenByOtherCluster { node: node(number) });
        }
        world.elapse(30 * SECOND).await;
        let other = world.cluster().other_cluster().unwrap();
        let asked = other.with(|other| other.take_notices());
        assert!(asked.is_empty(), "{asked:?}");
    });
    story.is_clean(NOTICED + ms(100)).cost(1, 0);
}

#[test]
fn with_only_the_old_addresses_another_cluster_there_is_refused_until_ours_is_back() {
    let plan = Plan { services: 0, ..Plan::new(108) };
    let story = play(plan, async |world| {
        let known = world.cluster().endpoints().into_values().map(|address| address.to_string());
        let bootstrap = Some(known.collect::<Vec<_>>().join(","));
        world.start_service_as(1, &Manner { bootstrap, ..Manner::default() });
        world.elapse(10 * SECOND).await;
        befall(world, Fault::MoveEndpoints { nodes: all(), old: Old::Refuse });
        for number in 1..=3 {
            befall(world, Fault::AddressTakenByOtherCluster { node: node(number) });
        }
        world.elapse(30 * SECOND).await;
        let other = world.cluster().other_cluster().unwrap();
        let asked = other.with(|other| other.take_notices());
        assert!(asked.is_empty(), "{asked:?}");
        // Our brokers are back where they were known.
        let network = world.cluster().network().unwrap();
        for (number, address) in world.cluster().endpoints() {
            let old = world.cluster().former_address(number).unwrap();
            let door = network.door(&address);
            world.inject(format!("{old} leads to {number} again"), |_| network.lead(&old, door));
        }
        world.elapse(30 * SECOND).await;
    });
    // The first round is the start.
    story.lost_nothing().cost(1, 1);
    let refused = story.events("witness.failed");
    assert_eq!(refused.len(), 3, "{}", story.told());
    assert_eq!(story.times("service.degraded").len(), 1, "{}", story.told());
    assert_eq!(story.times("service.recovered").len(), 1, "{}", story.told());
}

#[test]
fn dns_that_changes_leads_to_the_cluster_that_has_moved() {
    let story = play(Plan::new(109), async |world| {
        let name = world.cluster().bootstrap().host;
        befall(world, Fault::ChangeDns { name: name.clone(), hosts: Vec::new() });
        befall(world, Fault::MoveEndpoints { nodes: all(), old: Old::Refuse });
        world.elapse(20 * SECOND).await;
        befall(world, Fault::RestoreDns { name });
        world.elapse(10 * SECOND).await;
    });
    // Addresses are asked again every 5 s at the latest.
    story.is_clean(25 * SECOND).cost(1, 0);
    let degraded = story.times("service.degraded");
    assert_eq!(degraded, [10 * SECOND], "{}", story.told());
    assert!(story.times("service.recovered")[0] <= 25 * SECOND, "{}", story.told());
}

#[test]
fn dns_that_names_a_dead_host_first_costs_its_connect_limit_only() {
    let story = play(Plan::new(110), async |world| {
        let name = world.cluster().bootstrap().host;
        let hosts = vec!["nowhere".to_owned(), name.clone()];
        befall(world, Fault::ChangeDns { name, hosts });
        befall(world, Fault::MoveEndpoints { nodes: all(), old: Old::Refuse });
        world.elapse(20 * SECOND).await;
    });
    story.is_clean(ms(300)).cost(1, 0);
}

#[test]
fn an_address_that_leads_to_another_broker_is_left_and_taken_again_when_it_leads_home() {
    // Broker 3 has no replica of what broker 4 leads.
    let mut missing = Vec::new();
    let story = play(Plan { brokers: 4, ..Plan::new(111) }, async |world| {
        let network = world.cluster().network().unwrap();
        let (there, here) = (at(world, 3), at(world, 4));
        let (away, home) = (network.door(&there), network.door(&here));
        world.inject(format!("{here} leads to broker 3"), |_| network.lead(&here, away));
        world.elapse(20 * SECOND).await;
        let control = world.services().remove(&1).flatten().unwrap();
        missing = control.vitals().read(world.now()).failed().map(|check| check.message.clone()).collect();
        world.inject(format!("{here} leads home"), |_| network.lead(&here, home));
        world.elapse(20 * SECOND).await;
    });
    assert!(missing.concat().contains("another broker answers there"), "{missing:?}");
    // It is asked again each 5 s.
    story.is_clean(31 * SECOND).cost(0, 0);
    let left = story.events("endpoint.suspected");
    let left = left.iter().filter(|(_, event)| event["reason"].as_str().unwrap().contains("another broker"));
    assert!((1..=5).contains(&left.count()), "{}", story.told());
    let told = (story.times("service.degraded").len(), story.times("service.recovered").len());
    assert_eq!(told, (1, 1), "{}", story.told());
    let slowest = story.slowest_of(|partition| partition.index % 4 != 3);
    assert!(slowest <= ms(600), "{slowest:?}\n{}", story.told());
}
