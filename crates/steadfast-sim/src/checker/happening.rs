//! What the checker is told: one happening at a time, in the order in which they happened.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use steadfast_core::acked::Span;
use steadfast_core::endpoints::view::Address;
use steadfast_core::ids::{
    AssignmentEpoch, ClusterId, ConsumerIncarnation, FetchGeneration, GroupGeneration, NodeId, Offset,
    Partition,
};
use steadfast_core::progress::{Lease, State};

use crate::call::{ConnectionId, Ticket};

/// One life of one service's process: begun anew after a crash, it is another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Service(pub u32);

/// Whatever tells one record's content from another's: the records of one cluster differ from all others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Content(pub u64);

/// An API by Kafka's number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Api(pub i16);

impl Api {
    /// Metadata.
    pub const METADATA: Api = Api(3);
    /// Fetch.
    pub const FETCH: Api = Api(1);
    /// JoinGroup.
    pub const JOIN_GROUP: Api = Api(11);
    /// Heartbeat.
    pub const HEARTBEAT: Api = Api(12);
    /// ConsumerGroupHeartbeat.
    pub const CONSUMER_GROUP_HEARTBEAT: Api = Api(68);
    /// SyncGroup.
    pub const SYNC_GROUP: Api = Api(14);

    /// Whether a member shows with it that it lives.
    pub(super) fn is_heartbeat(self) -> bool {
        self == Api::HEARTBEAT || self == Api::CONSUMER_GROUP_HEARTBEAT
    }

    /// Whether the coordinator holds the answer back while a round goes on.
    pub(super) fn is_parked(self) -> bool {
        self == Api::JOIN_GROUP || self == Api::SYNC_GROUP
    }
}

/// Something that happened.
#[derive(Debug, Clone, PartialEq)]
pub enum Happening {
    /// The load, or the log.
    Log {
        /// The partition.
        partition: Partition,
        /// What happened to its log.
        change: LogChange,
    },
    /// At a broker.
    Broker(BrokerSide),
    /// On a connection that a service opened.
    Connection {
        /// Which connection.
        connection: ConnectionId,
        /// What happened on it.
        event: ConnectionEvent,
    },
    /// At a service, or said by it.
    Service {
        /// Which life of which service.
        service: Service,
        /// What happened.
        event: ServiceSide,
    },
    /// All that may rightly be taken for the cluster: what it advertises, alone if most of its brokers are reached
    /// there and say so, else with whatever else is said; told when it may have changed.
    Told(BTreeSet<BTreeMap<NodeId, Address>>),
    /// A fault begins. Until it is healed nothing is asked of the service's speed.
    Injected(String),
    /// A fault ends.
    Healed(String),
    /// Nothing is broken, and time enough has passed for everything to be done that is due.
    Settled,
}

/// What happens to a partition's log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogChange {
    /// A record was appended, and committed to the log.
    Appended(Offset, Content),
    /// The tail from this offset on is gone (an unclean election).
    Truncated(Offset),
    /// What is below this offset was deleted.
    Deleted(Offset),
}

/// What brokers see.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BrokerSide {
    /// Records were asked for.
    Fetched {
        /// Over which connection.
        connection: ConnectionId,
        /// From which broker.
        node: NodeId,
        /// All partitions that the request, or its session, asks for.
        partitions: Vec<Partition>,
    },
    /// An offset was stored.
    Committed {
        /// By whom.
        service: Service,
        /// In which generation, as the request says.
        generation: GroupGeneration,
        /// For which partition.
        partition: Partition,
        /// The offset.
        offset: Offset,
        /// What was stored before.
        before: Option<Offset>,
    },
    /// An offset was not stored.
    CommitRefused {
        /// Whose it was.
        service: Service,
        /// For which partition.
        partition: Partition,
    },
    /// The group is in another generation: a round has ended, or a new coordinator knows an older one.
    GenerationBegan(GroupGeneration),
    /// The coordinator has a member's assignment.
    Assigned {
        /// Whose it is.
        service: Service,
        /// The partitions that the member has from now on.
        partitions: BTreeSet<Partition>,
    },
    /// A member of the consumer protocol has come to an epoch, or has other partitions.
    Reconciled {
        /// Whose it is.
        service: Service,
        /// The member epoch: commits are to name it.
        epoch: GroupGeneration,
        /// The partitions that the member has from now on.
        assigned: BTreeSet<Partition>,
        /// Those that it had and has not given up yet.
        revoking: BTreeSet<Partition>,
    },
    /// The coordinator has removed a member.
    Removed {
        /// Which one.
        service: Service,
        /// Whether it has asked for it, by LeaveGroup.
        left: bool,
    },
}

/// What happens on a connection, as the client's end of it sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ConnectionEvent {
    /// It is being opened.
    Dialled(Service),
    /// It was opened, to this address.
    Opened(Service, Address),
    /// It is closed or broken, or was not opened: nobody waits for it or for its answers any more.
    Closed,
    /// A request was sent.
    Asked(Ticket, Api),
    /// Its answer has arrived.
    Answered(Ticket),
}

/// What is seen of a service.
#[derive(Debug, Clone, PartialEq)]
pub enum ServiceSide {
    /// Its process runs.
    Began,
    /// Its process is gone.
    Ended {
        /// Whether it drained, committed and left the group first.
        clean: bool,
    },
    /// A handler was given a batch.
    Delivered(Delivery),
    /// A handler is about to ack a batch.
    Acked {
        /// The batch's partition.
        partition: Partition,
        /// What it covers.
        span: Span,
        /// The batch's lease.
        lease: Lease,
        /// The lease that lives at this moment.
        live: Option<Lease>,
    },
    /// A handler failed or dropped a batch, or crashed.
    Returned {
        /// The handler's partition.
        partition: Partition,
    },
    /// It asks for an offset to be stored.
    Commits {
        /// Of which partition.
        partition: Partition,
        /// The offset.
        offset: Offset,
    },
    /// How its partitions stand: told before anything else that is told, whenever it is another than before.
    Progress(BTreeMap<Partition, Standing>),
    /// It logged an event.
    Said(Said),
}

/// A batch, as its handler is given it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    /// The partition.
    pub partition: Partition,
    /// The offsets that its ack will cover.
    pub span: Span,
    /// The lease that it was delivered under.
    pub lease: Lease,
    /// The lease that lives now: a batch may wait for its handler until its lease is over.
    pub live: Option<Lease>,
    /// The records.
    pub records: Vec<(Offset, Content)>,
}

/// One partition's progress, as the service's own table shows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    /// The assignment's number.
    pub assignment: AssignmentEpoch,
    /// The consumer that may claim.
    pub incarnation: ConsumerIncarnation,
    /// The fetch generation of the position.
    pub generation: FetchGeneration,
    /// The next offset to fetch.
    pub position: Offset,
    /// The end of what is processed.
    pub acked: Offset,
    /// What the service takes for committed.
    pub committed: Option<Offset>,
    /// What the partition is doing.
    pub state: State,
    /// The lease that lives, if one does.
    pub lease: Option<Lease>,
}

/// The events that matter here, from the service's log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Said {
    /// `consumer.respawned`.
    Respawned {
        /// Whether drift was the reason: only that costs budget.
        drift: bool,
        /// How long ago it was promoted: `phase.first_record_ms`, or the limit of it if that is absent.
        promoted_ago: Duration,
        /// Records that it says were skipped.
        gap: i64,
    },
    /// `view.agreed`.
    Agreed {
        /// The cluster's id, if it is known.
        cluster: Option<ClusterId>,
        /// The brokers.
        endpoints: BTreeMap<NodeId, Address>,
    },
    /// `partition.started`.
    Started {
        /// Which one.
        partition: Partition,
        /// From where.
        offset: Offset,
        /// Why from there.
        source: Source,
    },
    /// `records.redelivered` because of a rewind.
    Redelivered {
        /// Of which partition.
        partition: Partition,
        /// How many.
        records: u64,
    },
    /// `partition.quarantined`.
    Quarantined {
        /// Which one.
        partition: Partition,
    },
    /// `partition.released`.
    Released {
        /// Which one.
        partition: Partition,
    },
    /// `record.dead_lettered`: it counts as processed under the lease that lives.
    DeadLettered {
        /// From which partition.
        partition: Partition,
        /// What it stands for.
        span: Span,
    },
    /// `offsets.out_of_range`.
    OutOfRange {
        /// Of which partition.
        partition: Partition,
    },
    /// `partitions.lost`, or `partitions.revoked` with some that were not drained.
    GivenUp {
        /// The partitions.
        partitions: BTreeSet<Partition>,
    },
    /// `checkpoint.failed`.
    CheckpointFailed,
    /// `service.stopped`, before all was drained and committed.
    Unfinished {
        /// How many partitions.
        partitions: u64,
    },
}

/// Where a partition begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// At what the group has committed.
    Committed,
    /// At the begin of the log, since nothing was ever committed.
    Earliest,
    /// At the end of the log, since nothing was ever committed.
    Latest,
}
