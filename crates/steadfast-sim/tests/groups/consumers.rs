//! Groups of the consumer protocol (KIP-848) in virtual time: what is due when, and what a move of the coordinator
//! leaves. What is answered to which request stands where a real Kafka is asked too.

use std::collections::BTreeSet;
use std::time::Duration;

use kafka_protocol::ResponseError;
use kafka_protocol::messages::consumer_group_heartbeat_request::TopicPartitions;
use kafka_protocol::messages::{
    ConsumerGroupHeartbeatRequest, ConsumerGroupHeartbeatResponse, RequestKind, ResponseKind, TopicName,
};
use steadfast_core::ids::{NodeId, Partition};
use steadfast_sim::consumer_group::{ConsumerGroupState, ConsumerMemberView};
use steadfast_sim::group::GroupSettings;
use steadfast_sim::notice::{Notice, Removal};
use uuid::Uuid;

use crate::fixture::{GROUP, Join, Stage, secs, text};

impl Stage {
    fn beat(&mut self, request: ConsumerGroupHeartbeatRequest) -> ConsumerGroupHeartbeatResponse {
        match self.ask_coordinator(1, RequestKind::ConsumerGroupHeartbeat(request)) {
            Ok(ResponseKind::ConsumerGroupHeartbeat(answer)) => answer,
            other => panic!("{other:?}"),
        }
    }

    fn come(&mut self, member: &str) -> ConsumerGroupHeartbeatResponse {
        self.beat(joining(member))
    }

    /// A heartbeat in the member's epoch that says what it owns: the partitions that it was given.
    fn obey(&mut self, member: &str) -> ConsumerGroupHeartbeatResponse {
        let known = self.known(member);
        let topic = self.cluster.topic_id("orders").expect("a topic");
        let indexes = known.assignment.iter().map(|partition| partition.index).collect();
        let owned =
            TopicPartitions::default().with_topic_id(Uuid::from_u128(topic.0)).with_partitions(indexes);
        self.beat(still(member, known.epoch).with_topic_partitions(Some(vec![owned])))
    }

    /// A heartbeat in the member's epoch that says nothing.
    fn show(&mut self, member: &str) -> ConsumerGroupHeartbeatResponse {
        let epoch = self.known(member).epoch;
        self.beat(still(member, epoch))
    }

    fn known(&self, member: &str) -> ConsumerMemberView {
        self.cluster.consumer_group(GROUP).expect("the group").members.remove(member).expect("the member")
    }

    fn members(&self) -> Vec<String> {
        let group = self.cluster.consumer_group(GROUP).expect("the group");
        group.members.keys().map(|id| id.to_string()).collect()
    }

    /// How many partitions each has.
    fn shares(&self) -> Vec<usize> {
        let group = self.cluster.consumer_group(GROUP).expect("the group");
        group.members.values().map(|member| member.assignment.len()).collect()
    }

    fn standing(&self) -> ConsumerGroupState {
        self.cluster.consumer_group(GROUP).expect("the group").state
    }

    fn move_coordinator(&mut self) {
        let old = self.cluster.coordinator(GROUP).expect("a live broker");
        self.cluster.move_coordinator(GROUP, NodeId(old.0 % 3 + 1));
    }
}

fn still(member: &str, epoch: i32) -> ConsumerGroupHeartbeatRequest {
    ConsumerGroupHeartbeatRequest::default()
        .with_group_id(text(GROUP).into())
        .with_member_id(text(member))
        .with_member_epoch(epoch)
        .with_rebalance_timeout_ms(-1)
        .with_topic_partitions(None)
}

fn joining(member: &str) -> ConsumerGroupHeartbeatRequest {
    still(member, 0)
        .with_rebalance_timeout_ms(60_000)
        .with_subscribed_topic_names(Some(vec![TopicName(text("orders"))]))
        .with_topic_partitions(Some(Vec::new()))
}

/// Two members that share `orders`.
fn pair() -> Stage {
    let mut stage = Stage::new();
    stage.come("a");
    stage.come("b");
    stage.obey("a");
    stage.obey("a");
    stage.obey("b");
    assert_eq!((stage.standing(), stage.shares()), (ConsumerGroupState::Stable, vec![2, 2]));
    stage
}

fn removed(stage: &Stage, member: &str, reason: Removal) -> bool {
    stage.notices.contains(&Notice::MemberRemoved { group: GROUP.into(), member: member.into(), reason })
}

#[test]
fn nobody_is_given_what_another_has_not_given_up() {
    let mut stage = Stage::new();
    stage.come("a");
    assert_eq!(stage.come("b").member_epoch, 2);
    assert_eq!(stage.shares(), [4, 0]);
    assert_eq!(stage.show("a").member_epoch, 1);
    assert_eq!(stage.shares(), [2, 0]);
    assert_eq!((stage.obey("b").member_epoch, stage.shares()), (2, vec![2, 0]));
    assert_eq!(stage.obey("a").member_epoch, 2);
    stage.obey("b");
    assert_eq!((stage.standing(), stage.shares()), (ConsumerGroupState::Stable, vec![2, 2]));
}

#[test]
fn what_a_member_has_is_told_to_who_checks() {
    let stage = pair();
    let orders = |indexes: &[i32]| -> BTreeSet<Partition> {
        indexes.iter().map(|index| Partition::new("orders", *index)).collect()
    };
    let told: Vec<_> = stage
        .notices
        .iter()
        .filter_map(|notice| match notice {
            Notice::Reconciled { member, epoch, assigned, revoking, .. } if &**member == "a" => {
                Some((*epoch, assigned.clone(), revoking.clone()))
            }
            _ => None,
        })
        .collect();
    let expected = [
        (1, orders(&[0, 1, 2, 3]), orders(&[])),
        (1, orders(&[0, 1]), orders(&[2, 3])),
        (2, orders(&[0, 1]), orders(&[])),
    ];
    assert_eq!(told, expected);
}

#[test]
fn a_member_that_falls_silent_is_fenced_when_its_session_ends() {
    let mut stage = pair();
    stage.pass(secs(30));
    stage.obey("b");
    stage.pass(secs(14));
    assert_eq!(stage.members(), ["a", "b"]);
    stage.pass(secs(1));
    assert_eq!(stage.members(), ["b"]);
    assert!(removed(&stage, "a", Removal::SessionExpired));
    assert_eq!(stage.obey("b").member_epoch, 3);
    assert_eq!(stage.shares(), [4]);
    assert_eq!(stage.beat(still("a", 2)).error_code, ResponseError::UnknownMemberId.code());
}

#[test]
fn heartbeats_do_not_help_who_gives_nothing_up() {
    let mut stage = Stage::new();
    stage.beat(joining("a").with_rebalance_timeout_ms(20_000));
    stage.come("b");
    stage.show("a");
    stage.pass(secs(19));
    stage.show("a");
    stage.show("b");
    assert_eq!(stage.members(), ["a", "b"]);
    stage.pass(secs(1));
    assert_eq!(stage.members(), ["b"]);
    assert!(removed(&stage, "a", Removal::NotRevoked));
    stage.obey("b");
    assert_eq!(stage.shares(), [4]);
}

#[test]
fn who_gave_up_in_time_is_not_fenced() {
    let mut stage = Stage::new();
    stage.beat(joining("a").with_rebalance_timeout_ms(20_000));
    stage.come("b");
    stage.show("a");
    stage.obey("a");
    stage.pass(secs(21));
    assert_eq!(stage.members(), ["a", "b"]);
}

#[test]
fn a_group_outlives_its_coordinator_and_sessions_begin_anew() {
    let mut stage = Stage::new();
    let settings = GroupSettings { load_time: secs(5), ..GroupSettings::default() };
    stage.cluster.set_group_settings(settings);
    stage.come("a");
    stage.come("b");
    stage.show("a");
    stage.pass(secs(40));
    let before = stage.cluster.consumer_group(GROUP);
    stage.move_coordinator();
    let loading = ResponseError::CoordinatorLoadInProgress.code();
    assert_eq!(stage.beat(still("a", 1)).error_code, loading);
    stage.pass(secs(44));
    assert_eq!(stage.cluster.consumer_group(GROUP), before);
    // What it was to give up it is to give up still.
    assert_eq!(stage.obey("a").member_epoch, 2);
    stage.pass(secs(6));
    assert_eq!(stage.members(), ["a"]);
}

#[test]
fn a_static_member_that_left_for_a_while_is_missed_when_its_session_ends() {
    let mut stage = Stage::new();
    stage.beat(joining("a").with_instance_id(Some(text("one"))));
    stage.come("b");
    assert_eq!(stage.beat(still("a", -2).with_instance_id(Some(text("one")))).member_epoch, -2);
    stage.pass(secs(44));
    stage.show("b");
    assert_eq!(stage.members(), ["a", "b"]);
    stage.pass(secs(1));
    assert_eq!(stage.members(), ["b"]);
    stage.obey("b");
    assert_eq!(stage.shares(), [4]);
}

#[test]
fn new_topics_that_match_are_found_within_the_refresh() {
    let mut stage = Stage::new();
    let pattern = joining("a").with_subscribed_topic_names(None);
    stage.beat(pattern.with_subscribed_topic_regex(Some(text("ord.*"))));
    assert_eq!(stage.shares(), [0]);
    stage.pass(Duration::from_millis(1));
    stage.show("a");
    assert_eq!(stage.shares(), [4]);
    stage.cluster.create_topic("order-lines", 2).expect("a new topic");
    stage.cluster.create_topic("reorders", 2).expect("a new topic");
    stage.pass(secs(9));
    stage.show("a");
    stage.pass(secs(1));
    stage.show("a");
    assert_eq!(stage.shares(), [4]);
    stage.pass(Duration::from_millis(1));
    stage.show("a");
    assert_eq!(stage.shares(), [6]);
}

#[test]
fn partitions_that_are_added_are_given_with_the_next_heartbeat() {
    let mut stage = pair();
    stage.cluster.add_partitions("orders", 6).expect("more partitions");
    stage.show("b");
    stage.show("a");
    assert_eq!((stage.standing(), stage.shares()), (ConsumerGroupState::Stable, vec![3, 3]));
}

#[test]
fn a_group_without_members_is_of_whoever_joins_next() {
    let mut stage = Stage::new();
    assert_eq!(stage.commit("", -1, 0, 7), 0);
    assert_eq!(stage.come("a").member_epoch, 1);
    assert_eq!(stage.committed(0), Some(7));
    stage.beat(still("a", -1));
    assert_eq!(stage.standing(), ConsumerGroupState::Empty);
    assert_eq!(stage.join(&Join::new()).error_code, ResponseError::MemberIdRequired.code());
    assert_eq!((stage.cluster.consumer_group(GROUP), stage.committed(0)), (None, Some(7)));
}
