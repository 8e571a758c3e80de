//! What a broker says of its cluster when it does not say the truth.
//!
//! A guise changes answers on their way out: Metadata, DescribeCluster and FindCoordinator, and the endpoints of new
//! leaders that Produce and Fetch name (KIP-951). Everything else is answered as it is.

use std::collections::{BTreeMap, BTreeSet};

use kafka_protocol::messages::metadata_response::{MetadataResponsePartition, MetadataResponseTopic};
use kafka_protocol::messages::{
    BrokerId, DescribeClusterResponse, FindCoordinatorResponse, MetadataResponse, ResponseKind,
};
use kafka_protocol::protocol::StrBytes;
use steadfast_core::endpoints::view::Address;
use steadfast_core::ids::{ClusterId, NodeId, TopicId};
use uuid::Uuid;

const LEADER_NOT_AVAILABLE: i16 = 5;
const COORDINATOR_NOT_AVAILABLE: i16 = 15;

/// What is said instead of the truth.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Guise {
    /// The endpoints as they were at some moment. Brokers that came later are as they are.
    Stale(BTreeMap<NodeId, Address>),
    /// Another cluster id.
    OtherCluster(ClusterId),
    /// These brokers are all that there are: partitions and groups of others have no leader and no coordinator.
    Only(BTreeSet<NodeId>),
    /// These topics have these ids, as before they were created again.
    TopicIds(BTreeMap<String, TopicId>),
}

impl Guise {
    /// These brokers, as they are shown under this guise.
    pub fn view(&self, brokers: &BTreeMap<NodeId, Address>) -> BTreeMap<NodeId, Address> {
        let place = |(node, address): (&NodeId, &Address)| match self {
            Guise::Stale(endpoints) => Some((*node, endpoints.get(node).unwrap_or(address).clone())),
            Guise::Only(nodes) => nodes.contains(node).then(|| (*node, address.clone())),
            Guise::OtherCluster(_) | Guise::TopicIds(_) => Some((*node, address.clone())),
        };
        brokers.iter().filter_map(place).collect()
    }

    /// The answer under this guise.
    pub(crate) fn apply(&self, mut answer: ResponseKind) -> ResponseKind {
        match &mut answer {
            ResponseKind::Metadata(answer) => self.metadata(answer),
            ResponseKind::DescribeCluster(answer) => self.described(answer),
            ResponseKind::FindCoordinator(answer) => self.coordinator(answer),
            ResponseKind::Produce(answer) => {
                answer.node_endpoints.retain_mut(|at| self.place(at.node_id, &mut at.host, &mut at.port))
            }
            ResponseKind::Fetch(answer) => {
                answer.node_endpoints.retain_mut(|at| self.place(at.node_id, &mut at.host, &mut at.port))
            }
            _ => {}
        }
        answer
    }

    fn metadata(&self, answer: &mut MetadataResponse) {
        answer.brokers.retain_mut(|at| self.place(at.node_id, &mut at.host, &mut at.port));
        answer.controller_id = self.shown(answer.controller_id);
        if let Guise::OtherCluster(id) = self {
            answer.cluster_id = answer.cluster_id.is_some().then(|| text(&id.0));
        }
        for topic in &mut answer.topics {
            self.topic(topic);
        }
        for partition in answer.topics.iter_mut().flat_map(|topic| &mut topic.partitions) {
            self.partition(partition);
        }
    }

    fn topic(&self, topic: &mut MetadataResponseTopic) {
        let name = topic.name.as_ref().map(|name| name.0.as_str());
        if let (Guise::TopicIds(ids), Some(name)) = (self, name)
            && let Some(id) = ids.get(name)
        {
            topic.topic_id = Uuid::from_u128(id.0);
        }
    }

    fn partition(&self, partition: &mut MetadataResponsePartition) {
        if self.shows(partition.leader_id) {
            return;
        }
        partition.leader_id = BrokerId(-1);
        partition.error_code = LEADER_NOT_AVAILABLE;
    }

    fn described(&self, answer: &mut DescribeClusterResponse) {
        answer.brokers.retain_mut(|at| self.place(at.broker_id, &mut at.host, &mut at.port));
        answer.controller_id = self.shown(answer.controller_id);
        if let Guise::OtherCluster(id) = self {
            answer.cluster_id = text(&id.0);
        }
    }

    /// Up to version 3 one coordinator stands in the answer itself, from 4 on each in its own structure.
    fn coordinator(&self, answer: &mut FindCoordinatorResponse) {
        let in_itself = answer.coordinators.is_empty() && answer.error_code == 0;
        if in_itself && !self.place(answer.node_id, &mut answer.host, &mut answer.port) {
            (answer.error_code, answer.node_id, answer.port) = (COORDINATOR_NOT_AVAILABLE, BrokerId(-1), -1);
            answer.host = StrBytes::default();
        }
        for found in answer.coordinators.iter_mut().filter(|found| found.error_code == 0) {
            if !self.place(found.node_id, &mut found.host, &mut found.port) {
                (found.error_code, found.node_id, found.port) = (COORDINATOR_NOT_AVAILABLE, BrokerId(-1), -1);
                found.host = StrBytes::default();
            }
        }
    }

    /// Puts the broker where the guise has it; whether it is shown at all.
    fn place(&self, node: BrokerId, host: &mut StrBytes, port: &mut i32) -> bool {
        if let Guise::Stale(endpoints) = self
            && let Some(address) = endpoints.get(&NodeId(node.0))
        {
            (*host, *port) = (text(&address.host), i32::from(address.port));
        }
        self.shows(node)
    }

    fn shows(&self, node: BrokerId) -> bool {
        match self {
            Guise::Only(nodes) => nodes.contains(&NodeId(node.0)),
            Guise::Stale(_) | Guise::OtherCluster(_) | Guise::TopicIds(_) => true,
        }
    }

    fn shown(&self, node: BrokerId) -> BrokerId {
        if self.shows(node) { node } else { BrokerId(-1) }
    }
}

fn text(text: &str) -> StrBytes {
    StrBytes::from_string(text.to_owned())
}

#[cfg(test)]
mod tests {
    use kafka_protocol::messages::find_coordinator_response::Coordinator;
    use kafka_protocol::messages::metadata_response::MetadataResponseBroker;
    use kafka_protocol::messages::{FetchResponse, TopicName, fetch_response};

    use super::*;

    fn truth() -> ResponseKind {
        let broker = |node: i32| {
            let at = MetadataResponseBroker::default().with_node_id(BrokerId(node));
            at.with_host(text("new")).with_port(node)
        };
        let led = |node: i32| MetadataResponsePartition::default().with_leader_id(BrokerId(node));
        let topic = MetadataResponseTopic::default().with_partitions(vec![led(1), led(2)]);
        ResponseKind::Metadata(
            MetadataResponse::default()
                .with_cluster_id(Some(text("ours")))
                .with_controller_id(BrokerId(2))
                .with_brokers(vec![broker(1), broker(2)])
                .with_topics(vec![topic]),
        )
    }

    fn seen(guise: &Guise) -> MetadataResponse {
        match guise.apply(truth()) {
            ResponseKind::Metadata(answer) => answer,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn stale_endpoints_are_those_of_then() {
        let seen = seen(&Guise::Stale(BTreeMap::from([(NodeId(1), Address::new("old", 7))])));
        let at: Vec<_> = seen.brokers.iter().map(|at| (at.host.as_str(), at.port)).collect();
        assert_eq!(at, [("old", 7), ("new", 2)]);
    }

    #[test]
    fn another_cluster_has_the_same_brokers_under_another_id() {
        let seen = seen(&Guise::OtherCluster(ClusterId::from("theirs")));
        assert_eq!((seen.cluster_id.as_deref(), seen.brokers.len()), (Some("theirs"), 2));
    }

    #[test]
    fn topics_have_the_ids_that_they_had() {
        let guise = Guise::TopicIds(BTreeMap::from([("orders".to_owned(), TopicId(7))]));
        let shown = |name: &str| {
            let topic = MetadataResponseTopic::default().with_name(Some(TopicName(text(name))));
            let answer = MetadataResponse::default().with_topics(vec![topic]);
            match guise.apply(ResponseKind::Metadata(answer)) {
                ResponseKind::Metadata(answer) => answer.topics[0].topic_id.as_u128(),
                other => panic!("{other:?}"),
            }
        };
        assert_eq!((shown("orders"), shown("payments")), (7, 0));
    }

    #[test]
    fn brokers_that_are_not_shown_lead_and_coordinate_nothing() {
        let only = Guise::Only(BTreeSet::from([NodeId(1)]));
        let answer = seen(&only);
        assert_eq!((answer.brokers.len(), answer.controller_id), (1, BrokerId(-1)));
        let led: Vec<_> = answer.topics[0].partitions.iter().map(|p| (p.leader_id.0, p.error_code)).collect();
        assert_eq!(led, [(1, 0), (-1, LEADER_NOT_AVAILABLE)]);
        assert!(seen(&Guise::Only(BTreeSet::new())).brokers.is_empty());

        let under = |found| match only.apply(ResponseKind::FindCoordinator(found)) {
            ResponseKind::FindCoordinator(found) => found,
            other => panic!("{other:?}"),
        };
        let up_to_3 = under(FindCoordinatorResponse::default().with_node_id(BrokerId(2)));
        assert_eq!((up_to_3.error_code, up_to_3.node_id), (COORDINATOR_NOT_AVAILABLE, BrokerId(-1)));
        let found = [1, 2].map(|node| Coordinator::default().with_node_id(BrokerId(node))).to_vec();
        let from_4 = under(FindCoordinatorResponse::default().with_coordinators(found));
        let errors: Vec<_> = from_4.coordinators.iter().map(|found| found.error_code).collect();
        assert_eq!((from_4.error_code, errors), (0, vec![0, COORDINATOR_NOT_AVAILABLE]));
    }

    #[test]
    fn new_leaders_endpoints_wear_the_guise_too() {
        let at = |node| fetch_response::NodeEndpoint::default().with_node_id(BrokerId(node));
        let answer = FetchResponse::default().with_node_endpoints(vec![at(1), at(2)]);
        let only = Guise::Only(BTreeSet::from([NodeId(2)]));
        let ResponseKind::Fetch(answer) = only.apply(ResponseKind::Fetch(answer)) else {
            panic!("another answer")
        };
        assert_eq!(answer.node_endpoints, [at(2)]);
    }
}
