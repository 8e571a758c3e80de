//! A group as one sees it from outside.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use kafka_protocol::messages::TopicName;
use kafka_protocol::messages::consumer_group_describe_response::{
    Assignment, DescribedGroup, Member as DescribedMember, TopicPartitions,
};
use steadfast_core::ids::{Partition, TopicId};
use uuid::Uuid;

use super::embedded::named;
use super::member::Member;
use super::{ConsumerGroup, ConsumerGroupState, Place};
use crate::group::text;
use crate::topics::Topics;

/// A group, for tests and checkers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConsumerGroupView {
    /// Where it stands.
    pub state: ConsumerGroupState,
    /// Its epoch.
    pub epoch: i32,
    /// Its members by member id.
    pub members: BTreeMap<Arc<str>, ConsumerMemberView>,
}

/// A member, for tests and checkers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConsumerMemberView {
    /// `group.instance.id`, if it is a static one.
    pub instance: Option<Arc<str>>,
    /// Who it says that it is.
    pub client_id: Arc<str>,
    /// Its epoch; -2 if it is a static one that has left for a while.
    pub epoch: i32,
    /// What it has.
    pub assignment: BTreeSet<Partition>,
    /// What it is to give up.
    pub revoking: BTreeSet<Partition>,
}

impl ConsumerGroup {
    /// The group as it stands.
    pub(crate) fn view(&self, topics: &Topics) -> ConsumerGroupView {
        let members = self.members.iter().map(|(id, member)| {
            let view = ConsumerMemberView {
                instance: member.instance.clone(),
                client_id: Arc::clone(&member.client_id),
                epoch: member.epoch,
                assignment: named(&member.assigned, topics),
                revoking: named(&member.revoking, topics),
            };
            (Arc::clone(id), view)
        });
        ConsumerGroupView { state: self.state(), epoch: self.epoch, members: members.collect() }
    }

    /// The group as ConsumerGroupDescribe gives it.
    pub(crate) fn describe(&self, topics: &Topics) -> DescribedGroup {
        let members = self.members.iter().map(|(id, member)| self.describe_member(id, member, topics));
        DescribedGroup::default()
            .with_group_id(text(&self.name).into())
            .with_group_state(text(self.state().name()))
            .with_group_epoch(self.epoch)
            .with_assignment_epoch(self.target_epoch)
            .with_assignor_name(text(self.assignor().name()))
            .with_members(members.collect())
    }

    fn describe_member(&self, id: &str, member: &Member, topics: &Topics) -> DescribedMember {
        let nothing = BTreeSet::new();
        let names = member.topics.iter().map(|name| TopicName(text(name)));
        DescribedMember::default()
            .with_member_id(text(id))
            .with_instance_id(member.instance.as_deref().map(text))
            .with_rack_id(member.rack.as_deref().map(text))
            .with_member_epoch(member.epoch)
            .with_client_id(text(&member.client_id))
            .with_client_host(text(&member.client_host))
            .with_subscribed_topic_names(names.collect())
            .with_subscribed_topic_regex(Some(text(member.regex.as_deref().unwrap_or_default())))
            .with_assignment(described(&member.assigned, topics))
            .with_target_assignment(described(self.target.get(id).unwrap_or(&nothing), topics))
            .with_member_type(i8::from(member.classic.is_none()))
    }

    /// Whether it has no members.
    pub(crate) fn is_vacant(&self) -> bool {
        self.members.is_empty()
    }

    /// Whether its members read this topic.
    pub(crate) fn reads(&self, topic: &str) -> bool {
        self.members.values().any(|member| self.topics_of(member).contains(topic))
    }
}

fn described(places: &BTreeSet<Place>, topics: &Topics) -> Assignment {
    let mut found: BTreeMap<TopicId, Vec<i32>> = BTreeMap::new();
    for (topic, index) in places {
        found.entry(*topic).or_default().push(*index);
    }
    let found = found.into_iter().filter_map(|(topic, partitions)| {
        let name = topics.name(topic)?;
        Some(
            TopicPartitions::default()
                .with_topic_id(Uuid::from_u128(topic.0))
                .with_topic_name(TopicName(text(name)))
                .with_partitions(partitions),
        )
    });
    Assignment::default().with_topic_partitions(found.collect())
}
