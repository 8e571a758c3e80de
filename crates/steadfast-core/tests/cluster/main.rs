//! Topics and leaders, merged from what brokers report: Recovery 4 and 5.

mod identities;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;
use steadfast_core::cluster::{
    Changes, Cluster, Grown, Leader, Recreated, Regressed, Rules, Topic, TopicError, Topics,
};
use steadfast_core::endpoints::view::Address;
use steadfast_core::ids::{LeaderEpoch, NodeId, Partition, TopicId};
use steadfast_core::tick::Tick;

const ID: TopicId = TopicId(7);
const OTHER: TopicId = TopicId(8);
const BROKERS: [&str; 3] = ["a", "b", "c"];

/// Brokers report on one topic, `orders`, in turn.
struct Reports {
    cluster: Cluster,
    now: Tick,
}

/// `"1@5 2@5 -@6"`: partition 0 is led by node 1 since epoch 5, ..., partition 2 by nobody since epoch 6.
fn leaders(text: &str) -> BTreeMap<i32, Leader> {
    let leader = |word: &str| {
        let (node, epoch) = word.split_once('@')?;
        Some(Leader { node: node.parse().ok().map(NodeId), epoch: LeaderEpoch(epoch.parse().ok()?) })
    };
    (0..).zip(text.split_whitespace().filter_map(leader)).collect()
}

fn topics(id: TopicId, error: Option<TopicError>, text: &str) -> Topics {
    Topics::from([("orders".into(), Topic { id, error, partitions: leaders(text) })])
}

fn orders() -> Arc<str> {
    "orders".into()
}

fn partition(index: i32) -> Partition {
    Partition::new("orders", index)
}

impl Reports {
    fn new() -> Reports {
        let mut cluster = Cluster::new(Rules::default());
        cluster.elect(BROKERS.map(|broker| Address::new(broker, 9092)).into());
        Reports { cluster, now: Tick::ZERO }
    }

    /// All brokers say this.
    fn confirmed(text: &str) -> Reports {
        let mut reports = Reports::new();
        reports.all_say(ID, text);
        reports
    }

    fn known(text: &str) -> Reports {
        let mut reports = Reports::new();
        reports.says("a", ID, text);
        reports
    }

    fn observe(&mut self, witness: &str, topics: &Topics) -> Changes {
        self.cluster.observe(&Address::new(witness, 9092), topics, self.now)
    }

    fn says(&mut self, witness: &str, id: TopicId, text: &str) -> Changes {
        self.observe(witness, &topics(id, None, text))
    }

    fn all_say(&mut self, id: TopicId, text: &str) -> Vec<Recreated> {
        BROKERS.into_iter().flat_map(|broker| self.says(broker, id, text).recreated).collect()
    }

    fn misses(&mut self, witness: &str) -> Changes {
        self.observe(witness, &topics(TopicId::UNKNOWN, Some(TopicError::Unknown), ""))
    }

    fn after(&mut self, millis: u64) {
        self.now = self.now + Duration::from_millis(millis);
    }

    /// The leaders as they are believed, in the notation of the reports.
    fn believed(&self) -> String {
        let count = self.cluster.partition_count("orders").unwrap_or_default();
        let leader = |index| match self.cluster.leader(&partition(index)) {
            Some((node, epoch)) => format!("{node}@{epoch}"),
            None => "-".to_owned(),
        };
        (0..).take(count).map(leader).collect::<Vec<_>>().join(" ")
    }
}

#[test]
fn a_topic_appears_with_its_partitions_and_leaders() {
    let mut reports = Reports::new();
    let changes = reports.says("a", ID, "1@0 2@0");
    assert_eq!((changes.appeared, changes.leaders.len()), (vec![orders()], 2));
    assert!(changes.grown.is_empty());
    assert_eq!(reports.believed(), "1@0 2@0");
    assert_eq!(reports.cluster.topic_id("orders"), Some(ID));
    assert_eq!(reports.cluster.partitions("orders").map(Iterator::collect), Some(vec![0, 1]));
    assert!(reports.says("b", ID, "1@0 2@0").is_empty());
}

#[test]
fn what_is_not_known_has_no_leader() {
    let cluster = Reports::new().cluster;
    assert_eq!((cluster.leader(&partition(0)), cluster.partition_count("orders")), (None, None));
    assert_eq!((cluster.topic_id("orders"), cluster.error("orders")), (None, None));
}

#[test]
fn an_election_changes_the_leader() {
    let mut reports = Reports::known("1@5 2@5");
    let changes = reports.says("b", ID, "3@6 2@5");
    assert_eq!(changes.leaders.len(), 1);
    assert_eq!(changes.leaders[0].partition, partition(0));
    assert_eq!(reports.believed(), "3@6 2@5");
}

#[test]
fn a_lower_epoch_discards_that_leader_and_not_the_rest_of_the_answer() {
    let mut reports = Reports::known("1@5 2@5");
    reports.says("lagging", ID, "3@4 3@6 1@0");
    assert_eq!(reports.believed(), "1@5 3@6 1@0");
}

#[test]
fn a_partition_whose_leader_is_down_has_none_until_the_next_election() {
    let mut reports = Reports::known("1@5");
    reports.says("a", ID, "-@6");
    assert_eq!(reports.believed(), "-");
    reports.says("lagging", ID, "1@5");
    assert_eq!(reports.believed(), "-");
    reports.says("a", ID, "2@7");
    assert_eq!(reports.believed(), "2@7");
}

#[test]
fn a_witness_that_does_not_know_who_won_an_election_takes_nothing_away() {
    let mut reports = Reports::known("1@5");
    assert!(reports.says("b", ID, "-@5").is_empty());
    assert_eq!(reports.believed(), "1@5");
}

#[test]
fn of_two_winners_of_one_election_the_newest_answer_is_believed() {
    let mut reports = Reports::known("1@5");
    reports.says("b", ID, "2@5");
    assert_eq!(reports.believed(), "2@5");
}

#[test]
fn of_answers_without_epochs_the_newest_wins() {
    let mut reports = Reports::known("1@-1");
    reports.says("b", ID, "2@-1");
    assert_eq!(reports.believed(), "2@-1");
    reports.says("b", ID, "-@-1");
    assert_eq!(reports.believed(), "-");
    reports.says("b", ID, "3@0");
    reports.says("old", ID, "1@-1");
    assert_eq!(reports.believed(), "1@-1");
}

#[test]
fn partitions_are_added_and_never_taken_away() {
    let mut reports = Reports::known("1@0 2@0");
    let changes = reports.says("b", ID, "1@0 2@0 3@0");
    assert_eq!(changes.grown, [Grown { topic: orders(), from: 2, to: 3 }]);
    assert!(reports.says("lagging", ID, "1@0").is_empty());
    assert_eq!(reports.cluster.partition_count("orders"), Some(3));
}

#[test]
fn an_epoch_that_went_back_is_believed_once_every_witness_has_shown_it_for_a_while() {
    let mut reports = Reports::known("1@50 1@50");
    reports.says("b", ID, "1@50 1@50");
    reports.after(1_000);
    assert!(reports.says("a", ID, "2@3 1@50").is_empty());
    reports.after(1_000);
    assert!(reports.says("b", ID, "2@3 1@50").is_empty());
    reports.after(999);
    assert!(reports.says("a", ID, "2@3 1@50").is_empty());
    reports.after(1);
    let changes = reports.says("b", ID, "2@3 1@50");
    let regressed = Regressed { partition: partition(0), from: LeaderEpoch(50), to: LeaderEpoch(3) };
    assert_eq!((changes.regressed, changes.leaders.len()), (vec![regressed], 1));
    assert_eq!(reports.believed(), "2@3 1@50");
}

#[test]
fn while_some_witness_contradicts_no_epoch_goes_back() {
    let mut reports = Reports::known("1@50");
    for _ in 0..10 {
        reports.after(1_000);
        assert!(reports.says("lagging", ID, "2@3").is_empty());
        assert!(reports.says("a", ID, "1@50").is_empty());
    }
    assert_eq!(reports.believed(), "1@50");
}

#[test]
fn a_witness_that_has_fallen_silent_is_waited_for_for_a_while_only() {
    let mut reports = Reports::known("1@50");
    reports.says("b", ID, "2@3");
    reports.after(30_000);
    assert!(reports.says("b", ID, "2@3").is_empty());
    reports.after(1);
    assert_eq!(reports.says("b", ID, "2@3").regressed.len(), 1);
}

#[test]
fn of_several_lower_epochs_the_highest_is_believed() {
    let mut reports = Reports::known("1@50");
    reports.says("a", ID, "2@4");
    reports.after(2_000);
    assert_eq!(reports.says("a", ID, "3@3").regressed.len(), 1);
    assert_eq!(reports.believed(), "2@4");
}

#[test]
fn a_topic_is_gone_once_every_witness_has_missed_it_for_a_while() {
    let mut reports = Reports::known("1@5");
    reports.says("b", ID, "1@5");
    assert!(reports.misses("a").is_empty());
    assert!(reports.misses("b").is_empty());
    assert_eq!(reports.cluster.error("orders"), Some(TopicError::Unknown));
    reports.after(2_000);
    assert_eq!(reports.misses("a").gone, [orders()]);
    assert_eq!(reports.cluster.topics().count(), 0);
}

#[test]
fn a_witness_that_does_not_know_a_topic_yet_does_not_remove_it() {
    let mut reports = Reports::known("1@5");
    for _ in 0..5 {
        reports.after(1_000);
        assert!(reports.misses("lagging").is_empty());
        assert!(reports.says("a", ID, "1@5").is_empty());
    }
    assert_eq!((reports.believed().as_str(), reports.cluster.error("orders")), ("1@5", None));
}

#[test]
fn a_witness_that_changes_its_mind_sets_the_clock_back() {
    let mut reports = Reports::confirmed("1@50");
    reports.all_say(OTHER, "1@50");
    reports.after(30_001);
    let steps_back: [fn(&mut Reports) -> Changes; 3] = [
        |reports| reports.misses("a"),
        |reports| reports.says("a", ID, "1@50"),
        |reports| reports.says("a", OTHER, "2@3"),
    ];
    for step_back in steps_back {
        assert!(step_back(&mut reports).is_empty());
        reports.after(1_000);
        assert!(reports.says("a", OTHER, "1@50").is_empty());
        reports.after(1_000);
        assert!(step_back(&mut reports).is_empty());
        reports.after(1_999);
        assert!(step_back(&mut reports).is_empty());
        assert!(reports.says("a", OTHER, "1@50").is_empty());
    }
}

#[test]
fn a_topic_that_was_not_asked_for_is_not_gone() {
    let mut reports = Reports::known("1@5");
    reports.after(60_000);
    assert!(reports.observe("a", &Topics::new()).is_empty());
    assert_eq!(reports.believed(), "1@5");
}

#[test]
fn errors_are_kept_beside_the_leaders_and_end_with_the_next_good_answer() {
    let mut reports = Reports::known("1@5");
    for error in [TopicError::Unauthorized, TopicError::LeaderNotAvailable, TopicError::Other(17)] {
        assert!(reports.observe("a", &topics(TopicId::UNKNOWN, Some(error), "")).is_empty());
        assert_eq!((reports.cluster.error("orders"), reports.believed().as_str()), (Some(error), "1@5"));
    }
    reports.says("a", ID, "1@5");
    assert_eq!(reports.cluster.error("orders"), None);
}

#[test]
fn kafkas_error_numbers_have_names() {
    let named = [0, 3, 100, 29, 5, 17].map(TopicError::from_code);
    let (unknown, other) = (Some(TopicError::Unknown), Some(TopicError::Other(17)));
    let unavailable = Some(TopicError::LeaderNotAvailable);
    assert_eq!(named, [None, unknown, unknown, Some(TopicError::Unauthorized), unavailable, other]);
}

#[test]
fn a_leader_named_by_a_fetch_answer_is_learned_if_its_epoch_is_higher() {
    let mut reports = Reports::known("1@5");
    let mut learn =
        |id, node, epoch| reports.cluster.learn(&partition(0), id, NodeId(node), LeaderEpoch(epoch));
    assert_eq!(learn(ID, 2, 5), None);
    assert_eq!(learn(ID, 2, -1), None);
    assert_eq!(learn(OTHER, 2, 6), None);
    assert_eq!(learn(ID, -1, 6), None);
    let change = learn(ID, 2, 6).unwrap();
    assert_eq!(change.from, Some(Leader { node: Some(NodeId(1)), epoch: LeaderEpoch(5) }));
    assert!(learn(TopicId::UNKNOWN, 3, 7).is_some());
    assert_eq!(reports.believed(), "3@7");
    assert_eq!(reports.cluster.learn(&partition(9), ID, NodeId(1), LeaderEpoch(9)), None);
}

#[test]
fn topics_that_are_not_wanted_any_more_are_forgotten() {
    let mut reports = Reports::known("1@5");
    reports.misses("b");
    reports.cluster.retain(|topic| topic != "orders");
    assert_eq!((reports.cluster.topics().count(), reports.cluster.error("orders")), (0, None));
}

#[test]
fn partitions_with_impossible_numbers_are_ignored() {
    let mut reports = Reports::new();
    let leader = Leader { node: Some(NodeId(1)), epoch: LeaderEpoch(0) };
    let topic = Topic { id: ID, error: None, partitions: BTreeMap::from([(-1, leader), (0, leader)]) };
    reports.observe("a", &Topics::from([(orders(), topic)]));
    assert_eq!(reports.cluster.partition_count("orders"), Some(1));
}

/// Who won which election is a fact: the leader follows from the epoch.
fn history() -> impl Strategy<Value = Vec<(usize, [i32; 2], u64)>> {
    proptest::collection::vec((0..3usize, [0..6i32, 0..6i32], 0..1_500u64), 1..40)
}

fn won(epoch: i32) -> String {
    format!("{}@{epoch}", epoch % 3)
}

fn report(epochs: [i32; 2]) -> String {
    epochs.map(won).join(" ")
}

proptest! {
    #[test]
    fn the_highest_epoch_wins_in_whatever_order_witnesses_report(history in history()) {
        let mut reports = Reports::new();
        for (witness, epochs, _) in &history {
            reports.says(["a", "b", "c"][*witness], ID, &report(*epochs));
        }
        let highest = |index: usize| history.iter().map(|(_, epochs, _)| epochs[index]).max().unwrap_or(0);
        prop_assert_eq!(reports.believed(), report([highest(0), highest(1)]));
    }

    #[test]
    fn an_epoch_goes_back_only_where_that_is_reported_and_changes_tell_everything(history in history()) {
        let mut reports = Reports::new();
        let mut told: BTreeMap<i32, Leader> = BTreeMap::new();
        for (witness, epochs, wait) in &history {
            reports.after(*wait);
            let changes = reports.says(["a", "b", "c"][*witness], ID, &report(*epochs));
            for change in changes.leaders {
                let index = change.partition.index;
                prop_assert_eq!(change.from, told.get(&index).copied());
                let back = change.from.is_some_and(|from| change.to.epoch < from.epoch);
                let reported = changes.regressed.iter().any(|regressed| regressed.partition == change.partition);
                prop_assert_eq!(back, reported);
                told.insert(index, change.to);
            }
            for (index, leader) in &told {
                let believed = reports.cluster.leader(&partition(*index));
                prop_assert_eq!(believed, leader.node.map(|node| (node, leader.epoch)));
            }
        }
    }

    #[test]
    fn whatever_a_minority_says_of_a_topic_s_id_it_stays_while_the_others_are_heard(
        lies in proptest::collection::vec((0..4usize, 0..1_500u64), 1..60),
    ) {
        let mut reports = Reports::confirmed("1@5");
        for (lie, wait) in lies {
            let told = match lie {
                0 => reports.misses("b"),
                1 => reports.says("b", OTHER, "2@9"),
                2 => reports.says("stranger", OTHER, "2@9"),
                _ => reports.says("b", TopicId(9), "2@9"),
            };
            prop_assert!(told.is_empty(), "{told:?}");
            reports.after(wait);
            reports.says(["a", "c"][lie % 2], ID, "1@5");
            prop_assert_eq!(reports.cluster.topic_id("orders"), Some(ID));
        }
    }
}
