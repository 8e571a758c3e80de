//! A group goes from one protocol to the other while it has members (KIP-848): both kinds of members are in it meanwhile.

use std::collections::BTreeSet;

use bytes::{BufMut, Bytes, BytesMut};
use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::consumer_protocol_assignment::TopicPartition as Given;
use kafka_protocol::messages::consumer_protocol_subscription::TopicPartition as Owned;
use kafka_protocol::messages::sync_group_request::SyncGroupRequestAssignment;
use kafka_protocol::messages::{
    ConsumerProtocolAssignment, ConsumerProtocolSubscription, DescribeGroupsRequest, JoinGroupRequest,
};
use kafka_protocol::protocol::{Decodable, Encodable};
use steadfast_tests::brokers::Brokers;
use steadfast_tests::either::Scene;
use steadfast_tests::kafka::ask;
use steadfast_tests::within;

use crate::consumers::{Consumer, HEARTBEAT, LEAVE, LEAVE_FOR_A_WHILE, beat, describe, places};
use crate::group::{Group, JOIN, Join, Member};
use crate::topic::{LIMIT, Topic, error, topic_name};

pub(crate) const SCENES: &[Scene] = &[
    ("migration::a_member_of_the_consumer_protocol_makes_the_group_one_of_it", upgraded),
    ("migration::a_cooperative_member_gives_up_before_others_get", cooperative),
    ("migration::who_waits_in_a_round_joins_again", waiting),
    ("migration::a_member_of_the_classic_protocol_joins_the_others", joined),
    ("migration::when_the_last_of_the_consumer_protocol_leaves_it_is_classic_again", downgraded),
    ("migration::when_the_last_of_the_consumer_protocol_is_fenced_it_is_classic_again", fenced),
    ("migration::an_instance_changes_its_protocol", instance),
    ("migration::who_does_not_join_again_is_fenced", too_slow),
    ("migration::what_cannot_be_moved_stays", refused),
];

/// A subscription that names what is owned.
fn subscription(topic: &Topic, owned: &[i32]) -> Bytes {
    let owned = Owned::default().with_topic(topic_name(&topic.name)).with_partitions(owned.to_vec());
    let owned = if owned.partitions.is_empty() { Vec::new() } else { vec![owned] };
    let subscription = ConsumerProtocolSubscription::default()
        .with_topics(vec![topic_name(&topic.name).0])
        .with_owned_partitions(owned);
    let mut bytes = BytesMut::new();
    bytes.put_i16(1);
    subscription.encode(&mut bytes, 1).unwrap();
    bytes.freeze()
}

fn assignment(topic: &Topic, partitions: &[i32], user_data: Option<Bytes>) -> Bytes {
    let given = Given::default().with_topic(topic_name(&topic.name)).with_partitions(partitions.to_vec());
    let assignment =
        ConsumerProtocolAssignment::default().with_assigned_partitions(vec![given]).with_user_data(user_data);
    let mut bytes = BytesMut::new();
    bytes.put_i16(1);
    assignment.encode(&mut bytes, 1).unwrap();
    bytes.freeze()
}

/// A member of the classic protocol, and what it joins with.
struct Classic {
    topic: Topic,
    join: Join,
    member: Member,
}

impl Classic {
    fn joining(group: &Group, topic: &Topic, instance: Option<&'static str>) -> Join {
        let protocols = vec![("range", subscription(topic, &[]))];
        Join { protocols, instance, ..group.joining(&topic.name) }
    }

    /// The only member of a group, which has all partitions of a topic of four.
    fn alone(brokers: &Brokers, name: &str, instance: Option<&'static str>) -> Classic {
        let topic = Topic::create(brokers, name, 4);
        let join = Classic::joining(&Group::new(brokers, name), &topic, instance);
        let member = join.joined();
        let classic = Classic { join: Join { member: member.id.clone(), ..join }, topic, member };
        classic.assign(assignment(&classic.topic, &[0, 1, 2, 3], None));
        classic
    }

    /// Leads the group, and gives itself this.
    fn assign(&self, assignment: Bytes) {
        let given = SyncGroupRequestAssignment::default()
            .with_member_id(self.member.id.clone())
            .with_assignment(assignment);
        let request = self.member.sync_request(5, &[]).with_assignments(vec![given]);
        assert_eq!(error(ask(self.member.group.at, 5, &request).unwrap().error_code), None);
    }

    /// Joins again, owning these.
    fn rejoin(&mut self, owned: &[i32]) {
        let protocols = vec![("range", subscription(&self.topic, owned))];
        self.join = Join { protocols, ..self.join.clone() };
        self.member = self.join.member(self.join.ask(JOIN));
    }

    /// The partitions that it is told to have.
    fn sync(&self) -> Result<BTreeSet<i32>, ResponseError> {
        let answer = ask(self.member.group.at, 5, &self.member.sync_request(5, &[])).unwrap();
        if let Some(refused) = error(answer.error_code) {
            return Err(refused);
        }
        let mut bytes = answer.assignment;
        let version = bytes.split_to(2);
        let assignment =
            ConsumerProtocolAssignment::decode(&mut bytes, i16::from_be_bytes([version[0], version[1]]));
        let topics = assignment.unwrap().assigned_partitions.into_iter();
        Ok(topics.flat_map(|topic| topic.partitions).collect())
    }
}

const AGAIN: Option<ResponseError> = Some(ResponseError::RebalanceInProgress);

/// The group's state as one of the classic protocol.
fn classic_state(group: &Group) -> String {
    let request = DescribeGroupsRequest::default().with_groups(vec![group.id()]);
    ask(group.at, 5, &request).unwrap().groups.remove(0).group_state.to_string()
}

fn upgraded(brokers: &Brokers) {
    let mut classic = Classic::alone(brokers, "migration-upgraded", None);
    let group = classic.member.group.clone();
    let mut consumer = Consumer::new(&group, "consumer");
    consumer.join(&[&classic.topic]);
    assert_eq!((consumer.epoch, consumer.assigned.len()), (2, 0));
    assert_eq!(classic_state(&group), "Dead");
    let described = describe(&group, HEARTBEAT);
    let types: BTreeSet<_> =
        described.members.iter().map(|member| (member.member_type, member.member_epoch)).collect();
    assert_eq!((described.group_state.as_str(), types), ("Reconciling", [(0, 1), (1, 2)].into()));
    assert_eq!(classic.member.heartbeat(), AGAIN);
    assert_eq!(classic.sync().err(), AGAIN);
    // Of an eager member it is known that it owns nothing when it joins.
    classic.rejoin(&[]);
    let answer = &classic.member.answer;
    assert_eq!((classic.member.generation, answer.leader.as_str(), answer.members.len()), (2, "", 0));
    assert_eq!(answer.protocol_name.as_deref(), Some("range"));
    let kept = classic.sync().unwrap();
    assert_eq!((kept.len(), classic.member.heartbeat()), (2, None));
    consumer.heartbeat().unwrap();
    let both: BTreeSet<i32> = consumer.assigned.iter().map(|(_, index)| *index).chain(kept).collect();
    assert_eq!((consumer.assigned.len(), both), (2, (0..4).collect()));
    assert_eq!(classic.member.in_generation(1).heartbeat(), Some(ResponseError::IllegalGeneration));
    assert_eq!(classic.member.called("nobody").heartbeat(), Some(ResponseError::UnknownMemberId));
    assert_eq!(classic.member.called("consumer").heartbeat(), Some(ResponseError::UnknownMemberId));
    assert_eq!(classic.member.leave_in(5), None);
    consumer.heartbeat().unwrap();
    assert_eq!((consumer.epoch, &consumer.assigned), (3, &places(&classic.topic, 4)));
}

fn cooperative(brokers: &Brokers) {
    let mut classic = Classic::alone(brokers, "migration-cooperative", None);
    let mut consumer = Consumer::new(&classic.member.group, "consumer");
    consumer.join(&[&classic.topic]);
    classic.rejoin(&[0, 1, 2, 3]);
    assert_eq!(classic.member.generation, 1);
    let kept: Vec<i32> = classic.sync().unwrap().into_iter().collect();
    assert_eq!((kept.len(), classic.member.heartbeat()), (2, AGAIN));
    consumer.heartbeat().unwrap();
    assert_eq!(consumer.assigned.len(), 0);
    classic.rejoin(&kept);
    assert_eq!((classic.member.generation, classic.sync().unwrap().len()), (2, 2));
    assert_eq!(classic.member.heartbeat(), None);
    consumer.heartbeat().unwrap();
    assert_eq!(consumer.assigned.len(), 2);
}

fn waiting(brokers: &Brokers) {
    let classic = Classic::alone(brokers, "migration-waiting", None);
    let second = Classic::joining(&classic.member.group, &classic.topic, None).with_id();
    let mut parked = second.send();
    let began = within(LIMIT, || classic.member.heartbeat().ok_or("no round begins"));
    assert_eq!(began.ok(), AGAIN);
    let mut consumer = Consumer::new(&classic.member.group, "consumer");
    consumer.join(&[&classic.topic]);
    let told = parked.receive::<JoinGroupRequest>(JOIN).unwrap();
    assert_eq!(error(told.error_code), AGAIN);
    assert_eq!(describe(&classic.member.group, HEARTBEAT).members.len(), 3);
}

fn joined(brokers: &Brokers) {
    let topic = Topic::create(brokers, "migration-joined", 4);
    let group = Group::new(brokers, "migration-joined");
    let mut consumer = Consumer::new(&group, "consumer");
    consumer.join(&[&topic]);
    let other = Join { protocol_type: "connect", ..Classic::joining(&group, &topic, None) };
    assert_eq!(error(other.ask(JOIN).error_code), Some(ResponseError::InconsistentGroupProtocol));
    let join = Classic::joining(&group, &topic, None).with_id();
    let member = join.member(join.ask(JOIN));
    let mut classic = Classic { topic, join: Join { member: member.id.clone(), ..join }, member };
    assert_eq!((classic.member.generation, classic.sync().unwrap().len()), (2, 0));
    // It waits for what the other has not given up.
    assert_eq!(classic.member.heartbeat(), None);
    consumer.heartbeat().unwrap();
    consumer.obey().unwrap();
    assert_eq!(classic.member.heartbeat(), AGAIN);
    classic.rejoin(&[]);
    assert_eq!((classic.member.generation, classic.sync().unwrap().len()), (2, 2));
    let sticky = Join { protocols: vec![("sticky", subscription(&classic.topic, &[]))], ..classic.join };
    let inconsistent = Join { member: Default::default(), ..sticky }.ask(JOIN);
    assert_eq!(error(inconsistent.error_code), Some(ResponseError::InconsistentGroupProtocol));
}

/// A member of each protocol, which share.
fn mixed(brokers: &Brokers, name: &str) -> (Classic, Consumer) {
    let mut classic = Classic::alone(brokers, name, None);
    let mut consumer = Consumer::new(&classic.member.group, "consumer");
    consumer.join(&[&classic.topic]);
    classic.rejoin(&[]);
    assert_eq!(classic.sync().unwrap().len(), 2);
    consumer.heartbeat().unwrap();
    assert_eq!(consumer.assigned.len(), 2);
    (classic, consumer)
}

fn expect_classic_again(mut classic: Classic, consumer: &Consumer) {
    assert_eq!(classic_state(&classic.member.group), "PreparingRebalance");
    assert_eq!(classic.member.heartbeat(), AGAIN);
    classic.rejoin(&[]);
    assert_eq!((classic.member.generation, classic.member.leads()), (3, true));
    assert_eq!(consumer.say(2).err(), Some(ResponseError::GroupIdNotFound));
}

fn downgraded(brokers: &Brokers) {
    let (classic, consumer) = mixed(brokers, "migration-downgraded");
    consumer.say(LEAVE).unwrap();
    expect_classic_again(classic, &consumer);
}

fn fenced(brokers: &Brokers) {
    let (classic, consumer) = mixed(brokers, "migration-fenced");
    let gone = within(LIMIT, || {
        assert!([None, AGAIN].contains(&classic.member.heartbeat()));
        let state = classic_state(&classic.member.group);
        if state == "Dead" { Err(state) } else { Ok(()) }
    });
    assert_eq!(gone, Ok(()));
    expect_classic_again(classic, &consumer);
}

/// There and back: what it has is its own in either protocol.
fn instance(brokers: &Brokers) {
    let classic = Classic::alone(brokers, "migration-instance", Some("one"));
    let group = classic.member.group.clone();
    let mut consumer = Consumer::new(&group, "consumer").instance("one");
    consumer.join(&[&classic.topic]);
    assert_eq!((consumer.epoch, &consumer.assigned), (1, &places(&classic.topic, 4)));
    assert_eq!(classic.member.heartbeat(), Some(ResponseError::FencedInstanceId));
    let mut second = Consumer::new(&group, "second").instance("two");
    second.join(&[&classic.topic]);
    second.say(LEAVE_FOR_A_WHILE).unwrap();
    let refused =
        beat(group.at, HEARTBEAT, &Consumer::new(&group, "x").instance("one").joining(&[&classic.topic]));
    assert_eq!(refused.err(), Some(ResponseError::UnreleasedInstanceId));
    second.say(LEAVE).unwrap();
    // The only member is replaced by one of the classic protocol.
    let join = Classic::joining(&group, &classic.topic, Some("one"));
    assert_eq!(error(join.ask(JOIN).error_code), None);
    assert_eq!(classic_state(&group), "Stable");
}

fn too_slow(brokers: &Brokers) {
    let topic = Topic::create(brokers, "migration-slow", 4);
    let group = Group::new(brokers, "migration-slow");
    let join = Join { rebalance_timeout_ms: 1_000, ..Classic::joining(&group, &topic, None) };
    let member = join.joined();
    let classic = Classic { join, topic, member };
    classic.assign(assignment(&classic.topic, &[0, 1, 2, 3], None));
    let mut consumer = Consumer::new(&group, "consumer");
    consumer.join(&[&classic.topic]);
    assert_eq!(classic.member.heartbeat(), AGAIN);
    let gone = within(LIMIT, || match classic.member.heartbeat() {
        AGAIN => Err("it is a member still"),
        other => Ok(other),
    });
    assert_eq!(gone, Ok(Some(ResponseError::UnknownMemberId)));
    consumer.heartbeat().unwrap();
    assert_eq!(consumer.assigned, places(&classic.topic, 4));
}

fn refused(brokers: &Brokers) {
    let topic = Topic::create(brokers, "migration-refused", 4);
    let group = Group::new(brokers, "migration-refused");
    let connect = Join { protocol_type: "connect", ..group.joining(&topic.name) }.joined();
    let consumer = |group: &Group| {
        let consumer = Consumer::new(group, "consumer");
        beat(group.at, HEARTBEAT, &consumer.joining(&[&topic])).err()
    };
    assert_eq!(consumer(&group), Some(ResponseError::GroupIdNotFound));
    assert_eq!(connect.heartbeat(), None);

    let custom = Classic::alone(brokers, "migration-refused-custom", None);
    let mut custom = custom;
    custom.rejoin(&[]);
    custom.assign(assignment(&custom.topic, &[0], Some(Bytes::from_static(b"mine"))));
    assert_eq!(consumer(&custom.member.group), Some(ResponseError::GroupIdNotFound));
    assert_eq!(custom.member.heartbeat(), None);
}
