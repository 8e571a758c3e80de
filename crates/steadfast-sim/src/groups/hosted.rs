//! A group as its coordinator hosts it: of which protocol it is, and what it has committed.

use kafka_protocol::ResponseError;
use kafka_protocol::messages::ResponseKind;
use steadfast_core::tick::Tick;

use crate::call::Ticket;
use crate::consumer_group::ConsumerGroup;
use crate::group::{CONSUMER, Group};
use crate::notice::Notice;
use crate::offsets::Offsets;
use crate::topics::Topics;

/// A group and what it has committed.
#[derive(Debug)]
pub(crate) struct Hosted {
    pub(crate) kind: Kind,
    pub(crate) offsets: Offsets,
}

/// A group of either protocol.
#[expect(clippy::large_enum_variant, reason = "a cluster has few groups, and they stay where they are")]
#[derive(Debug)]
pub(crate) enum Kind {
    Classic(Group),
    Consumer(ConsumerGroup),
}

/// Who commits, as the request says.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Committer<'a> {
    pub(crate) member: &'a str,
    pub(crate) instance: Option<&'a str>,
    /// The generation, or the member epoch.
    pub(crate) generation: i32,
}

impl Hosted {
    /// The group, if it is of the classic protocol.
    pub(crate) fn classic(&self) -> Option<&Group> {
        match &self.kind {
            Kind::Classic(group) => Some(group),
            Kind::Consumer(_) => None,
        }
    }

    /// The group, if it is of the consumer protocol.
    pub(crate) fn consumer(&self) -> Option<&ConsumerGroup> {
        match &self.kind {
            Kind::Classic(_) => None,
            Kind::Consumer(group) => Some(group),
        }
    }

    /// Its protocol, as ListGroups names it.
    pub(crate) fn type_name(&self) -> &'static str {
        match &self.kind {
            Kind::Classic(_) => "classic",
            Kind::Consumer(_) => "consumer",
        }
    }

    /// Where it stands, as ListGroups names it.
    pub(crate) fn state_name(&self) -> &'static str {
        match &self.kind {
            Kind::Classic(group) => group.state().name(),
            Kind::Consumer(group) => group.state().name(),
        }
    }

    /// What its members speak: `consumer`; empty if it never had members.
    pub(crate) fn protocol_type(&self) -> &str {
        match &self.kind {
            Kind::Classic(group) => group.protocol_type(),
            Kind::Consumer(_) => CONSUMER,
        }
    }

    /// Whether it has no members.
    pub(crate) fn is_vacant(&self) -> bool {
        match &self.kind {
            Kind::Classic(group) => group.is_vacant(),
            Kind::Consumer(group) => group.is_vacant(),
        }
    }

    /// Whether its members are consumers.
    pub(crate) fn is_of_consumers(&self) -> bool {
        self.protocol_type() == CONSUMER
    }

    /// Whether its members read this topic.
    pub(crate) fn reads(&self, topic: &str) -> bool {
        match &self.kind {
            Kind::Classic(group) => group.reads(topic),
            Kind::Consumer(group) => group.reads(topic),
        }
    }

    /// Whether offsets may be committed now.
    pub(crate) fn admit_commit(
        &mut self,
        version: i16,
        by: Committer<'_>,
        now: Tick,
    ) -> Result<(), ResponseError> {
        match &mut self.kind {
            Kind::Classic(group) => group.admit_commit(by.member, by.instance, by.generation, now),
            Kind::Consumer(group) => group.admit_commit(version, by.member, by.generation),
        }
    }

    /// Whether offsets may be committed in a transaction now (KIP-447).
    pub(crate) fn admit_transactional_commit(&self, by: Committer<'_>) -> Result<(), ResponseError> {
        match &self.kind {
            Kind::Classic(group) => group.admit_transactional_commit(by.member, by.instance, by.generation),
            Kind::Consumer(group) => group.admit_transactional_commit(by.member, by.generation),
        }
    }

    /// Whether this member may read what was committed.
    pub(crate) fn admit_fetch(&self, member: Option<&str>, epoch: i32) -> Result<(), ResponseError> {
        match &self.kind {
            Kind::Classic(_) => Ok(()),
            Kind::Consumer(group) => group.admit_fetch(member, epoch),
        }
    }

    pub(super) fn next_deadline(&self) -> Option<Tick> {
        match &self.kind {
            Kind::Classic(group) => group.next_deadline(),
            Kind::Consumer(group) => group.next_deadline(),
        }
    }

    pub(super) fn fire(&mut self, topics: &Topics, now: Tick) {
        match &mut self.kind {
            Kind::Classic(group) => group.fire(now),
            Kind::Consumer(group) => group.fire(topics, now),
        }
    }

    pub(super) fn load(&mut self, now: Tick) {
        match &mut self.kind {
            Kind::Classic(group) => group.load(now),
            Kind::Consumer(group) => group.load(now),
        }
    }

    pub(super) fn unload(&mut self) {
        match &mut self.kind {
            Kind::Classic(group) => group.unload(),
            Kind::Consumer(group) => group.unload(),
        }
    }

    pub(super) fn take_output(&mut self) -> (Vec<(Ticket, ResponseKind)>, Vec<Notice>) {
        match &mut self.kind {
            Kind::Classic(group) => group.take_output(),
            Kind::Consumer(group) => (Vec::new(), group.take_notices()),
        }
    }
}
