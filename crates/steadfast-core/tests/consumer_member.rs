//! The member's side of the consumer protocol (KIP-848), rule by rule. The test plays everybody else.

#![expect(clippy::unwrap_used, reason = "a test says what it expects")]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use steadfast_core::group::actions::{Action, ConsumerHeartbeat, LostReason, Rebalance};
use steadfast_core::group::consumer::ConsumerMember;
use steadfast_core::group::errors::{Cause, ErrorCode, Refusal};
use steadfast_core::group::events::{ConsumerAnswer, Event, LossReason, RequestId};
use steadfast_core::group::settings::{LeaveOnStop, Settings};
use steadfast_core::group::standing::{Membership, Standing};
use steadfast_core::group::subscription::ById;
use steadfast_core::ids::{GroupGeneration, NodeId, Partition, TopicId};
use steadfast_core::tick::Tick;

const T: TopicId = TopicId(7);
const SECOND: Duration = Duration::from_secs(1);
/// When the next heartbeat is due after a change.
const SOON: Duration = Duration::from_millis(150);

fn partitions(indexes: &[i32]) -> BTreeSet<Partition> {
    indexes.iter().map(|index| Partition::new("t", *index)).collect()
}

fn by_id(topic: TopicId, indexes: &[i32]) -> ById {
    if indexes.is_empty() { ById::new() } else { [(topic, indexes.iter().copied().collect())].into() }
}

fn named(names: &[(TopicId, &str)]) -> Event {
    Event::TopicsNamed { names: names.iter().map(|(id, name)| (*id, Arc::from(*name))).collect() }
}

struct Scene {
    settings: Settings,
    member: ConsumerMember,
    now: Tick,
    finding: Option<RequestId>,
    /// The heartbeat that is out, and all that ever were.
    out: Option<ConsumerHeartbeat>,
    beats: Vec<ConsumerHeartbeat>,
    revoked: Vec<BTreeSet<Partition>>,
    assigned: Vec<BTreeSet<Partition>>,
    lost: Vec<(BTreeSet<Partition>, LostReason)>,
    counted: usize,
    rebalances: Vec<Rebalance>,
    published: Option<Membership>,
    fatal: Option<Refusal>,
    left: bool,
}

impl Scene {
    fn new(settings: Settings) -> Scene {
        Scene::from(settings, Standing::default())
    }

    fn from(settings: Settings, standing: Standing) -> Scene {
        let topics = ["t".into()].into();
        let mut member = ConsumerMember::new(settings.clone(), topics, standing, "me".into());
        member.handle(named(&[(T, "t")]), Tick::ZERO);
        let mut scene = Scene {
            settings,
            member,
            now: Tick::at(100 * SECOND),
            finding: None,
            out: None,
            beats: Vec::new(),
            revoked: Vec::new(),
            assigned: Vec::new(),
            lost: Vec::new(),
            counted: 0,
            rebalances: Vec::new(),
            published: None,
            fatal: None,
            left: false,
        };
        scene.tell(Event::Start);
        scene.found();
        scene
    }

    fn usual() -> Scene {
        Scene::new(Settings::new("g"))
    }

    /// A member of epoch 1 that was given these, and that has said all it has to say.
    fn stable(settings: Settings, indexes: &[i32]) -> Scene {
        let mut scene = Scene::new(settings);
        scene.accepted(1, Some(by_id(T, indexes)));
        scene.pass(SOON);
        scene.accepted(1, None);
        scene
    }

    fn static_settings() -> Settings {
        Settings { instance: Some("i".into()), ..Settings::new("g") }
    }

    fn tell(&mut self, event: Event) {
        for action in self.member.handle(event, self.now) {
            match action {
                Action::FindCoordinator { request, .. } => self.finding = Some(request),
                Action::ConsumerHeartbeat(beat) => {
                    assert!(self.out.is_none(), "one is out already: {:?}", self.out);
                    self.out = Some(beat.clone());
                    self.beats.push(beat);
                }
                Action::Revoke { partitions, .. } => self.revoked.push(partitions),
                Action::Assign { partitions, .. } => self.assigned.push(partitions.into_keys().collect()),
                Action::Lost { partitions, reason } => self.lost.push((partitions, reason)),
                Action::Publish(membership) => self.published = membership,
                Action::Rebalanced(rebalance) => self.rebalances.push(rebalance),
                Action::CountPartitions { .. } => self.counted += 1,
                Action::Fatal(refusal) => self.fatal = Some(refusal),
                Action::Left => self.left = true,
                Action::CoordinatorLost { .. } | Action::Noted { .. } | Action::Rebalancing { .. } => {}
                Action::Join(_)
                | Action::Sync(_)
                | Action::AskAgain
                | Action::Heartbeat(_)
                | Action::Leave(_) => {
                    panic!("of the other protocol: {action:?}")
                }
            }
        }
    }

    fn found(&mut self) {
        let request = self.finding.take().expect("FindCoordinator");
        self.tell(Event::CoordinatorFound { request, coordinator: NodeId(1) });
    }

    fn answered(&mut self) -> RequestId {
        self.out.take().expect("a heartbeat").request
    }

    fn accepted(&mut self, epoch: i32, assignment: Option<ById>) {
        let answer = ConsumerAnswer { epoch: GroupGeneration(epoch), interval: 5 * SECOND, assignment };
        let request = self.answered();
        self.tell(Event::ConsumerHeartbeatAccepted { request, answer });
    }

    fn refused(&mut self, code: ErrorCode) {
        let request = self.answered();
        self.tell(Event::Refused { request, code });
    }

    fn released(&mut self, indexes: &[i32]) {
        self.tell(Event::Revoked { partitions: partitions(indexes) });
    }

    fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        while let Some(next) = self.member.next_deadline().filter(|next| *next <= end) {
            assert!(next > self.now, "a deadline must not come at once");
            self.now = next;
            self.tell(Event::DeadlineReached);
        }
        self.now = end;
    }

    fn last(&self) -> &ConsumerHeartbeat {
        self.beats.last().unwrap()
    }

    fn owned(&self) -> BTreeSet<Partition> {
        self.member.standing().owned.clone()
    }
}

fn epochs(beats: &[ConsumerHeartbeat]) -> Vec<i32> {
    beats.iter().map(|beat| beat.epoch.0).collect()
}

/// Whether it says everything that the coordinator has to know of a member.
fn is_whole(beat: &ConsumerHeartbeat) -> bool {
    beat.terms.is_some() && beat.topics.is_some() && beat.owned.is_some()
}

#[test]
fn it_joins_with_epoch_0_its_own_id_and_everything_said() {
    let scene = Scene::usual();
    let join = scene.last();
    assert_eq!((join.epoch.0, &*join.member_id.0), (0, "me"));
    assert!(is_whole(join));
    assert_eq!(join.owned, Some(ById::new()));
    assert_eq!(join.topics, Some(["t".into()].into()));
    assert_eq!(join.terms.as_ref().unwrap().rebalance_timeout, scene.settings.rebalance_timeout);
}

#[test]
fn what_it_is_given_it_takes_up_at_once_and_says_with_the_next_heartbeat() {
    let mut scene = Scene::usual();
    scene.accepted(1, Some(by_id(T, &[0, 1])));
    assert_eq!(scene.assigned, [partitions(&[0, 1])]);
    assert_eq!(scene.published.clone().unwrap().generation, GroupGeneration(1));
    assert_eq!(scene.rebalances.len(), 1);
    scene.pass(SOON);
    assert_eq!(scene.last().owned, Some(by_id(T, &[0, 1])));
    assert_eq!((&scene.last().terms, &scene.last().topics), (&None, &None));
    scene.accepted(1, None);
    scene.pass(SOON);
    assert_eq!(scene.last().owned, None, "nothing has changed");
}

#[test]
fn what_is_taken_away_is_given_up_first_and_said_at_once_while_the_rest_stays() {
    let mut scene = Scene::stable(Settings::new("g"), &[0, 1, 2]);
    scene.pass(SOON);
    scene.accepted(1, Some(by_id(T, &[0])));
    assert_eq!(scene.revoked, [partitions(&[1, 2])]);
    assert_eq!(scene.owned(), partitions(&[0, 1, 2]), "until the handlers have finished");
    scene.pass(SOON);
    assert_eq!(scene.last().owned, None, "nothing is given up yet");
    scene.accepted(1, None);
    let before = (scene.beats.len(), scene.now);
    scene.released(&[1, 2]);
    assert_eq!((scene.beats.len(), scene.now), (before.0 + 1, before.1));
    assert_eq!(scene.last().owned, Some(by_id(T, &[0])));
    assert!(scene.lost.is_empty() && scene.revoked.len() == 1);
    scene.accepted(2, Some(by_id(T, &[0, 3])));
    assert_eq!(scene.assigned.last(), Some(&partitions(&[3])));
    assert_eq!(scene.owned(), partitions(&[0, 3]));
}

#[test]
fn what_is_not_given_up_in_time_is_lost_and_that_is_said_at_once() {
    let mut scene = Scene::stable(Settings::new("g"), &[0, 1]);
    scene.pass(SOON);
    scene.accepted(1, Some(by_id(T, &[0])));
    for _ in 0..80 {
        scene.pass(SOON);
        if scene.out.is_some() {
            scene.accepted(1, None);
        }
    }
    assert_eq!(scene.lost, [(partitions(&[1]), LostReason::DrainExpired)]);
    assert!(scene.beats.iter().any(|beat| beat.owned == Some(by_id(T, &[0]))));
}

#[test]
fn what_is_given_back_while_it_is_given_up_is_taken_up_again_afterwards() {
    let mut scene = Scene::stable(Settings::new("g"), &[0]);
    scene.pass(SOON);
    scene.accepted(2, Some(by_id(T, &[])));
    scene.pass(SOON);
    scene.accepted(3, Some(by_id(T, &[0])));
    assert_eq!(scene.assigned.len(), 1);
    scene.released(&[0]);
    assert_eq!(scene.assigned, [partitions(&[0]), partitions(&[0])]);
    assert_eq!(scene.owned(), partitions(&[0]));
}

#[test]
fn a_fenced_or_forgotten_member_loses_all_and_joins_again_under_its_id() {
    let cases = [
        (ErrorCode::FENCED_MEMBER_EPOCH, LostReason::FencedEpoch),
        (ErrorCode::UNKNOWN_MEMBER_ID, LostReason::UnknownMember),
        (ErrorCode::GROUP_ID_NOT_FOUND, LostReason::UnknownMember),
    ];
    for (code, reason) in cases {
        let mut scene = Scene::stable(Settings::new("g"), &[0, 1]);
        scene.pass(SOON);
        scene.refused(code);
        assert_eq!(scene.lost, [(partitions(&[0, 1]), reason)]);
        assert_eq!(scene.published, None);
        let join = scene.last();
        assert_eq!((join.epoch.0, &*join.member_id.0, is_whole(join)), (0, "me", true));
        assert_eq!(join.owned, Some(ById::new()));
    }
}

#[test]
fn after_an_unknown_outcome_everything_is_said_again_under_the_epoch_that_is_known() {
    let mut scene = Scene::stable(Settings::new("g"), &[0, 1]);
    scene.pass(SOON);
    let request = scene.answered();
    scene.tell(Event::OutcomeUnknown { request });
    assert!(is_whole(scene.last()), "{:?}", scene.last());
    assert_eq!((scene.last().epoch.0, scene.last().owned.clone()), (1, Some(by_id(T, &[0, 1]))));
    assert!(scene.lost.is_empty());
    // the answer that was not heard had named epoch 2
    scene.accepted(2, Some(by_id(T, &[0, 1])));
    assert_eq!((scene.revoked.len(), scene.owned()), (0, partitions(&[0, 1])));
}

#[test]
fn an_error_that_heals_is_answered_by_saying_everything_after_a_pause() {
    let mut scene = Scene::stable(Settings::new("g"), &[0]);
    scene.pass(SOON);
    scene.refused(ErrorCode::COORDINATOR_LOAD_IN_PROGRESS);
    assert!(scene.out.is_none());
    scene.pass(SOON);
    assert!(is_whole(scene.last()) && scene.last().epoch.0 == 1);
}

#[test]
fn another_coordinator_is_told_everything_and_nothing_is_given_up_for_it() {
    let mut scene = Scene::stable(Settings::new("g"), &[0, 1]);
    scene.tell(Event::CoordinatorLost { reason: LossReason::EndpointMoved });
    scene.out = None;
    scene.found();
    assert!(is_whole(scene.last()) && scene.last().epoch.0 == 1);
    scene.accepted(1, Some(by_id(T, &[0, 1])));
    assert!(scene.lost.is_empty() && scene.revoked.is_empty());
}

#[test]
fn a_session_that_nobody_answered_for_is_over_before_the_coordinator_says_so() {
    let mut scene = Scene::stable(Settings::new("g"), &[0]);
    scene.pass(46 * SECOND);
    assert_eq!(scene.lost, [(partitions(&[0]), LostReason::SessionExpired)]);
    assert_eq!(scene.published, None);
}

#[test]
fn it_goes_quickly_around_changes_and_then_as_the_coordinator_wants() {
    let mut settings = Settings::new("g");
    settings.pace =
        steadfast_core::group::pace::Pace::Adaptive { calm: 60 * SECOND, alert: SOON, lasting: 10 * SECOND };
    let mut scene = Scene::stable(settings, &[0]);
    let beats_within = |scene: &mut Scene, time: Duration| {
        let before = scene.beats.len();
        let end = scene.now + time;
        while scene.now < end {
            scene.pass(Duration::from_millis(100));
            if scene.out.is_some() {
                scene.accepted(1, None);
            }
        }
        scene.beats.len() - before
    };
    assert!((25..=34).contains(&beats_within(&mut scene, 5 * SECOND)));
    beats_within(&mut scene, 10 * SECOND);
    assert_eq!(beats_within(&mut scene, 20 * SECOND), 4);
}

#[test]
fn other_topics_are_said_at_once() {
    let mut scene = Scene::stable(Settings::new("g"), &[0]);
    let topics: BTreeSet<Arc<str>> = ["t".into(), "u".into()].into();
    scene.tell(Event::SubscriptionChanged { topics: topics.clone(), pattern: None });
    assert_eq!(scene.last().topics, Some(topics));
    assert_eq!(scene.last().owned, None);
}

#[test]
fn partitions_of_a_topic_that_nobody_has_named_wait_for_its_name() {
    let mut scene = Scene::stable(Settings::new("g"), &[0]);
    scene.pass(SOON);
    let given: ById = [(T, [0].into()), (TopicId(8), [3].into())].into();
    scene.accepted(2, Some(given));
    assert_eq!((scene.assigned.len(), scene.counted), (1, 1));
    assert!(scene.revoked.is_empty());
    scene.tell(named(&[(T, "t"), (TopicId(8), "u")]));
    assert_eq!(scene.assigned.last(), Some(&[Partition::new("u", 3)].into()));
}

#[test]
fn a_topic_that_was_created_again_is_given_up_before_it_is_taken_up() {
    let mut scene = Scene::stable(Settings::new("g"), &[0]);
    scene.tell(named(&[(TopicId(8), "t")]));
    scene.pass(SOON);
    scene.accepted(2, Some(by_id(TopicId(8), &[0])));
    assert_eq!((scene.revoked.clone(), scene.assigned.len()), (vec![partitions(&[0])], 1));
    scene.pass(SOON);
    assert_eq!(scene.last().owned, None);
    scene.accepted(2, None);
    scene.released(&[0]);
    assert_eq!(scene.assigned.len(), 2);
    assert_eq!(scene.last().owned, Some(by_id(TopicId(8), &[0])));
}

#[test]
fn who_leaves_gives_everything_up_and_then_says_so_in_its_last_heartbeat() {
    let always = Settings { leave_on_stop: LeaveOnStop::Always, ..Scene::static_settings() };
    for (settings, last) in [(Settings::new("g"), -1), (Scene::static_settings(), -2), (always, -1)] {
        let mut scene = Scene::stable(settings, &[0, 1]);
        scene.tell(Event::Leave { reason: "stop".into() });
        assert_eq!(scene.revoked, [partitions(&[0, 1])]);
        assert!(!scene.left);
        scene.released(&[0, 1]);
        assert_eq!(scene.last().epoch.0, last);
        assert!(scene.owned().is_empty());
        scene.accepted(last, None);
        assert!(scene.left);
    }
}

#[test]
fn who_is_not_to_leave_gives_everything_up_and_says_nothing() {
    let settings = Settings { leave_on_stop: LeaveOnStop::Never, ..Settings::new("g") };
    let mut scene = Scene::stable(settings, &[0]);
    scene.tell(Event::Leave { reason: "stop".into() });
    scene.released(&[0]);
    assert!(scene.left && epochs(&scene.beats).iter().all(|epoch| *epoch >= 0));
}

#[test]
fn who_leaves_is_gone_in_bounded_time_though_nobody_answers() {
    let mut scene = Scene::stable(Settings::new("g"), &[0]);
    scene.tell(Event::Leave { reason: "stop".into() });
    scene.pass(16 * SECOND);
    assert!(scene.left);
    assert_eq!(scene.lost, [(partitions(&[0]), LostReason::DrainExpired)]);
}

#[test]
fn a_static_member_s_name_that_is_still_its_own_is_given_back_first() {
    let mut scene = Scene::new(Scene::static_settings());
    scene.refused(ErrorCode::UNRELEASED_INSTANCE_ID);
    assert_eq!(epochs(&scene.beats), [0, -2]);
    scene.accepted(-2, None);
    assert_eq!(epochs(&scene.beats), [0, -2, 0]);
    assert!(is_whole(scene.last()));
    scene.accepted(1, Some(by_id(T, &[0])));
    assert_eq!(scene.assigned, [partitions(&[0])]);
}

#[test]
fn a_static_member_s_name_that_is_another_s_is_the_end() {
    for answers in [
        vec![ErrorCode::UNRELEASED_INSTANCE_ID, ErrorCode::FENCED_INSTANCE_ID],
        vec![
            ErrorCode::UNRELEASED_INSTANCE_ID,
            ErrorCode::UNKNOWN_MEMBER_ID,
            ErrorCode::UNRELEASED_INSTANCE_ID,
        ],
    ] {
        let mut scene = Scene::new(Scene::static_settings());
        answers.into_iter().for_each(|code| scene.refused(code));
        assert_eq!(scene.fatal.unwrap().cause, Cause::Fenced);
    }
}

#[test]
fn what_no_repetition_heals_is_the_end_and_says_what_to_change() {
    let cases: BTreeMap<ErrorCode, Cause> = [
        (ErrorCode::UNSUPPORTED_ASSIGNOR, Cause::Assignor),
        (ErrorCode::INVALID_REGULAR_EXPRESSION, Cause::Pattern),
        (ErrorCode::GROUP_MAX_SIZE_REACHED, Cause::Full),
        (ErrorCode::UNSUPPORTED_VERSION, Cause::NoConsumerProtocol),
        (ErrorCode::GROUP_ID_NOT_FOUND, Cause::Inconvertible),
        (ErrorCode::GROUP_AUTHORIZATION_FAILED, Cause::Unauthorized),
    ]
    .into();
    for (code, cause) in cases {
        let mut scene = Scene::usual();
        scene.refused(code);
        assert_eq!(scene.fatal.unwrap().cause, cause);
        assert_eq!(scene.member.next_deadline(), None);
    }
}

#[test]
fn a_commit_under_a_stale_epoch_asks_for_the_new_one_at_once_and_loses_nothing() {
    let mut scene = Scene::stable(Settings::new("g"), &[0]);
    let generation = GroupGeneration(1);
    scene.tell(Event::CommitRefused { generation, code: ErrorCode::STALE_MEMBER_EPOCH });
    assert!(scene.out.is_some() && scene.lost.is_empty());
    scene.accepted(2, None);
    assert_eq!(scene.published.unwrap().generation, GroupGeneration(2));
}

#[test]
fn built_anew_it_goes_on_with_what_it_held_and_has_that_confirmed() {
    let before = Scene::stable(Settings::new("g"), &[0, 1]);
    let mut scene = Scene::from(Settings::new("g"), before.member.standing().clone());
    assert_eq!(epochs(&scene.beats), [1]);
    assert!(is_whole(scene.last()));
    assert_eq!(scene.last().owned, Some(by_id(T, &[0, 1])));
    scene.accepted(1, Some(by_id(T, &[0])));
    assert_eq!(scene.revoked, [partitions(&[1])]);
}

#[test]
fn built_anew_while_it_gave_something_up_it_gives_that_up_again() {
    let mut before = Scene::stable(Settings::new("g"), &[0, 1]);
    before.pass(SOON);
    before.accepted(1, Some(by_id(T, &[0])));
    let mut scene = Scene::from(Settings::new("g"), before.member.standing().clone());
    assert_eq!(scene.revoked, [partitions(&[1])]);
    scene.accepted(1, Some(by_id(T, &[0])));
    scene.released(&[1]);
    assert_eq!(scene.last().owned, Some(by_id(T, &[0])));
}

#[test]
fn an_epoch_that_no_member_has_is_not_taken_over() {
    let mut scene = Scene::stable(Settings::new("g"), &[0]);
    scene.pass(SOON);
    scene.accepted(0, Some(by_id(T, &[])));
    assert_eq!((scene.owned(), scene.revoked.len()), (partitions(&[0]), 0));
    assert_eq!(scene.published.unwrap().generation, GroupGeneration(1));
}
