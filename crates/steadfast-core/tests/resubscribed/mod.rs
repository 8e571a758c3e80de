//! What the member subscribes to changes.

use steadfast_core::group::actions::Reason;
use steadfast_core::group::assign::Assignor;
use steadfast_core::group::events::Event;
use steadfast_core::group::settings::Settings;

use crate::scene::Scene;

fn cooperative() -> Scene {
    Scene::new(Settings { assignors: vec![Assignor::CooperativeSticky], ..Settings::new("billing") })
}

fn subscribe(topics: &[&str], pattern: Option<&str>) -> Event {
    let topics = topics.iter().map(|topic| (*topic).into()).collect();
    Event::SubscriptionChanged { topics, pattern: pattern.map(Into::into) }
}

#[test]
fn a_subscription_that_changes_in_mid_round_is_joined_with_after_it() {
    let mut scene = cooperative();
    scene.tell(Event::Start);
    scene.found();
    scene.tell(subscribe(&["t", "u"], None));
    scene.joined(1, "other", &[]);
    scene.synced(&[0]);
    assert_eq!(scene.join().reason, Reason::SubscriptionChanged);
    assert_eq!(scene.join().subscription.topics.len(), 2);
}

#[test]
fn topics_that_match_the_same_pattern_are_told_apart_from_another_subscription() {
    let mut scene = cooperative();
    scene.tell(subscribe(&["t"], Some("t.*")));
    let mut scene = scene.stable(&[0]);
    scene.tell(subscribe(&["t", "tt"], Some("t.*")));
    assert_eq!(scene.join().reason, Reason::MatchesChanged);
    scene.joined(2, "other", &[]);
    scene.synced(&[0]);
    scene.tell(subscribe(&["t"], Some("t")));
    assert_eq!(scene.join().reason, Reason::SubscriptionChanged);
}

#[test]
fn the_same_topics_cost_no_round_however_they_are_named() {
    let mut scene = cooperative().stable(&[0]);
    scene.asked.clear();
    scene.tell(subscribe(&["t"], Some("t")));
    assert!(scene.asked.is_empty(), "{:?}", scene.asked);
}
