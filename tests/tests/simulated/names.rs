//! Brokers are reached by names, and the names come to lead elsewhere while the views stay as they are.

use std::net::IpAddr;
use std::time::Duration;

use steadfast_core::endpoints::view::Address;
use steadfast_sim::faults::Fault;
use steadfast_sim::network::Door;
use steadfast_tests::simulated::world::{Manner, Plan, World};

use crate::play::{SECOND, Story, befall, ms, node, play};

/// Two polls of 7.5 s at most, and the discovery.
const NOTICED: Duration = Duration::from_secs(16);

/// By which name and port a broker is reached.
type Named = fn(i32) -> (String, u16);

/// Each broker has a name of its own.
fn own_names(number: i32) -> (String, u16) {
    (format!("kafka-{number}"), 9092)
}

/// All are behind one load balancer, at ports of their own.
fn one_balancer(number: i32) -> (String, u16) {
    ("balancer".to_owned(), 9100 + number as u16)
}

/// Has broker `number` reached under its name, which leads to `host`.
fn lead(world: &World, (name, port): (String, u16), number: i32, host: &str) -> Address {
    let network = world.cluster().network().unwrap();
    let at = Address::new(host, port);
    network.lead(&at, Door::Open(world.cluster().machine(node(number)).unwrap(), None));
    befall(world, Fault::ChangeDns { name, hosts: vec![host.to_owned()] });
    at
}

/// A calm world of one service, whose brokers are reached by names.
fn named(seed: u64, names: Named, scenario: impl AsyncFnOnce(&World)) -> Story {
    play(Plan { services: 0, ..Plan::new(seed) }, async |world| {
        for number in 1..=3 {
            let (name, port) = names(number);
            lead(world, (name.clone(), port), number, &host("10.9.0", names, number));
            world.cluster().with(|cluster| cluster.advertise(node(number), Address::new(name, port)));
        }
        world.start_service_as(1, &Manner::default());
        world.elapse(15 * SECOND).await;
        scenario(world).await;
    })
}

/// A name leads to one host.
fn host(subnet: &str, names: Named, number: i32) -> String {
    let first = (1..=number).find(|other| names(*other).0 == names(number).0).unwrap_or(number);
    format!("{subnet}.{first}")
}

/// Every name leads to a new host from now on. Gives the old addresses.
fn repoint(world: &World, names: Named) -> Vec<Address> {
    let old = |number| Address::new(host("10.9.0", names, number), names(number).1);
    for number in 1..=3 {
        lead(world, names(number), number, &host("10.9.1", names, number));
    }
    (1..=3).map(old).collect()
}

fn end(world: &World, addresses: &[Address], door: &Door) {
    let network = world.cluster().network().unwrap();
    world.inject(format!("{addresses:?}: {door:?}"), |_| {
        addresses.iter().for_each(|at| network.lead(at, door.clone()));
    });
}

fn resolved(story: &Story) -> Vec<(Duration, usize)> {
    let drifted = story.events("endpoint.drifted").into_iter();
    let changes = drifted.map(|(at, event)| {
        let changes = event["changes"].as_array().unwrap().clone();
        assert!(changes.iter().all(|change| change["kind"] == "resolved"), "{event}");
        (at, changes.len())
    });
    changes.collect()
}

#[test]
fn old_addresses_that_go_on_working_for_a_minute_and_then_die_cost_nothing() {
    for (seed, names) in [(801, own_names as Named), (802, one_balancer)] {
        let mut died = Duration::ZERO;
        let story = named(seed, names, async |world| {
            let old = repoint(world, names);
            world.elapse(60 * SECOND).await;
            died = world.now().since_start();
            end(world, &old, &Door::Refuse);
            world.elapse(20 * SECOND).await;
        });
        // The round is the start.
        story.is_clean(6 * SECOND).cost(0, 1);
        let changes = resolved(&story);
        assert_eq!(changes.iter().map(|(_, count)| count).sum::<usize>(), 3, "{}", story.told());
        let last = changes.iter().map(|(at, _)| *at).max().unwrap();
        assert!(last <= 15 * SECOND + NOTICED, "{}", story.told());
        let died = died - story.began.since_start();
        let late = story.waits().into_values().filter(|(since, _)| since.since(story.began) >= died);
        assert!(late.map(|(_, wait)| wait).max().unwrap() <= ms(10), "{}", story.told());
        assert_eq!(
            story.times("endpoint.suspected").iter().filter(|at| **at >= died).count(),
            0,
            "{}",
            story.told()
        );
    }
}

#[test]
fn old_addresses_that_die_at_once_are_left_as_soon_as_that_is_noticed() {
    for (seed, names, old_door, limit) in [
        (803, own_names as Named, Door::Refuse, ms(50)),
        (804, one_balancer, Door::Refuse, ms(50)),
        (807, own_names, Door::BlackHole, 2 * SECOND),
        (808, one_balancer, Door::BlackHole, 2 * SECOND),
    ] {
        let mut moved = Duration::ZERO;
        let story = named(seed, names, async |world| {
            moved = world.now().since_start();
            let old = repoint(world, names);
            end(world, &old, &old_door);
            world.elapse(30 * SECOND).await;
        });
        story.lost_nothing().cost(0, 1);
        let moved = moved - story.began.since_start();
        let late = story.waits().into_values().filter(|(since, _)| since.since(story.began) >= moved);
        let slowest = late.map(|(_, wait)| wait).max().unwrap();
        assert!(slowest <= limit, "{slowest:?}\n{}", story.told());
    }
}

#[test]
fn a_name_that_rotates_through_its_addresses_costs_two_replacements_at_most() {
    let story = named(805, own_names, async |world| {
        for turn in 0..120 {
            for number in 1..=3 {
                let subnet = if turn % 3 == 0 { "10.9.0" } else { "10.9.1" };
                lead(world, own_names(number), number, &host(subnet, own_names, number));
            }
            world.elapse(5 * SECOND).await;
        }
    });
    story.is_clean(6 * SECOND).cost(0, 1);
    assert!(resolved(&story).len() <= 2 * 3, "{}", story.told());
    let late = 15 * SECOND + 120 * SECOND;
    assert!(resolved(&story).iter().all(|(at, _)| *at <= late), "{}", story.told());
}

#[test]
fn a_name_that_leads_to_nobody_leaves_what_works_as_it_is() {
    let story = named(806, own_names, async |world| {
        for number in 1..=3 {
            let hosts = vec![IpAddr::from([10, 9, 7, number as u8]).to_string()];
            befall(world, Fault::ChangeDns { name: own_names(number).0, hosts });
        }
        world.elapse(120 * SECOND).await;
    });
    story.is_clean(6 * SECOND).cost(0, 1);
    assert_eq!(resolved(&story), []);
    assert!(!story.times("endpoint.suspected").is_empty(), "{}", story.told());
}
