//! What a member says to do.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use super::MemberId;
use super::assign::{Assignments, Assignor, Protocol};
use super::errors::{Api, ErrorCode, Reaction, Refusal};
use super::events::{LossReason, RequestId};
pub use super::round::{Phases, Reason};
use super::standing::Membership;
use super::subscription::{ById, Subscription};
pub use super::trigger::Trigger;
use crate::ids::{GroupGeneration, Partition};
use crate::tick::Tick;

/// What to do, in this order. A coordinator holds JoinGroup and SyncGroup back and is deaf on that connection
/// meanwhile, so these two have one of their own; Heartbeat and LeaveGroup go through another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Close the connections to the coordinator that was, if there are any, and ask who it is.
    FindCoordinator {
        /// The request.
        request: RequestId,
        /// When it counts as unanswered.
        deadline: Tick,
    },
    /// Send JoinGroup. One that is still out does not matter any more.
    Join(JoinGroup),
    /// Send SyncGroup.
    Sync(SyncGroup),
    /// Ask the JoinGroup or SyncGroup that is out again, over a fresh connection; the answer to either is the answer.
    AskAgain,
    /// Send Heartbeat.
    Heartbeat(Heartbeat),
    /// Send LeaveGroup.
    Leave(LeaveGroup),
    /// Send ConsumerGroupHeartbeat. None other is out: what the coordinator makes of one depends on the one before.
    ConsumerHeartbeat(ConsumerHeartbeat),
    /// Learn how many partitions these topics of other members have, tell us by `PartitionsChanged`, and
    /// from now on whenever it changes.
    CountPartitions {
        /// The topics.
        topics: BTreeSet<Arc<str>>,
    },
    /// Drain these, commit what is acked, release them, and say `Revoked`.
    Revoke {
        /// Which.
        partitions: BTreeSet<Partition>,
        /// When their leases end, drained or not.
        deadline: Tick,
    },
    /// These are ours from now on.
    Assign {
        /// Those that were not ours before, each with how often it had been lost by then
        /// ([`losses`](super::standing::Standing::losses)).
        partitions: BTreeMap<Partition, u64>,
        /// The generation that gave them to us.
        generation: GroupGeneration,
    },
    /// Release these at once and commit nothing: they may be another's already.
    Lost {
        /// Which.
        partitions: BTreeSet<Partition>,
        /// Why.
        reason: LostReason,
    },
    /// Commits are made under this from now on; without any, none is made.
    Publish(Option<Membership>),
    /// A round is to be gone through: for the ledger.
    Rebalancing {
        /// Why.
        reason: Reason,
    },
    /// A round is complete: for the ledger.
    Rebalanced(Rebalance),
    /// The coordinator is not used any more: for the log.
    CoordinatorLost {
        /// Why.
        reason: LossReason,
    },
    /// A request was refused, and this is what we make of it: for the log.
    Noted {
        /// What was asked.
        api: Api,
        /// What was answered.
        code: ErrorCode,
        /// What follows.
        reaction: Reaction,
    },
    /// We are out of the group; the machine has come to its end.
    Left,
    /// The group refuses us for good; the machine has come to its end.
    Fatal(Refusal),
}

/// A JoinGroup request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JoinGroup {
    /// The request.
    pub request: RequestId,
    /// When it counts as unanswered: the rebalance timeout and 5 s.
    pub deadline: Tick,
    /// Our id, empty on the wire if we have none.
    pub member_id: Option<MemberId>,
    /// What we offer, the preferred one first.
    pub assignors: Vec<Assignor>,
    /// What we want and hold.
    pub subscription: Subscription,
    /// Why we join (KIP-800).
    pub reason: Reason,
}

/// A SyncGroup request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SyncGroup {
    /// The request.
    pub request: RequestId,
    /// When it counts as unanswered.
    pub deadline: Tick,
    /// Our id.
    pub member_id: MemberId,
    /// The generation.
    pub generation: GroupGeneration,
    /// The assignor that was chosen: version 5 and newer name it.
    pub assignor: Assignor,
    /// As leader: what each member is to read; else empty.
    pub assignments: Assignments,
}

/// A Heartbeat request. While a JoinGroup is out it only shows whether the coordinator lives (a black hole is
/// silent on that connection): then member id and generation may be absent, on the wire "" and -1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Heartbeat {
    /// The request.
    pub request: RequestId,
    /// When it counts as unanswered.
    pub deadline: Tick,
    /// Our id.
    pub member_id: Option<MemberId>,
    /// The generation.
    pub generation: Option<GroupGeneration>,
}

/// A LeaveGroup request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeaveGroup {
    /// The request.
    pub request: RequestId,
    /// When it counts as unanswered.
    pub deadline: Tick,
    /// Our id.
    pub member_id: MemberId,
    /// Why (KIP-800).
    pub reason: Arc<str>,
}

/// A ConsumerGroupHeartbeat request (KIP-848). What is none has not changed since the coordinator heard it last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConsumerHeartbeat {
    /// The request.
    pub request: RequestId,
    /// When it counts as unanswered.
    pub deadline: Tick,
    /// Our id.
    pub member_id: MemberId,
    /// The member epoch: 0 to join, -1 to leave, -2 to leave for a while as a static member.
    pub epoch: GroupGeneration,
    /// What does not change while we run.
    pub terms: Option<Terms>,
    /// The topics that we want.
    pub topics: Option<BTreeSet<Arc<str>>>,
    /// The partitions that we own.
    pub owned: Option<ById>,
}

/// What a member of the consumer protocol says of itself in each heartbeat that carries everything.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Terms {
    /// How long we may take to give partitions up.
    pub rebalance_timeout: Duration,
    /// The rack or zone we run in.
    pub rack: Option<String>,
    /// The assignor that the coordinator is to use; none leaves it the choice.
    pub assignor: Option<Arc<str>>,
}

/// Why partitions are lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LostReason {
    /// The group went on to another generation.
    IllegalGeneration,
    /// The coordinator does not accept our member epoch any more.
    FencedEpoch,
    /// The coordinator has forgotten us.
    UnknownMember,
    /// We have not reached the coordinator for the session timeout.
    SessionExpired,
    /// They were not released in time.
    DrainExpired,
    /// The group refuses us for good.
    Fatal,
}

/// A round that is complete.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rebalance {
    /// What began it.
    pub reason: Reason,
    /// Why we joined last, if it did not complete at once.
    pub latest: Reason,
    /// What set it off, if we led it, and the one before.
    pub trigger: Option<Trigger>,
    /// How long its phases took.
    pub took: Phases,
    /// The generation.
    pub generation: GroupGeneration,
    /// How members went through it.
    pub manner: Manner,
    /// The assignor that was chosen, by its name on the wire.
    pub assignor: Arc<str>,
    /// Whether we made the assignment.
    pub leader: bool,
    /// Who made it, if we were told.
    pub led_by: Option<MemberId>,
    /// The group as its leader saw it.
    pub gathered: Option<Gathered>,
    /// What is ours now, without what is being given up.
    pub assigned: BTreeSet<Partition>,
    /// What is being given up from now on, and another round for it follows.
    pub releasing: BTreeSet<Partition>,
}

/// How members go through a round.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Manner {
    /// Classic: everything is given up before it.
    Eager,
    /// Classic: only what goes to others is given up, after it (KIP-429).
    Cooperative,
    /// The consumer protocol: each member comes to its share by itself (KIP-848).
    Consumer,
}

impl Manner {
    /// In a word.
    pub fn name(self) -> &'static str {
        match self {
            Manner::Eager => "eager",
            Manner::Cooperative => "cooperative",
            Manner::Consumer => "consumer",
        }
    }

    /// The manner of this name.
    pub fn named(name: &str) -> Option<Manner> {
        [Manner::Eager, Manner::Cooperative, Manner::Consumer]
            .into_iter()
            .find(|manner| manner.name() == name)
    }
}

impl From<Protocol> for Manner {
    fn from(protocol: Protocol) -> Manner {
        match protocol {
            Protocol::Eager => Manner::Eager,
            Protocol::Cooperative => Manner::Cooperative,
        }
    }
}

/// A group as its leader saw it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gathered {
    /// Its members.
    pub members: usize,
    /// Those of them that were given nothing.
    pub idle: usize,
}
