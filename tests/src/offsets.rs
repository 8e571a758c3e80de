//! What a group has committed, asked of its coordinator.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use kafka_protocol::messages::offset_fetch_request::OffsetFetchRequestTopic;
use kafka_protocol::messages::{GroupId, OffsetFetchRequest, TopicName};
use kafka_protocol::protocol::StrBytes;

use crate::brokers::Brokers;
use crate::kafka::ask;
use crate::within;

const LIMIT: Duration = Duration::from_secs(20);

/// The group's committed offset of each of the topic's first `partitions` partitions. One for which nothing was
/// committed is absent.
///
/// # Errors
/// No broker answers as the group's coordinator within 20 s.
pub fn committed(
    brokers: &Brokers,
    group: &str,
    topic: &str,
    partitions: i32,
) -> io::Result<BTreeMap<i32, i64>> {
    within(LIMIT, || {
        let mut last = io::Error::other("no broker is running");
        for at in brokers.addresses().values() {
            match asked(*at, group, topic, partitions) {
                Ok(committed) => return Ok(committed),
                Err(error) => last = error,
            }
        }
        Err(last)
    })
}

fn asked(at: SocketAddr, group: &str, topic: &str, partitions: i32) -> io::Result<BTreeMap<i32, i64>> {
    let text = |text: &str| StrBytes::from_string(text.to_owned());
    let topic = OffsetFetchRequestTopic::default()
        .with_name(TopicName(text(topic)))
        .with_partition_indexes((0..partitions).collect());
    let request = OffsetFetchRequest::default()
        .with_group_id(GroupId(text(group)))
        .with_topics(Some(vec![topic]))
        .with_require_stable(true);
    let answer = ask(at, 7, &request)?;
    let partitions = answer.topics.iter().flat_map(|topic| &topic.partitions);
    let error =
        partitions.clone().map(|partition| partition.error_code).chain([answer.error_code]).find(|e| *e != 0);
    if let Some(error) = error {
        return Err(io::Error::other(format!("{at} answers OffsetFetch with error {error}")));
    }
    let known = partitions.filter(|partition| partition.committed_offset >= 0);
    Ok(known.map(|partition| (partition.partition_index, partition.committed_offset)).collect())
}
