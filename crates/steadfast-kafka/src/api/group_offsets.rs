//! OffsetFetch for whoever looks on: everything that a group has committed.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use kafka_protocol::messages::OffsetFetchRequest;
use kafka_protocol::messages::offset_fetch_request::OffsetFetchRequestGroup;

use super::offset_fetch::{LAST_ALONE, OffsetFetch, OffsetFetchAnswer};
use super::{Api, DecodeError, EncodeError, encoded, group_id};
use crate::versions::VersionRange;

/// Asks for all offsets that a group has committed. Those of open transactions are not waited for: nobody begins there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupOffsets {
    /// The group's id.
    pub group: Arc<str>,
}

impl Api for GroupOffsets {
    const KEY: i16 = OffsetFetch::KEY;
    const NAME: &'static str = OffsetFetch::NAME;
    const VERSIONS: VersionRange = VersionRange::new(7, 9);
    const FLEXIBLE: i16 = OffsetFetch::FLEXIBLE;
    type Answer = OffsetFetchAnswer;

    fn throttle(answer: &OffsetFetchAnswer) -> Duration {
        answer.throttle
    }

    fn encode(&self, version: i16, into: &mut BytesMut) -> Result<(), EncodeError> {
        // No list of topics stands for all of them.
        let message = match version {
            ..=LAST_ALONE => {
                OffsetFetchRequest::default().with_group_id(group_id(&self.group)).with_topics(None)
            }
            _ => OffsetFetchRequest::default().with_groups(vec![
                OffsetFetchRequestGroup::default().with_group_id(group_id(&self.group)).with_topics(None),
            ]),
        };
        encoded::<Self>(&message, version, into)
    }

    fn decode(version: i16, body: Bytes) -> Result<OffsetFetchAnswer, DecodeError> {
        OffsetFetch::decode(version, body)
    }
}
