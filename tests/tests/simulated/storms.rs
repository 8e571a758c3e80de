//! What many clients put on a cluster that is away, and on one that comes back (KIP-612, KIP-219).

use std::time::Duration;

use kafka_protocol::messages::ApiKey;
use steadfast_core::tick::Tick;
use steadfast_sim::faults::{Fault, Old, Way};
use steadfast_tests::simulated::journal::What;
use steadfast_tests::simulated::tap::WireEvent;
use steadfast_tests::simulated::world::Plan;

use crate::play::{SECOND, Story, all, befall, node, play};

/// Services, all members of one group.
const CLIENTS: usize = 10;

/// How often per client and second, in the worst second and in the mean of a phase.
#[derive(Debug)]
struct Rate {
    worst: f64,
    mean: f64,
}

/// What the services did between two moments, each second by itself.
fn rate(story: &Story, (from, until): (Tick, Tick), counts: impl Fn(&WireEvent) -> bool) -> Rate {
    let seconds = until.since(from).as_secs().max(1);
    let mut each = vec![0usize; usize::try_from(seconds).unwrap() + 1];
    for happening in story.happenings.iter().filter(|at| (from..until).contains(&at.at)) {
        if let What::Wire(wire) = &happening.what
            && counts(&wire.event)
        {
            each[usize::try_from(happening.at.since(from).as_secs()).unwrap()] += 1;
        }
    }
    let per_client = |count: usize| count as f64 / CLIENTS as f64;
    let sum = each.iter().sum::<usize>();
    Rate { worst: per_client(each.into_iter().max().unwrap_or(0)), mean: per_client(sum) / seconds as f64 }
}

fn dials(event: &WireEvent) -> bool {
    *event == WireEvent::Dialled
}

fn metadata(event: &WireEvent) -> bool {
    matches!(event, WireEvent::Asked { api, .. } if *api == ApiKey::Metadata as i16)
}

/// The phases of an outage: everything away, and the seconds after its end.
struct Outage {
    story: Story,
    began: Tick,
    ended: Tick,
}

impl Outage {
    fn away(&self) -> (Tick, Tick) {
        // The first minute has the shorter pauses.
        (self.began + 60 * SECOND, self.ended)
    }

    fn back(&self) -> (Tick, Tick) {
        (self.ended, self.ended + 10 * SECOND)
    }

    #[track_caller]
    fn within(&self, phase: (Tick, Tick), counts: fn(&WireEvent) -> bool, worst: f64, mean: f64) {
        let rate = rate(&self.story, phase, counts);
        println!("{rate:.2?}");
        assert!(rate.worst <= worst && rate.mean <= mean, "{rate:?}, not {worst} and {mean}");
    }
}

fn outage(seed: u64, away: Duration, begin: Vec<Fault>, end: Vec<Fault>) -> Outage {
    let (mut began, mut ended) = (Tick::ZERO, Tick::ZERO);
    let plan = Plan { services: CLIENTS, partitions: 30, ..Plan::new(seed) };
    let story = play(plan, async |world| {
        began = world.now();
        begin.into_iter().for_each(|fault| befall(world, fault));
        world.elapse(away).await;
        ended = world.now();
        end.into_iter().for_each(|fault| befall(world, fault));
        world.elapse(60 * SECOND).await;
    });
    story.lost_nothing();
    Outage { story, began, ended }
}

fn each(fault: impl Fn(i32) -> Fault) -> Vec<Fault> {
    (1..=3).map(fault).collect()
}

#[test]
fn a_cluster_that_refuses_for_ten_minutes_and_comes_back_is_not_run_down() {
    let kill = each(|number| Fault::Kill { node: node(number) });
    let restart = each(|number| Fault::Restart { node: node(number) });
    let outage = outage(1001, 600 * SECOND, kill, restart);
    outage.within(outage.away(), dials, 6.0, 4.0);
    outage.within(outage.back(), dials, 12.0, 2.0);
    outage.within(outage.back(), metadata, 15.0, 2.5);
}

#[test]
fn a_cluster_that_is_silent_for_ten_minutes_and_comes_back_is_not_run_down() {
    let cut = each(|number| Fault::Isolate { node: node(number), way: Way::Both });
    let outage = outage(1002, 600 * SECOND, cut, vec![Fault::Heal { nodes: all() }]);
    outage.within(outage.away(), dials, 5.0, 3.0);
    // Lines of the group are made anew within a heartbeat's interval too.
    outage.within(outage.back(), dials, 12.0, 2.0);
    outage.within(outage.back(), metadata, 12.0, 2.5);
}

/// Connections that each broker takes up in a second: two for each service, which want more at once.
const QUOTA: u32 = 20;

#[test]
fn a_quota_on_new_connections_makes_a_return_slower_and_no_storm() {
    let kill = each(|number| Fault::Kill { node: node(number) });
    let mut restart = vec![Fault::LimitConnections { nodes: all(), per_second: QUOTA }];
    restart.extend(each(|number| Fault::Restart { node: node(number) }));
    let outage = outage(1004, 120 * SECOND, kill, restart);
    outage.within(outage.back(), dials, 12.0, 2.5);
    outage.within(outage.back(), metadata, 10.0, 3.2);
    let waits = outage.story.waits();
    let since = waits.values().filter(|(appended, _)| *appended >= outage.ended);
    let slowest = since.map(|(_, wait)| *wait).max().unwrap();
    assert!(slowest <= 2 * SECOND, "{slowest:?}");
}

#[test]
fn endpoints_that_all_move_are_found_by_everybody_with_few_connections() {
    let moves = vec![Fault::MoveEndpoints { nodes: all(), old: Old::Refuse }];
    let outage = outage(1003, Duration::ZERO, moves, Vec::new());
    outage.within(outage.back(), dials, 21.0, 2.5);
    outage.within(outage.back(), metadata, 26.0, 3.5);
}
