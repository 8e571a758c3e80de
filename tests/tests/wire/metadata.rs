//! Metadata: who is in the cluster, and who leads what.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::{ApiKey, MetadataRequest, MetadataResponse};
use steadfast_tests::brokers::Brokers;
use steadfast_tests::either::Scene;
use steadfast_tests::kafka::ask;
use uuid::Uuid;

use crate::topic::{Topic, error, topic_name};
use crate::versions::served;

pub(crate) const SCENES: &[Scene] = &[
    ("metadata::every_broker_names_all_brokers_and_the_cluster", brokers_and_cluster),
    ("metadata::all_topics_are_named_to_who_asks_for_all", all_topics),
    ("metadata::no_topic_is_named_to_who_asks_for_none", no_topics),
    ("metadata::a_topic_s_leaders_and_copies_are_told", leaders),
    ("metadata::an_unknown_topic_is_not_created", unknown),
    ("metadata::a_topic_is_found_by_its_id", by_id),
    ("metadata::a_name_that_no_topic_may_have_is_refused", bad_name),
    ("metadata::added_partitions_are_told", added_partitions),
    ("metadata::a_topic_that_is_created_again_has_another_id", recreated),
];

const VERSIONS: [i16; 5] = [0, 1, 7, 12, 13];

/// Those of them that the brokers serve.
fn versions(brokers: &Brokers) -> Vec<i16> {
    served(brokers, ApiKey::Metadata, &VERSIONS)
}

fn first(brokers: &Brokers) -> SocketAddr {
    *brokers.addresses().values().next().unwrap()
}

/// A question for these topics, or for all.
fn about(version: i16, topics: Option<&[&str]>) -> MetadataRequest {
    let named = |name: &&str| MetadataRequestTopic::default().with_name(Some(topic_name(name)));
    let topics = match topics {
        Some(topics) => Some(topics.iter().map(named).collect()),
        // Version 0 has no other way to ask for all.
        None if version == 0 => Some(Vec::new()),
        None => None,
    };
    MetadataRequest::default().with_topics(topics)
}

fn names(answer: &MetadataResponse) -> Vec<String> {
    answer.topics.iter().filter_map(|topic| topic.name.as_ref()).map(|name| name.to_string()).collect()
}

fn brokers_and_cluster(brokers: &Brokers) {
    let mut clusters = Vec::new();
    for at in brokers.addresses().values() {
        for version in versions(brokers) {
            let answer = ask(*at, version, &about(version, Some(&["nothing"]))).unwrap();
            let named: BTreeMap<i32, SocketAddr> = answer
                .brokers
                .iter()
                .map(|broker| {
                    (broker.node_id.0, format!("{}:{}", &*broker.host, broker.port).parse().unwrap())
                })
                .collect();
            assert_eq!(&named, brokers.addresses(), "version {version}");
            assert!(answer.brokers.iter().all(|broker| broker.rack.is_none()));
            if version >= 1 {
                assert!(named.contains_key(&answer.controller_id.0), "{}", answer.controller_id.0);
            }
            if version >= 2 {
                clusters.push(answer.cluster_id.unwrap());
            }
            assert_eq!((answer.throttle_time_ms, error(answer.error_code)), (0, None));
        }
    }
    clusters.dedup();
    assert_eq!(clusters.len(), 1, "{clusters:?}");
}

fn all_topics(brokers: &Brokers) {
    let created = ["metadata-all-1", "metadata-all-2"];
    created.iter().for_each(|name| drop(Topic::create(brokers, name, 1)));
    for version in versions(brokers) {
        let named = names(&ask(first(brokers), version, &about(version, None)).unwrap());
        assert!(created.iter().all(|name| named.iter().any(|named| named == name)), "{version}: {named:?}");
    }
}

fn no_topics(brokers: &Brokers) {
    Topic::create(brokers, "metadata-none", 1);
    for version in versions(brokers).into_iter().filter(|version| *version > 0) {
        let answer = ask(first(brokers), version, &about(version, Some(&[]))).unwrap();
        assert_eq!(names(&answer), Vec::<String>::new(), "version {version}");
    }
}

fn leaders(brokers: &Brokers) {
    let name = "metadata-leaders";
    let id = Topic::create(brokers, name, 6).id;
    let nodes: Vec<i32> = brokers.addresses().keys().copied().collect();
    for at in brokers.addresses().values() {
        for version in versions(brokers) {
            let answer = ask(*at, version, &about(version, Some(&[name]))).unwrap();
            assert_eq!(names(&answer), [name]);
            let topic = &answer.topics[0];
            assert_eq!((error(topic.error_code), topic.is_internal), (None, false));
            assert_eq!(topic.topic_id, if version >= 10 { id } else { Uuid::nil() });
            let mut partitions = topic.partitions.clone();
            partitions.sort_by_key(|partition| partition.partition_index);
            let indexes: Vec<i32> = partitions.iter().map(|partition| partition.partition_index).collect();
            assert_eq!(indexes, [0, 1, 2, 3, 4, 5]);
            for partition in partitions {
                assert_eq!(error(partition.error_code), None);
                assert_eq!(partition.leader_epoch, if version >= 7 { 0 } else { -1 });
                assert!(nodes.contains(&partition.leader_id.0));
                let mut copies: Vec<i32> = partition.replica_nodes.iter().map(|node| node.0).collect();
                // The first of them is who should lead, and at first does.
                assert_eq!(copies[0], partition.leader_id.0);
                copies.sort_unstable();
                assert_eq!(copies, nodes);
                assert_eq!(partition.isr_nodes.len(), nodes.len());
                assert!(partition.offline_replicas.is_empty());
            }
        }
    }
}

/// The suites' clusters don't create topics by themselves.
fn unknown(brokers: &Brokers) {
    let name = "metadata-unknown";
    for version in versions(brokers) {
        let question = about(version, Some(&[name])).with_allow_auto_topic_creation(true);
        let answer = ask(first(brokers), version, &question).unwrap();
        assert_eq!(names(&answer), [name]);
        let topic = &answer.topics[0];
        assert_eq!(error(topic.error_code), Some(ResponseError::UnknownTopicOrPartition));
        assert!(topic.partitions.is_empty() && topic.topic_id.is_nil());
    }
}

fn by_id(brokers: &Brokers) {
    let topic = Topic::create(brokers, "metadata-by-id", 2);
    let question = |id: Uuid| {
        let asked = MetadataRequestTopic::default().with_topic_id(id).with_name(None);
        MetadataRequest::default().with_topics(Some(vec![asked]))
    };
    for version in served(brokers, ApiKey::Metadata, &[12, 13]) {
        let answer = ask(first(brokers), version, &question(topic.id)).unwrap();
        assert_eq!((names(&answer), answer.topics[0].partitions.len()), (vec![topic.name.clone()], 2));
        let unknown = Uuid::from_u128(7);
        let answer = ask(first(brokers), version, &question(unknown)).unwrap();
        let found = &answer.topics[0];
        assert_eq!((found.topic_id, &found.name), (unknown, &None));
        assert_eq!(error(found.error_code), Some(ResponseError::UnknownTopicId));
    }
}

fn bad_name(brokers: &Brokers) {
    for version in versions(brokers) {
        for name in ["no blanks", "..", &"x".repeat(250)] {
            let answer = ask(first(brokers), version, &about(version, Some(&[name]))).unwrap();
            let found = error(answer.topics[0].error_code);
            assert_eq!(found, Some(ResponseError::InvalidTopicException), "{name}");
        }
    }
}

fn added_partitions(brokers: &Brokers) {
    let topic = Topic::create(brokers, "metadata-added", 2);
    brokers.add_partitions(&topic.name, 5).unwrap();
    assert_eq!(Topic::known(brokers, &topic.name).id, topic.id);
    assert_eq!(topic.partition(4).leader_epoch, 0);
    assert!(brokers.add_partitions(&topic.name, 5).is_err());
    assert!(brokers.add_partitions(&topic.name, 1).is_err());
}

fn recreated(brokers: &Brokers) {
    let topic = Topic::create(brokers, "metadata-recreated", 1);
    brokers.delete_topic(&topic.name).unwrap();
    let answer = ask(first(brokers), 12, &about(12, Some(&[&topic.name]))).unwrap();
    assert_eq!(error(answer.topics[0].error_code), Some(ResponseError::UnknownTopicOrPartition));
    let again = Topic::create(brokers, &topic.name, 1);
    assert_ne!(again.id, topic.id);
    assert_eq!(again.partition(0).leader_epoch, 0);
}
