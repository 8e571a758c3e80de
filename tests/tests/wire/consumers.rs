//! Members of the consumer protocol (KIP-848), request by request.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::consumer_group_describe_response::DescribedGroup;
use kafka_protocol::messages::consumer_group_heartbeat_request::TopicPartitions;
use kafka_protocol::messages::{
    ConsumerGroupDescribeRequest, ConsumerGroupHeartbeatRequest, ConsumerGroupHeartbeatResponse,
};
use steadfast_tests::kafka::ask;
use steadfast_tests::within;
use uuid::Uuid;

use crate::group::Group;
use crate::topic::{LIMIT, Topic, error, text, topic_name};

/// The version in which members heartbeat when it does not matter.
pub(crate) const HEARTBEAT: i16 = 1;
/// The epochs that say something else.
pub(crate) const JOIN: i32 = 0;
pub(crate) const LEAVE: i32 = -1;
pub(crate) const LEAVE_FOR_A_WHILE: i32 = -2;

/// A partition as the protocol names it.
pub(crate) type Place = (Uuid, i32);

/// The first `count` partitions of a topic.
pub(crate) fn places(topic: &Topic, count: i32) -> BTreeSet<Place> {
    (0..count).map(|index| (topic.id, index)).collect()
}

/// Asks once, and waits for the answer.
pub(crate) fn beat(
    at: SocketAddr,
    version: i16,
    request: &ConsumerGroupHeartbeatRequest,
) -> Result<ConsumerGroupHeartbeatResponse, ResponseError> {
    let answer = ask(at, version, request).unwrap();
    error(answer.error_code).map_or(Ok(answer), Err)
}

/// A member, and what it was told.
#[derive(Debug, Clone)]
pub(crate) struct Consumer {
    pub(crate) group: Group,
    pub(crate) id: String,
    pub(crate) instance: Option<&'static str>,
    pub(crate) epoch: i32,
    /// What it was given last.
    pub(crate) assigned: BTreeSet<Place>,
    /// What it says that it owns.
    pub(crate) owned: BTreeSet<Place>,
}

impl Consumer {
    /// One that has not joined yet.
    pub(crate) fn new(group: &Group, id: &str) -> Consumer {
        let nothing = BTreeSet::new();
        Consumer {
            group: group.clone(),
            id: id.to_owned(),
            instance: None,
            epoch: JOIN,
            assigned: nothing.clone(),
            owned: nothing,
        }
    }

    /// The same with an instance id.
    pub(crate) fn instance(self, instance: &'static str) -> Consumer {
        Consumer { instance: Some(instance), ..self }
    }

    /// A heartbeat that says nothing new.
    pub(crate) fn request(&self) -> ConsumerGroupHeartbeatRequest {
        ConsumerGroupHeartbeatRequest::default()
            .with_group_id(self.group.id())
            .with_member_id(text(&self.id))
            .with_member_epoch(self.epoch)
            .with_instance_id(self.instance.map(text))
            .with_rebalance_timeout_ms(-1)
            .with_topic_partitions(None)
    }

    /// What it joins with.
    pub(crate) fn joining(&self, topics: &[&Topic]) -> ConsumerGroupHeartbeatRequest {
        let names = topics.iter().map(|topic| topic_name(&topic.name)).collect();
        self.request()
            .with_member_epoch(JOIN)
            .with_rebalance_timeout_ms(30_000)
            .with_subscribed_topic_names(Some(names))
            .with_topic_partitions(Some(Vec::new()))
    }

    /// The same request with what it owns.
    pub(crate) fn owning(&self, owned: &BTreeSet<Place>) -> ConsumerGroupHeartbeatRequest {
        let topics: BTreeSet<Uuid> = owned.iter().map(|(topic, _)| *topic).collect();
        let of = |topic: Uuid| owned.iter().filter(move |place| place.0 == topic).map(|place| place.1);
        let owned = topics
            .into_iter()
            .map(|topic| TopicPartitions::default().with_topic_id(topic).with_partitions(of(topic).collect()))
            .collect();
        self.request().with_topic_partitions(Some(owned))
    }

    /// Takes in what it was answered.
    pub(crate) fn told(&mut self, answer: &ConsumerGroupHeartbeatResponse) {
        self.epoch = answer.member_epoch;
        if let Some(id) = &answer.member_id {
            self.id = id.to_string();
        }
        if let Some(assignment) = &answer.assignment {
            let of_topic =
                |topic: &kafka_protocol::messages::consumer_group_heartbeat_response::TopicPartitions| {
                    let id = topic.topic_id;
                    topic.partitions.iter().map(move |index| (id, *index)).collect::<Vec<_>>()
                };
            self.assigned = assignment.topic_partitions.iter().flat_map(of_topic).collect();
        }
    }

    /// Asks, and takes in what it is answered.
    pub(crate) fn ask(
        &mut self,
        request: &ConsumerGroupHeartbeatRequest,
    ) -> Result<ConsumerGroupHeartbeatResponse, ResponseError> {
        let answer = beat(self.group.at, HEARTBEAT, request)?;
        self.told(&answer);
        Ok(answer)
    }

    /// Joins with these topics.
    pub(crate) fn join(&mut self, topics: &[&Topic]) {
        self.ask(&self.joining(topics)).unwrap();
        self.owned = self.assigned.clone();
    }

    /// A heartbeat that says nothing new.
    pub(crate) fn heartbeat(&mut self) -> Result<ConsumerGroupHeartbeatResponse, ResponseError> {
        self.ask(&self.request())
    }

    /// A heartbeat that owns just what it was given.
    pub(crate) fn obey(&mut self) -> Result<ConsumerGroupHeartbeatResponse, ResponseError> {
        self.owned = self.assigned.clone();
        self.ask(&self.owning(&self.owned))
    }

    /// Says a special epoch.
    pub(crate) fn say(&self, epoch: i32) -> Result<ConsumerGroupHeartbeatResponse, ResponseError> {
        beat(self.group.at, HEARTBEAT, &self.request().with_member_epoch(epoch))
    }
}

/// All of them obey until each owns what is wanted, counted by partitions.
pub(crate) fn settle(members: &mut [&mut Consumer], wanted: &[usize]) {
    let settled = within(LIMIT, || {
        for member in members.iter_mut() {
            member.obey().unwrap();
        }
        let counts: Vec<usize> = members.iter().map(|member| member.owned.len()).collect();
        if counts == wanted { Ok(()) } else { Err(counts) }
    });
    assert_eq!(settled, Ok(()));
}

/// The group as ConsumerGroupDescribe tells it.
pub(crate) fn describe(group: &Group, version: i16) -> DescribedGroup {
    let request = ConsumerGroupDescribeRequest::default().with_group_ids(vec![group.id()]);
    ask(group.at, version, &request).unwrap().groups.remove(0)
}
