//! Which view is agreed, case by case: Recovery 3 and 4.

use std::collections::BTreeSet;

use steadfast_core::endpoints::agreement::{FailedWitness, OwnWord, Verdict};
use steadfast_core::endpoints::view::{Observation, View};
use steadfast_core::ids::ClusterId;
use steadfast_core::tick::Tick;

use crate::scene::{NEW, OLD, Scene, at, cluster, view};

#[test]
fn before_anything_is_heard_nothing_is_decided() {
    assert!(Scene::pinned().is_undecided("", "").is_empty());
}

#[test]
fn bootstrap_that_names_one_of_three_brokers_finds_the_others() {
    let mut scene = Scene::first_start();
    scene.says("a", OLD);
    scene.is_undecided("b c", "b c");
    scene.says("c", OLD);
    assert_eq!(scene.agrees_on(OLD), (vec![1, 3], 2, 3));
    scene.says("b", OLD);
    assert_eq!(scene.agrees_on(OLD), (vec![1, 2, 3], 3, 3));
}

#[test]
fn a_bootstrap_address_that_no_broker_advertises_proposes_and_never_votes() {
    let mut scene = Scene::first_start();
    scene.says("bootstrap", OLD);
    scene.is_undecided("a b c", "a b c");
    scene.says("a", OLD);
    scene.is_undecided("b c", "b c");
    scene.says("b", OLD);
    assert_eq!(scene.agrees_on(OLD), (vec![1, 2], 2, 3));
}

#[test]
fn a_proposal_that_nobody_at_its_endpoints_confirms_is_never_agreed() {
    let mut scene = Scene::using(OLD);
    scene.says("bootstrap", NEW);
    scene.silent("x y z");
    scene.after(20_000);
    let failed = scene.is_undecided("", "x y z");
    assert_eq!(failed[&at("y")], FailedWitness::Silent { reason: "refused".into() });
}

#[test]
fn when_every_endpoint_moves_two_of_three_new_ones_are_enough() {
    let mut scene = Scene::using(OLD);
    scene.says("bootstrap", NEW);
    scene.all_say("x z", NEW);
    assert_eq!(scene.agrees_on(NEW), (vec![1, 3], 2, 3));
}

#[test]
fn old_ports_that_serve_the_new_metadata_lead_to_the_new_endpoints() {
    let mut scene = Scene::using(OLD);
    scene.all_say("a b c", NEW);
    scene.is_undecided("x y z", "x y z");
    scene.all_say("x y", NEW);
    scene.agrees_on(NEW);
}

#[test]
fn one_host_and_port_is_one_vote_however_many_brokers_stand_behind_it() {
    let mut scene = Scene::first_start();
    scene.says("bootstrap", "1=proxy 2=proxy 3=proxy");
    scene.is_undecided("proxy", "proxy");
    scene.says("proxy", "1=proxy 2=proxy 3=proxy");
    assert_eq!(scene.agrees_on("1=proxy 2=proxy 3=proxy"), (vec![1, 2, 3], 1, 1));
}

#[test]
fn two_brokers_at_one_address_do_not_outvote_the_third() {
    let mut scene = Scene::pinned();
    scene.says("shared", "1=shared 2=shared 3=c");
    scene.is_undecided("c", "c");
}

/// Found by the sweep: one of three that answered first, and named only itself, had the others count as gone.
#[test]
fn a_broker_that_names_only_itself_is_no_majority_of_three() {
    let mut scene = Scene::using(OLD);
    scene.says("a", "1=a");
    scene.after(10_000);
    scene.is_undecided("b c", "b c");
    scene.all_say("b c", OLD);
    assert_eq!(scene.agrees_on(OLD).1, 2);
}

#[test]
fn a_broker_that_names_itself_for_all_is_no_majority_of_three() {
    let mut scene = Scene::using(OLD);
    scene.says("a", "1=a 2=a 3=a");
    scene.is_undecided("b c", "b c");
    scene.all_say("b c", OLD);
    assert_eq!(scene.agrees_on(OLD).1, 2);
    // One proxy before all of them, in earnest: the others are silent, and it settles.
    scene.silent("b c");
    scene.settles("1=a 2=a 3=a", 2_000);
}

#[test]
fn a_minority_does_not_settle_while_what_is_in_use_was_not_heard() {
    let mut scene = Scene::using(OLD);
    scene.says("a", "1=a 2=x 3=y");
    scene.silent("x y");
    scene.after(10_000);
    scene.is_undecided("b c", "b c x y");
    scene.silent("b c");
    scene.agrees_on("1=a 2=x 3=y");
}

#[test]
fn the_first_to_answer_that_knew_only_itself_is_outvoted_in_the_wider_circle() {
    for alone in ["1=a", "1=a 2=a 3=a"] {
        let mut scene = Scene::first_start();
        scene.says("a", alone);
        assert_eq!(scene.agrees_on(alone), (scene.nodes(alone), 1, 1));
        scene.in_use = Some(view(alone));
        scene.says("b", OLD);
        scene.agrees_on(alone);
        scene.says("c", OLD);
        assert_eq!(scene.agrees_on(OLD).1, 2, "{alone}");
        scene.in_use = Some(view(OLD));
        assert_eq!(scene.agrees_on(OLD).1, 2, "it stays");
    }
}

#[test]
fn a_single_broker_agrees_with_itself() {
    let mut scene = Scene::first_start();
    scene.says("a", "1=a");
    assert_eq!(scene.agrees_on("1=a"), (vec![1], 1, 1));
}

#[test]
fn of_two_brokers_both_must_answer() {
    let mut scene = Scene::first_start();
    scene.says("a", "1=a 2=b");
    scene.is_undecided("b", "b");
    scene.says("b", "1=a 2=b");
    assert_eq!(scene.agrees_on("1=a 2=b"), (vec![1, 2], 2, 2));
}

#[test]
fn of_two_brokers_one_dead_the_other_is_believed_once_its_view_has_settled() {
    let mut scene = Scene::first_start();
    scene.says("a", "1=a 2=b");
    scene.after(1_000);
    scene.silent("b");
    scene.settles("1=a 2=b", 3_000);
    scene.after(1_999);
    scene.settles("1=a 2=b", 3_000);
    scene.after(1);
    assert_eq!(scene.agrees_on("1=a 2=b"), (vec![1], 1, 2));
    assert_eq!(scene.agreement.next_deadline(), None);
}

#[test]
fn a_view_does_not_settle_while_some_of_its_addresses_were_not_asked() {
    let mut scene = Scene::pinned();
    scene.says("a", OLD);
    scene.silent("b");
    scene.after(10_000);
    scene.is_undecided("c", "b c");
}

#[test]
fn one_that_disagrees_keeps_a_minority_from_settling_and_sets_its_clock_back() {
    let mut scene = Scene::pinned();
    scene.says("a", OLD);
    scene.silent("b c");
    scene.settles(OLD, 2_000);
    scene.after(1_000);
    scene.says("b", "1=elsewhere 2=b 3=c");
    scene.silent("elsewhere");
    scene.after(5_000);
    scene.is_undecided("", "c elsewhere");
    scene.silent("b");
    scene.settles(OLD, 8_000);
}

#[test]
fn asking_again_while_it_settles_does_not_set_its_clock_back() {
    let mut scene = Scene::pinned();
    scene.says("a", "1=a 2=b");
    scene.silent("b");
    scene.after(1_500);
    scene.says("a", "1=a 2=b");
    scene.silent("b");
    scene.settles("1=a 2=b", 2_000);
}

#[test]
fn a_dead_broker_that_is_still_listed_does_not_hold_up_the_others() {
    let mut scene = Scene::pinned();
    scene.all_say("a c", OLD);
    scene.silent("b");
    assert_eq!(scene.agrees_on(OLD), (vec![1, 3], 2, 3));
}

#[test]
fn witnesses_that_persistently_disagree_leave_the_view_in_use_untouched() {
    let mut scene = Scene::using(OLD);
    scene.all_say("a b", OLD);
    scene.all_say("x y z", NEW);
    scene.after(10_000);
    assert_eq!(scene.agrees_on(OLD), (vec![1, 2], 2, 3));
}

#[test]
fn a_zone_aware_service_whose_every_witness_says_something_else_changes_nothing() {
    let mut scene = Scene::using(OLD);
    scene.says("a", "1=a 2=b-far 3=c-far");
    scene.says("b", "1=a-far 2=b 3=c-far");
    scene.says("c", "1=a-far 2=b-far 3=c");
    scene.silent("a-far b-far c-far");
    scene.after(10_000);
    scene.is_undecided("", "b-far c-far");
}

#[test]
fn a_view_in_use_that_has_only_settled_gives_way_to_a_majority() {
    let mut scene = Scene::using("1=a 2=b");
    scene.says("a", "1=a 2=b");
    scene.silent("b");
    scene.after(2_000);
    scene.agrees_on("1=a 2=b");
    scene.all_say("x y", "1=x 2=y");
    scene.agrees_on("1=x 2=y");
}

#[test]
fn two_minorities_keep_each_other_from_settling() {
    let mut scene = Scene::using("1=a 2=b");
    scene.says("a", "1=a 2=b");
    scene.says("x", "1=x 2=y");
    scene.silent("b y");
    scene.after(10_000);
    scene.is_undecided("", "b");
    scene.silent("a");
    scene.settles("1=x 2=y", 12_000);
}

#[test]
fn a_bootstrap_address_with_an_opinion_of_its_own_keeps_nobody_from_settling() {
    let mut scene = Scene::using("1=a 2=b");
    scene.says("bootstrap", "1=x 2=y");
    scene.says("a", "1=a 2=b");
    scene.silent("b x y");
    scene.settles("1=a 2=b", 2_000);
}

#[test]
fn of_two_views_not_in_use_the_better_supported_wins_then_the_newest() {
    let mut scene = Scene::pinned();
    scene.all_say("a b", OLD);
    scene.after(1);
    scene.all_say("x y", NEW);
    scene.agrees_on(NEW);
    scene.says("a", OLD);
    scene.says("c", OLD);
    scene.agrees_on(OLD);
}

#[test]
fn a_rolling_restart_is_followed_broker_by_broker() {
    let mut scene = Scene::using(OLD);
    scene.all_say("b c", "1=x 2=b 3=c");
    assert_eq!(scene.agrees_on("1=x 2=b 3=c").0, [2, 3]);
    scene.says("x", "1=x 2=b 3=c");
    assert_eq!(scene.agrees_on("1=x 2=b 3=c").0, [1, 2, 3]);
}

#[test]
fn an_endpoint_is_verified_only_by_its_own_answer() {
    let mut scene = Scene::pinned();
    scene.all_say("a b", OLD);
    scene.says("c", "1=c 3=a");
    assert_eq!(scene.agrees_on(OLD).0, [1, 2]);
    scene.says("c", "1=elsewhere 3=c");
    assert_eq!(scene.agrees_on(OLD).0, [1, 2, 3]);
}

#[test]
fn another_cluster_is_a_failed_witness_and_counts_as_silent() {
    let mut scene = Scene::pinned();
    let found: ClusterId = "other".into();
    let failed = scene.hears("b", cluster("other", "1=a 2=b"));
    let expected = FailedWitness::OtherCluster { expected: "pinned".into(), found: Some(found) };
    assert_eq!(failed, Some(expected.clone()));
    assert_eq!(scene.is_undecided("", "")[&at("b")], expected);
    scene.says("a", "1=a 2=b");
    scene.settles("1=a 2=b", 2_000);
}

#[test]
fn a_witness_without_cluster_id_fails_once_one_is_pinned() {
    let mut scene = Scene::pinned();
    let failed = scene.hears("a", View::new(None, [(1, at("a"))]));
    assert_eq!(failed, Some(FailedWitness::OtherCluster { expected: "pinned".into(), found: None }));
    scene.is_undecided("", "");
}

#[test]
fn without_a_pin_a_cluster_that_reports_no_id_is_agreed_too() {
    let mut scene = Scene::first_start();
    let view = View::new(None, [(1, at("a"))]);
    assert_eq!(scene.hears("a", view.clone()), None);
    assert!(matches!(scene.verdict(), Verdict::Agreed { view: agreed, .. } if agreed == view));
}

#[test]
fn an_empty_list_of_brokers_is_a_failed_witness() {
    let mut scene = Scene::first_start();
    assert_eq!(scene.hears("a", view("")), Some(FailedWitness::Empty));
    assert_eq!(scene.is_undecided("", "")[&at("a")], FailedWitness::Empty);
}

#[test]
fn views_of_two_clusters_are_never_mixed() {
    let mut scene = Scene::first_start();
    assert_eq!(scene.hears("a", cluster("one", OLD)), None);
    assert_eq!(scene.hears("b", cluster("two", OLD)), None);
    scene.is_undecided("c", "b c");
    assert_eq!(scene.hears("c", cluster("one", OLD)), None);
    match scene.verdict() {
        Verdict::Agreed { view, verified, support, .. } => {
            assert_eq!((view.cluster, support), (Some("one".into()), 2));
            assert_eq!(verified, BTreeSet::from([1, 3]));
        }
        other => panic!("expected cluster one, found {other:?}"),
    }
}

#[test]
fn a_pin_silences_what_other_clusters_said_before_it() {
    let mut scene = Scene::first_start();
    assert_eq!(scene.hears("a", cluster("other", "1=a")), None);
    scene.agreement.pin("pinned".into());
    assert!(scene.is_undecided("", "").contains_key(&at("a")));
}

#[test]
fn old_answers_do_not_vote() {
    let mut scene = Scene::pinned();
    scene.all_say("a b", OLD);
    scene.after(30_000);
    scene.agrees_on(OLD);
    scene.after(1);
    scene.is_undecided("", "");
}

#[test]
fn the_newest_answer_of_an_address_counts_whatever_arrives_last() {
    let mut scene = Scene::pinned();
    scene.after(10);
    scene.all_say("a b", OLD);
    let late = Observation { witness: at("a"), view: view(NEW), at: Tick::ZERO };
    assert_eq!(scene.agreement.answered(late, scene.now), None);
    scene.agrees_on(OLD);
    scene.silent("b");
    scene.is_undecided("c", "b c");
}

#[test]
fn a_new_discovery_forgets_what_was_heard_before_it() {
    let mut scene = Scene::using(OLD);
    scene.all_say("a b c", OLD);
    scene.agreement.begin();
    scene.is_undecided("", "");
}

#[test]
fn a_node_that_maps_itself_elsewhere_denies_its_address_and_one_that_names_itself_nowhere_says_nothing() {
    let denied = |last: &str| {
        let mut scene = Scene::using(OLD);
        scene.all_say("a b", OLD);
        scene.says("c", last);
        match scene.verdict() {
            Verdict::Agreed { view: agreed, verified, denied, .. } => {
                assert_eq!((agreed, verified), (view(OLD), BTreeSet::from([1, 2])));
                denied
            }
            other => panic!("expected a majority, found {other:?}"),
        }
    };
    assert_eq!(denied("1=a 2=b 3=elsewhere"), BTreeSet::from([3]));
    assert_eq!(denied("1=a 2=c 3=b"), BTreeSet::from([3]));
    assert_eq!(denied("1=a 2=b"), BTreeSet::new());
}

#[test]
fn who_is_silent_or_of_another_cluster_is_absent_and_who_names_nobody_says_nothing() {
    let mut scene = Scene::using(OLD);
    scene.says("a", OLD);
    scene.silent("b");
    scene.hears("c", cluster("other", OLD));
    let words = scene.agreement.own_words(&view("1=a 2=b 3=c 4=d"));
    let absent = |node| matches!(words.get(&node), Some(OwnWord::Absent { .. }));
    assert_eq!((words.get(&1), absent(2), absent(3)), (Some(&OwnWord::Confirms), true, true));
    assert_eq!(words.get(&4), None, "nobody asked it");
    scene.hears("c", cluster("pinned", ""));
    assert_eq!(scene.agreement.own_words(&view(OLD)).get(&3), None);
}
