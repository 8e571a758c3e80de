//! A topic of a trial's own, and the questions that nearly every trial puts to its leaders.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use kafka_protocol::error::{ParseResponseErrorCode, ResponseError};
use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use kafka_protocol::messages::fetch_response::PartitionData;
use kafka_protocol::messages::metadata_response::MetadataResponsePartition;
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_protocol::messages::produce_response::PartitionProduceResponse;
use kafka_protocol::messages::{FetchRequest, FetchResponse, ProduceRequest, TopicName};
use kafka_protocol::protocol::StrBytes;
use steadfast_tests::brokers::Brokers;
use steadfast_tests::kafka::{ask, metadata};
use uuid::Uuid;

use crate::records::Batch;

/// For what has to happen soon.
pub(crate) const LIMIT: Duration = Duration::from_secs(20);
/// From this version on Produce names topics by id.
const PRODUCE_BY_ID: i16 = 13;
/// From this version on Fetch names topics by id.
pub(crate) const FETCH_BY_ID: i16 = 13;

pub(crate) fn text(text: &str) -> StrBytes {
    StrBytes::from_string(text.to_owned())
}

pub(crate) fn topic_name(name: &str) -> TopicName {
    TopicName(text(name))
}

/// The error of an answer, if it is one.
pub(crate) fn error(code: i16) -> Option<ResponseError> {
    code.err()
}

/// A topic.
#[derive(Debug, Clone)]
pub(crate) struct Topic {
    pub(crate) name: String,
    pub(crate) id: Uuid,
    brokers: Brokers,
}

impl Topic {
    /// Creates it.
    pub(crate) fn create(brokers: &Brokers, name: &str, partitions: i32) -> Topic {
        brokers.create_topic(name, partitions, &[]).unwrap();
        Topic::known(brokers, name)
    }

    /// The topic of this name that is there now.
    pub(crate) fn known(brokers: &Brokers, name: &str) -> Topic {
        let at = *brokers.addresses().values().next().unwrap();
        let id = metadata(at, &[name]).unwrap().topics[0].topic_id;
        Topic { name: name.to_owned(), id, brokers: brokers.clone() }
    }

    /// One that nobody knows.
    pub(crate) fn unknown(brokers: &Brokers) -> Topic {
        Topic { name: "nobody-knows-it".to_owned(), id: Uuid::from_u128(77), brokers: brokers.clone() }
    }

    /// What is known of a partition now.
    pub(crate) fn partition(&self, index: i32) -> MetadataResponsePartition {
        let at = *self.brokers.addresses().values().next().unwrap();
        let partitions = metadata(at, &[&self.name]).unwrap().topics.remove(0).partitions;
        partitions.into_iter().find(|partition| partition.partition_index == index).unwrap()
    }

    pub(crate) fn leader(&self, index: i32) -> SocketAddr {
        self.brokers.addresses()[&self.partition(index).leader_id.0]
    }

    /// A broker that does not lead the partition.
    pub(crate) fn follower(&self, index: i32) -> SocketAddr {
        let leader = self.partition(index).leader_id.0;
        *self.brokers.addresses().iter().find(|(node, _)| **node != leader).unwrap().1
    }

    /// Another broker leads the partition from now on: its leader epoch.
    pub(crate) fn move_leader(&self, index: i32) -> i32 {
        let before = self.partition(index);
        let next = self.brokers.addresses().keys().find(|node| **node != before.leader_id.0).unwrap();
        self.brokers.move_leader(&self.name, index, *next).unwrap();
        let after = self.partition(index);
        assert!(after.leader_epoch > before.leader_epoch, "{after:?}");
        after.leader_epoch
    }

    /// The question of a producer.
    pub(crate) fn write_request(
        &self,
        version: i16,
        index: i32,
        acks: i16,
        records: Bytes,
    ) -> ProduceRequest {
        let data = PartitionProduceData::default().with_index(index).with_records(Some(records));
        let topic = TopicProduceData::default().with_partition_data(vec![data]);
        let topic = if version < PRODUCE_BY_ID {
            topic.with_name(topic_name(&self.name))
        } else {
            topic.with_topic_id(self.id)
        };
        ProduceRequest::default().with_acks(acks).with_timeout_ms(5_000).with_topic_data(vec![topic])
    }

    /// Writes to the partition's leader with acks=all.
    pub(crate) fn write(&self, version: i16, index: i32, batch: &Batch) -> PartitionProduceResponse {
        self.write_at(self.leader(index), version, index, batch.bytes())
    }

    /// Writes to this broker with acks=all.
    pub(crate) fn write_at(
        &self,
        at: SocketAddr,
        version: i16,
        index: i32,
        records: Bytes,
    ) -> PartitionProduceResponse {
        let mut answer = ask(at, version, &self.write_request(version, index, -1, records)).unwrap();
        assert_eq!(answer.responses.len(), 1);
        let mut topic = answer.responses.remove(0);
        let same =
            if version < PRODUCE_BY_ID { *topic.name.0 == *self.name } else { topic.topic_id == self.id };
        assert!(same, "{topic:?}");
        assert_eq!(topic.partition_responses.len(), 1);
        topic.partition_responses.remove(0)
    }

    /// Writes what has to be accepted: the offset of the first record.
    pub(crate) fn fill(&self, index: i32, batch: &Batch) -> i64 {
        let written = self.write(9, index, batch);
        assert_eq!(error(written.error_code), None, "{written:?}");
        written.base_offset
    }
}

/// A fetch of one partition.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Fetch<'a> {
    pub(crate) topic: &'a Topic,
    pub(crate) version: i16,
    pub(crate) partition: i32,
    pub(crate) offset: i64,
    /// The leader epoch that the consumer knows of.
    pub(crate) leader_epoch: i32,
    /// The epoch of the record before `offset`.
    pub(crate) last_fetched_epoch: i32,
    pub(crate) max_wait: Duration,
    pub(crate) min_bytes: i32,
    pub(crate) max_bytes: i32,
    pub(crate) partition_max_bytes: i32,
    pub(crate) read_committed: bool,
}

impl<'a> Fetch<'a> {
    /// From this offset of partition 0, without limits and without waiting.
    pub(crate) fn from(topic: &'a Topic, version: i16, offset: i64) -> Fetch<'a> {
        Fetch {
            topic,
            version,
            partition: 0,
            offset,
            leader_epoch: -1,
            last_fetched_epoch: -1,
            max_wait: Duration::ZERO,
            min_bytes: 1,
            max_bytes: 1 << 20,
            partition_max_bytes: 1 << 20,
            read_committed: false,
        }
    }

    pub(crate) fn request(&self) -> FetchRequest {
        let mut partition = FetchPartition::default()
            .with_partition(self.partition)
            .with_fetch_offset(self.offset)
            .with_partition_max_bytes(self.partition_max_bytes);
        if self.version >= 9 {
            partition = partition.with_current_leader_epoch(self.leader_epoch);
        }
        if self.version >= 12 {
            partition = partition.with_last_fetched_epoch(self.last_fetched_epoch);
        }
        let topic = FetchTopic::default().with_partitions(vec![partition]);
        let topic = if self.version < FETCH_BY_ID {
            topic.with_topic(topic_name(&self.topic.name))
        } else {
            topic.with_topic_id(self.topic.id)
        };
        FetchRequest::default()
            .with_max_wait_ms(i32::try_from(self.max_wait.as_millis()).unwrap())
            .with_min_bytes(self.min_bytes)
            .with_max_bytes(self.max_bytes)
            .with_isolation_level(i8::from(self.read_committed))
            .with_topics(vec![topic])
    }

    /// Asks the leader.
    pub(crate) fn ask(&self) -> PartitionData {
        self.ask_at(self.topic.leader(self.partition))
    }

    /// Asks this broker.
    pub(crate) fn ask_at(&self, at: SocketAddr) -> PartitionData {
        let answer = ask(at, self.version, &self.request()).unwrap();
        self.only(answer)
    }

    /// The partition that an answer is about.
    pub(crate) fn only(&self, mut answer: FetchResponse) -> PartitionData {
        assert_eq!((answer.error_code, answer.session_id, answer.responses.len()), (0, 0, 1), "{answer:?}");
        let mut topic = answer.responses.remove(0);
        let same = if self.version < FETCH_BY_ID {
            *topic.topic.0 == *self.topic.name
        } else {
            topic.topic_id == self.topic.id
        };
        assert!(same && topic.partitions.len() == 1, "{topic:?}");
        let partition = topic.partitions.remove(0);
        assert_eq!(partition.partition_index, self.partition);
        partition
    }
}
