//! Whatever comes in whatever order: the member never panics, never hangs, and never holds a partition under
//! a generation that has ended.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use proptest::prelude::*;
use steadfast_core::group::actions::Action;
use steadfast_core::group::assign::{Assignor, Candidate};
use steadfast_core::group::classic::ClassicMember;
use steadfast_core::group::errors::{Api, ErrorCode};
use steadfast_core::group::events::{Event, JoinAnswer, LossReason, RequestId};
use steadfast_core::group::settings::Settings;
use steadfast_core::group::standing::{Membership, Standing};
use steadfast_core::group::subscription::{Assignment, Subscription};
use steadfast_core::ids::{GroupGeneration, NodeId, Partition};
use steadfast_core::tick::Tick;

/// Something that happens. Numbers choose among what is possible at that moment.
#[derive(Debug, Clone)]
enum Happening {
    Answered { which: u8, leads: bool, indexes: BTreeSet<i32> },
    Refused { which: u8, code: ErrorCode },
    Unanswered { which: u8 },
    Mistaken { which: u8, kind: u8 },
    Due,
    Later { millis: u64 },
    Released { some: BTreeSet<i32> },
    CoordinatorLost,
    CommitRefused { back: i32, code: ErrorCode },
    Topics { both: bool },
    Counts { t: i32, u: Option<i32> },
    Crashed,
    Leave,
}

fn any_code() -> impl Strategy<Value = ErrorCode> {
    let heals = [-1, 14, 15, 16, 22, 25, 27, 79, 1234];
    prop_oneof![12 => prop::sample::select(heals.to_vec()), 1 => any::<i16>()].prop_map(ErrorCode)
}

fn any_indexes() -> impl Strategy<Value = BTreeSet<i32>> {
    prop::collection::btree_set(0..6i32, 0..6)
}

fn any_happening() -> impl Strategy<Value = Happening> {
    prop_oneof![
        20 => (0..4u8, any::<bool>(), any_indexes())
            .prop_map(|(which, leads, indexes)| Happening::Answered { which, leads, indexes }),
        4 => (0..4u8, any_code()).prop_map(|(which, code)| Happening::Refused { which, code }),
        1 => (0..4u8).prop_map(|which| Happening::Unanswered { which }),
        1 => (0..4u8, 0..5u8).prop_map(|(which, kind)| Happening::Mistaken { which, kind }),
        10 => Just(Happening::Due),
        2 => (0..60_000u64).prop_map(|millis| Happening::Later { millis }),
        5 => any_indexes().prop_map(|some| Happening::Released { some }),
        1 => Just(Happening::CoordinatorLost),
        1 => (0..2i32, any_code()).prop_map(|(back, code)| Happening::CommitRefused { back, code }),
        1 => any::<bool>().prop_map(|both| Happening::Topics { both }),
        2 => (0..9i32, prop::option::of(0..3i32)).prop_map(|(t, u)| Happening::Counts { t, u }),
        1 => Just(Happening::Crashed),
    ]
}

/// The member, and everybody else as far as it can see them.
struct World {
    settings: Settings,
    member: ClassicMember,
    now: Tick,
    out: Vec<(Api, RequestId)>,
    generation: i32,
    ended: BTreeSet<GroupGeneration>,
    published: Option<Membership>,
    owned: BTreeSet<Partition>,
    releasing: BTreeSet<Partition>,
    /// How often each partition was lost.
    losses: BTreeMap<Partition, u64>,
    over: bool,
}

impl World {
    fn new(assignors: Vec<Assignor>) -> World {
        let settings = Settings { assignors, ..Settings::new("g") };
        let mut world = World {
            member: ClassicMember::new(settings.clone(), ["t".into()].into(), Standing::default()),
            settings,
            now: Tick::ZERO,
            out: Vec::new(),
            generation: 0,
            ended: BTreeSet::new(),
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
            Happening::Answered { which, leads, indexes } => {
                if let Some((api, request)) = self.take(which) {
                    let answer = self.answer(api, request, leads, indexes);
                    self.tell(answer);
                }
            }
            Happening::Refused { which, code } => {
                if let Some((_, request)) = self.take(which) {
                    self.tell(Event::Refused { request, code });
                }
            }
            Happening::Unanswered { which } => {
                if let Some((_, request)) = self.take(which) {
                    self.tell(Event::Unanswered { request });
                }
            }
            Happening::Mistaken { which, kind } => {
                if let Some((_, request)) = self.take(which) {
                    self.tell(mistaken(kind, request));
                }
            }
            Happening::Due => self.wait_until_due(),
            Happening::Later { millis } => {
                self.now = self.now + Duration::from_millis(millis);
                self.tell(Event::DeadlineReached);
            }
            Happening::Released { some } => {
                let partitions: BTreeSet<Partition> = self
                    .releasing
                    .iter()
                    .filter(|partition| some.contains(&partition.index))
                    .cloned()
                    .collect();
                self.release(partitions);
            }
            Happening::CoordinatorLost => {
                self.tell(Event::CoordinatorLost { reason: LossReason::ConnectionBroken })
            }
            Happening::CommitRefused { back, code } => {
                self.tell(Event::CommitRefused { generation: GroupGeneration(self.generation - back), code });
            }
            Happening::Topics { both } => {
                let topics = if both { ["t".into(), "u".into()].into() } else { ["t".into()].into() };
                self.tell(Event::SubscriptionChanged { topics, pattern: None });
            }
            Happening::Counts { t, u } => {
                let u = u.map(|count| ("u".into(), count));
                self.tell(Event::PartitionsChanged {
                    counts: [("t".into(), t)].into_iter().chain(u).collect(),
                });
            }
            Happening::Crashed => {
                // messages die with the actor, the standing does not
                self.out.clear();
                let topics = ["t".into()].into();
                self.member =
                    ClassicMember::new(self.settings.clone(), topics, self.member.standing().clone());
                self.releasing.clear();
                if !self.over {
                    self.tell(Event::Start);
                }
            }
            Happening::Leave => self.tell(Event::Leave { reason: "shutdown".into() }),
        }
    }

    fn take(&mut self, which: u8) -> Option<(Api, RequestId)> {
        let latest = self.out.len().checked_sub(1 + usize::from(which))?;
        Some(self.out.remove(latest))
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

    fn answer(&mut self, api: Api, request: RequestId, leads: bool, indexes: BTreeSet<i32>) -> Event {
        match api {
            Api::FindCoordinator => Event::CoordinatorFound { request, coordinator: NodeId(1) },
            Api::JoinGroup => {
                self.generation += 1;
                Event::Joined { request, answer: self.join_answer(leads) }
            }
            Api::SyncGroup => {
                let partitions = indexes.into_iter().map(|index| Partition::new("t", index)).collect();
                Event::Synced { request, assignment: Assignment { partitions, user_data: Vec::new() } }
            }
            Api::Heartbeat => Event::HeartbeatAccepted { request },
            Api::LeaveGroup | Api::ConsumerGroupHeartbeat | Api::OffsetCommit | Api::OffsetFetch => {
                Event::LeaveAccepted { request }
            }
        }
    }

    fn join_answer(&self, leads: bool) -> JoinAnswer {
        let wanting = |id: &str, topic: &str| Candidate {
            id: id.into(),
            instance: None,
            subscription: Subscription { topics: [topic.into()].into(), ..Subscription::default() },
        };
        JoinAnswer {
            generation: GroupGeneration(self.generation),
            member_id: "me".into(),
            assignor: self.settings.assignors[0].name().to_owned(),
            leader: if leads { "me".into() } else { "other".into() },
            members: if leads { vec![wanting("me", "t"), wanting("other", "u")] } else { Vec::new() },
            skip_assignment: false,
        }
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
                self.sent(Api::FindCoordinator, request, deadline)
            }
            // A connection's business: the request that it is about is out as before.
            Action::AskAgain => {}
            Action::Join(join) => {
                let eager = self.settings.assignors.contains(&Assignor::Range);
                assert!(
                    !eager || self.owned.is_empty(),
                    "an eager member joins while it holds {:?}",
                    self.owned
                );
                assert_eq!(join.subscription.owned, self.owned);
                self.sent(Api::JoinGroup, join.request, join.deadline);
            }
            Action::Sync(sync) => {
                assert_eq!(Some(sync.generation), self.published.as_ref().map(|under| under.generation));
                self.sent(Api::SyncGroup, sync.request, sync.deadline);
            }
            Action::Heartbeat(beat) => {
                assert!(!beat.generation.is_some_and(|generation| self.ended.contains(&generation)));
                self.sent(Api::Heartbeat, beat.request, beat.deadline);
            }
            Action::Leave(leave) => {
                assert!(self.owned.is_empty(), "it leaves while it holds {:?}", self.owned);
                self.sent(Api::LeaveGroup, leave.request, leave.deadline);
            }
            Action::ConsumerHeartbeat(beat) => panic!("of the other protocol: {beat:?}"),
            Action::Revoke { partitions, deadline } => {
                assert!(self.published.is_some(), "there is a generation to commit under");
                assert!(partitions.is_subset(&self.owned) && deadline > self.now);
                self.releasing.extend(partitions);
            }
            Action::Assign { partitions, generation } => {
                let under = self.published.as_ref().expect("a generation to commit under");
                assert!(under.settled && under.generation == generation);
                for (partition, losses) in partitions {
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
            Action::Publish(membership) => {
                let before = self.published.take().map(|membership| membership.generation);
                let after = membership.as_ref().map(|membership| membership.generation);
                self.ended.extend(before.filter(|before| Some(*before) != after));
                assert!(
                    !after.is_some_and(|after| self.ended.contains(&after)),
                    "published again: {after:?}"
                );
                self.published = membership;
            }
            Action::Left | Action::Fatal(_) => self.over = true,
            Action::CountPartitions { .. } | Action::Rebalancing { .. } | Action::Rebalanced(_) => {}
            Action::CoordinatorLost { .. } | Action::Noted { .. } => {}
        }
    }

    fn sent(&mut self, api: Api, request: RequestId, deadline: Tick) {
        assert!(deadline > self.now);
        self.out.push((api, request));
    }

    fn check(&self) {
        assert_eq!(self.member.standing().owned, self.owned);
        assert!(
            self.published.is_some() || self.owned.is_empty(),
            "held under no generation: {:?}",
            self.owned
        );
        assert_eq!(self.member.next_deadline().is_none(), self.over);
        assert!(self.member.next_deadline().is_none_or(|next| next > self.now), "a deadline that is past");
    }

    /// From here on everything goes well.
    fn settle(&mut self) {
        for _ in 0..200 {
            if self.over
                || (self.published.as_ref().is_some_and(|m| m.settled) && !self.member.is_rebalancing())
            {
                return;
            }
            self.release(self.releasing.clone());
            self.happen(Happening::Counts { t: 6, u: Some(2) });
            match self.take(0) {
                Some((api, request)) => {
                    let answer = self.answer(api, request, true, (0..3).collect());
                    self.tell(answer);
                }
                None => self.wait_until_due(),
            }
        }
        panic!("never settled: {:?}", self.member);
    }
}

/// An answer of some kind, whatever was asked.
fn mistaken(kind: u8, request: RequestId) -> Event {
    match kind {
        0 => Event::CoordinatorFound { request, coordinator: NodeId(2) },
        1 => Event::MemberIdRequired { request, member_id: "me".into() },
        2 => Event::Synced { request, assignment: Assignment::default() },
        3 => Event::HeartbeatAccepted { request },
        _ => Event::LeaveAccepted { request },
    }
}

fn assignors() -> impl Strategy<Value = Vec<Assignor>> {
    prop_oneof![
        Just(vec![Assignor::Range, Assignor::CooperativeSticky]),
        Just(vec![Assignor::CooperativeSticky])
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happens_it_holds_together_and_settles_when_all_goes_well(
        assignors in assignors(),
        happenings in prop::collection::vec(any_happening(), 0..150),
    ) {
        let mut world = World::new(assignors);
        for happening in happenings {
            world.happen(happening);
        }
        world.settle();
    }

    #[test]
    fn whenever_it_is_told_to_leave_it_leaves_in_bounded_time(
        assignors in assignors(),
        happenings in prop::collection::vec(any_happening(), 0..80),
    ) {
        let mut world = World::new(assignors);
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
