//! Whatever comes in whatever order: the member of the consumer protocol never panics, never hangs, never has two
//! heartbeats out, and never holds a partition under no epoch.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use proptest::prelude::*;
use steadfast_core::group::actions::{Action, ConsumerHeartbeat};
use steadfast_core::group::consumer::ConsumerMember;
use steadfast_core::group::errors::ErrorCode;
use steadfast_core::group::events::{ConsumerAnswer, Event, LossReason, RequestId};
use steadfast_core::group::settings::Settings;
use steadfast_core::group::standing::{Membership, Standing};
use steadfast_core::group::subscription::ById;
use steadfast_core::ids::{GroupGeneration, NodeId, Partition, TopicId};
use steadfast_core::tick::Tick;

/// Something that happens.
#[derive(Debug, Clone)]
enum Happening {
    Answered { bump: i32, assignment: Option<ById> },
    Refused { code: ErrorCode },
    Unanswered,
    OutcomeUnknown,
    Mistaken { kind: u8 },
    Due,
    Later { millis: u64 },
    Released { some: BTreeSet<i32> },
    CoordinatorLost,
    CommitRefused { back: i32, code: ErrorCode },
    Topics { both: bool },
    Named { t: u128, u: Option<u128> },
    Crashed,
    Leave,
}

fn any_code() -> impl Strategy<Value = ErrorCode> {
    let heals = [-1, 14, 15, 16, 25, 69, 110, 111, 113, 1234];
    prop_oneof![12 => prop::sample::select(heals.to_vec()), 1 => any::<i16>()].prop_map(ErrorCode)
}

fn any_indexes() -> impl Strategy<Value = BTreeSet<i32>> {
    prop::collection::btree_set(-1..6i32, 0..6)
}

fn any_assignment() -> impl Strategy<Value = ById> {
    prop::collection::btree_map((1..5u128).prop_map(TopicId), any_indexes(), 0..3)
}

fn any_happening() -> impl Strategy<Value = Happening> {
    prop_oneof![
        20 => (0..2i32, prop::option::of(any_assignment()))
            .prop_map(|(bump, assignment)| Happening::Answered { bump, assignment }),
        4 => any_code().prop_map(|code| Happening::Refused { code }),
        1 => Just(Happening::Unanswered),
        2 => Just(Happening::OutcomeUnknown),
        1 => (0..5u8).prop_map(|kind| Happening::Mistaken { kind }),
        10 => Just(Happening::Due),
        2 => (0..60_000u64).prop_map(|millis| Happening::Later { millis }),
        5 => any_indexes().prop_map(|some| Happening::Released { some }),
        1 => Just(Happening::CoordinatorLost),
        1 => (0..2i32, any_code()).prop_map(|(back, code)| Happening::CommitRefused { back, code }),
        1 => any::<bool>().prop_map(|both| Happening::Topics { both }),
        // no topic gets the id of another one
        2 => (1..3u128, prop::option::of(3..5u128)).prop_map(|(t, u)| Happening::Named { t, u }),
        1 => Just(Happening::Crashed),
    ]
}

/// What is out.
#[derive(Debug, Clone)]
enum Out {
    Find(RequestId),
    Beat(Box<ConsumerHeartbeat>),
}

impl Out {
    fn request(&self) -> RequestId {
        match self {
            Out::Find(request) => *request,
            Out::Beat(beat) => beat.request,
        }
    }
}

/// The member, and everybody else as far as it can see them.
struct World {
    settings: Settings,
    member: ConsumerMember,
    now: Tick,
    out: Option<Out>,
    epoch: i32,
    /// Whether what was sent last may have been taken without our knowing.
    in_doubt: bool,
    published: Option<Membership>,
    owned: BTreeSet<Partition>,
    releasing: BTreeSet<Partition>,
    losses: BTreeMap<Partition, u64>,
    over: bool,
}

impl World {
    fn new(instance: bool) -> World {
        let instance = instance.then(|| "i".into());
        let settings = Settings { instance, ..Settings::new("g") };
        let mut world = World {
            member: member(&settings, Standing::default()),
            settings,
            now: Tick::ZERO,
            out: None,
            epoch: 0,
            in_doubt: true,
            published: None,
            owned: BTreeSet::new(),
            releasing: BTreeSet::new(),
            losses: BTreeMap::new(),
            over: false,
        };
        world.tell(Event::Start);
        world
    }

    fn happen(&mut self, happening: Happening) {
        match happening {
            Happening::Answered { bump, assignment } => self.answer(bump, assignment),
            Happening::Refused { code } => self.end(|request| Event::Refused { request, code }),
            Happening::Unanswered => self.end(|request| Event::Unanswered { request }),
            Happening::OutcomeUnknown => self.end(|request| Event::OutcomeUnknown { request }),
            Happening::Mistaken { kind } => self.end(|request| mistaken(kind, request)),
            Happening::Due => self.wait_until_due(),
            Happening::Later { millis } => {
                self.now = self.now + Duration::from_millis(millis);
                self.tell(Event::DeadlineReached);
            }
            Happening::Released { some } => {
                let released = self.releasing.iter().filter(|partition| some.contains(&partition.index));
                let released = released.cloned().collect();
                self.release(released);
            }
            Happening::CoordinatorLost => {
                self.in_doubt = true;
                self.tell(Event::CoordinatorLost { reason: LossReason::ConnectionBroken });
            }
            Happening::CommitRefused { back, code } => {
                self.tell(Event::CommitRefused { generation: GroupGeneration(self.epoch - back), code });
            }
            Happening::Topics { both } => {
                let topics = if both { ["t".into(), "u".into()].into() } else { ["t".into()].into() };
                self.tell(Event::SubscriptionChanged { topics, pattern: None });
            }
            Happening::Named { t, u } => {
                let u = u.map(|id| (TopicId(id), "u".into()));
                let names = u.into_iter().chain([(TopicId(t), "t".into())]).collect();
                self.tell(Event::TopicsNamed { names });
            }
            // who has come to its end is not begun anew
            Happening::Crashed if self.over => {}
            Happening::Crashed => {
                // messages die with the actor, the standing does not
                self.out = None;
                self.in_doubt = true;
                self.member = member(&self.settings, self.member.standing().clone());
                self.releasing.clear();
                self.tell(Event::Start);
            }
            Happening::Leave => self.tell(Event::Leave { reason: "shutdown".into() }),
        }
    }

    /// What is out ends in doubt or in a refusal.
    fn end(&mut self, event: impl FnOnce(RequestId) -> Event) {
        if let Some(out) = self.out.take() {
            self.in_doubt = true;
            self.tell(event(out.request()));
        }
    }

    fn answer(&mut self, bump: i32, assignment: Option<ById>) {
        match self.out.take() {
            None => {}
            Some(Out::Find(request)) => {
                self.tell(Event::CoordinatorFound { request, coordinator: NodeId(1) })
            }
            Some(Out::Beat(beat)) => {
                self.epoch = match beat.epoch.0 {
                    ..0 => self.epoch,
                    _ => self.epoch.max(1) + bump,
                };
                let joins = beat.epoch.0 == 0;
                self.in_doubt = false;
                let answer = ConsumerAnswer {
                    epoch: GroupGeneration(self.epoch),
                    interval: Duration::from_secs(5),
                    assignment: if joins { Some(assignment.unwrap_or_default()) } else { assignment },
                };
                self.tell(Event::ConsumerHeartbeatAccepted { request: beat.request, answer });
            }
        }
    }

    fn wait_until_due(&mut self) {
        if let Some(next) = self.member.next_deadline() {
            self.now = next;
            self.tell(Event::DeadlineReached);
        }
    }

    fn release(&mut self, partitions: BTreeSet<Partition>) {
        for partition in &partitions {
            self.releasing.remove(partition);
            self.owned.remove(partition);
        }
        self.tell(Event::Revoked { partitions });
    }

    fn tell(&mut self, event: Event) {
        let actions = self.member.handle(event, self.now);
        assert!(!self.over || actions.is_empty(), "after the end: {actions:?}");
        for action in actions {
            self.watch(action);
        }
        self.check();
    }

    fn watch(&mut self, action: Action) {
        match action {
            Action::FindCoordinator { request, deadline } => {
                assert!(deadline > self.now);
                self.in_doubt = true;
                self.out = Some(Out::Find(request));
            }
            Action::ConsumerHeartbeat(beat) => {
                assert!(beat.deadline > self.now);
                self.sent(&beat);
                self.out = Some(Out::Beat(Box::new(beat)));
            }
            Action::Revoke { partitions, deadline } => {
                assert!(self.published.is_some(), "there is an epoch to commit under");
                assert!(partitions.is_subset(&self.owned) && deadline > self.now);
                self.releasing.extend(partitions);
            }
            Action::Assign { partitions, generation } => {
                assert_eq!(self.published.as_ref().map(|under| under.generation), Some(generation));
                for (partition, losses) in partitions {
                    assert!(partition.index >= 0);
                    let lost = self.losses.get(&partition).copied().unwrap_or_default();
                    assert_eq!(losses, lost, "how often {partition} was lost before");
                    assert!(self.owned.insert(partition), "given again");
                }
            }
            Action::Lost { partitions, .. } => {
                for partition in partitions {
                    assert!(self.owned.remove(&partition), "lost what was not held: {partition}");
                    self.releasing.remove(&partition);
                    *self.losses.entry(partition).or_default() += 1;
                }
            }
            Action::Publish(membership) => self.published = membership,
            Action::Left | Action::Fatal(_) => self.over = true,
            Action::CountPartitions { .. } | Action::Rebalanced(_) | Action::Rebalancing { .. } => {}
            Action::CoordinatorLost { .. } | Action::Noted { .. } => {}
            Action::Join(_)
            | Action::Sync(_)
            | Action::AskAgain
            | Action::Heartbeat(_)
            | Action::Leave(_) => {
                panic!("of the other protocol: {action:?}")
            }
        }
    }

    /// Everything is said where the coordinator may know something else, and nothing is said to be given up that is
    /// still held.
    fn sent(&self, beat: &ConsumerHeartbeat) {
        let held = self.owned.len();
        match beat.epoch.0 {
            ..0 => assert!(held == 0, "it leaves while it holds {:?}", self.owned),
            0 => assert!(held == 0 && beat.owned == Some(ById::new()) && beat.terms.is_some()),
            epoch => {
                assert_eq!(Some(GroupGeneration(epoch)), self.published.as_ref().map(|m| m.generation));
                let said = beat.owned.as_ref().map(|owned| owned.values().map(BTreeSet::len).sum::<usize>());
                assert!(said.is_none_or(|said| said == held), "{said:?} said, {:?} held", self.owned);
                let whole = beat.terms.is_some() && beat.topics.is_some() && said.is_some();
                assert!(whole || !self.in_doubt, "not everything is said: {beat:?}");
            }
        }
    }

    fn check(&self) {
        assert_eq!(self.member.standing().owned, self.owned);
        assert!(self.published.is_some() || self.owned.is_empty(), "held under no epoch: {:?}", self.owned);
        assert_eq!(self.member.next_deadline().is_none(), self.over);
        assert!(self.member.next_deadline().is_none_or(|next| next > self.now), "a deadline that is past");
    }

    /// From here on everything goes well: in the end it holds what it is given.
    fn settle(&mut self) {
        let given: ById = [(TopicId(1), [0, 1, 2].into())].into();
        let wanted: BTreeSet<Partition> = (0..3).map(|index| Partition::new("t", index)).collect();
        self.happen(Happening::Named { t: 1, u: None });
        for _ in 0..200 {
            if self.over || (self.owned == wanted && self.releasing.is_empty() && !self.in_doubt) {
                return;
            }
            self.release(self.releasing.clone());
            if self.out.is_some() {
                self.answer(0, Some(given.clone()));
            } else {
                self.wait_until_due();
            }
        }
        panic!("never settled: {:?}", self.member);
    }
}

fn member(settings: &Settings, standing: Standing) -> ConsumerMember {
    let mut member = ConsumerMember::new(settings.clone(), ["t".into()].into(), standing, "me".into());
    member.handle(Event::TopicsNamed { names: [(TopicId(1), "t".into())].into() }, Tick::ZERO);
    member
}

/// An answer of some kind, whatever was asked.
fn mistaken(kind: u8, request: RequestId) -> Event {
    match kind {
        0 => Event::CoordinatorFound { request, coordinator: NodeId(2) },
        1 => Event::MemberIdRequired { request, member_id: "me".into() },
        2 => Event::HeartbeatAccepted { request },
        3 => Event::LeaveAccepted { request },
        _ => {
            let answer =
                ConsumerAnswer { epoch: GroupGeneration(-3), interval: Duration::ZERO, assignment: None };
            Event::ConsumerHeartbeatAccepted { request, answer }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happens_it_holds_together_and_settles_when_all_goes_well(
        instance in any::<bool>(),
        happenings in prop::collection::vec(any_happening(), 0..150),
    ) {
        let mut world = World::new(instance);
        for happening in happenings {
            world.happen(happening);
        }
        world.settle();
    }

    #[test]
    fn whenever_it_is_told_to_leave_it_leaves_in_bounded_time(
        instance in any::<bool>(),
        happenings in prop::collection::vec(any_happening(), 0..80),
    ) {
        let mut world = World::new(instance);
        for happening in happenings {
            world.happen(happening);
        }
        let told = world.now;
        world.happen(Happening::Leave);
        while !world.over {
            world.wait_until_due();
        }
        prop_assert!(world.now.since(told) <= Duration::from_secs(15));
        prop_assert!(world.owned.is_empty());
    }
}
