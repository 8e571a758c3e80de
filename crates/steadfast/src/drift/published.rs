//! The agreed view, published as one watched value: who needs an endpoint reads it here.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use steadfast_core::cluster::{Cluster as Leaders, Rules};
use steadfast_core::endpoints::reach::Reach;
use steadfast_core::endpoints::view::{Address, View};
use steadfast_core::ids::{ClusterId, LeaderEpoch, NodeId, Partition, TopicId};

/// What is known of the cluster.
#[derive(Debug, Clone)]
pub struct Cluster {
    /// The agreed view; none before the first one.
    pub view: Option<Arc<View<NodeId>>>,
    /// The view that the consumer uses; none before the first one.
    pub in_use: Option<Arc<View<NodeId>>>,
    /// The brokers whose own answer at their own address maps them to it: only these are used.
    pub verified: BTreeSet<NodeId>,
    /// Those of the agreed view that cannot be used where they are said to be.
    pub reach: Reach<NodeId>,
    /// The cluster that everything has to belong to.
    pub pin: Option<ClusterId>,
    /// How often each broker was verified at another resolved address than connections to it were made to, its
    /// endpoint being the same.
    pub resolutions: BTreeMap<NodeId, u64>,
    /// Topics, leaders and their epochs.
    pub leaders: Leaders,
}

impl Cluster {
    /// Nothing is known but, perhaps, which cluster it has to be.
    pub fn unknown(pin: Option<ClusterId>, rules: Rules) -> Cluster {
        Cluster {
            view: None,
            in_use: None,
            verified: BTreeSet::new(),
            reach: Reach::new(),
            pin,
            resolutions: BTreeMap::new(),
            leaders: Leaders::new(rules),
        }
    }

    /// Where a verified broker is reached.
    pub fn address(&self, node: NodeId) -> Option<&Address> {
        self.view.as_ref().filter(|_| self.verified.contains(&node))?.address(&node)
    }

    /// Whether a verified broker is reached at this address.
    pub fn is_verified_at(&self, address: &Address) -> bool {
        self.verified.iter().any(|node| self.address(*node) == Some(address))
    }

    /// Takes a view over that is agreed, and who is verified in it.
    pub(crate) fn adopt(&mut self, view: &Arc<View<NodeId>>, verified: BTreeSet<NodeId>) {
        if self.view.as_ref() != Some(view) {
            self.leaders.elect(view.endpoints.values().map(|at| at.address.clone()).collect());
        }
        (self.view, self.verified) = (Some(Arc::clone(view)), verified);
    }

    /// All verified brokers with their addresses.
    pub fn verified(&self) -> BTreeMap<NodeId, Address> {
        let address = |node: &NodeId| Some((*node, self.address(*node)?.clone()));
        self.verified.iter().filter_map(address).collect()
    }

    /// What a connection to the broker was made under: with another one it leads elsewhere by now, and is to be
    /// replaced.
    pub fn resolution(&self, node: NodeId) -> u64 {
        self.resolutions.get(&node).copied().unwrap_or(0)
    }

    /// The topic's identity, as far as it is known.
    pub fn topic_id(&self, topic: &str) -> TopicId {
        self.leaders.topic_id(topic).unwrap_or(TopicId::UNKNOWN)
    }

    /// The known topics by their ids.
    pub fn topic_names(&self) -> BTreeMap<TopicId, Arc<str>> {
        let named = |topic: &Arc<str>| Some((self.leaders.topic_id(topic)?, Arc::clone(topic)));
        let known = |(id, _): &(TopicId, Arc<str>)| *id != TopicId::UNKNOWN;
        self.leaders.topics().filter_map(named).filter(known).collect()
    }

    /// Who leads the partition.
    pub fn leader(&self, partition: &Partition) -> Option<(NodeId, LeaderEpoch)> {
        self.leaders.leader(partition)
    }

    /// How many partitions each known topic has: none where the newest answer says that there is no such topic.
    pub fn partition_counts(&self) -> BTreeMap<Arc<str>, i32> {
        let count = |topic: &Arc<str>| {
            let count = self.leaders.partition_count(topic).unwrap_or(0);
            (Arc::clone(topic), i32::try_from(count).unwrap_or(i32::MAX))
        };
        let missing = self.leaders.missing().map(|topic| (Arc::clone(topic), 0));
        missing.chain(self.leaders.topics().map(count)).collect()
    }
}
