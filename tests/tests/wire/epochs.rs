//! ConsumerGroupHeartbeat (KIP-848): how members of the consumer protocol come from one epoch to the next.

use std::collections::BTreeSet;

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::ConsumerGroupHeartbeatRequest;
use kafka_protocol::messages::consumer_group_heartbeat_request::TopicPartitions;
use steadfast_tests::brokers::Brokers;
use steadfast_tests::either::Scene;
use steadfast_tests::within;

use crate::consumers::{Consumer, HEARTBEAT, JOIN, LEAVE, LEAVE_FOR_A_WHILE, beat, describe, places, settle};
use crate::group::Group;
use crate::topic::{LIMIT, Topic, text, topic_name};

pub(crate) const SCENES: &[Scene] = &[
    ("epochs::who_joins_alone_is_given_everything", alone),
    ("epochs::a_request_that_makes_no_sense_is_refused", nonsense),
    ("epochs::only_the_coordinator_knows_a_member", unknown),
    ("epochs::nobody_is_given_what_another_has_not_given_up", second),
    ("epochs::who_says_another_epoch_is_fenced", fenced),
    ("epochs::another_subscription_is_another_epoch", resubscribed),
    ("epochs::a_member_without_topics_is_a_member", without_topics),
    ("epochs::partitions_that_are_added_are_given", added),
    ("epochs::who_leaves_leaves_its_partitions", leaving),
    ("epochs::who_gives_nothing_up_in_time_is_fenced", too_slow),
    ("epochs::a_member_that_falls_silent_is_fenced", silent),
    ("epochs::ranges_are_given_if_most_would_like_them", ranges),
    ("epochs::an_instance_has_one_member_until_it_leaves", instances),
    ("epochs::a_static_member_comes_back_to_what_it_had", back),
    ("epochs::the_coordinator_finds_the_topics_that_match", pattern),
    ("epochs::a_group_without_members_is_of_whoever_joins", empty),
];

/// A topic of four partitions and a group, both of this name.
fn place(brokers: &Brokers, name: &str) -> (Topic, Group) {
    (Topic::create(brokers, name, 4), Group::new(brokers, name))
}

/// Two members that share a topic of four partitions.
fn pair(brokers: &Brokers, name: &str) -> (Topic, Consumer, Consumer) {
    let (topic, group) = place(brokers, name);
    let (mut first, mut second) = (Consumer::new(&group, "first"), Consumer::new(&group, "second"));
    first.join(&[&topic]);
    second.join(&[&topic]);
    settle(&mut [&mut first, &mut second], &[2, 2]);
    (topic, first, second)
}

fn alone(brokers: &Brokers) {
    for version in [0, 1] {
        let (topic, group) = place(brokers, &format!("epochs-alone-{version}"));
        let mut member = Consumer::new(&group, if version == 0 { "" } else { "first" });
        let answer = beat(group.at, version, &member.joining(&[&topic])).unwrap();
        member.told(&answer);
        assert_eq!((member.epoch, answer.heartbeat_interval_ms), (1, 500));
        assert!(!member.id.is_empty());
        assert_eq!(member.assigned, places(&topic, 4));
        // It is told again only if it says everything.
        assert_eq!(member.heartbeat().unwrap().assignment, None);
        assert_eq!(member.obey().unwrap().assignment, None);
        let everything = member.owning(&member.assigned).with_rebalance_timeout_ms(30_000);
        let everything = everything.with_subscribed_topic_names(Some(vec![topic_name(&topic.name)]));
        assert!(member.ask(&everything).unwrap().assignment.is_some());
        assert_eq!((member.epoch, member.assigned), (1, places(&topic, 4)));
    }
}

fn nonsense(brokers: &Brokers) {
    let (topic, group) = place(brokers, "epochs-nonsense");
    let member = Consumer::new(&group, "first");
    let joining = || member.joining(&[&topic]);
    let owned = vec![TopicPartitions::default().with_topic_id(topic.id).with_partitions(vec![0])];
    let invalid: Vec<ConsumerGroupHeartbeatRequest> = vec![
        joining().with_member_id(text("")),
        joining().with_group_id(text(" ").into()),
        joining().with_instance_id(Some(text(""))),
        joining().with_rack_id(Some(text(" "))),
        joining().with_rebalance_timeout_ms(-1),
        joining().with_topic_partitions(None),
        joining().with_topic_partitions(Some(owned)),
        joining().with_subscribed_topic_names(None),
        joining().with_member_epoch(-3),
        member.request().with_member_epoch(LEAVE_FOR_A_WHILE),
        member.request().with_member_epoch(LEAVE).with_member_id(text("")),
    ];
    for request in invalid {
        let refused = beat(group.at, HEARTBEAT, &request).err();
        assert_eq!(refused, Some(ResponseError::InvalidRequest), "{request:?}");
    }
    let assignor = joining().with_server_assignor(Some(text("sticky")));
    assert_eq!(beat(group.at, HEARTBEAT, &assignor).err(), Some(ResponseError::UnsupportedAssignor));
    let regex = joining().with_subscribed_topic_regex(Some(text("([")));
    assert_eq!(beat(group.at, HEARTBEAT, &regex).err(), Some(ResponseError::InvalidRegularExpression));
}

fn unknown(brokers: &Brokers) {
    let (topic, group) = place(brokers, "epochs-unknown");
    let stranger = Consumer::new(&group, "stranger");
    for epoch in [1, LEAVE] {
        assert_eq!(stranger.say(epoch).err(), Some(ResponseError::GroupIdNotFound), "{epoch}");
    }
    let mut member = Consumer::new(&group, "first");
    member.join(&[&topic]);
    for epoch in [1, LEAVE] {
        assert_eq!(stranger.say(epoch).err(), Some(ResponseError::UnknownMemberId), "{epoch}");
    }
    let at = *brokers.addresses().values().find(|at| **at != group.at).unwrap();
    let elsewhere = beat(at, HEARTBEAT, &member.request()).err();
    assert_eq!(elsewhere, Some(ResponseError::NotCoordinator));
    let (classic, _) = Group::of_one(brokers, "epochs-unknown-classic");
    let classic = Consumer { group: classic, ..member };
    assert_eq!(classic.say(1).err(), Some(ResponseError::GroupIdNotFound));
}

fn second(brokers: &Brokers) {
    let (topic, group) = place(brokers, "epochs-second");
    let (mut first, mut second) = (Consumer::new(&group, "first"), Consumer::new(&group, "second"));
    first.join(&[&topic]);
    second.join(&[&topic]);
    assert_eq!((second.epoch, second.assigned.len()), (2, 0));
    assert_eq!(describe(&group, HEARTBEAT).group_state.as_str(), "Reconciling");
    // It hears what it is to keep, and stays in its epoch until it says that it keeps no more.
    first.heartbeat().unwrap();
    assert_eq!((first.epoch, first.assigned.len()), (1, 2));
    let all = places(&topic, 4);
    for still in [first.request(), first.owning(&all)] {
        let answer = first.ask(&still).unwrap();
        assert_eq!((answer.member_epoch, answer.assignment), (1, None));
    }
    second.heartbeat().unwrap();
    assert_eq!((second.epoch, second.assigned.len()), (2, 0));
    first.obey().unwrap();
    assert_eq!(first.epoch, 2);
    second.heartbeat().unwrap();
    assert_eq!((second.epoch, second.assigned.len()), (2, 2));
    assert!(first.assigned.is_disjoint(&second.assigned));
    assert_eq!(describe(&group, HEARTBEAT).group_state.as_str(), "Stable");
}

fn fenced(brokers: &Brokers) {
    let (topic, mut first, _) = pair(brokers, "epochs-fenced");
    let fenced = Some(ResponseError::FencedMemberEpoch);
    assert_eq!((first.epoch, first.say(3).err()), (2, fenced));
    // The answer that told it of its epoch may have been lost: then it owns nothing that it may not.
    let old = Consumer { epoch: 1, ..first.clone() };
    let both = first.assigned.clone();
    let one: BTreeSet<_> = both.iter().take(1).copied().collect();
    assert_eq!(beat(old.group.at, HEARTBEAT, &old.request()).err(), fenced);
    assert_eq!(beat(old.group.at, HEARTBEAT, &old.owning(&places(&topic, 4))).err(), fenced);
    for owned in [both, one, BTreeSet::new()] {
        let answer = beat(old.group.at, HEARTBEAT, &old.owning(&owned)).unwrap();
        assert_eq!(answer.member_epoch, 2);
    }
    // Who was fenced is a member still, and joins again.
    assert_eq!(first.heartbeat().unwrap().member_epoch, 2);
    first.assigned.clear();
    first.join(&[&topic]);
    assert_eq!((first.epoch, first.assigned.len()), (2, 2));
}

fn resubscribed(brokers: &Brokers) {
    let (topic, mut first, mut second) = pair(brokers, "epochs-resubscribed");
    let other = Topic::create(brokers, "epochs-resubscribed-other", 2);
    let names = vec![topic_name(&other.name)];
    let request = first.owning(&first.owned).with_subscribed_topic_names(Some(names));
    first.ask(&request).unwrap();
    assert_eq!((first.epoch, first.assigned.len()), (2, 0));
    settle(&mut [&mut first, &mut second], &[2, 4]);
    assert_eq!((first.owned, second.owned), (places(&other, 2), places(&topic, 4)));
    assert_eq!((first.epoch, second.epoch), (3, 3));
}

fn without_topics(brokers: &Brokers) {
    let (topic, group) = place(brokers, "epochs-without");
    let mut member = Consumer::new(&group, "first");
    member.join(&[]);
    assert_eq!((member.epoch, member.assigned.len()), (1, 0));
    let mut second = Consumer::new(&group, "second");
    second.join(&[]);
    assert_eq!((second.epoch, describe(&group, HEARTBEAT).group_epoch), (1, 1));
    let unknown = member.request().with_subscribed_topic_names(Some(vec![topic_name("nobody-knows-it")]));
    member.ask(&unknown).unwrap();
    assert_eq!((member.epoch, member.assigned.len()), (2, 0));
    let request = member.request().with_subscribed_topic_names(Some(vec![topic_name(&topic.name)]));
    member.ask(&request).unwrap();
    assert_eq!((member.epoch, member.assigned.len()), (3, 4));
}

fn added(brokers: &Brokers) {
    let (topic, mut first, mut second) = pair(brokers, "epochs-added");
    brokers.add_partitions(&topic.name, 6).unwrap();
    settle(&mut [&mut first, &mut second], &[3, 3]);
    assert_eq!((first.epoch, second.epoch), (3, 3));
    brokers.delete_topic(&topic.name).unwrap();
    settle(&mut [&mut first, &mut second], &[0, 0]);
    assert_eq!((first.epoch, second.epoch), (4, 4));
}

fn leaving(brokers: &Brokers) {
    let (topic, mut first, second) = pair(brokers, "epochs-leaving");
    let left = second.say(LEAVE).unwrap();
    assert_eq!((left.member_epoch, left.heartbeat_interval_ms, left.assignment), (LEAVE, 0, None));
    assert_eq!(second.say(2).err(), Some(ResponseError::UnknownMemberId));
    assert_eq!(second.say(LEAVE).err(), Some(ResponseError::UnknownMemberId));
    assert_eq!(describe(&first.group, HEARTBEAT).group_state.as_str(), "Assigning");
    first.heartbeat().unwrap();
    assert_eq!((first.epoch, &first.assigned), (3, &places(&topic, 4)));
    first.say(LEAVE).unwrap();
    let empty = describe(&first.group, HEARTBEAT);
    assert_eq!((empty.group_state.as_str(), empty.members.len()), ("Empty", 0));
    assert_eq!((empty.group_epoch, empty.assignment_epoch), (4, 3));
}

/// Heartbeats don't help who gives nothing up.
fn too_slow(brokers: &Brokers) {
    let (topic, group) = place(brokers, "epochs-slow");
    let (mut slow, mut second) = (Consumer::new(&group, "slow"), Consumer::new(&group, "second"));
    slow.ask(&slow.joining(&[&topic]).with_rebalance_timeout_ms(1_000)).unwrap();
    second.join(&[&topic]);
    let gone = within(LIMIT, || slow.heartbeat().err().ok_or("it is a member still"));
    assert_eq!(gone, Ok(ResponseError::UnknownMemberId));
    second.heartbeat().unwrap();
    assert_eq!((second.epoch, second.assigned), (3, places(&topic, 4)));
}

fn silent(brokers: &Brokers) {
    let (topic, silent, mut other) = pair(brokers, "epochs-silent");
    let alone = within(LIMIT, || {
        other.heartbeat().unwrap();
        if other.assigned == places(&topic, 4) { Ok(()) } else { Err(other.assigned.len()) }
    });
    assert_eq!((alone, other.epoch), (Ok(()), 3));
    assert_eq!(silent.say(2).err(), Some(ResponseError::UnknownMemberId));
}

/// By default what is given is balanced over all topics, and stays where it is as far as that goes.
fn ranges(brokers: &Brokers) {
    let one = Topic::create(brokers, "epochs-ranges-one", 3);
    let two = Topic::create(brokers, "epochs-ranges-two", 3);
    for (assignor, wanted) in [("range", [4, 2]), ("uniform", [3, 3])] {
        let group = Group::new(brokers, &format!("epochs-ranges-{assignor}"));
        let (mut first, mut second) = (Consumer::new(&group, "a"), Consumer::new(&group, "b"));
        for member in [&mut first, &mut second] {
            let request = member.joining(&[&one, &two]).with_server_assignor(Some(text(assignor)));
            member.ask(&request).unwrap();
            assert_eq!(describe(&group, HEARTBEAT).assignor_name.as_str(), assignor);
        }
        settle(&mut [&mut first, &mut second], &wanted);
        if assignor == "range" {
            let expected = [(one.id, 0), (one.id, 1), (two.id, 0), (two.id, 1)];
            assert_eq!(first.owned, expected.into());
        }
    }
}

fn instances(brokers: &Brokers) {
    let (topic, group) = place(brokers, "epochs-instances");
    let mut first = Consumer::new(&group, "first").instance("one");
    first.join(&[&topic]);
    assert_eq!((first.epoch, first.assigned.len()), (1, 4));
    let other = Consumer::new(&group, "other").instance("one");
    let joined = |member: &Consumer| beat(group.at, HEARTBEAT, &member.joining(&[&topic])).err();
    assert_eq!(joined(&other), Some(ResponseError::UnreleasedInstanceId));
    for epoch in [1, LEAVE, LEAVE_FOR_A_WHILE] {
        assert_eq!(other.say(epoch).err(), Some(ResponseError::FencedInstanceId), "{epoch}");
        let stranger = Consumer::new(&group, "first").instance("two");
        assert_eq!(stranger.say(epoch).err(), Some(ResponseError::UnknownMemberId), "{epoch}");
    }
    // Whoever leaves its instance's name out is known by its own.
    let nameless = Consumer { instance: None, ..first.clone() };
    assert_eq!(nameless.say(1).unwrap().member_epoch, 1);
    assert_eq!(first.say(LEAVE).unwrap().member_epoch, LEAVE);
    assert_eq!(joined(&other), None);
}

fn back(brokers: &Brokers) {
    let (topic, group) = place(brokers, "epochs-back");
    let mut first = Consumer::new(&group, "first").instance("one");
    let mut second = Consumer::new(&group, "second").instance("two");
    first.join(&[&topic]);
    second.join(&[&topic]);
    settle(&mut [&mut first, &mut second], &[2, 2]);
    let away = first.say(LEAVE_FOR_A_WHILE).unwrap();
    assert_eq!((away.member_epoch, away.heartbeat_interval_ms), (LEAVE_FOR_A_WHILE, 0));
    assert_eq!(first.say(2).err(), Some(ResponseError::FencedMemberEpoch));
    let described = describe(&group, HEARTBEAT);
    let epochs = described.members.iter().map(|member| member.member_epoch).collect::<BTreeSet<_>>();
    assert_eq!((described.group_state.as_str(), epochs), ("Reconciling", [LEAVE_FOR_A_WHILE, 2].into()));
    let mut again = Consumer::new(&group, "again").instance("one");
    again.join(&[&topic]);
    assert_eq!((again.epoch, &again.assigned), (2, &first.assigned));
    assert_eq!(first.say(2).err(), Some(ResponseError::FencedInstanceId));
    assert_eq!(second.heartbeat().unwrap().member_epoch, 2);
    let described = describe(&group, HEARTBEAT);
    assert_eq!((described.group_state.as_str(), described.group_epoch), ("Stable", 2));
}

fn pattern(brokers: &Brokers) {
    let (topic, group) = place(brokers, "epochs-pattern");
    Topic::create(brokers, "other-epochs-pattern", 1);
    let mut first = Consumer::new(&group, "first");
    let joining = |member: &Consumer| {
        let request = member.joining(&[]).with_subscribed_topic_names(None);
        request.with_subscribed_topic_regex(Some(text("epochs-pat+ern")))
    };
    first.ask(&joining(&first)).unwrap();
    assert_eq!((first.epoch, first.assigned.len()), (1, 0));
    let found = within(LIMIT, || {
        first.heartbeat().unwrap();
        if first.assigned == places(&topic, 4) { Ok(()) } else { Err(first.assigned.len()) }
    });
    assert_eq!((found, first.epoch), (Ok(()), 2));
    // Who comes to a regular expression that is known already need not wait.
    let mut second = Consumer::new(&group, "second");
    second.ask(&joining(&second)).unwrap();
    assert_eq!(second.epoch, 3);
    settle(&mut [&mut first, &mut second], &[2, 2]);
    // Without it, what is subscribed by name stays.
    let request = second.owning(&second.owned).with_subscribed_topic_regex(Some(text("")));
    second.ask(&request).unwrap();
    settle(&mut [&mut first, &mut second], &[4, 0]);
}

fn empty(brokers: &Brokers) {
    let (topic, group) = place(brokers, "epochs-vacant");
    let classic = group.joining(&topic.name).joined();
    assert_eq!(classic.leave_in(5), None);
    let mut member = Consumer::new(&group, "first");
    member.join(&[&topic]);
    assert_eq!((member.epoch, member.assigned.len()), (1, 4));
    member.say(LEAVE).unwrap();
    assert_eq!(member.say(JOIN + 1).err(), Some(ResponseError::UnknownMemberId));
    let classic = group.joining(&topic.name).joined();
    assert_eq!((classic.generation, classic.leads()), (1, true));
    assert_eq!(member.say(1).err(), Some(ResponseError::GroupIdNotFound));
}
