//! What can befall the embedded cluster, as values: each is one line of text in a log, and that line injects it again.

mod inject;
mod text;

use std::collections::BTreeSet;
use std::time::Duration;

use kafka_protocol::messages::ApiKey;
use steadfast_core::ids::NodeId;

pub use text::FaultTextError;

/// Which brokers.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Nodes {
    /// All that the cluster has.
    All,
    /// These.
    Some(BTreeSet<NodeId>),
}

impl Nodes {
    /// One broker.
    pub fn one(node: NodeId) -> Nodes {
        Nodes::Some(BTreeSet::from([node]))
    }
}

/// What becomes of the old address of a broker that moved.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Old {
    /// It refuses, and the connections that stand are reset.
    Refuse,
    /// It still accepts and the connections stay, but nothing is answered any more.
    BlackHole,
    /// Connecting never ends, and the connections that stand fall silent. Not to be had over TCP.
    Drop,
    /// It goes on serving for this long and says of endpoints what was true before the move; then it refuses.
    Stale(Duration),
    /// It goes on serving for this long, naming the new addresses; then it refuses.
    Grace(Duration),
}

/// What does not pass between clients and a broker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Way {
    /// Nothing passes.
    Both,
    /// Requests don't; answers under way do.
    Requests,
    /// Answers don't: the broker does what it is asked, and nobody hears of it.
    Answers,
}

/// What befalls the cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// Brokers get new addresses.
    MoveEndpoints {
        /// Which ones.
        nodes: Nodes,
        /// What becomes of their old addresses.
        old: Old,
    },
    /// Two brokers are reached at each other's address from now on, and advertise that.
    SwapAddresses {
        /// One.
        a: NodeId,
        /// The other.
        b: NodeId,
    },
    /// A broker's process ends. The last one may be killed too: then there is no cluster until one is back.
    Kill {
        /// Which one.
        node: NodeId,
    },
    /// A broker that was killed is back at its address.
    Restart {
        /// Which one.
        node: NodeId,
    },
    /// Clients and a broker don't reach each other; the other brokers still know it as alive.
    Isolate {
        /// Which one.
        node: NodeId,
        /// What does not pass.
        way: Way,
    },
    /// The connections to brokers that stand fall silent for good, both ways, and stay open: a router has forgotten
    /// them, or a thread of the broker hangs. New ones work.
    SilenceConnections {
        /// To which brokers.
        nodes: Nodes,
    },
    /// A broker's process stops and goes on: connections are made and stand, requests arrive, and nothing is answered
    /// until it goes on where it stopped.
    Pause {
        /// Which one.
        node: NodeId,
        /// For how long.
        during: Duration,
    },
    /// Brokers throttle their clients (KIP-219): an answer says for how long, is sent at once, and then the broker is
    /// deaf on that connection for so long.
    Throttle {
        /// Which ones.
        nodes: Nodes,
        /// How long after each answer; nothing: no longer.
        by: Duration,
    },
    /// Brokers take up so many new connections a second (KIP-612). Those beyond are made, and answered when it is their
    /// turn.
    LimitConnections {
        /// Which ones.
        nodes: Nodes,
        /// How many, by each of them.
        per_second: u32,
    },
    /// Each passage to and from a broker takes this long.
    Slow {
        /// Which one.
        node: NodeId,
        /// How long.
        by: Duration,
    },
    /// Brokers' links are sound again, they say the truth, and damages that did not happen yet won't.
    Heal {
        /// Which ones.
        nodes: Nodes,
    },
    /// A broker leads no partition any more that another one can lead.
    MoveLeaders {
        /// Which one.
        from: NodeId,
    },
    /// A broker joins.
    AddBroker {
        /// Under this number, which no broker has.
        node: NodeId,
    },
    /// A broker leaves for good. The last one cannot.
    RemoveBroker {
        /// Which one.
        node: NodeId,
    },
    /// A broker names another cluster id.
    AnswerAsOtherCluster {
        /// Which one.
        node: NodeId,
    },
    /// Brokers name no brokers.
    AnswerWithNoBrokers {
        /// Which ones.
        nodes: Nodes,
    },
    /// Brokers name the lower half of the brokers.
    AnswerWithHalfOfTheBrokers {
        /// Which ones.
        nodes: Nodes,
    },
    /// Metadata lags: every broker goes on naming the endpoints as they are now.
    LagMetadata {
        /// For how long.
        during: Duration,
    },
    /// No coordinator is found, and none answers with anything else than that it is not available.
    CoordinatorUnavailable {
        /// For how long.
        during: Duration,
    },
    /// Every group's coordinator is another broker from now on, if there is another one.
    MoveCoordinator,
    /// Commits are taken and not answered.
    HangCommits {
        /// For how long.
        during: Duration,
        /// Whether they have their effect.
        stored: bool,
    },
    /// A broker's next answer to an API is half sent, then the connection is reset.
    ResetMidFrame {
        /// Which one.
        node: NodeId,
        /// To which API.
        api: ApiKey,
    },
    /// A broker's next answer to an API is half sent, then the connection is closed.
    TruncateFrame {
        /// Which one.
        node: NodeId,
        /// To which API.
        api: ApiKey,
    },
    /// A broker's next answer to an API has wrong bytes.
    CorruptFrame {
        /// Which one.
        node: NodeId,
        /// To which API.
        api: ApiKey,
    },
    /// A broker's next answer to an API is never sent, nor anything after it on its connection.
    WithholdAnswer {
        /// Which one.
        node: NodeId,
        /// To which API.
        api: ApiKey,
    },
    /// A name resolves to other hosts. Not to be had over TCP.
    ChangeDns {
        /// The name.
        name: String,
        /// The hosts; none: the name does not exist.
        hosts: Vec<String>,
    },
    /// A name resolves to itself again.
    RestoreDns {
        /// The name.
        name: String,
    },
    /// The address that a broker had before it last moved leads to another cluster with topics of the same names.
    AddressTakenByOtherCluster {
        /// Which one.
        node: NodeId,
    },
}
