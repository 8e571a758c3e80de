//! What a member is told.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::MemberId;
use super::assign::{Candidate, PartitionCounts};
use super::errors::ErrorCode;
use super::subscription::{Assignment, ById};
use crate::ids::{GroupGeneration, NodeId, Partition, TopicId};

/// Names one request, so that an answer that comes too late is known as such and changes nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId(pub u64);

/// What a member is told. Each request is answered by exactly one of the events that carry its id; answers
/// to requests that no longer matter are ignored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// Begin, or go on from the standing that the machine was built with.
    Start,
    /// FindCoordinator's answer.
    CoordinatorFound {
        /// The request.
        request: RequestId,
        /// Who coordinates the group.
        coordinator: NodeId,
    },
    /// A connection to the coordinator broke, or must not be used any more. Membership is bound to none:
    /// member id, generation and partitions stay.
    CoordinatorLost {
        /// Why.
        reason: LossReason,
    },
    /// JoinGroup succeeded: a generation has begun.
    Joined {
        /// The request.
        request: RequestId,
        /// What the coordinator said.
        answer: JoinAnswer,
    },
    /// JoinGroup was answered with MEMBER_ID_REQUIRED (KIP-394).
    MemberIdRequired {
        /// The request.
        request: RequestId,
        /// The id to join with.
        member_id: MemberId,
    },
    /// SyncGroup succeeded. Bytes that cannot be decoded count as an empty assignment.
    Synced {
        /// The request.
        request: RequestId,
        /// What is ours.
        assignment: Assignment,
    },
    /// Heartbeat succeeded.
    HeartbeatAccepted {
        /// The request.
        request: RequestId,
    },
    /// LeaveGroup succeeded.
    LeaveAccepted {
        /// The request.
        request: RequestId,
    },
    /// ConsumerGroupHeartbeat succeeded.
    ConsumerHeartbeatAccepted {
        /// The request.
        request: RequestId,
        /// What the coordinator said.
        answer: ConsumerAnswer,
    },
    /// Any request was answered with an error.
    Refused {
        /// The request.
        request: RequestId,
        /// The error (of LeaveGroup: the member's own, if the whole has none).
        code: ErrorCode,
    },
    /// No answer will come: the connection broke or could not be made, or the deadline passed.
    Unanswered {
        /// The request.
        request: RequestId,
    },
    /// No answer will come, and the coordinator is reached over another connection: it may have taken the request.
    OutcomeUnknown {
        /// The request.
        request: RequestId,
    },
    /// These partitions are released: handlers have drained, acked is committed (or will never be).
    Revoked {
        /// Which.
        partitions: BTreeSet<Partition>,
    },
    /// A commit under `generation` was answered with a whole-group error.
    CommitRefused {
        /// What the commit named.
        generation: GroupGeneration,
        /// The error.
        code: ErrorCode,
    },
    /// These are the topics to read from now on.
    SubscriptionChanged {
        /// All of them.
        topics: BTreeSet<Arc<str>>,
        /// The pattern that these match by now, if they were not named: brokers that resolve patterns take it as it
        /// is, and topics that change under the same pattern are ones that began or ceased to match.
        pattern: Option<Arc<str>>,
    },
    /// These topics have so many partitions (0: it does not exist). What is not mentioned is unchanged.
    PartitionsChanged {
        /// Topic by topic.
        counts: PartitionCounts,
    },
    /// The topics of the cluster, by their ids.
    TopicsNamed {
        /// All that are known.
        names: BTreeMap<TopicId, Arc<str>>,
    },
    /// Give everything up and go.
    Leave {
        /// Why, for the coordinator's log (KIP-800).
        reason: Arc<str>,
    },
    /// `next_deadline()` has come.
    DeadlineReached,
}

impl Event {
    /// The request that this answers, if it answers one.
    pub fn request(&self) -> Option<RequestId> {
        match self {
            Event::CoordinatorFound { request, .. }
            | Event::Joined { request, .. }
            | Event::MemberIdRequired { request, .. }
            | Event::Synced { request, .. }
            | Event::HeartbeatAccepted { request }
            | Event::LeaveAccepted { request }
            | Event::ConsumerHeartbeatAccepted { request, .. }
            | Event::OutcomeUnknown { request }
            | Event::Refused { request, .. }
            | Event::Unanswered { request } => Some(*request),
            Event::Start
            | Event::CoordinatorLost { .. }
            | Event::Revoked { .. }
            | Event::CommitRefused { .. }
            | Event::SubscriptionChanged { .. }
            | Event::PartitionsChanged { .. }
            | Event::TopicsNamed { .. }
            | Event::Leave { .. }
            | Event::DeadlineReached => None,
        }
    }
}

/// Why the coordinator's connections are not used any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LossReason {
    /// A connection broke.
    ConnectionBroken,
    /// The agreed view has it at another address.
    EndpointMoved,
    /// It said that it does not coordinate this group.
    NotCoordinator,
    /// It left a request unanswered.
    Silent,
}

impl fmt::Display for LossReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            LossReason::ConnectionBroken => "its connection broke",
            LossReason::EndpointMoved => "its endpoint moved",
            LossReason::NotCoordinator => "it does not coordinate the group",
            LossReason::Silent => "it left a request unanswered",
        })
    }
}

/// JoinGroup's answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JoinAnswer {
    /// The generation that has begun.
    pub generation: GroupGeneration,
    /// Our id.
    pub member_id: MemberId,
    /// The assignor that all members offered, by its name on the wire.
    pub assignor: String,
    /// Who makes the assignment.
    pub leader: MemberId,
    /// As leader: all members, ourselves included. A subscription that cannot be decoded counts as empty,
    /// so that one member's bytes do not fail the group.
    pub members: Vec<Candidate>,
    /// As leader: the coordinator has an assignment already (KIP-814), make none.
    pub skip_assignment: bool,
}

/// ConsumerGroupHeartbeat's answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConsumerAnswer {
    /// The member epoch from now on.
    pub epoch: GroupGeneration,
    /// When the coordinator wants the next heartbeat.
    pub interval: Duration,
    /// What may be ours from now on; none if that is as it was said last.
    pub assignment: Option<ById>,
}
