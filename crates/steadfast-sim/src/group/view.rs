//! A group as one sees it from outside.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;
use kafka_protocol::messages::describe_groups_response::{DescribedGroup, DescribedGroupMember};
use steadfast_core::ids::{GroupGeneration, Partition};

use super::{Group, GroupState, blob, text};

/// A group, for tests and checkers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupView {
    /// Where it stands.
    pub state: GroupState,
    /// The generation that the members were told last.
    pub generation: GroupGeneration,
    /// The assignor that was voted for.
    pub protocol: Option<Arc<str>>,
    /// The member id of the leader.
    pub leader: Option<Arc<str>>,
    /// Its members by member id.
    pub members: BTreeMap<Arc<str>, MemberView>,
}

/// A member, for tests and checkers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemberView {
    /// `group.instance.id`, if it is a static one.
    pub instance: Option<Arc<str>>,
    /// Who it says that it is.
    pub client_id: Arc<str>,
    /// What it was given in the last complete generation.
    pub assignment: BTreeSet<Partition>,
}

impl Group {
    /// The group as it stands.
    pub(crate) fn view(&self) -> GroupView {
        let members = self.members.iter().map(|(id, member)| {
            let view = MemberView {
                instance: member.instance.clone(),
                client_id: Arc::clone(&member.client_id),
                assignment: blob::assigned(&member.assignment),
            };
            (Arc::clone(id), view)
        });
        GroupView {
            state: self.state,
            generation: GroupGeneration(self.generation),
            protocol: self.protocol.clone(),
            leader: self.leader.clone(),
            members: members.collect(),
        }
    }

    /// The group as DescribeGroups gives it: subscriptions and assignments only while it is stable.
    pub(crate) fn describe(&self) -> DescribedGroup {
        let stable = self.state == GroupState::Stable;
        let protocol = self.protocol.as_deref().filter(|_| stable).unwrap_or_default();
        let members = self.members.iter().map(|(id, member)| {
            DescribedGroupMember::default()
                .with_member_id(text(id))
                .with_group_instance_id(member.instance.as_deref().map(text))
                .with_client_id(text(&member.client_id))
                .with_client_host(text(&member.client_host))
                .with_member_metadata(if stable { member.metadata(protocol) } else { Bytes::new() })
                .with_member_assignment(if stable { member.assignment.clone() } else { Bytes::new() })
        });
        DescribedGroup::default()
            .with_group_id(text(&self.name).into())
            .with_group_state(text(self.state.name()))
            .with_protocol_type(text(self.protocol_type()))
            .with_protocol_data(text(protocol))
            .with_members(members.collect())
    }

    /// What its members speak: `consumer`; empty if it never had members.
    pub(crate) fn protocol_type(&self) -> &str {
        self.protocol_type.as_deref().unwrap_or_default()
    }

    /// Whether it has no members.
    pub(crate) fn is_vacant(&self) -> bool {
        self.state == GroupState::Empty
    }

    /// Whether its members read this topic; true also where their subscriptions cannot be read.
    pub(crate) fn reads(&self, topic: &str) -> bool {
        let Some(protocol) = self.protocol.as_deref() else { return false };
        self.members.values().any(|member| {
            blob::subscribed(&member.metadata(protocol)).is_none_or(|topics| topics.contains(topic))
        })
    }
}
