//! The classic member machine, scene by scene: what the coordinator and the service say, and what it does.

mod parked;
mod resubscribed;
mod scene;

use std::time::Duration;

use scene::{Scene, partitions};
use steadfast_core::group::GroupProtocol;
use steadfast_core::group::actions::{Action, LostReason, Reason};
use steadfast_core::group::assign::Assignor;
use steadfast_core::group::errors::{Cause, ErrorCode};
use steadfast_core::group::events::{Event, LossReason};
use steadfast_core::group::pace::Pace;
use steadfast_core::group::settings::Settings;
use steadfast_core::group::standing::Standing;
use steadfast_core::ids::{GroupGeneration, NodeId, Partition};

fn eager() -> Scene {
    Scene::new(Settings::new("billing"))
}

fn cooperative() -> Scene {
    Scene::new(Settings { assignors: vec![Assignor::CooperativeSticky], ..Settings::new("billing") })
}

#[test]
fn a_first_join_finds_the_coordinator_takes_its_id_and_assigns_as_leader() {
    let mut scene = eager();
    scene.tell(Event::Start);
    scene.found();
    let join = scene.join();
    assert_eq!(join.member_id, None);
    assert_eq!(join.reason, Reason::Start);
    assert_eq!(join.deadline.since(scene.now), Duration::from_secs(305));
    scene.tell(Event::MemberIdRequired { request: join.request, member_id: "me".into() });
    assert_eq!(scene.join().member_id, Some("me".into()));
    scene.joined(1, "me", &["me", "other"]);
    let sync = scene.sync();
    assert_eq!(sync.assignments[&"me".into()], partitions(&[0, 1]));
    assert_eq!(sync.assignments[&"other".into()], partitions(&[2, 3]));
    scene.synced(&[0, 1]);
    assert_eq!(scene.assigned, [partitions(&[0, 1])]);
    assert!(scene.published.as_ref().is_some_and(|membership| membership.settled));
}

#[test]
fn a_follower_sends_no_assignment() {
    let mut scene = eager();
    scene.tell(Event::Start);
    scene.found();
    scene.joined(1, "other", &[]);
    assert!(scene.sync().assignments.is_empty());
}

#[test]
fn when_an_eager_group_rebalances_everything_is_given_up_before_the_join() {
    let mut scene = eager().stable(&[0, 1]);
    scene.beat_refused(ErrorCode::REBALANCE_IN_PROGRESS);
    assert_eq!(scene.revoked, [partitions(&[0, 1])]);
    scene.asked.clear();
    scene.pass(Duration::from_secs(3));
    assert!(scene.asked.iter().all(|asked| *asked == "heartbeat"), "{:?}", scene.asked);
    assert!(!scene.asked.is_empty(), "heartbeats go on while handlers drain");
    scene.tell(Event::Revoked { partitions: partitions(&[0, 1]) });
    let join = scene.join();
    assert_eq!(join.reason, Reason::RoundBegan);
    assert!(join.subscription.owned.is_empty());
    scene.joined(2, "me", &["me"]);
    scene.synced(&[0, 1, 2, 3]);
    let rebalance = scene.rebalances.last().unwrap();
    assert_eq!((rebalance.reason, rebalance.assigned.len()), (Reason::RoundBegan, 4));
    assert_eq!(rebalance.took.drain, Duration::from_secs(3));
    assert!(scene.lost.is_empty());
}

#[test]
fn a_drain_that_does_not_end_ends_as_lost_before_the_round_does() {
    let mut scene = eager().stable(&[0]);
    scene.beat_refused(ErrorCode::REBALANCE_IN_PROGRESS);
    scene.pass(Duration::from_secs(9));
    assert!(scene.lost.is_empty());
    scene.pass(Duration::from_secs(2));
    assert_eq!(scene.lost, [(partitions(&[0]), LostReason::DrainExpired)]);
    assert!(scene.join().subscription.owned.is_empty());
}

#[test]
fn a_cooperative_member_goes_on_while_it_joins_and_gives_up_only_what_goes_to_others() {
    let mut scene = cooperative().stable(&[0, 1, 2, 3]);
    scene.beat_refused(ErrorCode::REBALANCE_IN_PROGRESS);
    assert!(scene.revoked.is_empty());
    let join = scene.join();
    assert_eq!(join.subscription.owned, partitions(&[0, 1, 2, 3]));
    assert_eq!(join.subscription.generation, Some(GroupGeneration(1)));
    scene.joined(2, "other", &[]);
    scene.synced(&[0, 1]);
    assert_eq!(scene.revoked, [partitions(&[2, 3])]);
    let membership = scene.published.clone().unwrap();
    assert_eq!((membership.generation, membership.settled), (GroupGeneration(2), true));
    scene.tell(Event::Revoked { partitions: partitions(&[2]) });
    scene.tell(Event::Revoked { partitions: partitions(&[3]) });
    let join = scene.join();
    assert_eq!(join.reason, Reason::Released);
    assert_eq!(join.subscription.owned, partitions(&[0, 1]));
    scene.joined(3, "other", &[]);
    scene.synced(&[0, 1]);
    assert_eq!(scene.assigned.len(), 1, "what was kept is not assigned again");
    assert!(scene.lost.is_empty());
}

#[test]
fn when_the_coordinators_endpoint_moves_nothing_is_lost_and_nobody_joins() {
    for mut scene in [eager().stable(&[0, 1]), cooperative().stable(&[0, 1])] {
        scene.tell(Event::CoordinatorLost { reason: LossReason::EndpointMoved });
        assert_eq!(scene.asked, ["find"]);
        scene.pass(Duration::from_secs(30));
        scene.found();
        assert_eq!(scene.asked.last(), Some(&"heartbeat"), "at once");
        scene.beat_accepted();
        scene.pass_with_heartbeats(Duration::from_secs(60));
        assert!(!scene.asked.contains(&"join"));
        assert!(scene.lost.is_empty() && scene.revoked.is_empty());
        assert_eq!(scene.published.as_ref().unwrap().generation, GroupGeneration(1));
    }
}

#[test]
fn when_the_session_has_expired_the_partitions_are_lost_and_the_member_id_is_kept() {
    let mut scene = eager().stable(&[0, 1]);
    scene.tell(Event::CoordinatorLost { reason: LossReason::ConnectionBroken });
    scene.pass(Duration::from_secs(44));
    assert!(scene.lost.is_empty());
    scene.pass(Duration::from_secs(2));
    assert_eq!(scene.lost, [(partitions(&[0, 1]), LostReason::SessionExpired)]);
    assert_eq!(scene.published, None);
    scene.found();
    assert_eq!(scene.join().member_id, Some("me".into()));
}

#[test]
fn a_partition_that_was_lost_and_comes_back_is_another_assignment_of_it() {
    let (mut scene, ours) = (eager().stable(&[0]), Partition::new("t", 0));
    assert!(scene.member.standing().still_holds(&ours, 0));
    scene.pass(Duration::from_secs(46));
    scene.found();
    scene.joined(2, "other", &[]);
    scene.synced(&[0]);
    let standing = scene.member.standing();
    assert!(!standing.still_holds(&ours, 0) && standing.still_holds(&ours, 1));
}

#[test]
fn an_illegal_generation_keeps_the_member_id_an_unknown_member_drops_it() {
    for (code, reason, kept) in [
        (ErrorCode::ILLEGAL_GENERATION, LostReason::IllegalGeneration, Some("me".into())),
        (ErrorCode::UNKNOWN_MEMBER_ID, LostReason::UnknownMember, None),
    ] {
        let mut scene = cooperative().stable(&[0, 1]);
        scene.beat_refused(code);
        assert_eq!(scene.lost, [(partitions(&[0, 1]), reason)]);
        assert_eq!(scene.join().member_id, kept);
        assert!(scene.join().subscription.owned.is_empty());
        assert!(scene.revoked.is_empty(), "what is lost is not committed");
    }
}

#[test]
fn a_heartbeat_of_the_generation_before_says_nothing_of_this_one() {
    let mut scene = cooperative().stable(&[0]);
    scene.beat_refused(ErrorCode::REBALANCE_IN_PROGRESS);
    let beat = scene.next_beat();
    scene.joined(2, "other", &[]);
    scene.tell(Event::Refused { request: beat, code: ErrorCode::ILLEGAL_GENERATION });
    assert!(scene.lost.is_empty());
    assert_eq!(scene.sync().generation, GroupGeneration(2));
}

#[test]
fn a_heartbeat_while_a_join_is_out_only_shows_that_somebody_lives() {
    for code in [ErrorCode::UNKNOWN_MEMBER_ID, ErrorCode::ILLEGAL_GENERATION, ErrorCode::FENCED_INSTANCE_ID] {
        let mut scene = Scene::new(Settings { instance: Some("one".into()), ..Settings::new("billing") });
        scene.tell(Event::Start);
        scene.found();
        let request = scene.next_beat();
        scene.tell(Event::Refused { request, code });
        assert_eq!(scene.asked, ["find", "join", "heartbeat"]);
        assert_eq!(scene.fatal, None);
    }
}

#[test]
fn a_session_is_counted_from_the_request_and_not_from_its_answer() {
    let mut scene = eager().stable(&[0]);
    let request = scene.next_beat();
    let sent = scene.now;
    scene.now = sent + Duration::from_secs(4);
    scene.tell(Event::HeartbeatAccepted { request });
    assert_eq!(scene.member.standing().heard, sent);
}

#[test]
fn a_commit_that_was_refused_says_the_same_but_not_one_of_another_generation() {
    let refused = |generation| Event::CommitRefused {
        generation: GroupGeneration(generation),
        code: ErrorCode::ILLEGAL_GENERATION,
    };
    let mut scene = eager().stable(&[0]);
    scene.tell(refused(0));
    assert!(scene.lost.is_empty());
    scene.tell(refused(1));
    assert_eq!(scene.lost.len(), 1);
}

#[test]
fn a_sync_that_meets_another_round_joins_again() {
    let mut scene = eager();
    scene.tell(Event::Start);
    scene.found();
    scene.joined(1, "other", &[]);
    let request = scene.sync().request;
    scene.tell(Event::Refused { request, code: ErrorCode::REBALANCE_IN_PROGRESS });
    assert_eq!(scene.join().member_id, Some("me".into()));
    assert_eq!(scene.asked.last(), Some(&"join"));
}

#[test]
fn a_sync_is_sent_again_to_the_coordinator_that_was_found_again() {
    let mut scene = eager();
    scene.tell(Event::Start);
    scene.found();
    scene.joined(1, "me", &["me"]);
    let before = scene.sync();
    scene.tell(Event::Unanswered { request: before.request });
    scene.found();
    assert_eq!(scene.sync().assignments, before.assignments);
    assert_ne!(scene.sync().request, before.request);
    assert_eq!(scene.asked.iter().filter(|asked| **asked == "join").count(), 1);
}

#[test]
fn a_black_hole_in_mid_join_shows_on_the_other_connection() {
    let mut scene = eager();
    scene.tell(Event::Start);
    scene.found();
    scene.pass(Duration::from_secs(9));
    assert!(scene.asked.contains(&"heartbeat"));
    assert_eq!(scene.asked.last(), Some(&"find"), "{:?}", scene.asked);
}

#[test]
fn answers_that_come_too_late_change_nothing() {
    let mut scene = eager();
    scene.tell(Event::Start);
    scene.found();
    let late = scene.join().request;
    scene.tell(Event::CoordinatorLost { reason: LossReason::ConnectionBroken });
    scene.tell(Event::Refused { request: late, code: ErrorCode::FENCED_INSTANCE_ID });
    assert!(scene.fatal.is_none());
}

#[test]
fn the_leader_asks_for_the_counts_of_topics_that_only_others_want() {
    let mut scene = eager();
    scene.tell(Event::Start);
    scene.found();
    scene.joined_wanting(1, &[("me", "t"), ("other", "u")]);
    assert_eq!(scene.counted, [["u".into()].into()]);
    assert!(!scene.asked.contains(&"sync"));
    scene.pass_with_heartbeats(Duration::from_secs(6));
    assert_eq!(scene.counted.len(), 2, "asked again, as nothing came");
    scene.tell(Event::PartitionsChanged { counts: [("u".into(), 1)].into() });
    assert_eq!(scene.sync().assignments[&"other".into()].len(), 1);
}

#[test]
fn only_the_leader_joins_when_partitions_are_added() {
    let more = || Event::PartitionsChanged { counts: [("t".into(), 8)].into() };
    let mut follower = cooperative().stable(&[0]);
    follower.tell(more());
    assert!(follower.asked.is_empty());
    let mut leader = cooperative();
    leader.tell(Event::Start);
    leader.found();
    leader.joined(1, "me", &["me"]);
    leader.synced(&[0, 1, 2, 3]);
    leader.tell(more());
    assert_eq!(leader.join().reason, Reason::PartitionsChanged);
}

#[test]
fn leaving_gives_everything_up_first() {
    let mut scene = eager().stable(&[0]);
    scene.tell(Event::Leave { reason: "shutdown".into() });
    assert_eq!(scene.revoked, [partitions(&[0])]);
    assert!(!scene.asked.contains(&"leave"));
    scene.tell(Event::Revoked { partitions: partitions(&[0]) });
    let leave = scene.leave.clone().unwrap();
    assert_eq!(&*leave.reason, "shutdown");
    scene.tell(Event::LeaveAccepted { request: leave.request });
    assert!(scene.left);
    assert_eq!(scene.member.next_deadline(), None);
}

/// Holds 0 and 1, and is told to leave while the answer to its join is out.
fn told_to_leave_in_mid_round() -> Scene {
    let mut scene = cooperative().stable(&[0, 1]);
    scene.beat_refused(ErrorCode::REBALANCE_IN_PROGRESS);
    scene.join();
    scene.tell(Event::Leave { reason: "shutdown".into() });
    assert!(scene.revoked == [partitions(&[0, 1])] && !scene.asked.contains(&"leave"), "at once");
    scene
}

#[test]
fn told_to_leave_in_mid_round_a_leader_makes_the_assignment_so_that_commits_are_taken() {
    let mut scene = told_to_leave_in_mid_round();
    scene.joined(2, "me", &["me", "other"]);
    assert_eq!(scene.sync().assignments.len(), 2);
    scene.synced(&[0, 1, 2]);
    assert_eq!(scene.assigned.len(), 1, "nothing is taken up any more");
    let membership = scene.published.clone().unwrap();
    assert_eq!((membership.generation, membership.settled), (GroupGeneration(2), true), "commits name it");
    assert!(!scene.asked.contains(&"leave"), "what is held is not committed yet");
    scene.tell(Event::Revoked { partitions: partitions(&[0, 1]) });
    assert!(scene.leave.is_some() && scene.lost.is_empty());
}

#[test]
fn told_to_leave_in_mid_round_it_waits_for_the_round_no_longer_than_for_its_partitions() {
    let mut scene = told_to_leave_in_mid_round();
    scene.tell(Event::Revoked { partitions: partitions(&[0, 1]) });
    assert!(scene.leave.is_some(), "committed in the generation before");

    let mut scene = told_to_leave_in_mid_round();
    scene.joined(2, "other", &[]);
    scene.tell(Event::Leave { reason: "shutdown".into() });
    scene.tell(Event::Revoked { partitions: partitions(&[0, 1]) });
    assert!(scene.leave.is_some(), "committed though the leader has made no assignment");
    assert_eq!(scene.revoked.len(), 1);
}

#[test]
fn told_to_leave_in_a_round_that_does_not_end_it_leaves_at_its_limit() {
    let mut scene = told_to_leave_in_mid_round();
    scene.pass_with_heartbeats(Duration::from_secs(9));
    assert!(scene.lost.is_empty() && scene.leave.is_none());
    scene.pass_with_heartbeats(Duration::from_secs(2));
    assert_eq!(scene.lost, [(partitions(&[0, 1]), LostReason::DrainExpired)]);
    assert!(scene.leave.is_some());
}

#[test]
fn a_static_member_goes_without_a_word() {
    let settings = Settings { instance: Some("one".into()), ..Settings::new("billing") };
    let mut scene = Scene::new(settings).stable(&[0]);
    scene.tell(Event::Leave { reason: "shutdown".into() });
    scene.tell(Event::Revoked { partitions: partitions(&[0]) });
    assert!(scene.left && scene.leave.is_none());
}

#[test]
fn leaving_ends_even_if_the_coordinator_is_gone() {
    let mut scene = eager().stable(&[0]);
    scene.tell(Event::CoordinatorLost { reason: LossReason::ConnectionBroken });
    scene.tell(Event::Leave { reason: "shutdown".into() });
    scene.pass(Duration::from_secs(20));
    assert!(scene.left);
    assert_eq!(scene.lost, [(partitions(&[0]), LostReason::DrainExpired)]);
}

#[test]
fn who_is_fenced_ends_and_says_why() {
    let mut scene = eager().stable(&[0]);
    scene.beat_refused(ErrorCode::FENCED_INSTANCE_ID);
    assert_eq!(scene.fatal.as_ref().map(|refusal| refusal.cause), Some(Cause::Fenced));
    assert_eq!(scene.lost, [(partitions(&[0]), LostReason::Fatal)]);
}

#[test]
fn an_assignor_that_we_did_not_offer_is_refused() {
    let mut scene = eager();
    scene.tell(Event::Start);
    scene.found();
    scene.joined_under(1, "roundrobin", "other", &[]);
    assert_eq!(scene.fatal.as_ref().map(|refusal| refusal.cause), Some(Cause::Inconsistent));
}

#[test]
fn a_coordinator_that_loads_is_asked_again_after_pauses() {
    let mut scene = eager();
    scene.tell(Event::Start);
    scene.found();
    for _ in 0..20 {
        let request = scene.join().request;
        scene.tell(Event::Refused { request, code: ErrorCode::COORDINATOR_LOAD_IN_PROGRESS });
        assert_eq!(scene.join().request, request, "not at once");
        scene.pass_with_heartbeats(Duration::from_secs(1));
        assert_ne!(scene.join().request, request);
    }
}

#[test]
fn heartbeats_are_quick_for_a_while_after_a_round_and_slow_then() {
    let mut scene = eager().stable(&[0]);
    scene.pass_with_heartbeats(Duration::from_secs(3));
    assert!((19..=21).contains(&scene.beats()), "{}", scene.beats());
    scene.pass_with_heartbeats(Duration::from_secs(10));
    scene.asked.clear();
    scene.pass_with_heartbeats(Duration::from_secs(3));
    assert!((9..=11).contains(&scene.beats()), "{}", scene.beats());
}

#[test]
fn an_explicit_interval_is_kept_to() {
    let pace = Pace::Every(Duration::from_secs(1));
    let mut scene = Scene::new(Settings { pace, ..Settings::new("billing") }).stable(&[0]);
    scene.pass_with_heartbeats(Duration::from_secs(10));
    assert!((9..=11).contains(&scene.beats()), "{}", scene.beats());
}

#[test]
fn a_member_that_is_built_anew_goes_on_without_a_round() {
    let before = eager().stable(&[0, 1]);
    let standing = before.member.standing().clone();
    let mut scene = Scene::from(Settings::new("billing"), standing);
    scene.now = before.now;
    scene.tell(Event::Start);
    assert_eq!(scene.published.as_ref().and_then(|membership| membership.coordinator), None);
    scene.found();
    assert_eq!(scene.asked, ["find", "heartbeat"]);
    assert_eq!(scene.published.as_ref().and_then(|membership| membership.coordinator), Some(NodeId(1)));
    assert!(scene.assigned.is_empty() && scene.lost.is_empty());
}

#[test]
fn a_member_that_is_built_anew_in_mid_drain_revokes_again() {
    for scene in [eager(), cooperative()] {
        let settings = scene.settings.clone();
        let mut scene = scene.stable(&[0, 1]);
        scene.beat_refused(ErrorCode::REBALANCE_IN_PROGRESS);
        if scene.revoked.is_empty() {
            scene.joined(2, "other", &[]);
            scene.synced(&[0]);
        }
        let revoked = scene.revoked.clone();
        let mut anew = Scene::from(settings, scene.member.standing().clone());
        anew.now = scene.now;
        anew.tell(Event::Start);
        assert_eq!(anew.revoked, revoked);
        anew.found();
        anew.tell(Event::Revoked { partitions: revoked[0].clone() });
        assert_eq!(anew.asked.last(), Some(&"join"));
    }
}

#[test]
fn a_member_that_is_built_anew_between_drain_and_assignment_joins_again() {
    let mut before = eager().stable(&[0]);
    before.beat_refused(ErrorCode::REBALANCE_IN_PROGRESS);
    before.tell(Event::Revoked { partitions: partitions(&[0]) });
    let drained = before.member.standing().clone();
    before.joined(2, "other", &[]);
    let joined = before.member.standing().clone();
    for standing in [drained, joined] {
        let mut scene = Scene::from(Settings::new("billing"), standing);
        scene.now = before.now;
        scene.tell(Event::Start);
        scene.found();
        assert_eq!(scene.join().reason, Reason::Restarted);
        assert_eq!(scene.join().member_id, Some("me".into()));
    }
}

#[test]
fn a_member_that_is_built_anew_after_its_session_has_lost_what_it_had() {
    let before = eager().stable(&[0]);
    let mut scene = Scene::from(Settings::new("billing"), before.member.standing().clone());
    scene.now = before.now + Duration::from_secs(60);
    scene.tell(Event::Start);
    assert_eq!(scene.lost, [(partitions(&[0]), LostReason::SessionExpired)]);
}

#[test]
fn the_standing_of_who_was_never_a_member_joins_from_the_start() {
    assert_eq!(Standing::default().membership(GroupProtocol::Classic, Some(NodeId(1))), None);
    let mut scene = Scene::from(Settings::new("billing"), Standing::default());
    let actions = scene.tell(Event::Start);
    assert!(matches!(actions[..], [Action::Rebalancing { .. }, Action::FindCoordinator { .. }]));
}
