//! Where a discovery looks: all addresses of a bootstrap name, and what a user's own sources propose.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use steadfast_core::endpoints::view::Address;
use steadfast_sim::faults::{Fault, Nodes, Old, Way};
use steadfast_tests::simulated::journal::What;
use steadfast_tests::simulated::tap::WireEvent;
use steadfast_tests::simulated::world::{GROUP, Manner, Plan, World};

use crate::play::{SECOND, Story, all, befall, ms, node, only, play};

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

#[test]
fn who_began_with_a_broker_that_knew_only_itself_asks_the_others_for_leaders_that_it_misses() {
    let plan = Plan { services: 0, ..Plan::new(904) };
    let story = play(plan, async |world| {
        let coordinator = || world.cluster().with(|cluster| cluster.coordinator(GROUP));
        for _ in 1..3 {
            if coordinator() != Some(node(1)) {
                befall(world, Fault::MoveCoordinator);
            }
        }
        assert_eq!(coordinator(), Some(node(1)));
        befall(world, Fault::AnswerWithHalfOfTheBrokers { nodes: only(1) });
        for number in [2, 3] {
            befall(world, Fault::Isolate { node: node(number), way: Way::Both });
        }
        let known = [1, 2, 3].map(|number| broker(world, number).to_string()).join(",");
        world.start_service_as(1, &Manner { bootstrap: Some(known), ..Manner::default() });
        world.elapse(10 * SECOND).await;
        let alone = world.with_tally(|tally| tally.events("view.agreed"));
        assert_eq!(alone, 1, "the first broker is believed that it is alone");
        befall(world, Fault::Heal { nodes: Nodes::Some([node(2), node(3)].into()) });
        world.elapse(60 * SECOND).await;
    });
    story.lost_nothing().cost(0, 1);
    // It asks after 2, 6, 14, 30 s at the latest, and so on.
    let agreed = story.times("view.agreed");
    assert!(agreed.len() == 2 && agreed[1] <= 31 * SECOND, "{agreed:?}\n{}", story.told());
    let reason = "nobody is known to lead it";
    assert!(story.told().contains(reason), "{}", story.told());
}

/// When these hosts were dialled since the scenario began.
fn dialled(story: &Story, hosts: &BTreeSet<String>) -> Vec<(Duration, String)> {
    let happenings = story.happenings.iter().filter(|happening| happening.at >= story.began);
    let dialled = happenings.filter_map(|happening| match &happening.what {
        What::Wire(wire) if wire.event == WireEvent::Dialled && hosts.contains(&wire.to.host) => {
            Some((happening.at.since(story.began), wire.to.host.clone()))
        }
        _ => None,
    });
    dialled.collect()
}

#[test]
fn the_sweep_asks_every_broker_8_at_once_and_finds_the_one_that_tells_another_view() {
    let plan = Plan {
        brokers: 12,
        latency: (ms(5), ms(5)),
        settings: "[drift]\nsweep_interval = \"40s\"\npoll_interval = \"40s\"\n".to_owned(),
        ..Plan::new(905)
    };
    let mut hosts = BTreeSet::new();
    let story = play(plan, async |world| {
        hosts = (1..=12).map(|number| broker(world, number).host).collect();
        befall(world, Fault::AnswerWithHalfOfTheBrokers { nodes: only(11) });
        world.elapse(35 * SECOND).await;
        befall(world, Fault::Heal { nodes: all() });
        world.elapse(15 * SECOND).await;
    });
    story.is_clean(ms(200)).cost(0, 0);
    let asked = dialled(&story, &hosts);
    let mut dials: BTreeMap<Duration, usize> = BTreeMap::new();
    asked.iter().for_each(|(at, _)| *dials.entry(*at).or_default() += 1);
    let (sweep, at_once) = dials.into_iter().find(|(at, dials)| *at >= 20 * SECOND && *dials > 1).unwrap();
    assert!(sweep <= 30 * SECOND && at_once == 8, "{sweep:?}: {at_once}");
    let suspected = story.events("endpoint.suspected");
    let found = suspected.iter().map(|(at, _)| *at).find(|at| *at >= sweep).unwrap();
    assert!(found < sweep + SECOND, "{}", story.told());
    // What comes then is the discovery.
    let mut each: BTreeMap<&str, usize> = BTreeMap::new();
    for (_, host) in asked.iter().filter(|(at, _)| (sweep..found).contains(at)) {
        *each.entry(host).or_default() += 1;
    }
    assert!(each.len() == 12 && each.values().all(|times| *times == 1), "{each:?}");
    let ours = |(_, event): &(Duration, serde_json::Value)| {
        event["reason"] == "a broker gives another view" && event["node"] == 11
    };
    assert!(suspected.iter().all(ours), "{}", story.told());
}
