//! Leaders that move because they are told to, asked of real brokers.

use std::io;
use std::net::SocketAddr;

use kafka_protocol::messages::alter_partition_reassignments_request::{
    ReassignablePartition, ReassignableTopic,
};
use kafka_protocol::messages::elect_leaders_request::TopicPartitions;
use kafka_protocol::messages::{AlterPartitionReassignmentsRequest, ElectLeadersRequest, TopicName};
use kafka_protocol::protocol::StrBytes;

use super::{ask, metadata};

const LIMIT_MS: i32 = 10_000;
const ELECTION_NOT_NEEDED: i16 = 84;

/// Makes `node` the preferred leader, then has the preferred one elected.
pub(super) fn elect(at: SocketAddr, topic: &str, partition: i32, node: i32) -> io::Result<()> {
    let found = metadata(at, &[topic])?.topics.into_iter().flat_map(|topic| topic.partitions);
    let found = found.into_iter().find(|found| found.partition_index == partition);
    let mut copies = found.ok_or(io::ErrorKind::NotFound)?.replica_nodes;
    copies.sort_by_key(|copy| copy.0 != node);
    let name = TopicName(StrBytes::from_string(topic.to_owned()));
    let reassigned =
        ReassignablePartition::default().with_partition_index(partition).with_replicas(Some(copies));
    let topics = ReassignableTopic::default().with_name(name.clone()).with_partitions(vec![reassigned]);
    let request =
        AlterPartitionReassignmentsRequest::default().with_timeout_ms(LIMIT_MS).with_topics(vec![topics]);
    let answer = ask(at, 0, &request)?;
    let told = answer.responses.iter().flat_map(|topic| &topic.partitions).map(|told| told.error_code);
    accepted("a reassignment", [answer.error_code].into_iter().chain(told))?;

    let elected = TopicPartitions::default().with_topic(name).with_partitions(vec![partition]);
    let request =
        ElectLeadersRequest::default().with_timeout_ms(LIMIT_MS).with_topic_partitions(Some(vec![elected]));
    let answer = ask(at, 2, &request)?;
    let told = answer.replica_election_results.iter().flat_map(|topic| &topic.partition_result);
    // Who leads already need not be elected: the reassignment, or the controller meanwhile, may have seen to it.
    let told = told.map(|told| told.error_code).filter(|error| *error != ELECTION_NOT_NEEDED);
    let whole = Some(answer.error_code).filter(|error| *error != ELECTION_NOT_NEEDED);
    accepted("an election", whole.into_iter().chain(told))
}

fn accepted(what: &str, errors: impl IntoIterator<Item = i16>) -> io::Result<()> {
    match errors.into_iter().find(|error| *error != 0) {
        None => Ok(()),
        Some(error) => Err(io::Error::other(format!("{what} is refused with error {error}"))),
    }
}
