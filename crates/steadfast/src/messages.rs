//! What the actors tell each other. Types only: who handles a message says how.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use actix::Message;
use steadfast_core::checkpoint::Occasion;
use steadfast_core::cluster::Topics;
use steadfast_core::endpoints::race::Evidence;
use steadfast_core::endpoints::respawn::Timeline;
use steadfast_core::endpoints::view::{Address, Observation, View};
use steadfast_core::group::actions::LostReason;
use steadfast_core::group::errors::ErrorCode;
use steadfast_core::ids::{ConsumerIncarnation, GroupGeneration, LeaderEpoch, NodeId, Partition, TopicId};
use steadfast_core::tick::Tick;
use steadfast_kafka::fetch::intake::Note;

use crate::config::Config;

/// Anyone to MetadataPoller: something made an endpoint doubtful.
#[derive(Debug, Clone, Message)]
#[rtype(result = "()")]
pub struct Suspect {
    /// What was noticed.
    pub reason: String,
    /// How much that says.
    pub evidence: Evidence,
    /// The broker, if it is known.
    pub node: Option<NodeId>,
    /// Its address, if it is known.
    pub address: Option<Address>,
}

/// MetadataPoller, or Consumer, to EndpointDiffer: what a witness said, or that it said nothing.
#[derive(Debug, Clone, Message)]
#[rtype(result = "()")]
pub enum Observed {
    /// A discovery begins: what was heard before does not count in it.
    Begin {
        /// When the first suspicion came.
        suspected_at: Tick,
        /// Its number.
        discovery: u64,
    },
    /// A witness answered.
    Answered {
        /// The discovery that began last.
        discovery: u64,
        /// Its view.
        observation: Observation<NodeId>,
        /// What it says of our topics; none if it was not asked.
        topics: Option<Listing>,
        /// What this fresh connection leaves behind, if the witness's name leads elsewhere than it did.
        resolved: Option<Resolved>,
    },
    /// A witness gave no answer.
    Failed {
        /// The address that was asked.
        address: Address,
        /// Why.
        reason: String,
    },
    /// A broker of the view in use gave no answer when every one of them was asked.
    Missed {
        /// Its address.
        address: Address,
        /// Why.
        reason: String,
    },
    /// A broker that is not the leader of partitions names who is (KIP-951), and these are verified where they are said
    /// to be. The consumer says so, once for what comes together.
    LeadersNamed(Vec<Elected>),
    /// What answers at a broker's address names that very broker as the leader of what it does not lead itself, time
    /// and again: it is another one. The consumer says so.
    Misled {
        /// The broker that is not there.
        node: NodeId,
    },
    /// Nothing is agreed although all were asked.
    Unsettled {
        /// What is missing.
        missing: Vec<String>,
    },
}

/// What a witness says of topics.
#[derive(Debug, Clone)]
pub struct Listing {
    /// Of those that were asked for. Where all were asked for: of those that match, that the leader of the group needs
    /// to know of, or that were known and are not there any more.
    pub topics: Topics,
    /// The pattern, if all topics were asked for because of one.
    pub pattern: Option<Arc<str>>,
    /// Those of them that Kafka itself keeps: they match no pattern.
    pub internal: BTreeSet<Arc<str>>,
}

/// Who leads a partition, as another broker says.
#[derive(Debug, Clone)]
pub struct Elected {
    /// The partition.
    pub partition: Partition,
    /// Its topic.
    pub topic: TopicId,
    /// The leader.
    pub node: NodeId,
    /// The election that it won.
    pub epoch: LeaderEpoch,
}

/// Connections to an endpoint are made to something else than its name resolves to by now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resolved {
    /// The endpoint.
    pub address: Address,
    /// What connections that stand are made to.
    pub from: IpAddr,
    /// What its name says now.
    pub to: IpAddr,
}

/// EndpointDiffer to MetadataPoller: a view is agreed.
#[derive(Debug, Clone, Message)]
#[rtype(result = "()")]
pub struct Settled {
    /// The discovery that began last before this was judged. A verdict from before a discovery began does not end
    /// that discovery.
    pub discovery: u64,
    /// Addresses of the agreed view that are not verified yet, or that are missed: these are asked on.
    pub unverified: BTreeSet<Address>,
    /// Whether this is news: another view than before, or a broker that was not verified where it is.
    pub found: bool,
}

/// Member to MetadataPoller: the leader of the group needs to know these topics' partition counts too.
#[derive(Debug, Clone, Message)]
#[rtype(result = "()")]
pub struct CountTopics(pub BTreeSet<Arc<str>>);

/// EndpointDiffer to Supervisor: this view is agreed, and it is another one than before.
#[derive(Debug, Clone, Message)]
#[rtype(result = "()")]
pub struct Drifted {
    /// The agreed view.
    pub view: Arc<View<NodeId>>,
    /// How it came to be known.
    pub timeline: Timeline,
}

/// Supervisor to EndpointDiffer: the view that the consumer uses from now on.
#[derive(Debug, Clone, Message)]
#[rtype(result = "()")]
pub struct InUse(pub Arc<View<NodeId>>);

/// Supervisor to the successor: take over.
#[derive(Debug, Clone, Message)]
#[rtype(result = "()")]
pub struct Promote;

/// Supervisor to Consumer: take the drift in place.
#[derive(Debug, Clone, Message)]
#[rtype(result = "()")]
pub struct Adapt(pub Arc<View<NodeId>>);

/// To whoever has a box for letters: one was put in.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "()")]
pub struct Mail;

/// Consumer to Supervisor, as a letter: how it stands.
#[derive(Debug, Clone)]
pub enum ConsumerState {
    /// The successor is connected and ready to fetch.
    Prepared(ConsumerIncarnation),
    /// The successor cannot reach what it needs.
    PrepareFailed(ConsumerIncarnation, String),
    /// Every partition is the successor's.
    Promoted(ConsumerIncarnation),
    /// Every partition that it took over had its first accepted fetch answer.
    FirstRecord {
        /// Who.
        incarnation: ConsumerIncarnation,
        /// Records skipped at the handover: the distance from a position to the first fetch after it.
        gap: i64,
    },
    /// It ended without being asked to.
    Ended(ConsumerIncarnation),
}

/// A fetch loop to its Consumer.
#[derive(Debug, Clone, Message)]
#[rtype(result = "()")]
pub struct LoopNote {
    /// The incarnation that the loop belongs to.
    pub incarnation: ConsumerIncarnation,
    /// The broker that it fetches from.
    pub node: NodeId,
    /// What it says.
    pub note: Note,
}

/// Member to Checkpointer: who owns what.
#[derive(Debug, Clone, Message)]
#[rtype(result = "()")]
pub enum Ownership {
    /// These are ours from now on.
    Assigned {
        /// Which, each with how often it had been lost by then. Counted when they were assigned: by the time that this
        /// is read they may have been lost again.
        partitions: BTreeMap<Partition, u64>,
        /// The generation that gave them to us.
        generation: GroupGeneration,
    },
    /// Drain these, commit, release them, and say so.
    Revoked {
        /// Which.
        partitions: BTreeSet<Partition>,
        /// When their leases end, drained or not.
        deadline: Tick,
    },
    /// Release these at once and commit nothing.
    Lost {
        /// Which.
        partitions: BTreeSet<Partition>,
        /// Why.
        reason: LostReason,
    },
}

/// Checkpointer to Member: what became of partitions and commits.
#[derive(Debug, Clone, Message)]
#[rtype(result = "()")]
pub enum Released {
    /// These are released.
    Partitions(BTreeSet<Partition>),
    /// A commit was refused by the group.
    CommitRefused {
        /// What the commit named.
        generation: GroupGeneration,
        /// The error.
        code: ErrorCode,
    },
}

/// Anyone to Checkpointer: commit now; answered when it is done, or when it cannot be.
#[derive(Debug, Clone, Message)]
#[rtype(result = "()")]
pub struct Flush(pub Occasion);

/// Checkpointer to the keeper of the handlers: partitions were assigned or released.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "()")]
pub struct OwnershipChanged;

/// Control to the keeper of the handlers: this partition leaves quarantine.
#[derive(Debug, Clone, Message)]
#[rtype(result = "()")]
pub struct Release(pub Partition);

/// ConfigWatcher to those whom it concerns: another configuration is in force.
#[derive(Debug, Clone, Message)]
#[rtype(result = "()")]
pub struct ConfigChanged(pub Arc<Config>);

/// The service to Member: give everything up and leave the group. Answered when it has, or by the deadline.
#[derive(Debug, Clone, Message)]
#[rtype(result = "()")]
pub struct Leave {
    /// Why, for the coordinator's log (KIP-800).
    pub reason: Arc<str>,
}

/// Anyone to the service: it has to end.
#[derive(Debug, Clone)]
pub enum End {
    /// The group refuses us for good.
    Refused(String),
    /// A handler stands still, and the group is to be left for it.
    Stalled(String),
    /// The member has left the group.
    Left,
}

/// Tests and drills to any actor: panic.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "()")]
pub struct Crash;
