//! ListOffsets by time: the first record at or after a moment.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use kafka_protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use kafka_protocol::messages::{ListOffsetsRequest, ListOffsetsResponse};
use steadfast_core::ids::{LeaderEpoch, Offset, Partition};

use super::list_offsets::{self, ListOffsets, ListedOffset};
use super::{
    Api, DecodeError, EncodeError, ErrorCode, Isolation, by_topic, decoded, encoded, shared, throttle,
    topic_name,
};
use crate::versions::VersionRange;

/// Asks the leader of some partitions for the first record whose timestamp is not before a moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OffsetsForTimes {
    /// Whether records of open transactions count.
    pub isolation: Isolation,
    /// For each partition the moment, in milliseconds since 1970-01-01 UTC; not negative.
    pub partitions: BTreeMap<Partition, i64>,
}

/// The leader's answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OffsetsForTimesAnswer {
    /// How long the broker holds back further answers on this connection (KIP-219).
    pub throttle: Duration,
    /// The first such record; none if there is none.
    pub partitions: BTreeMap<Partition, Result<Option<ListedOffset>, ErrorCode>>,
}

impl Api for OffsetsForTimes {
    const KEY: i16 = ListOffsets::KEY;
    const NAME: &'static str = ListOffsets::NAME;
    const VERSIONS: VersionRange = ListOffsets::VERSIONS;
    const FLEXIBLE: i16 = ListOffsets::FLEXIBLE;
    type Answer = OffsetsForTimesAnswer;

    fn throttle(answer: &OffsetsForTimesAnswer) -> Duration {
        answer.throttle
    }

    fn encode(&self, version: i16, into: &mut BytesMut) -> Result<(), EncodeError> {
        let asked = |(index, at): (i32, &i64)| {
            ListOffsetsPartition::default()
                .with_partition_index(index)
                .with_current_leader_epoch(LeaderEpoch::UNKNOWN.0)
                .with_timestamp(*at)
        };
        let topics = by_topic(&self.partitions).into_iter().map(|(name, partitions)| {
            ListOffsetsTopic::default()
                .with_name(topic_name(name))
                .with_partitions(partitions.into_iter().map(asked).collect())
        });
        let message = ListOffsetsRequest::default()
            .with_replica_id((-1).into())
            .with_isolation_level(self.isolation.on_the_wire())
            .with_topics(topics.collect());
        encoded::<Self>(&message, version, into)
    }

    fn decode(version: i16, body: Bytes) -> Result<OffsetsForTimesAnswer, DecodeError> {
        let message: ListOffsetsResponse = decoded::<Self, _>(&list_offsets::ANSWER, version, body)?;
        let mut partitions = BTreeMap::new();
        for topic in &message.topics {
            let name = shared(&topic.name);
            for at in &topic.partitions {
                let found = (at.offset >= 0).then_some(ListedOffset {
                    offset: Offset(at.offset),
                    leader_epoch: LeaderEpoch(at.leader_epoch),
                });
                let found = ErrorCode(at.error_code).check().map(|()| found);
                partitions.insert(Partition::new(name.clone(), at.partition_index), found);
            }
        }
        Ok(OffsetsForTimesAnswer { throttle: throttle(message.throttle_time_ms), partitions })
    }
}
