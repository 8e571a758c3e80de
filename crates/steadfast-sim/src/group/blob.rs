//! The consumer protocol's bytes, as far as a coordinator or a checker looks into them. They come from clients, so
//! nothing is believed: a length beyond the bytes ends the reading.

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::{Buf, Bytes};
use steadfast_core::ids::Partition;

/// The partitions of an assignment; none if it cannot be read.
pub(super) fn assigned(blob: &Bytes) -> BTreeSet<Partition> {
    read_assignment(&mut blob.clone()).unwrap_or_default()
}

/// The topics of a subscription; `None` if it cannot be read.
pub(super) fn subscribed(blob: &Bytes) -> Option<BTreeSet<Arc<str>>> {
    let blob = &mut blob.clone();
    version(blob)?;
    (0..count(blob)?).map(|_| string(blob)).collect()
}

fn read_assignment(blob: &mut Bytes) -> Option<BTreeSet<Partition>> {
    version(blob)?;
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
fn version(blob: &mut Bytes) -> Option<()> {
    blob.try_get_i16().ok().filter(|version| *version >= 0).map(|_| ())
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
