//! Which topic it is that brokers tell of: ids, what was created again, and who is believed about it.

use super::*;

#[test]
fn a_topic_that_is_created_again_is_believed_when_most_brokers_show_it_and_begins_with_new_epochs() {
    let mut reports = Reports::confirmed("1@50 2@50");
    assert!(reports.says("b", OTHER, "2@0").is_empty());
    assert_eq!(reports.believed(), "1@50 2@50");
    let changes = reports.says("c", OTHER, "2@0");
    assert_eq!(changes.recreated, [Recreated { topic: orders(), from: ID, to: OTHER }]);
    assert!(changes.regressed.is_empty());
    assert_eq!(reports.believed(), "2@0");
}

#[test]
fn one_broker_that_shows_another_topic_is_not_believed_while_another_one_contradicts() {
    let mut reports = Reports::confirmed("1@50");
    for _ in 0..60 {
        reports.after(1_000);
        assert!(reports.says("b", OTHER, "2@99").is_empty());
        assert!(reports.says("c", ID, "1@50").is_empty());
    }
    assert_eq!((reports.cluster.topic_id("orders"), reports.believed().as_str()), (Some(ID), "1@50"));
}

#[test]
fn who_is_no_broker_has_no_vote() {
    let mut reports = Reports::confirmed("1@50");
    for stranger in ["x", "y", "z", "b"] {
        assert!(reports.says(stranger, OTHER, "2@0").is_empty());
    }
    assert_eq!(reports.says("c", OTHER, "2@0").recreated.len(), 1);
}

#[test]
fn a_broker_s_last_word_counts_and_no_word_of_long_ago() {
    let mut reports = Reports::confirmed("1@50");
    assert!(reports.says("b", OTHER, "2@0").is_empty());
    assert!(reports.says("b", ID, "1@50").is_empty());
    assert!(reports.says("c", OTHER, "2@0").is_empty());
    reports.after(30_001);
    reports.says("a", ID, "1@50");
    assert!(reports.says("b", OTHER, "2@0").is_empty());
    assert_eq!(reports.says("c", OTHER, "2@0").recreated.len(), 1);
}

#[test]
fn where_most_brokers_are_silent_all_that_speak_are_believed_after_a_while() {
    let mut reports = Reports::confirmed("1@50");
    reports.after(30_001);
    assert!(reports.says("b", OTHER, "2@0").is_empty());
    reports.after(1_999);
    assert!(reports.says("b", OTHER, "2@0").is_empty());
    reports.after(1);
    assert_eq!(reports.says("b", OTHER, "2@0").recreated.len(), 1);
}

#[test]
fn an_id_that_one_broker_alone_had_shown_is_corrected_and_nothing_was_created_again() {
    let mut reports = Reports::new();
    reports.says("a", OTHER, "2@7");
    assert_eq!(reports.cluster.topic_id("orders"), Some(OTHER));
    assert!(reports.says("b", ID, "1@5").is_empty());
    assert!(reports.says("c", ID, "1@5").recreated.is_empty());
    assert_eq!((reports.cluster.topic_id("orders"), reports.believed().as_str()), (Some(ID), "1@5"));
    assert!(reports.says("a", OTHER, "2@7").is_empty());
}

/// All brokers have missed the topic for a while.
fn gone() -> Reports {
    let mut reports = Reports::confirmed("1@5");
    BROKERS.iter().for_each(|broker| drop(reports.misses(broker)));
    reports.after(2_000);
    assert_eq!(reports.misses("a").gone, [orders()]);
    reports
}

#[test]
fn a_topic_that_was_gone_is_back_under_its_id_at_once_and_under_another_when_most_show_it() {
    assert_eq!(gone().says("b", ID, "1@5").appeared, [orders()]);
    let mut reports = gone();
    assert!(reports.says("b", OTHER, "2@0").is_empty());
    assert_eq!((reports.cluster.topics().count(), reports.cluster.topic_id("orders")), (0, None));
    let changes = reports.says("c", OTHER, "2@0");
    assert_eq!(changes.recreated, [Recreated { topic: orders(), from: ID, to: OTHER }]);
    assert_eq!((changes.appeared, reports.believed().as_str()), (vec![orders()], "2@0"));
}

#[test]
fn an_answer_without_topic_ids_never_replaces_a_topic() {
    let mut reports = Reports::known("1@5");
    assert!(reports.says("old", TopicId::UNKNOWN, "1@5").recreated.is_empty());
    assert_eq!(reports.cluster.topic_id("orders"), Some(ID));
    reports.says("old", TopicId::UNKNOWN, "2@4");
    assert_eq!(reports.believed(), "1@5");
    reports.says("old", TopicId::UNKNOWN, "2@6");
    assert_eq!(reports.believed(), "2@6");
}

#[test]
fn an_id_that_becomes_known_is_no_new_topic() {
    let mut reports = Reports::new();
    reports.says("old", TopicId::UNKNOWN, "1@5");
    assert_eq!(reports.cluster.topic_id("orders"), None);
    assert!(reports.says("a", ID, "1@5").is_empty());
    assert_eq!(reports.cluster.topic_id("orders"), Some(ID));
}

#[test]
fn witnesses_that_still_show_the_replaced_topic_do_not_bring_it_back() {
    let mut reports = Reports::confirmed("1@50");
    assert_eq!(reports.all_say(OTHER, "2@0").len(), 1);
    for _ in 0..5 {
        reports.after(1_000);
        assert!(reports.says("a", ID, "1@51").is_empty());
        assert!(reports.says("c", ID, "1@51").is_empty());
        assert!(reports.says("b", OTHER, "2@0").is_empty());
    }
    assert_eq!(reports.cluster.topic_id("orders"), Some(OTHER));
}

#[test]
fn a_replaced_topic_that_every_witness_shows_for_a_while_is_back() {
    let mut reports = Reports::confirmed("1@50");
    reports.all_say(OTHER, "2@0");
    assert!(reports.all_say(ID, "1@50").is_empty());
    reports.after(2_000);
    let changes = reports.says("a", ID, "1@50");
    assert_eq!(changes.recreated, [Recreated { topic: orders(), from: OTHER, to: ID }]);
    assert_eq!(reports.believed(), "1@50");
}
