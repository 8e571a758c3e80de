//! One consumer group of the classic protocol, as its coordinator keeps it: a state machine without IO or clock.
//!
//! The rules are those of Kafka's coordinator, its oddities too: what it never answers stays unanswered here. What
//! Kafka writes to its log (the last complete generation and each commit) survives a move of the coordinator; what it
//! keeps in memory (who has joined, parked requests, a round under way) does not.

pub(crate) mod blob;
mod join;
mod kept;
mod leave;
mod liveness;
mod member;
mod moved;
mod round;
mod sync;
mod timers;
mod view;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use kafka_protocol::ResponseError;
use kafka_protocol::messages::ResponseKind;
use kafka_protocol::protocol::StrBytes;
use steadfast_core::tick::Tick;

use crate::call::Ticket;
use crate::consumer_group::ConsumerGroupSettings;
use crate::notice::{Notice, Removal};
use kept::Kept;
use member::Member;
use timers::JoinTimer;

pub(crate) use join::{MEMBER_ID_REQUIRED, refusal};
pub(crate) use moved::Moved;
pub use view::{GroupView, MemberView};

/// The protocol type of consumers.
pub(crate) const CONSUMER: &str = "consumer";

/// Where a group stands.
///
/// ```text
///          first member joins                  round complete                    leader syncs
///   Empty ──────────────────► PreparingRebalance ───────────► CompletingRebalance ───────────► Stable
///     ▲                         │    ▲    ▲                        │                             │
///     └── nobody joined again ──┘    │    └── join, leave, expiry ─┘                             │
///                                    └──────────────── join, leave, expiry ──────────────────────┘
///   Empty ── deleted ──► Dead
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum GroupState {
    /// It has no members, at most committed offsets.
    Empty,
    /// Its members are to join (again).
    PreparingRebalance,
    /// All have joined; the leader's assignment is awaited.
    CompletingRebalance,
    /// Every member has its assignment.
    Stable,
    /// There is no such group.
    Dead,
}

impl GroupState {
    /// Its name, as DescribeGroups and ListGroups give it.
    pub fn name(self) -> &'static str {
        match self {
            GroupState::Empty => "Empty",
            GroupState::PreparingRebalance => "PreparingRebalance",
            GroupState::CompletingRebalance => "CompletingRebalance",
            GroupState::Stable => "Stable",
            GroupState::Dead => "Dead",
        }
    }
}

/// A coordinator's settings. The defaults are Kafka's, but for the initial delay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GroupSettings {
    /// `group.initial.rebalance.delay.ms`: how long the first round of an empty group waits for more members. Zero
    /// here, 3 s in Kafka.
    pub initial_delay: Duration,
    /// `group.min.session.timeout.ms`.
    pub min_session: Duration,
    /// `group.max.session.timeout.ms`.
    pub max_session: Duration,
    /// `group.max.size`: more members are refused.
    pub max_size: usize,
    /// Those for groups of the consumer protocol.
    pub consumer: ConsumerGroupSettings,
    /// How long a coordinator takes to load its groups when it becomes their coordinator.
    pub load_time: Duration,
}

impl Default for GroupSettings {
    fn default() -> GroupSettings {
        GroupSettings {
            initial_delay: Duration::ZERO,
            min_session: Duration::from_secs(6),
            max_session: Duration::from_secs(1800),
            max_size: i32::MAX as usize,
            consumer: ConsumerGroupSettings::default(),
            load_time: Duration::ZERO,
        }
    }
}

/// A group.
#[derive(Debug)]
pub(crate) struct Group {
    name: Arc<str>,
    settings: GroupSettings,
    state: GroupState,
    /// The state before this one: a round that began in Empty waits for more members.
    previous: GroupState,
    generation: i32,
    protocol_type: Option<Arc<str>>,
    protocol: Option<Arc<str>>,
    leader: Option<Arc<str>>,
    members: BTreeMap<Arc<str>, Member>,
    /// Those that were given a member id and have not joined with it yet (KIP-394), and until when they may.
    invited: BTreeMap<Arc<str>, Tick>,
    /// Those of this generation that have not asked for their assignment yet.
    unsynced: BTreeSet<Arc<str>>,
    /// Somebody has joined since the initial delay was last armed.
    newcomer: bool,
    join_timer: Option<JoinTimer>,
    sync_deadline: Option<Tick>,
    /// What the log has.
    kept: Kept,
    answers: Vec<(Ticket, ResponseKind)>,
    notices: Vec<Notice>,
}

impl Group {
    /// An empty group that nobody has joined.
    pub(crate) fn new(name: Arc<str>, settings: GroupSettings) -> Group {
        Group {
            name,
            settings,
            state: GroupState::Empty,
            previous: GroupState::Empty,
            generation: 0,
            protocol_type: None,
            protocol: None,
            leader: None,
            members: BTreeMap::new(),
            invited: BTreeMap::new(),
            unsynced: BTreeSet::new(),
            newcomer: false,
            join_timer: None,
            sync_deadline: None,
            kept: Kept::default(),
            answers: Vec::new(),
            notices: Vec::new(),
        }
    }

    /// Where it stands.
    pub(crate) fn state(&self) -> GroupState {
        self.state
    }

    /// The answers and notices since this was last asked.
    pub(crate) fn take_output(&mut self) -> (Vec<(Ticket, ResponseKind)>, Vec<Notice>) {
        (std::mem::take(&mut self.answers), std::mem::take(&mut self.notices))
    }

    /// Whether this member, under this instance id, is in the group (KIP-345: a replaced one is fenced).
    fn validate(&self, member: &str, instance: Option<&str>) -> Result<(), ResponseError> {
        if let Some(instance) = instance {
            match self.static_member(instance) {
                None => return Err(ResponseError::UnknownMemberId),
                Some(current) if &*current != member => return Err(ResponseError::FencedInstanceId),
                Some(_) => {}
            }
        }
        if self.members.contains_key(member) { Ok(()) } else { Err(ResponseError::UnknownMemberId) }
    }

    /// The member that has this instance id.
    fn static_member(&self, instance: &str) -> Option<Arc<str>> {
        self.members
            .iter()
            .find(|(_, member)| member.instance.as_deref() == Some(instance))
            .map(|(id, _)| Arc::clone(id))
    }

    fn is_leader(&self, member: &str) -> bool {
        self.leader.as_deref() == Some(member)
    }

    /// Takes the member out, its parked join answered: its client may still want to join, under another id.
    fn expel(&mut self, member: &str, reason: Removal) {
        let parked = self.members.get_mut(member).and_then(|member| member.joining.take());
        if let Some(parked) = parked {
            self.refuse_join(parked, "", ResponseError::UnknownMemberId);
        }
        self.remove(member, reason);
    }

    /// Takes the member out. The next one in order leads if it was the leader.
    fn remove(&mut self, member: &str, reason: Removal) {
        if let Some((id, _)) = self.members.remove_entry(member) {
            self.notices.push(Notice::MemberRemoved { group: Arc::clone(&self.name), member: id, reason });
        }
        if self.is_leader(member) {
            self.leader = self.members.keys().next().cloned();
        }
        self.invited.remove(member);
        self.unsynced.remove(member);
    }

    fn transition(&mut self, state: GroupState) {
        self.previous = std::mem::replace(&mut self.state, state);
    }
}

/// The text as the protocol's type.
pub(crate) fn text(text: &str) -> StrBytes {
    StrBytes::from_string(text.to_owned())
}
