//! DescribeConfigs (32): the settings that topics were created with. Brokers have none.

use kafka_protocol::ResponseError;
use kafka_protocol::messages::describe_configs_request::DescribeConfigsResource;
use kafka_protocol::messages::describe_configs_response::{
    DescribeConfigsResourceResult, DescribeConfigsResult,
};
use kafka_protocol::messages::{DescribeConfigsRequest, DescribeConfigsResponse, ResponseKind};
use kafka_protocol::protocol::StrBytes;

use crate::call::{Call, Reply};
use crate::cluster::Cluster;

const TOPIC: i8 = 2;
const BROKER: i8 = 4;
/// The setting was made for this topic.
const DYNAMIC_TOPIC_CONFIG: i8 = 1;

pub(crate) fn handle(cluster: &mut Cluster, _: &Call, request: &DescribeConfigsRequest) -> Reply {
    let results = request.resources.iter().map(|resource| {
        let result = match resource.resource_type {
            TOPIC => topic(cluster, resource),
            BROKER => Ok(Vec::new()),
            _ => Err(ResponseError::InvalidRequest),
        };
        let described = DescribeConfigsResult::default()
            .with_resource_type(resource.resource_type)
            .with_resource_name(resource.resource_name.clone());
        match result {
            Ok(configs) => described.with_configs(configs),
            Err(error) => described.with_error_code(error.code()),
        }
    });
    let answer = DescribeConfigsResponse::default().with_results(results.collect());
    Reply::now(ResponseKind::DescribeConfigs(answer))
}

fn topic(
    cluster: &Cluster,
    resource: &DescribeConfigsResource,
) -> Result<Vec<DescribeConfigsResourceResult>, ResponseError> {
    let topic = cluster.topics.by_name(&resource.resource_name);
    let topic = topic.ok_or(ResponseError::UnknownTopicOrPartition)?;
    let asked = |name: &str| {
        let keys = resource.configuration_keys.as_ref();
        keys.is_none_or(|keys| keys.iter().any(|key| key.as_str() == name))
    };
    let configs = topic.configs.iter().filter(|(name, _)| asked(name)).map(|(name, value)| {
        DescribeConfigsResourceResult::default()
            .with_name(StrBytes::from_string(name.clone()))
            .with_value(Some(StrBytes::from_string(value.clone())))
            .with_config_source(DYNAMIC_TOPIC_CONFIG)
    });
    Ok(configs.collect())
}

#[cfg(test)]
mod tests {
    use kafka_protocol::messages::RequestKind;

    use super::*;
    use crate::asking::{ask, cluster};

    fn describe(cluster: &mut Cluster, name: &'static str, keys: &[&'static str]) -> DescribeConfigsResult {
        let keys = keys.iter().map(|key| StrBytes::from_static_str(key)).collect();
        let resource = DescribeConfigsResource::default()
            .with_resource_type(TOPIC)
            .with_resource_name(StrBytes::from_static_str(name))
            .with_configuration_keys(Some(keys));
        let request = DescribeConfigsRequest::default().with_resources(vec![resource]);
        match ask(cluster, 1, 4, RequestKind::DescribeConfigs(request)) {
            ResponseKind::DescribeConfigs(described) => described.results[0].clone(),
            other => panic!("expected described settings, found {other:?}"),
        }
    }

    #[test]
    fn a_topic_s_own_settings_are_described_if_asked_for() {
        let mut cluster = cluster();
        let kept = [("a", "1"), ("b", "2")].map(|(name, value)| (name.to_owned(), value.to_owned()));
        cluster.topics.configure("t", kept.into());
        let described = describe(&mut cluster, "t", &["b", "c"]);
        let named: Vec<_> = described.configs.iter().map(|config| config.name.as_str()).collect();
        assert_eq!(named, ["b"]);
        let unknown = describe(&mut cluster, "u", &[]);
        assert_eq!(unknown.error_code, ResponseError::UnknownTopicOrPartition.code());
    }
}
