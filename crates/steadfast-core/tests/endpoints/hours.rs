//! Hours of drift through the whole machine, discovery to respawn, in a few milliseconds.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use proptest::prelude::*;
use steadfast_core::endpoints::backoff::Jitter;
use steadfast_core::endpoints::budget::Budget;
use steadfast_core::endpoints::race::{Evidence, Source};
use steadfast_core::endpoints::respawn::Settings;
use steadfast_core::endpoints::supervised::{Event, Order, Supervised};
use steadfast_core::endpoints::view::{Address, View};
use steadfast_core::ids::ConsumerIncarnation;
use steadfast_core::tick::Tick;

use crate::scene::{NEW, OLD, at, view};

const HOUR: Duration = Duration::from_secs(3600);
const WINDOW: Duration = Duration::from_secs(600);
/// What an answer takes.
const ANSWER: Duration = Duration::from_millis(2);
/// What a successor takes to get ready.
const MAKE: Duration = Duration::from_millis(300);
/// How soon the client notices that something is wrong.
const NOTICE: Duration = Duration::from_millis(50);

/// A cluster that drifts, and a client that is supervised.
struct World {
    supervised: Supervised<i32>,
    now: Tick,
    /// What each address answers; the others refuse.
    alive: BTreeMap<Address, View<i32>>,
    coming: BTreeMap<(Tick, u64), Coming>,
    number: u64,
    /// When clients took over, the first one included.
    promoted: Vec<Tick>,
    adapted: usize,
}

enum Coming {
    Event(Event<i32>),
    Question(Address),
    Made(ConsumerIncarnation, View<i32>),
}

impl World {
    fn new(tokens: u32) -> World {
        let budget = Budget::new(tokens, WINDOW);
        let supervised = Supervised::new(Settings::default(), budget, Some("pinned".into()));
        let mut world = World {
            supervised,
            now: Tick::ZERO,
            alive: BTreeMap::new(),
            coming: BTreeMap::new(),
            number: 0,
            promoted: Vec::new(),
            adapted: 0,
        };
        world.is(OLD);
        world.tell(Event::Sources(vec![(at("bootstrap"), Source::Bootstrap)]));
        world.pass(Duration::from_secs(60));
        assert_eq!(world.promoted.len(), 1);
        world
    }

    /// From now on the cluster is this: all who are listed say so, and the bootstrap address.
    fn is(&mut self, endpoints: &str) {
        let now = view(endpoints);
        let listed = now.endpoints.values().map(|endpoint| endpoint.address.clone());
        self.alive = listed.chain([at("bootstrap")]).map(|at| (at, now.clone())).collect();
    }

    fn later(&mut self, after: Duration, coming: Coming) {
        self.number += 1;
        self.coming.insert((self.now + after, self.number), coming);
    }

    fn tell(&mut self, event: Event<i32>) {
        for order in self.supervised.handle(event, Jitter::FULL, self.now) {
            match order {
                Order::Ask { address } => self.later(ANSWER, Coming::Question(address)),
                Order::Make { incarnation, view } => self.later(MAKE, Coming::Made(incarnation, view)),
                Order::Promote { .. } => self.promoted.push(self.now),
                Order::Adapt { .. } => self.adapted += 1,
                Order::Discard { .. } | Order::Degraded { .. } | Order::Report(_) => {}
            }
        }
    }

    fn comes(&mut self, coming: Coming) {
        let event = match coming {
            Coming::Event(event) => event,
            Coming::Question(address) => match self.alive.get(&address) {
                Some(view) => Event::Answered { witness: address, view: view.clone() },
                None => Event::Failed { address, reason: "refused".into() },
            },
            Coming::Made(incarnation, view) => match self.works(&view) {
                true => Event::Ready { incarnation },
                false => Event::NotReady { incarnation, reason: "refused".into() },
            },
        };
        self.tell(event);
    }

    /// Whether some endpoint of this view is one of the cluster.
    fn works(&self, view: &View<i32>) -> bool {
        view.endpoints.values().any(|endpoint| self.alive.contains_key(&endpoint.address))
    }

    /// The client notices an endpoint that it uses and that is dead, or that says something else.
    fn looks(&mut self) {
        let Some(used) = self.supervised.in_use() else {
            return self.tell(Event::Suspected { evidence: Evidence::Broken });
        };
        let fine = |at: &Address| self.alive.get(at) == Some(used);
        if !used.endpoints.values().all(|endpoint| fine(&endpoint.address)) {
            self.tell(Event::Suspected { evidence: Evidence::Broken });
        }
    }

    fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        let mut look = self.now;
        loop {
            let coming = self.coming.first_key_value().map(|((at, _), _)| *at);
            let deadline = self.supervised.next_deadline();
            let next = [coming, deadline, Some(look)].into_iter().flatten().min().unwrap_or(end);
            if next > end {
                break;
            }
            self.now = self.now.max(next);
            if coming.is_some_and(|at| at <= self.now) {
                let first = self.coming.pop_first();
                first.into_iter().for_each(|(_, coming)| self.comes(coming));
            } else if deadline.is_some_and(|at| at <= self.now) {
                self.comes(Coming::Event(Event::Elapsed));
            } else {
                self.looks();
                look = self.now + NOTICE;
            }
        }
        self.now = end;
    }

    fn respawns(&self) -> usize {
        self.promoted.len() - 1
    }
}

const THIRD: &str = "1=p 2=q 3=r";

/// Outages of an hour: each a row of moves, so long apart (ms), and the calm after it (s). A row is over before a
/// successor can be ready: one that stands for longer is an outage of its own.
fn outages() -> impl Strategy<Value = Vec<(Vec<(usize, u64)>, u64)>> {
    let moves = proptest::collection::vec((0..3usize, 0..40u64), 1..8);
    proptest::collection::vec((moves, 30..300u64), 5..15)
}

fn play(world: &mut World, outages: &[(Vec<(usize, u64)>, u64)]) -> usize {
    let mut moved = 0;
    for (moves, calm) in outages {
        let before = world.supervised.in_use().cloned();
        for (to, pause) in moves {
            world.is([OLD, NEW, THIRD][*to]);
            world.pass(Duration::from_millis(*pause));
        }
        world.pass(Duration::from_secs(*calm));
        moved += usize::from(world.supervised.in_use() != before.as_ref());
        let used = world.supervised.in_use().map(|view| world.works(view));
        assert_eq!(used, Some(true), "after {calm} s");
    }
    moved
}

#[test]
fn a_node_that_says_it_is_elsewhere_is_not_used_until_it_says_that_it_is_here_again() {
    let mut world = World::new(3);
    let used = |world: &World| world.supervised.address(&3).cloned();
    assert_eq!(used(&world), Some(at("c")));
    world.alive.insert(at("c"), view("1=a 2=b 3=elsewhere"));
    world.tell(Event::Suspected { evidence: Evidence::Broken });
    world.pass(Duration::from_secs(1));
    assert_eq!((used(&world), world.promoted.len(), world.adapted), (None, 1, 0));
    world.is(OLD);
    world.pass(Duration::from_secs(10));
    assert_eq!(used(&world), Some(at("c")));
}

/// A view that is gone before a successor could be made for it is forgotten, though nothing is wrong with what is in use.
#[test]
fn what_was_there_for_a_moment_is_not_gone_to_when_it_comes_again_for_a_moment() {
    let mut world = World::new(1_000);
    let calm = |row: &[(usize, u64)], seconds| (row.to_vec(), seconds);
    let outages = [
        calm(&[(1, 4), (0, 0)], 120),
        calm(&[(0, 13), (1, 37), (0, 0)], 30),
        calm(&[(0, 0)], 30),
        calm(&[(0, 9)], 108),
        calm(&[(1, 15), (2, 1), (0, 17), (1, 18), (1, 17)], 200),
    ];
    assert_eq!(play(&mut world, &outages), 1);
    assert_eq!((world.respawns(), world.adapted), (1, 0));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// A cluster that flaps costs one respawn per outage, however often all endpoints move before it stands still; none
    /// if it comes back to where it was.
    #[test]
    fn flapping_costs_one_respawn_per_outage(outages in outages()) {
        let mut world = World::new(1_000);
        let moved = play(&mut world, &outages);
        prop_assert_eq!((world.respawns(), world.adapted), (moved, 0));
    }

    /// No window of the budget's length sees more respawns than its tokens; past it drift is taken in place, and the
    /// endpoints in use are always ones that work.
    #[test]
    fn the_budget_holds_through_hours_of_outages(outages in outages(), tokens in 0..4u32) {
        let mut world = World::new(tokens);
        play(&mut world, &outages);
        let respawns: Vec<Tick> = world.promoted.iter().skip(1).copied().collect();
        for start in &respawns {
            let within = respawns.iter().filter(|at| *at >= start && **at < *start + WINDOW).count();
            prop_assert!(within <= tokens as usize);
        }
    }
}

/// One of three that comes and goes for an hour is taken in place each time.
#[test]
fn one_of_three_that_flaps_for_an_hour_costs_no_respawn() {
    let mut world = World::new(3);
    for round in 0..360 {
        world.is(if round % 2 == 0 { "1=a 2=b 3=z" } else { OLD });
        world.pass(HOUR / 360);
    }
    assert_eq!((world.respawns(), world.adapted), (0, 360));
}

/// A scale-out, and a scale-in to the half, cost none.
#[test]
fn growing_and_shrinking_costs_no_respawn() {
    let mut world = World::new(3);
    for size in [4, 5, 6, 5, 4, 3, 4, 6] {
        let hosts = ["a", "b", "c", "d", "e", "f"];
        let listed = hosts.iter().take(size).enumerate().map(|(n, host)| format!("{}={host}", n + 1));
        let listed = listed.collect::<Vec<_>>().join(" ");
        world.is(&listed);
        // What is not in use is not looked at: the usual poll sees it.
        world.tell(Event::Suspected { evidence: Evidence::Broken });
        world.pass(Duration::from_secs(60));
        assert_eq!(world.supervised.in_use(), Some(&view(&listed)));
    }
    assert_eq!((world.respawns(), world.adapted), (0, 8));
}

/// Witnesses that disagree for an hour, each with its own way to the others, leave the endpoints in use untouched.
#[test]
fn zones_that_disagree_for_an_hour_cost_nothing() {
    let mut world = World::new(3);
    let hosts = ["a", "b", "c"];
    for (own, host) in hosts.iter().enumerate() {
        let seen = |(n, other): (usize, &&str)| match n == own {
            true => format!("{}={other}", n + 1),
            false => format!("{}={other}-of-{host}", n + 1),
        };
        let seen: Vec<String> = hosts.iter().enumerate().map(seen).collect();
        world.alive.insert(at(host), view(&seen.join(" ")));
    }
    world.pass(HOUR);
    assert_eq!((world.respawns(), world.adapted), (0, 0));
    assert_eq!(world.supervised.in_use(), Some(&view(OLD)));
}

/// A stale broker that is always the first to be heard, alone in its opinion, never moves the client.
#[test]
fn a_stale_broker_that_answers_first_for_an_hour_costs_nothing() {
    let mut world = World::new(3);
    world.alive.insert(at("a"), view("1=a 2=y 3=z"));
    world.alive.insert(at("bootstrap"), view("1=a 2=y 3=z"));
    world.pass(HOUR);
    assert_eq!((world.respawns(), world.adapted), (0, 0));
    let listed: BTreeSet<&Address> = world
        .supervised
        .in_use()
        .into_iter()
        .flat_map(|view| view.endpoints.values())
        .map(|at| &at.address)
        .collect();
    assert_eq!(listed, [&at("a"), &at("b"), &at("c")].into());
}
