//! A discovery, played against a network in memory: Recovery 1 and 2.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use proptest::prelude::*;
use steadfast_core::endpoints::agreement::{Agreement, Rules, Verdict};
use steadfast_core::endpoints::backoff::Jitter;
use steadfast_core::endpoints::race::{Action, Event, Evidence, Limits, Race, Rate, Source};
use steadfast_core::endpoints::view::{Address, Observation, View};
use steadfast_core::tick::Tick;

use crate::scene::{NEW, OLD, at, view};

/// What an address does when it is asked.
#[derive(Debug, Clone)]
enum Port {
    Answers(View<i32>),
    Refuses,
    /// Accepts and stays silent until the asker's limit.
    BlackHole,
    /// The question is lost, and nobody reports it.
    Lost,
}

/// The race, the judge and a network whose every answer takes 5 ms, a refusal 1 ms, a black hole 2 s.
struct World {
    race: Race,
    agreement: Agreement<i32>,
    ports: BTreeMap<Address, Port>,
    on_their_way: BTreeMap<(Tick, Address), Result<View<i32>, &'static str>>,
    in_use: View<i32>,
    asks: Vec<(Tick, Address, Source)>,
    begun: Vec<Tick>,
    unsettled: Vec<BTreeMap<Address, String>>,
    agreed: Option<(Tick, View<i32>)>,
    verified: BTreeSet<i32>,
    /// The view that was agreed last, and which of its nodes were verified.
    published: (View<i32>, BTreeSet<i32>),
    jitter: Jitter,
    now: Tick,
}

pub(crate) const BROKEN: Event<i32> = Event::Suspected { evidence: Evidence::Broken };
pub(crate) const SILENT: Event<i32> = Event::Suspected { evidence: Evidence::Silent };

fn millis(millis: u64) -> Tick {
    Tick::at(Duration::from_millis(millis))
}

fn sources(of: &[(&str, Source)]) -> Event<i32> {
    Event::Sources(of.iter().map(|(host, source)| (at(host), *source)).collect())
}

impl World {
    fn with(limits: Limits) -> World {
        let mut world = World {
            race: Race::new(limits, Rate::default(), Some("pinned".into())),
            agreement: Agreement::new(Rules::default(), Some("pinned".into())),
            ports: BTreeMap::new(),
            on_their_way: BTreeMap::new(),
            in_use: view(OLD),
            asks: Vec::new(),
            begun: Vec::new(),
            unsettled: Vec::new(),
            agreed: None,
            verified: BTreeSet::new(),
            published: (view(OLD), BTreeSet::from([1, 2, 3])),
            jitter: Jitter::FULL,
            now: Tick::ZERO,
        };
        let in_use = ["a", "b", "c"].map(|host| (host, Source::InUse));
        world.feed(sources(&[&in_use[..], &[("bootstrap", Source::Bootstrap)]].concat()));
        world
    }

    fn new() -> World {
        World::with(Limits::default())
    }

    fn set(&mut self, hosts: &str, port: Port) {
        hosts.split_whitespace().for_each(|host| drop(self.ports.insert(at(host), port.clone())));
    }

    fn feed(&mut self, event: Event<i32>) {
        let actions = self.race.handle(event, self.now);
        for action in actions {
            match action {
                Action::Ask { address, source } => self.ask(address, source),
                Action::Begin { .. } => {
                    self.agreement.begin();
                    self.agreed = None;
                    self.begun.push(self.now);
                }
                Action::Limited { until } => assert!(until > self.now),
                Action::Unsettled { failed, .. } => self.unsettled.push(failed),
            }
        }
        assert!(!self.race.is_running() || self.race.next_deadline().is_some());
    }

    fn ask(&mut self, address: Address, source: Source) {
        assert!(
            self.on_their_way.keys().all(|(_, asked)| *asked != address),
            "{address} is asked twice at once"
        );
        self.asks.push((self.now, address.clone(), source));
        let (millis, outcome) = match self.ports.get(&address).unwrap_or(&Port::Refuses) {
            Port::Answers(view) => (5, Ok(view.clone())),
            Port::Refuses => (1, Err("refused")),
            Port::BlackHole => (2_000, Err("silent")),
            Port::Lost => return,
        };
        self.on_their_way.insert((self.now + Duration::from_millis(millis), address), outcome);
    }

    fn arrive(&mut self, address: Address, outcome: Result<View<i32>, &'static str>) {
        let (jitter, now) = (self.jitter, self.now);
        match outcome {
            Ok(view) => {
                let observation = Observation { witness: address, view, at: now };
                self.agreement.answered(observation.clone(), now);
                self.feed(Event::Answered { observation, jitter });
            }
            Err(reason) => {
                self.agreement.failed(address.clone(), reason, now);
                self.feed(Event::Failed { address, reason: reason.into(), jitter });
            }
        }
        self.judge();
    }

    fn judge(&mut self) {
        if let Verdict::Agreed { view, verified, .. } = self.agreement.judge(Some(&self.in_use), self.now) {
            let unverified = view.endpoints.iter().filter(|(node, _)| !verified.contains(node));
            let unverified = unverified.map(|(_, endpoint)| endpoint.address.clone()).collect();
            self.verified = verified.clone();
            self.agreed.get_or_insert((self.now, view.clone()));
            let known = if self.published.0 == view { self.published.1.clone() } else { BTreeSet::new() };
            let verified = verified.union(&known).copied().collect();
            let before = std::mem::replace(&mut self.published, (view, verified));
            let found = before != self.published;
            self.feed(Event::Settled { unverified, found });
        }
    }

    /// Lets everything happen until `end`.
    fn run_to(&mut self, end: Tick) {
        for _ in 0..100_000 {
            let arrival = self.on_their_way.keys().next().map(|(at, _)| *at);
            let timers = [self.race.next_deadline(), self.agreement.next_deadline(), arrival];
            let Some(next) = timers.into_iter().flatten().min().filter(|next| *next <= end) else {
                self.now = end;
                return;
            };
            self.now = self.now.max(next);
            if let Some(((_, address), outcome)) = self
                .on_their_way
                .first_entry()
                .filter(|entry| entry.key().0 <= next)
                .map(|entry| entry.remove_entry())
            {
                self.arrive(address, outcome);
            } else if self.agreement.next_deadline() == Some(next) {
                self.judge();
            } else {
                self.feed(Event::Elapsed);
            }
        }
        panic!("it spins at {}", self.now);
    }

    fn asked(&self, host: &str) -> usize {
        self.asks.iter().filter(|(_, address, _)| *address == at(host)).count()
    }

    fn agreed_at(&self, endpoints: &str) -> Option<Tick> {
        self.agreed.as_ref().filter(|(_, agreed)| *agreed == view(endpoints)).map(|(at, _)| *at)
    }
}

#[test]
fn one_suspicion_asks_every_address_at_once() {
    let mut world = World::new();
    assert_eq!(world.race.next_deadline(), None);
    world.feed(BROKEN);
    let asked: Vec<_> = world.asks.iter().map(|(at, address, _)| (*at, address.host.as_str())).collect();
    let now = Tick::ZERO;
    assert_eq!(asked, [(now, "a"), (now, "b"), (now, "c"), (now, "bootstrap")]);
}

#[test]
fn an_address_with_two_sources_is_asked_once() {
    let mut world = World::new();
    world.feed(sources(&[("a", Source::InUse), ("a", Source::Bootstrap)]));
    world.feed(BROKEN);
    assert_eq!(world.asks, [(Tick::ZERO, at("a"), Source::InUse)]);
}

#[test]
fn many_suspicions_start_one_discovery() {
    let mut world = World::new();
    (0..100).for_each(|_| world.feed(BROKEN));
    assert_eq!((world.begun.len(), world.asks.len()), (1, 4));
}

#[test]
fn when_every_endpoint_moves_and_the_old_ports_refuse_two_round_trips_are_enough() {
    let mut world = World::new();
    world.set("bootstrap x y z", Port::Answers(view(NEW)));
    world.feed(BROKEN);
    world.run_to(millis(1_000));
    assert_eq!(world.agreed_at(NEW), Some(millis(10)));
}

#[test]
fn black_holes_hold_up_nobody() {
    let mut world = World::new();
    world.set("a b c", Port::BlackHole);
    world.set("bootstrap x y z", Port::Answers(view(NEW)));
    world.feed(BROKEN);
    world.run_to(millis(1_000));
    assert_eq!(world.agreed_at(NEW), Some(millis(10)));
}

#[test]
fn new_endpoints_that_listen_a_little_later_are_asked_again_soon_though_black_holes_are_in_flight() {
    let mut world = World::new();
    world.set("a b c", Port::BlackHole);
    world.set("bootstrap", Port::Answers(view(NEW)));
    world.feed(BROKEN);
    world.run_to(millis(100));
    world.set("x y z", Port::Answers(view(NEW)));
    world.run_to(millis(200));
    assert!(world.agreed_at(NEW).is_some());
}

#[test]
fn a_false_alarm_ends_as_soon_as_the_view_in_use_is_confirmed() {
    let mut world = World::new();
    world.set("a b c", Port::Answers(view(OLD)));
    world.feed(BROKEN);
    world.run_to(millis(60_000));
    assert_eq!(world.agreed_at(OLD), Some(millis(5)));
    assert!(world.asks.iter().all(|(asked, ..)| *asked <= millis(5)));
    assert_eq!(world.race.next_deadline(), None);
}

#[test]
fn what_is_not_verified_yet_is_asked_on_after_the_agreement() {
    let mut world = World::new();
    world.set("bootstrap x y", Port::Answers(view(NEW)));
    world.feed(BROKEN);
    world.run_to(millis(20_000));
    assert_eq!((world.race.is_running(), &world.verified), (false, &BTreeSet::from([1, 2])));
    let asked_of_others =
        world.asks.iter().filter(|(asked, address, _)| *address != at("z") && *asked > millis(10));
    assert_eq!(asked_of_others.count(), 0);
    world.set("z", Port::Answers(view(NEW)));
    world.run_to(millis(26_000));
    assert_eq!(world.verified, BTreeSet::from([1, 2, 3]));
    assert_eq!(world.race.next_deadline(), None);
}

#[test]
fn when_nothing_answers_it_says_so_and_goes_on_asking_with_growing_pauses() {
    let mut world = World::new();
    world.feed(BROKEN);
    world.run_to(millis(60_000));
    let reasons: BTreeSet<_> = world.unsettled[0].values().map(String::as_str).collect();
    assert_eq!((world.unsettled.len(), reasons), (6, BTreeSet::from(["refused"])));
    assert!((15..25).contains(&world.asked("a")), "{}", world.asked("a"));
    world.set("a b c", Port::Answers(view(OLD)));
    world.run_to(millis(65_100));
    assert!(world.agreed_at(OLD).is_some());
}

#[test]
fn new_addresses_in_the_configuration_are_asked_at_once() {
    let mut world = World::new();
    world.feed(BROKEN);
    world.run_to(millis(57_000));
    world.set("x y z", Port::Answers(view(NEW)));
    world.feed(sources(&[("a", Source::InUse), ("y", Source::Configuration)]));
    world.run_to(millis(57_100));
    assert_eq!(world.agreed_at(NEW), Some(millis(57_010)));
}

#[test]
fn addresses_that_left_the_configuration_are_asked_no_more() {
    let mut world = World::new();
    world.feed(BROKEN);
    world.feed(sources(&[("a", Source::InUse)]));
    world.run_to(millis(30_000));
    assert_eq!(world.asked("bootstrap"), 1);
    assert!(world.asked("a") > 5);
}

#[test]
fn addresses_that_nobody_proposes_any_more_are_forgotten() {
    let mut world = World::new();
    world.set("bootstrap", Port::Answers(view(NEW)));
    world.feed(BROKEN);
    world.run_to(millis(9_000));
    world.set("bootstrap", Port::Answers(view("1=w")));
    world.run_to(millis(30_000));
    let asked = world.asked("x");
    world.run_to(millis(60_000));
    assert_eq!((world.asked("x"), asked > 5), (asked, true));
    assert!(world.asked("w") > 5);
}

#[test]
fn a_new_discovery_is_patient_with_nobody_from_the_one_before() {
    let mut world = World::new();
    world.set("bootstrap x y", Port::Answers(view(NEW)));
    world.set("z", Port::BlackHole);
    world.feed(BROKEN);
    world.run_to(millis(60_000));
    let last_asked = world.asks.iter().map(|(asked, ..)| *asked).max().unwrap_or_default();
    world.run_to(last_asked + Duration::from_millis(7_500));
    let in_flight = (last_asked + Duration::from_millis(7_000), at("z"), Source::Proposed);
    assert_eq!(world.asks.last(), Some(&in_flight));
    world.feed(BROKEN);
    world.set("z", Port::Answers(view(NEW)));
    world.run_to(world.now + Duration::from_millis(2_100));
    assert_eq!(world.verified, BTreeSet::from([1, 2, 3]));
}

#[test]
fn another_clusters_proposal_is_not_followed() {
    let mut world = World::new();
    world.set("bootstrap", Port::Answers(crate::scene::cluster("other", NEW)));
    world.feed(BROKEN);
    world.run_to(millis(10_000));
    assert_eq!(world.asked("x"), 0);
    assert_eq!(world.unsettled[0][&at("bootstrap")], "expected cluster pinned, found other");
}

#[test]
fn a_liars_endless_list_is_asked_within_bounds() {
    let limits = Limits { in_flight: 3, proposals: 20, ..Limits::default() };
    let mut world = World::with(limits);
    let many = (0..1_000).map(|node| (node, Address::new("sink", node as u16 + 1)));
    world.set("bootstrap", Port::Answers(View::new(Some("pinned".into()), many)));
    world.feed(BROKEN);
    world.run_to(millis(5_000));
    let sinks: BTreeSet<_> = world.asks.iter().filter(|(.., source)| *source == Source::Proposed).collect();
    let distinct: BTreeSet<_> = sinks.iter().map(|(_, address, _)| address).collect();
    assert_eq!(distinct.len(), 20);
}

#[test]
fn a_crowd_of_dead_endpoints_keeps_no_bootstrap_address_waiting() {
    let mut world = World::with(Limits { in_flight: 2, ..Limits::default() });
    world.set("a b c", Port::BlackHole);
    world.set("bootstrap x y z", Port::Answers(view(NEW)));
    world.feed(BROKEN);
    world.run_to(millis(1_000));
    assert_eq!(world.agreed_at(NEW), Some(millis(10)));
    assert_eq!(world.asked("c"), 0);
}

#[test]
fn a_question_that_is_never_reported_is_put_again() {
    let mut world = World::new();
    world.set("bootstrap", Port::Lost);
    world.feed(BROKEN);
    world.run_to(millis(9_999));
    assert_eq!(world.asked("bootstrap"), 1);
    world.run_to(millis(10_000));
    assert_eq!(world.asked("bootstrap"), 2);
}

#[test]
fn suspicions_that_keep_coming_while_all_is_well_are_limited_and_none_is_forgotten() {
    let mut world = World::new();
    world.set("a b c", Port::Answers(view(OLD)));
    for _ in 0..199 {
        world.feed(BROKEN);
        world.run_to(world.now + Duration::from_millis(50));
    }
    assert_eq!(world.begun.len(), 50);
    for run in world.begun.windows(6) {
        assert!(run[5].since(run[0]) >= Duration::from_secs(1));
    }
    world.run_to(millis(20_000));
    assert_eq!(world.begun.len(), 51);
}

#[test]
fn brokers_that_pause_again_and_again_cost_one_discovery_in_five_seconds() {
    let mut world = World::new();
    world.set("a b c", Port::Answers(view(OLD)));
    for _ in 0..1_799 {
        world.set("a", Port::BlackHole);
        world.feed(SILENT);
        world.run_to(world.now + Duration::from_millis(1_000));
        world.set("a", Port::Answers(view(OLD)));
        world.run_to(world.now + Duration::from_millis(1_000));
    }
    assert_eq!(world.begun.len(), 720);
    assert!(world.begun.windows(2).all(|two| two[1].since(two[0]) >= Duration::from_secs(5)));
}

#[test]
fn two_black_holes_in_a_row_are_both_found_at_once() {
    let mut world = World::new();
    world.set("a b c", Port::BlackHole);
    world.set("bootstrap x y z", Port::Answers(view(NEW)));
    world.feed(SILENT);
    world.run_to(millis(1_000));
    world.set("x y z", Port::BlackHole);
    world.set("bootstrap u v w", Port::Answers(view("1=u 2=v 3=w")));
    world.feed(SILENT);
    world.run_to(millis(2_000));
    assert_eq!(world.begun, [Tick::ZERO, millis(1_000)]);
    assert_eq!(world.agreed_at("1=u 2=v 3=w"), Some(millis(1_010)));
}

#[test]
fn what_silence_has_to_wait_for_a_broken_connection_has_not() {
    let mut world = World::new();
    world.set("a b c", Port::Answers(view(OLD)));
    world.feed(SILENT);
    world.run_to(millis(100));
    world.feed(SILENT);
    world.run_to(millis(200));
    assert_eq!(world.begun, [Tick::ZERO]);
    world.feed(BROKEN);
    assert_eq!(world.begun, [Tick::ZERO, millis(200)]);
}

#[test]
fn a_silence_that_has_to_wait_is_looked_into_when_its_time_has_come() {
    let mut world = World::new();
    world.set("a b c", Port::Answers(view(OLD)));
    world.feed(SILENT);
    world.run_to(millis(100));
    world.feed(SILENT);
    world.run_to(millis(60_000));
    assert_eq!(world.begun, [Tick::ZERO, millis(5_000)]);
}

#[test]
fn a_silence_that_waits_goes_on_as_soon_as_the_discovery_before_found_something() {
    let mut world = World::new();
    world.set("a b", Port::Answers(view(OLD)));
    world.published.1 = BTreeSet::from([1, 2]);
    world.feed(SILENT);
    world.run_to(millis(1_000));
    world.feed(SILENT);
    assert_eq!(world.begun, [Tick::ZERO]);
    world.set("c", Port::Answers(view(OLD)));
    world.run_to(millis(3_000));
    assert_eq!(world.begun.len(), 2);
}

fn ports() -> impl Strategy<Value = Port> {
    let views = ["1=a 2=b 3=c", "1=x 2=y 3=z", "1=a 2=y 3=c", "", "4=w"].map(view);
    prop_oneof![
        4 => proptest::sample::select(views.to_vec()).prop_map(Port::Answers),
        2 => Just(Port::Refuses),
        1 => Just(Port::BlackHole),
        1 => Just(Port::Lost),
    ]
}

const HOSTS: &str = "a b c x y z w bootstrap";

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// Whatever the network did before: once one source knows the truth and its endpoints answer, the discovery
    /// ends, within the longest pause, the longest silence and two round trips.
    #[test]
    fn a_discovery_always_ends_once_the_network_heals(
        mess in proptest::collection::vec((0..8usize, ports(), 0..4_000u64), 0..30),
        share in 0.0..=1.0f64,
    ) {
        let mut world = World::new();
        world.jitter = Jitter::new(share);
        world.feed(BROKEN);
        for (host, port, wait) in mess {
            world.set(HOSTS.split(' ').nth(host).unwrap_or("a"), port);
            world.run_to(world.now + Duration::from_millis(wait));
            world.feed(BROKEN);
        }
        world.set("a b c w", Port::Refuses);
        world.set("bootstrap x y z", Port::Answers(view(NEW)));
        let healed = world.now;
        world.run_to(healed + Duration::from_secs(10));
        world.feed(BROKEN);
        world.run_to(healed + Duration::from_secs(40));
        prop_assert_eq!(world.agreed.as_ref().map(|(_, agreed)| agreed.clone()), Some(view(NEW)));
        prop_assert_eq!(&world.verified, &BTreeSet::from([1, 2, 3]));
        prop_assert!(!world.race.is_running());
        prop_assert_eq!(world.race.next_deadline(), None);
    }
}
