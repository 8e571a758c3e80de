//! What happened inside the cluster, for a checker that must not believe the service's own account of it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use kafka_protocol::ResponseError;
use steadfast_core::ids::{GroupGeneration, NodeId, Offset, Partition};

use crate::call::ConnectionId;

/// One occurrence, as the brokers saw it.
#[derive(Debug, Clone, PartialEq)]
pub enum Notice {
    /// Somebody asked for records.
    Fetched {
        /// Over which connection.
        connection: ConnectionId,
        /// Of which broker.
        node: NodeId,
        /// Who it says that it is: the client id.
        client: Arc<str>,
        /// From which offsets, in the order of the request.
        partitions: Vec<(Partition, Offset)>,
    },
    /// An offset was committed.
    Committed {
        /// The group.
        group: Arc<str>,
        /// The member that commits; empty for a consumer without membership.
        member: Arc<str>,
        /// The generation that it commits in; -1 for a consumer without membership.
        generation: GroupGeneration,
        /// The partition.
        partition: Partition,
        /// The offset that is committed now.
        offset: Offset,
        /// The offset that was committed before, if one was.
        before: Option<Offset>,
        /// What the member wrote beside it.
        metadata: Arc<str>,
    },
    /// An offset was not committed.
    CommitRefused {
        /// The group.
        group: Arc<str>,
        /// The member that asked for it.
        member: Arc<str>,
        /// The generation that it named.
        generation: GroupGeneration,
        /// The partition.
        partition: Partition,
        /// The offset that it asked for.
        offset: Offset,
        /// Why not.
        error: ResponseError,
    },
    /// All members that take part in a generation are known.
    RoundCompleted {
        /// The group.
        group: Arc<str>,
        /// The generation that begins.
        generation: GroupGeneration,
        /// Its members, each with its instance id if it has one.
        members: BTreeMap<Arc<str>, Option<Arc<str>>>,
    },
    /// The leader's assignment reached the coordinator: what one member got.
    AssignmentGiven {
        /// The group.
        group: Arc<str>,
        /// The generation that it is for.
        generation: GroupGeneration,
        /// The member.
        member: Arc<str>,
        /// Its partitions; empty also where the bytes are not the consumer protocol's.
        partitions: BTreeSet<Partition>,
    },
    /// A member of the consumer protocol has come to another epoch, or has other partitions.
    Reconciled {
        /// The group.
        group: Arc<str>,
        /// The member.
        member: Arc<str>,
        /// Who it says that it is: the client id. Its member id tells nothing, the client makes it itself.
        client: Arc<str>,
        /// Its epoch from now on.
        epoch: i32,
        /// What it has.
        assigned: BTreeSet<Partition>,
        /// What it had and is to give up: nobody else is given it until it has.
        revoking: BTreeSet<Partition>,
    },
    /// A member is no longer in its group.
    MemberRemoved {
        /// The group.
        group: Arc<str>,
        /// The member.
        member: Arc<str>,
        /// Why.
        reason: Removal,
    },
}

/// Why a member is no longer in its group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Removal {
    /// It, or an administrator in its name, said so (LeaveGroup), with these words if there were any.
    Left(Option<Arc<str>>),
    /// Nothing was heard of it for its session timeout.
    SessionExpired,
    /// It did not join again before the round's deadline.
    NotRejoined,
    /// It did not give up what it was told to within its rebalance timeout.
    NotRevoked,
    /// It did not ask for its assignment before the round's deadline.
    NotSynced,
    /// Another process has joined under its instance id (KIP-345): it has this member id now.
    Replaced(Arc<str>),
    /// The group is full (`group.max.size`).
    GroupFull,
}
