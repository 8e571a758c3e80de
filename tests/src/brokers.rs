//! A cluster as its clients see it: where its brokers are, and topics made by asking them. Whether the brokers are
//! processes of Apache Kafka or the embedded cluster, nobody can tell here.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use kafka_protocol::messages::create_partitions_request::CreatePartitionsTopic;
use kafka_protocol::messages::create_topics_request::{CreatableTopic, CreatableTopicConfig};
use kafka_protocol::messages::delete_topics_request::DeleteTopicState;
use kafka_protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use kafka_protocol::messages::{
    CreatePartitionsRequest, CreateTopicsRequest, DeleteTopicsRequest, ListOffsetsRequest, TopicName,
};
use kafka_protocol::protocol::StrBytes;

use crate::kafka::{ask, metadata};
use crate::within;

const LIMIT: Duration = Duration::from_secs(30);
const LIMIT_MS: i32 = 10_000;
/// Who asks for offsets.
const CONSUMER: i32 = -1;
/// Which offset.
const LATEST: i64 = -1;
const UNKNOWN_TOPIC_OR_PARTITION: i16 = 3;
const TOPIC_ALREADY_EXISTS: i16 = 36;

/// Has a broker lead a partition, named by its topic and index, from the next leader epoch on.
pub type Elect = Arc<dyn Fn(&str, i32, i32) -> io::Result<()> + Send + Sync>;

/// The running brokers of a cluster.
#[derive(Clone)]
pub struct Brokers {
    addresses: BTreeMap<i32, SocketAddr>,
    /// No request does this in one step on both kinds of clusters.
    elect: Elect,
}

impl std::fmt::Debug for Brokers {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_tuple("Brokers").field(&self.addresses).finish()
    }
}

impl Brokers {
    /// The brokers at these addresses, by node id.
    pub fn at(addresses: BTreeMap<i32, SocketAddr>, elect: Elect) -> Brokers {
        Brokers { addresses, elect }
    }

    /// Where they are, by node id.
    pub fn addresses(&self) -> &BTreeMap<i32, SocketAddr> {
        &self.addresses
    }

    /// Their addresses as client libraries want them: `host:port,host:port`.
    pub fn bootstrap(&self) -> String {
        let addresses: Vec<String> = self.addresses.values().map(SocketAddr::to_string).collect();
        addresses.join(",")
    }

    /// Creates a topic with a copy of each partition on as many brokers as is usual in the cluster, and waits
    /// until every broker knows a leader of each partition, and these lead.
    ///
    /// # Errors
    /// The cluster refuses, or there are no leaders within 30 s.
    pub fn create_topic(&self, name: &str, partitions: i32, configs: &[(&str, &str)]) -> io::Result<()> {
        let config = |(key, value): &(&str, &str)| {
            CreatableTopicConfig::default().with_name(text(key)).with_value(Some(text(value)))
        };
        let topic = CreatableTopic::default()
            .with_name(TopicName(text(name)))
            .with_num_partitions(partitions)
            .with_replication_factor(-1)
            .with_configs(configs.iter().map(config).collect());
        let request = CreateTopicsRequest::default().with_topics(vec![topic]).with_timeout_ms(LIMIT_MS);
        within(LIMIT, || {
            let created = ask(self.first()?, 7, &request)?.topics.into_iter().next();
            let created = created.ok_or_else(|| io::Error::other("an empty answer to CreateTopics"))?;
            match created.error_code {
                0 | TOPIC_ALREADY_EXISTS => Ok(()),
                error => Err(refused("creating", name, error, created.error_message)),
            }
        })?;
        self.await_leaders(name, partitions)
    }

    /// Gives a topic more partitions, `total` in all, and waits as [`create_topic`](Brokers::create_topic) does.
    ///
    /// # Errors
    /// The cluster refuses, or there are no leaders within 30 s.
    pub fn add_partitions(&self, name: &str, total: i32) -> io::Result<()> {
        let topic = CreatePartitionsTopic::default()
            .with_name(TopicName(text(name)))
            .with_count(total)
            .with_assignments(None);
        let request = CreatePartitionsRequest::default().with_topics(vec![topic]).with_timeout_ms(LIMIT_MS);
        let added = ask(self.first()?, 3, &request)?.results.into_iter().next();
        let added = added.ok_or_else(|| io::Error::other("an empty answer to CreatePartitions"))?;
        if added.error_code != 0 {
            return Err(refused("adding partitions to", name, added.error_code, added.error_message));
        }
        self.await_leaders(name, total)
    }

    /// Deletes a topic, and waits until no broker knows it any more.
    ///
    /// # Errors
    /// The cluster refuses, or the topic is still known after 30 s.
    pub fn delete_topic(&self, name: &str) -> io::Result<()> {
        let topic = DeleteTopicState::default().with_name(Some(TopicName(text(name))));
        let request = DeleteTopicsRequest::default().with_topics(vec![topic]).with_timeout_ms(LIMIT_MS);
        let deleted = ask(self.first()?, 6, &request)?.responses.into_iter().next();
        let deleted = deleted.ok_or_else(|| io::Error::other("an empty answer to DeleteTopics"))?;
        if deleted.error_code != 0 {
            return Err(refused("deleting", name, deleted.error_code, deleted.error_message));
        }
        self.addresses.values().try_for_each(|at| within(LIMIT, || gone(*at, name)))
    }

    /// Has a broker that has a copy of the partition lead it, and waits until every broker knows
    /// and it leads.
    ///
    /// # Errors
    /// The cluster refuses, or it is not known within 30 s.
    pub fn move_leader(&self, topic: &str, partition: i32, node: i32) -> io::Result<()> {
        (self.elect)(topic, partition, node)?;
        self.addresses.values().try_for_each(|at| {
            within(LIMIT, || {
                let leader = leaders(*at, topic)?.get(&partition).copied();
                let told = io::Error::other(format!("{at} says that {leader:?} leads {topic}-{partition}"));
                if leader == Some(node) { Ok(()) } else { Err(told) }
            })
        })?;
        within(LIMIT, || self.lead(topic))
    }

    fn first(&self) -> io::Result<SocketAddr> {
        self.addresses.values().next().copied().ok_or_else(|| io::Error::other("no broker is running"))
    }

    fn await_leaders(&self, topic: &str, partitions: i32) -> io::Result<()> {
        self.addresses.values().try_for_each(|at| {
            within(LIMIT, || match leaders(*at, topic)?.len() {
                led if usize::try_from(partitions) == Ok(led) => Ok(()),
                led => Err(io::Error::other(format!("{at} knows {led} leaders of {partitions} of {topic}"))),
            })
        })?;
        within(LIMIT, || self.lead(topic))
    }

    /// Whether those who are said to lead do. A broker tells of itself a moment before it does.
    fn lead(&self, topic: &str) -> io::Result<()> {
        let mut asked: BTreeMap<i32, Vec<ListOffsetsPartition>> = BTreeMap::new();
        for (partition, leader) in leaders(self.first()?, topic)? {
            let partition =
                ListOffsetsPartition::default().with_partition_index(partition).with_timestamp(LATEST);
            asked.entry(leader).or_default().push(partition);
        }
        for (leader, partitions) in asked {
            let at = self.addresses.get(&leader).ok_or_else(|| io::Error::other("an unknown leader"))?;
            let topics =
                ListOffsetsTopic::default().with_name(TopicName(text(topic))).with_partitions(partitions);
            let request =
                ListOffsetsRequest::default().with_replica_id(CONSUMER.into()).with_topics(vec![topics]);
            let answer = ask(*at, 6, &request)?;
            let mut told = answer.topics.iter().flat_map(|topic| &topic.partitions);
            if let Some(wrong) = told.find(|told| told.error_code != 0) {
                return Err(refused("asking for offsets of", topic, wrong.error_code, None));
            }
        }
        Ok(())
    }
}

/// Who leads which partition, as far as the broker at `at` knows.
fn leaders(at: SocketAddr, topic: &str) -> io::Result<BTreeMap<i32, i32>> {
    let found = metadata(at, &[topic])?.topics.into_iter().flat_map(|topic| topic.partitions);
    let led = found.filter(|partition| partition.leader_id.0 >= 0);
    Ok(led.map(|partition| (partition.partition_index, partition.leader_id.0)).collect())
}

fn gone(at: SocketAddr, topic: &str) -> io::Result<()> {
    match metadata(at, &[topic])?.topics.into_iter().next().map(|topic| topic.error_code) {
        Some(UNKNOWN_TOPIC_OR_PARTITION) => Ok(()),
        other => Err(io::Error::other(format!("topic {topic}: {at} still knows it, error {other:?}"))),
    }
}

fn refused(what: &str, topic: &str, error: i16, message: Option<StrBytes>) -> io::Error {
    io::Error::other(format!("{what} topic {topic}: error {error}, {message:?}"))
}

fn text(text: &str) -> StrBytes {
    StrBytes::from_string(text.to_owned())
}
