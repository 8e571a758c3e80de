//! The consumer protocol's bytes, as far as a coordinator or a checker looks into them. They come from clients, so
//! nothing is believed: a length beyond the bytes ends the reading.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use steadfast_core::ids::Partition;

/// From this version on a subscription names what its member owns.
const OWNED: i16 = 1;
/// From this version on it says since which generation.
const GENERATION: i16 = 2;
/// From this version on it names the rack.
const RACK: i16 = 3;

/// The partitions of an assignment; none if it cannot be read.
pub(crate) fn assigned(blob: &Bytes) -> BTreeSet<Partition> {
    read_assignment(&mut blob.clone()).map(|(partitions, _)| partitions).unwrap_or_default()
}

/// The same; `None` if it cannot be read, or holds more than partitions: another assignor's own bytes.
pub(crate) fn plainly_assigned(blob: &Bytes) -> Option<BTreeSet<Partition>> {
    if blob.is_empty() {
        return Some(BTreeSet::new());
    }
    let (partitions, more) = read_assignment(&mut blob.clone())?;
    (!more).then_some(partitions)
}

/// The topics of a subscription; `None` if it cannot be read.
pub(super) fn subscribed(blob: &Bytes) -> Option<BTreeSet<Arc<str>>> {
    let blob = &mut blob.clone();
    version(blob)?;
    topics(blob)
}

/// A subscription, as far as it concerns a coordinator that assigns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Subscription {
    /// The version of the bytes: assignments are written in it.
    pub(crate) version: i16,
    pub(crate) topics: BTreeSet<Arc<str>>,
    pub(crate) owned: BTreeSet<Partition>,
    pub(crate) rack: Option<Arc<str>>,
}

/// The subscription; `None` if it cannot be read.
pub(crate) fn subscription(blob: &Bytes) -> Option<Subscription> {
    let blob = &mut blob.clone();
    let version = version(blob)?;
    let topics = topics(blob)?;
    skip_user_data(blob)?;
    let owned = if version >= OWNED { partitions(blob)? } else { BTreeSet::new() };
    if version >= GENERATION {
        blob.try_get_i32().ok()?;
    }
    let rack =
        if version >= RACK && blob.first().is_some_and(|byte| *byte < 0x80) { string(blob) } else { None };
    Some(Subscription { version, topics, owned, rack })
}

/// An assignment in this version, without bytes of an assignor.
pub(crate) fn assignment(version: i16, partitions: &BTreeSet<Partition>) -> Bytes {
    let mut topics: BTreeMap<&str, Vec<i32>> = BTreeMap::new();
    for partition in partitions {
        topics.entry(&partition.topic).or_default().push(partition.index);
    }
    let length = |length: usize| i32::try_from(length).unwrap_or(i32::MAX);
    let mut blob = BytesMut::new();
    blob.put_i16(version);
    blob.put_i32(length(topics.len()));
    for (topic, indexes) in topics {
        blob.put_i16(i16::try_from(topic.len()).unwrap_or(i16::MAX));
        blob.put_slice(topic.as_bytes());
        blob.put_i32(length(indexes.len()));
        indexes.into_iter().for_each(|index| blob.put_i32(index));
    }
    blob.put_i32(-1);
    blob.freeze()
}

/// The partitions, and whether bytes of an assignor come with them.
fn read_assignment(blob: &mut Bytes) -> Option<(BTreeSet<Partition>, bool)> {
    version(blob)?;
    let partitions = partitions(blob)?;
    Some((partitions, blob.try_get_i32().is_ok_and(|length| length > 0)))
}

fn topics(blob: &mut Bytes) -> Option<BTreeSet<Arc<str>>> {
    (0..count(blob)?).map(|_| string(blob)).collect()
}

fn skip_user_data(blob: &mut Bytes) -> Option<()> {
    let length = usize::try_from(blob.try_get_i32().ok()?.max(0)).ok()?;
    (length <= blob.len()).then(|| blob.advance(length))
}

fn partitions(blob: &mut Bytes) -> Option<BTreeSet<Partition>> {
    let mut partitions = BTreeSet::new();
    for _ in 0..count(blob)? {
        let topic = string(blob)?;
        for _ in 0..count(blob)? {
            partitions.insert(Partition::new(Arc::clone(&topic), blob.try_get_i32().ok()?));
        }
    }
    Some(partitions)
}

/// Every later version begins as version 0 does.
fn version(blob: &mut Bytes) -> Option<i16> {
    blob.try_get_i16().ok().filter(|version| *version >= 0)
}

fn count(blob: &mut Bytes) -> Option<u32> {
    u32::try_from(blob.try_get_i32().ok()?).ok()
}

fn string(blob: &mut Bytes) -> Option<Arc<str>> {
    let length = usize::try_from(blob.try_get_i16().ok()?).ok()?;
    if blob.len() < length {
        return None;
    }
    std::str::from_utf8(&blob.split_to(length)).ok().map(Arc::from)
}
