//! Protects the process against hostile requests.
//!
//! kafka-protocol's array decoder sets memory aside for as many elements as the wire announces: 2^31 of them are
//! many gigabytes and an abort. Its decoders are generic over the buffer, so every request is decoded twice: first
//! from a [`Wary`] buffer, which lies about each length that exceeds the bytes left, so that decoding fails before
//! anything is set aside; then, when that went well, from the bytes themselves.
//!
//! This covers every array, text and byte string of every API in the table below; an API that is not in it is
//! refused. What remains possible is what the bytes really hold: decoding takes some hundred bytes of memory for
//! each byte of the frame at worst, and frames are bounded.

use bytes::{Buf, Bytes, TryGetError};
use kafka_protocol::messages::*;
use kafka_protocol::protocol::Decodable;
use kafka_protocol::protocol::buf::ByteBuf;

macro_rules! checked {
    ($key:expr, $from:expr, $version:expr; $($api:ident => $request:ident,)*) => {
        match $key {
            $(ApiKey::$api => $request::decode($from, $version).is_ok(),)*
            _ => false,
        }
    };
}

/// Whether `body` can be decoded as a request to `key` without harm.
pub(super) fn harmless(key: ApiKey, version: i16, body: &Bytes) -> bool {
    let mut wary = Wary(body.clone());
    checked! { key, &mut wary, version;
        Produce => ProduceRequest,
        Fetch => FetchRequest,
        ListOffsets => ListOffsetsRequest,
        Metadata => MetadataRequest,
        OffsetCommit => OffsetCommitRequest,
        OffsetFetch => OffsetFetchRequest,
        FindCoordinator => FindCoordinatorRequest,
        JoinGroup => JoinGroupRequest,
        Heartbeat => HeartbeatRequest,
        LeaveGroup => LeaveGroupRequest,
        SyncGroup => SyncGroupRequest,
        DescribeGroups => DescribeGroupsRequest,
        ListGroups => ListGroupsRequest,
        ApiVersions => ApiVersionsRequest,
        CreateTopics => CreateTopicsRequest,
        DeleteTopics => DeleteTopicsRequest,
        DeleteRecords => DeleteRecordsRequest,
        InitProducerId => InitProducerIdRequest,
        OffsetForLeaderEpoch => OffsetForLeaderEpochRequest,
        AddPartitionsToTxn => AddPartitionsToTxnRequest,
        AddOffsetsToTxn => AddOffsetsToTxnRequest,
        EndTxn => EndTxnRequest,
        TxnOffsetCommit => TxnOffsetCommitRequest,
        DescribeConfigs => DescribeConfigsRequest,
        CreatePartitions => CreatePartitionsRequest,
        DeleteGroups => DeleteGroupsRequest,
        OffsetDelete => OffsetDeleteRequest,
        DescribeCluster => DescribeClusterRequest,
        ConsumerGroupHeartbeat => ConsumerGroupHeartbeatRequest,
        ConsumerGroupDescribe => ConsumerGroupDescribeRequest,
    }
}

/// Bytes that give a harmless number for a length that cannot be true.
struct Wary(Bytes);

/// No decoder takes this for a length: below "null".
const NO_LENGTH: i32 = -2;

impl Wary {
    /// Whether the varint that begins here, read as a length (or as a compact one, which is one more), exceeds what
    /// is left. A byte that is none, a boolean say, is small and passes.
    fn lies(&self) -> bool {
        let mut value = 0_u64;
        for (at, byte) in self.0.iter().take(5).enumerate() {
            value |= u64::from(byte & 0x7f) << (7 * at);
            if *byte < 0x80 {
                break;
            }
        }
        value > self.0.len() as u64
    }
}

impl Buf for Wary {
    fn remaining(&self) -> usize {
        self.0.remaining()
    }

    fn chunk(&self) -> &[u8] {
        self.0.chunk()
    }

    fn advance(&mut self, count: usize) {
        self.0.advance(count);
    }

    /// Lengths of arrays and byte strings come by here, and plain numbers, for which any value does.
    fn try_get_i32(&mut self) -> Result<i32, TryGetError> {
        let found = self.0.try_get_i32()?;
        let true_length = usize::try_from(found).is_ok_and(|length| length <= self.0.len());
        Ok(if true_length || found == -1 { found } else { NO_LENGTH })
    }

    /// Compact lengths come by here. There is no compact number that all decoders refuse, so the bytes end here.
    fn try_get_u8(&mut self) -> Result<u8, TryGetError> {
        if self.lies() {
            self.0.clear();
        }
        self.0.try_get_u8()
    }
}

impl ByteBuf for Wary {
    fn peek_bytes(&mut self, range: std::ops::Range<usize>) -> Bytes {
        self.0.slice(range)
    }

    fn get_bytes(&mut self, size: usize) -> Bytes {
        self.0.split_to(size)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::SERVED;
    use bytes::BytesMut;
    use kafka_protocol::protocol::Encodable;

    #[test]
    fn every_api_that_is_served_is_guarded() {
        for (key, versions) in SERVED {
            for version in versions.clone() {
                let mut guarded = false;
                // Some bytes are a request of each of these shapes: all zeros, or ones and no tagged fields.
                for length in 0..64 {
                    guarded |= harmless(*key, version, &Bytes::from(vec![0; length]));
                    guarded |= harmless(*key, version, &Bytes::from(vec![1; length]));
                    guarded |= harmless(*key, version, &Bytes::from([vec![1; length], vec![0]].concat()));
                }
                assert!(guarded, "{key:?} v{version}");
            }
        }
    }

    #[test]
    fn a_length_that_cannot_be_true_is_refused_before_memory_is_set_aside() {
        let huge = Bytes::from_static(&[0x7f, 0xff, 0xff, 0xff, 0, 0]);
        assert!(!harmless(ApiKey::Metadata, 1, &huge));
        let compact = Bytes::from_static(&[0xff, 0xff, 0xff, 0xff, 0x0f, 0, 0, 0]);
        assert!(!harmless(ApiKey::Metadata, 12, &compact));
        assert!(!harmless(ApiKey::DeleteGroups, 2, &compact));
    }

    #[test]
    fn what_clients_send_passes() {
        for version in 0..=13 {
            let topic = metadata_request::MetadataRequestTopic::default()
                .with_name(Some(TopicName("orders".to_owned().into())));
            let request = MetadataRequest::default().with_topics(Some(vec![topic; 200]));
            let mut body = BytesMut::new();
            request.encode(&mut body, version).unwrap();
            assert!(harmless(ApiKey::Metadata, version, &body.freeze()), "v{version}");
        }
        let mut body = BytesMut::new();
        let join =
            JoinGroupRequest::default().with_session_timeout_ms(300_000).with_rebalance_timeout_ms(i32::MAX);
        join.encode(&mut body, 9).unwrap();
        assert!(harmless(ApiKey::JoinGroup, 9, &body.freeze()));
    }
}
