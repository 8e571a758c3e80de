//! One consumer group of the consumer protocol (KIP-848), as its coordinator keeps it: a state machine without IO or
//! clock.
//!
//! The coordinator computes a target assignment for each group epoch, and brings one member after another there: who
//! is to give partitions up stays in its epoch until it says that it owns them no more, and who is to get them waits
//! until then. All of it is in Kafka's log, so it survives a move of the coordinator; only timers begin anew.

mod assign;
mod embedded;
mod heartbeat;
mod leave;
mod liveness;
mod member;
mod migration;
mod refusal;
mod subscribed;
mod view;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use steadfast_core::ids::TopicId;
use steadfast_core::tick::Tick;

use crate::notice::{Notice, Removal};
use member::Member;
use subscribed::{Pattern, Subscribed};

pub(crate) use heartbeat::check;
pub(crate) use refusal::Refusal;
pub use view::{ConsumerGroupView, ConsumerMemberView};

/// A partition as members and coordinator name it to each other.
pub(crate) type Place = (TopicId, i32);

/// Where a group stands.
///
/// ```text
///          first member joins                target computed                 all have reached it
///   Empty ───────────────────► Assigning ───────────────────► Reconciling ───────────────────────► Stable
///     ▲                            ▲                               │                                 │
///     │                            └─ join, leave, fence, topics ──┴─────────────────────────────────┤
///     └──────────────────────────── the last member left, or was fenced ─────────────────────────────┘
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ConsumerGroupState {
    /// It has no members, at most committed offsets.
    Empty,
    /// The group's epoch has no target assignment yet: the next heartbeat computes it.
    Assigning,
    /// Not every member has reached its target.
    Reconciling,
    /// Every member has what it is to have.
    Stable,
}

impl ConsumerGroupState {
    /// Its name, as ConsumerGroupDescribe and ListGroups give it.
    pub fn name(self) -> &'static str {
        match self {
            ConsumerGroupState::Empty => "Empty",
            ConsumerGroupState::Assigning => "Assigning",
            ConsumerGroupState::Reconciling => "Reconciling",
            ConsumerGroupState::Stable => "Stable",
        }
    }
}

/// A coordinator's settings for groups of the consumer protocol. The defaults are Kafka's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConsumerGroupSettings {
    /// `group.consumer.heartbeat.interval.ms`: what members are told.
    pub heartbeat_interval: Duration,
    /// `group.consumer.session.timeout.ms`.
    pub session_timeout: Duration,
    /// `group.consumer.max.size`: more members are refused.
    pub max_size: usize,
    /// How long the coordinator takes to find the topics that a regular expression matches; members are answered
    /// meanwhile.
    pub regex_time: Duration,
    /// How often it looks for new topics that match, at most. 10 s in Kafka, where it is no setting.
    pub regex_refresh: Duration,
}

impl ConsumerGroupSettings {
    /// Kafka's defaults.
    pub const KAFKA: ConsumerGroupSettings = ConsumerGroupSettings {
        heartbeat_interval: Duration::from_secs(5),
        session_timeout: Duration::from_secs(45),
        max_size: i32::MAX as usize,
        regex_time: Duration::from_millis(1),
        regex_refresh: Duration::from_secs(10),
    };
}

impl Default for ConsumerGroupSettings {
    fn default() -> ConsumerGroupSettings {
        ConsumerGroupSettings::KAFKA
    }
}

/// A group.
#[derive(Debug)]
pub(crate) struct ConsumerGroup {
    name: Arc<str>,
    settings: ConsumerGroupSettings,
    /// The group's epoch: another one for each change of members, subscriptions or topics.
    epoch: i32,
    /// The epoch that the target assignment is for.
    target_epoch: i32,
    target: BTreeMap<Arc<str>, BTreeSet<Place>>,
    members: BTreeMap<Arc<str>, Member>,
    /// What there is of what is subscribed, as the group's epoch knows it.
    subscribed: Subscribed,
    patterns: BTreeMap<Arc<str>, Pattern>,
    /// When the regular expressions will have been resolved.
    resolving: Option<Tick>,
    /// When they were last.
    resolved_at: Option<Tick>,
    /// Its coordinator has read it: timers run.
    loaded: bool,
    /// Its last member of the consumer protocol is gone, and others are left.
    bereft: bool,
    notices: Vec<Notice>,
}

impl ConsumerGroup {
    /// An empty group that nobody has joined.
    pub(crate) fn new(name: Arc<str>, settings: ConsumerGroupSettings) -> ConsumerGroup {
        ConsumerGroup {
            name,
            settings,
            epoch: 0,
            target_epoch: 0,
            target: BTreeMap::new(),
            members: BTreeMap::new(),
            subscribed: Subscribed::default(),
            patterns: BTreeMap::new(),
            resolving: None,
            resolved_at: None,
            loaded: true,
            bereft: false,
            notices: Vec::new(),
        }
    }

    /// Where it stands.
    pub(crate) fn state(&self) -> ConsumerGroupState {
        if self.members.is_empty() {
            ConsumerGroupState::Empty
        } else if self.epoch > self.target_epoch {
            ConsumerGroupState::Assigning
        } else if self.members.values().all(|member| member.has_reached(self.target_epoch)) {
            ConsumerGroupState::Stable
        } else {
            ConsumerGroupState::Reconciling
        }
    }

    /// What happened since this was last asked.
    pub(crate) fn take_notices(&mut self) -> Vec<Notice> {
        std::mem::take(&mut self.notices)
    }

    /// The member that has this instance id.
    fn static_member(&self, instance: &str) -> Option<Arc<str>> {
        let mut members = self.members.iter();
        members.find(|(_, member)| member.instance.as_deref() == Some(instance)).map(|(id, _)| Arc::clone(id))
    }

    /// Takes the member out: the next heartbeat of the others finds another epoch.
    fn fence(&mut self, member: &str, reason: Removal) {
        if let Some((id, _)) = self.members.remove_entry(member) {
            self.target.remove(member);
            self.epoch += 1;
            self.bereft = self.is_classic();
            self.forget_patterns();
            self.notices.push(Notice::MemberRemoved { group: Arc::clone(&self.name), member: id, reason });
        }
    }
}
