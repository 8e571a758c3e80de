//! DescribeCluster (60): its id and its brokers.

use kafka_protocol::ResponseError;
use kafka_protocol::messages::describe_cluster_response::DescribeClusterBroker;
use kafka_protocol::messages::{DescribeClusterRequest, DescribeClusterResponse, ResponseKind};
use kafka_protocol::protocol::StrBytes;

use super::metadata::controller;
use crate::call::{Call, Reply};
use crate::cluster::Cluster;

const BROKERS: i8 = 1;

pub(crate) fn handle(cluster: &mut Cluster, _: &Call, request: &DescribeClusterRequest) -> Reply {
    let answer = DescribeClusterResponse::default().with_endpoint_type(BROKERS);
    if request.endpoint_type != BROKERS {
        let error = ResponseError::MismatchedEndpointType.code();
        return Reply::now(ResponseKind::DescribeCluster(answer.with_error_code(error)));
    }
    let named = cluster.brokers().iter().filter(|(_, broker)| broker.alive || request.include_fenced_brokers);
    let brokers = named.map(|(node, broker)| {
        DescribeClusterBroker::default()
            .with_broker_id(node.0.into())
            .with_host(StrBytes::from_string(broker.address.host.clone()))
            .with_port(i32::from(broker.address.port))
            .with_rack(broker.rack.clone().map(StrBytes::from_string))
            .with_is_fenced(!broker.alive)
    });
    let answer = answer
        .with_cluster_id(StrBytes::from_string(cluster.id().to_string()))
        .with_controller_id(controller(cluster))
        .with_brokers(brokers.collect());
    Reply::now(ResponseKind::DescribeCluster(answer))
}

#[cfg(test)]
mod tests {
    use kafka_protocol::messages::RequestKind;
    use steadfast_core::ids::NodeId;

    use super::*;
    use crate::asking::{ask, cluster};

    fn described(cluster: &mut Cluster, fenced: bool) -> Vec<(i32, bool)> {
        let request = DescribeClusterRequest::default().with_include_fenced_brokers(fenced);
        match ask(cluster, 1, 2, RequestKind::DescribeCluster(request)) {
            ResponseKind::DescribeCluster(described) => {
                assert_eq!((described.cluster_id.as_str(), described.error_code), ("cluster", 0));
                described.brokers.iter().map(|broker| (broker.broker_id.0, broker.is_fenced)).collect()
            }
            other => panic!("expected a described cluster, found {other:?}"),
        }
    }

    #[test]
    fn dead_brokers_are_described_only_on_request() {
        let mut cluster = cluster();
        cluster.stop_broker(NodeId(2));
        assert_eq!(described(&mut cluster, false), [(1, false), (3, false)]);
        assert_eq!(described(&mut cluster, true), [(1, false), (2, true), (3, false)]);
    }
}
