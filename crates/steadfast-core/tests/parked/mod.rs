//! The coordinator holds a JoinGroup or a SyncGroup back, and something dies meanwhile.

use std::time::Duration;

use crate::scene::Scene;
use steadfast_core::group::actions::{Action, Reason};
use steadfast_core::group::assign::Assignor;
use steadfast_core::group::errors::ErrorCode;
use steadfast_core::group::events::{Event, LossReason};
use steadfast_core::group::pace::Pace;
use steadfast_core::group::settings::Settings;

const SECOND: Duration = Duration::from_secs(1);

fn settings() -> Settings {
    Settings { assignors: vec![Assignor::CooperativeSticky], ..Settings::new("billing") }
}

/// A member of a group that begins a round: its JoinGroup is parked.
fn joining(settings: Settings) -> Scene {
    let mut scene = Scene::new(settings).stable(&[0, 1]);
    scene.beat_refused(ErrorCode::REBALANCE_IN_PROGRESS);
    assert_eq!(scene.join().reason, Reason::RoundBegan);
    scene.asked.clear();
    scene
}

/// Lets each deadline come until this is done, and says how long that took.
fn until(scene: &mut Scene, mut done: impl FnMut(&Scene, &[Action]) -> bool) -> Duration {
    let from = scene.now;
    loop {
        scene.now = scene.member.next_deadline().expect("something is due");
        let actions = scene.tell(Event::DeadlineReached);
        if done(scene, &actions) {
            return scene.now.since(from);
        }
    }
}

fn is_lost(_: &Scene, actions: &[Action]) -> bool {
    actions.contains(&Action::CoordinatorLost { reason: LossReason::Silent })
}

#[test]
fn a_dead_coordinator_is_left_within_a_second_while_a_join_waits() {
    assert!(until(&mut joining(settings()), is_lost) <= SECOND);
    // However far apart heartbeats are told to be.
    let pace = Pace::Every(Duration::from_secs(10));
    assert!(until(&mut joining(Settings { pace, ..settings() }), is_lost) <= SECOND);
}

#[test]
fn a_dead_coordinator_is_left_within_a_second_while_a_sync_waits() {
    let mut scene = joining(settings());
    scene.joined(2, "other", &[]);
    assert_eq!(scene.sync().generation.0, 2);
    assert!(until(&mut scene, is_lost) <= SECOND);
}

#[test]
fn a_calm_member_gives_its_coordinator_the_usual_time() {
    let mut scene = Scene::new(settings()).stable(&[0, 1]);
    assert!(until(&mut scene, is_lost) >= 5 * SECOND);
}

/// Answers each heartbeat after so long, for a minute; says whether the coordinator was lost.
fn answers_after(scene: &mut Scene, took: Duration, times: usize) -> usize {
    let mut lost = 0;
    for _ in 0..times {
        let request = scene.next_beat();
        let answered = scene.now + took;
        while let Some(next) = scene.member.next_deadline().filter(|next| *next < answered) {
            scene.now = next;
            lost += usize::from(scene.tell(Event::DeadlineReached).iter().any(is_loss));
        }
        scene.now = answered;
        scene.tell(Event::Refused { request, code: ErrorCode::REBALANCE_IN_PROGRESS });
    }
    lost
}

fn is_loss(action: &Action) -> bool {
    matches!(action, Action::CoordinatorLost { .. })
}

#[test]
fn a_coordinator_that_is_merely_slow_keeps_the_join_that_it_holds() {
    let mut scene = joining(settings());
    let request = scene.join().request;
    assert_eq!(answers_after(&mut scene, Duration::from_millis(700), 40), 0);
    assert_eq!(scene.join().request, request, "no other JoinGroup was made of it");
    // What its answers usually take is not what a dead one is given: nor is it more than four times that.
    assert_eq!(answers_after(&mut scene, Duration::from_secs(2), 10), 0);
}

#[test]
fn a_coordinator_that_was_given_up_in_vain_is_given_longer_the_next_time() {
    let mut scene = joining(settings());
    let first = until(&mut scene, is_lost);
    scene.found();
    let second = until(&mut scene, is_lost);
    assert!(second > first && second <= 3 * SECOND, "{first:?} {second:?}");
}

#[test]
fn a_join_whose_round_went_on_without_it_is_asked_again_within_a_second() {
    let mut scene = joining(settings());
    scene.pass_with_heartbeats(Duration::from_millis(300));
    scene.asked.clear();
    let from = scene.now;
    scene.beat_refused(ErrorCode::ILLEGAL_GENERATION);
    until(&mut scene, |scene, _| scene.asked.contains(&"again"));
    assert!(scene.now.since(from) <= SECOND);
    assert!(!scene.asked.contains(&"join"), "the same request: its answer is awaited as before");
}

#[test]
fn what_waits_is_asked_again_less_and_less_often() {
    let mut scene = joining(settings());
    scene.joined(2, "other", &[]);
    let from = scene.now;
    let mut asked = Vec::new();
    while scene.now.since(from) < 20 * SECOND {
        scene.asked.clear();
        let next = scene.member.next_deadline().unwrap();
        scene.pass_with_heartbeats(next.since(scene.now));
        if scene.asked.contains(&"again") {
            asked.push(scene.now.since(from).as_secs());
        }
    }
    assert_eq!(asked, [1, 3, 7, 15]);
}

#[test]
fn an_instance_without_its_member_id_is_not_asked_for_twice() {
    let mut scene = Scene::new(Settings { instance: Some("first".into()), ..settings() });
    scene.tell(Event::Start);
    scene.found();
    scene.asked.clear();
    scene.pass_with_heartbeats(5 * SECOND);
    assert!(!scene.asked.contains(&"again"), "{:?}", scene.asked);
}
