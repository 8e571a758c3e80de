//! A whole group in memory: members behind a network that delays and cuts, a coordinator that follows
//! Kafka's rules. After every event, no partition is held by two members; at the end every one is held.

mod fake;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use fake::{Coordinator, Request};
use proptest::prelude::*;
use steadfast_core::group::actions::Action;
use steadfast_core::group::assign::Assignor;
use steadfast_core::group::classic::ClassicMember;
use steadfast_core::group::events::{Event, LossReason};
use steadfast_core::group::settings::Settings;
use steadfast_core::group::standing::Standing;
use steadfast_core::ids::{NodeId, Partition};
use steadfast_core::tick::Tick;

/// What befalls the group. Numbers choose a member.
#[derive(Debug, Clone)]
enum Fate {
    Arrives,
    Leaves(usize),
    Dies(usize),
    ActorPanics(usize),
    IsCutOff { who: usize, seconds: u64 },
    EveryEndpointMoves,
    PartitionIsAdded,
}

fn any_fate() -> impl Strategy<Value = (u64, Fate)> {
    let fate = prop_oneof![
        4 => Just(Fate::Arrives),
        2 => (0..9usize).prop_map(Fate::Leaves),
        2 => (0..9usize).prop_map(Fate::Dies),
        2 => (0..9usize).prop_map(Fate::ActorPanics),
        3 => (0..9usize, 1..80u64).prop_map(|(who, seconds)| Fate::IsCutOff { who, seconds }),
        2 => Just(Fate::EveryEndpointMoves),
        1 => Just(Fate::PartitionIsAdded),
    ];
    let wait = prop_oneof![0..500u64, 0..20_000u64];
    (wait, fate)
}

enum Arrival {
    AtCoordinator(Request),
    AtMember(Event),
    /// The handlers are done with these.
    Released(BTreeSet<Partition>),
}

struct Member {
    machine: ClassicMember,
    /// Messages of a former actor, or to a dead process, arrive nowhere.
    life: u32,
    alive: bool,
    cut_until: Tick,
    held: BTreeSet<Partition>,
}

struct Group {
    settings: Settings,
    coordinator: Coordinator,
    members: Vec<Member>,
    mail: BTreeMap<(Tick, u64), (usize, u32, Arrival)>,
    partitions: i32,
    sent: u64,
    dice: u64,
    now: Tick,
}

impl Group {
    fn new(assignors: Vec<Assignor>, seed: u64) -> Group {
        Group {
            settings: Settings { assignors, ..Settings::new("g") },
            coordinator: Coordinator::new(Duration::from_secs(45), Duration::from_secs(300)),
            members: Vec::new(),
            mail: BTreeMap::new(),
            partitions: 7,
            sent: 0,
            dice: seed,
            now: Tick::at(Duration::from_secs(1)),
        }
    }

    fn befall(&mut self, fate: Fate) {
        match fate {
            Fate::Arrives => self.arrive(),
            Fate::Leaves(who) => {
                self.with(who, |group, who| group.tell(who, Event::Leave { reason: "over".into() }))
            }
            Fate::Dies(who) => self.with(who, |group, who| {
                group.members[who].alive = false;
                group.members[who].held.clear();
            }),
            Fate::ActorPanics(who) => self.with(who, |group, who| {
                let standing = group.members[who].machine.standing().clone();
                group.members[who].machine = group.machine(standing);
                group.members[who].life += 1;
                group.tell(who, Event::Start);
            }),
            Fate::IsCutOff { who, seconds } => self.with(who, |group, who| {
                group.members[who].cut_until = group.now + Duration::from_secs(seconds);
            }),
            Fate::EveryEndpointMoves => {
                for who in 0..self.members.len() {
                    self.with(who, |group, who| {
                        group.tell(who, Event::CoordinatorLost { reason: LossReason::EndpointMoved });
                    });
                }
            }
            Fate::PartitionIsAdded => {
                self.partitions += 1;
                for who in 0..self.members.len() {
                    self.tell(who, counts(self.partitions));
                }
            }
        }
    }

    fn arrive(&mut self) {
        let machine = self.machine(Standing::default());
        self.members.push(Member {
            machine,
            life: 0,
            alive: true,
            cut_until: Tick::ZERO,
            held: BTreeSet::new(),
        });
        self.tell(self.members.len() - 1, Event::Start);
    }

    fn machine(&self, standing: Standing) -> ClassicMember {
        let mut machine = ClassicMember::new(self.settings.clone(), ["t".into()].into(), standing);
        machine.handle(counts(self.partitions), self.now);
        machine
    }

    fn with(&mut self, who: usize, then: impl FnOnce(&mut Group, usize)) {
        let living: Vec<usize> = (0..self.members.len()).filter(|who| self.is_in(*who)).collect();
        if let Some(who) = living.get(who % living.len().max(1)) {
            then(self, *who);
        }
    }

    /// Alive, and not at its end.
    fn is_in(&self, who: usize) -> bool {
        self.members[who].alive && self.members[who].machine.next_deadline().is_some()
    }

    fn run(&mut self, time: Duration) {
        let end = self.now + time;
        loop {
            let mail = self.mail.keys().next().map(|(at, _)| *at);
            let timers = (0..self.members.len()).filter(|who| self.is_in(*who));
            let due =
                timers.filter_map(|who| self.members[who].machine.next_deadline().map(|at| (at, who))).min();
            let kafka = self.coordinator.next_deadline();
            let next = mail.into_iter().chain(due.map(|(at, _)| at)).chain(kafka).min();
            let Some(next) = next.filter(|next| *next <= end) else { break };
            self.now = self.now.max(next);
            if mail == Some(next) {
                self.deliver();
            } else if let Some((_, who)) = due.filter(|(at, _)| *at == next) {
                self.tell(who, Event::DeadlineReached);
            } else {
                self.coordinator.expire(self.now);
                self.post_answers();
            }
            self.nobody_shares();
        }
        self.now = end;
    }

    fn deliver(&mut self) {
        let Some((_, (who, life, arrival))) = self.mail.pop_first() else { return };
        let reachable = self.members[who].cut_until <= self.now;
        let same = self.members[who].life == life && self.members[who].alive;
        match arrival {
            Arrival::AtCoordinator(request) if reachable => {
                self.coordinator.take((who, life), request, self.now);
                self.post_answers();
            }
            Arrival::AtMember(event) if reachable && same => self.tell(who, event),
            Arrival::Released(partitions) if same => {
                self.members[who].held.retain(|partition| !partitions.contains(partition));
                self.tell(who, Event::Revoked { partitions });
            }
            Arrival::AtCoordinator(_) | Arrival::AtMember(_) | Arrival::Released(_) => {}
        }
    }

    fn post_answers(&mut self) {
        for ((who, life), event) in self.coordinator.answers() {
            self.post(who, life, Arrival::AtMember(event), 30);
        }
    }

    fn post(&mut self, who: usize, life: u32, arrival: Arrival, at_most_millis: u64) {
        // splitmix: the same seed, the same run
        self.dice = self.dice.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.dice ^ (self.dice >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        self.sent += 1;
        let at = self.now + Duration::from_millis(1 + (mixed >> 33) % at_most_millis);
        self.mail.insert((at, self.sent), (who, life, arrival));
    }

    fn tell(&mut self, who: usize, event: Event) {
        let actions = self.members[who].machine.handle(event, self.now);
        for action in actions {
            self.carry_out(who, action);
        }
    }

    fn carry_out(&mut self, who: usize, action: Action) {
        let life = self.members[who].life;
        let request = match action {
            Action::FindCoordinator { request, .. } => {
                let found = Event::CoordinatorFound { request, coordinator: NodeId(1) };
                return self.post(who, life, Arrival::AtMember(found), 60);
            }
            Action::Join(join) => Request::Join(join),
            Action::Sync(sync) => Request::Sync(sync),
            Action::Heartbeat(beat) => Request::Heartbeat(beat),
            Action::Leave(leave) => Request::Leave(leave),
            Action::ConsumerHeartbeat(beat) => panic!("of the other protocol: {beat:?}"),
            Action::Revoke { partitions, .. } => {
                return self.post(who, life, Arrival::Released(partitions), 6_000);
            }
            Action::Assign { partitions, .. } => {
                return self.members[who].held.extend(partitions.into_keys());
            }
            Action::Lost { partitions, .. } => {
                return self.members[who].held.retain(|partition| !partitions.contains(partition));
            }
            Action::Fatal(refusal) => panic!("{refusal}"),
            Action::CountPartitions { .. } | Action::Publish(_) => return,
            Action::Rebalancing { .. } | Action::Rebalanced(_) => return,
            // Nothing is lost on the way here: what was asked is answered.
            Action::AskAgain => return,
            Action::CoordinatorLost { .. } | Action::Noted { .. } | Action::Left => return,
        };
        self.post(who, life, Arrival::AtCoordinator(request), 30);
    }

    fn nobody_shares(&self) {
        let mut owners = BTreeMap::new();
        for (who, member) in self.members.iter().enumerate() {
            for partition in &member.held {
                let other = owners.insert(partition, who);
                assert_eq!(other, None, "at {} {partition} is held by {who} too", self.now);
            }
        }
    }

    fn everything_is_held(&self) {
        let living =
            self.members.iter().filter(|member| member.alive && member.machine.next_deadline().is_some());
        let held: Vec<usize> = living.clone().map(|member| member.held.len()).collect();
        assert!(living.clone().all(|member| !member.machine.is_rebalancing()), "{held:?}");
        if !held.is_empty() {
            assert_eq!(held.iter().sum::<usize>(), self.partitions as usize, "{held:?}");
            let fewest = held.iter().min().copied().unwrap_or_default();
            assert!(held.iter().all(|count| *count <= fewest + 1), "{held:?}");
        }
    }
}

fn counts(partitions: i32) -> Event {
    Event::PartitionsChanged { counts: [("t".into(), partitions)].into() }
}

fn live(assignors: Vec<Assignor>, seed: u64, fates: Vec<(u64, Fate)>) {
    let mut group = Group::new(assignors, seed);
    group.arrive();
    for (wait, fate) in fates {
        group.run(Duration::from_millis(wait));
        group.befall(fate);
        group.nobody_shares();
    }
    // a member that died in mid-round holds the round up for the rebalance timeout
    group.run(Duration::from_secs(800));
    group.everything_is_held();
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn an_eager_group_never_shares_a_partition_and_ends_with_all_of_them(
        seed: u64,
        fates in prop::collection::vec(any_fate(), 0..25),
    ) {
        live(vec![Assignor::Range, Assignor::CooperativeSticky], seed, fates);
    }

    #[test]
    fn a_cooperative_group_never_shares_a_partition_and_ends_with_all_of_them(
        seed: u64,
        fates in prop::collection::vec(any_fate(), 0..25),
    ) {
        live(vec![Assignor::CooperativeSticky], seed, fates);
    }
}

#[test]
fn when_every_endpoint_moves_the_generation_stays() {
    for assignors in [vec![Assignor::Range], vec![Assignor::CooperativeSticky]] {
        let mut group = Group::new(assignors, 1);
        for _ in 0..3 {
            group.arrive();
        }
        group.run(Duration::from_secs(60));
        let before = group.coordinator.generation();
        for _ in 0..20 {
            group.befall(Fate::EveryEndpointMoves);
            group.run(Duration::from_secs(10));
        }
        group.everything_is_held();
        assert_eq!(group.coordinator.generation(), before);
    }
}

#[test]
fn a_cooperative_join_is_balanced_within_a_second_of_the_drain() {
    let mut group = Group::new(vec![Assignor::CooperativeSticky], 3);
    for _ in 0..3 {
        group.arrive();
    }
    group.run(Duration::from_secs(60));
    group.arrive();
    // a heartbeat of the calm pace (300 ms), the drain (6 s at most), two rounds at the quick pace
    group.run(Duration::from_millis(7_500));
    group.everything_is_held();
}
