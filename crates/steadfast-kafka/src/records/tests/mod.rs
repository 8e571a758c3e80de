//! What batches, records and codecs promise together.

mod hostile;
mod interop;
mod round_trip;
mod walk;

use bytes::Bytes;
use proptest::prelude::*;
use steadfast_core::ids::{LeaderEpoch, Offset};

use super::batch::{RecordBatch, batches};
use super::compression::Compression;
use super::lazy::{PlainBatch, Record};
use super::write::{BatchSpec, NewRecord, Producer};

/// More than any batch of these tests unfolds to.
const ENOUGH: usize = 1 << 20;

fn only(bytes: Bytes) -> RecordBatch {
    let mut walk = batches(bytes);
    let batch = walk.next().expect("a batch").expect("a good batch");
    assert_eq!(walk.next(), None);
    batch
}

fn plain(bytes: Bytes) -> PlainBatch {
    only(bytes).decompress(ENOUGH).expect("a good body")
}

fn owned(record: Record<'_>) -> NewRecord {
    let bytes = Bytes::copy_from_slice;
    NewRecord {
        offset: record.offset,
        timestamp: record.timestamp,
        key: record.key.map(bytes),
        value: record.value.map(bytes),
        headers: record.headers().map(|header| (bytes(header.key), header.value.map(bytes))).collect(),
    }
}

fn all(batch: &PlainBatch) -> Vec<NewRecord> {
    batch.records().map(|record| owned(record.expect("a good record"))).collect()
}

/// A batch of any kind: every codec and flag, holes anywhere, also no records at all.
fn any_batch() -> impl Strategy<Value = (BatchSpec, Vec<NewRecord>)> {
    (any_spec(), prop::collection::vec((0..9_i64, any_record()), 0..20)).prop_map(|(mut spec, parts)| {
        let mut next = spec.base_offset.0;
        let mut records = Vec::new();
        for (hole, record) in parts {
            records.push(NewRecord { offset: Offset(next + hole), ..record });
            next += hole + 1;
        }
        spec.last_offset = spec.last_offset.map(|past| Offset(next + past.0));
        (spec, records)
    })
}

prop_compose! {
    fn any_spec()(
        base in 0..1_i64 << 40,
        past in prop::option::of(0..9_i64),
        epoch in -1..9_i32,
        compression in prop::sample::select(&Compression::ALL[..]),
        append_time: Option<i64>,
        delete_horizon: Option<i64>,
        transactional: bool,
        control: bool,
        producer: (i64, i16, i32),
    ) -> BatchSpec {
        BatchSpec {
            base_offset: Offset(base),
            last_offset: past.map(Offset),
            leader_epoch: LeaderEpoch(epoch),
            compression,
            append_time,
            transactional,
            control,
            delete_horizon,
            producer: Producer { id: producer.0, epoch: producer.1, base_sequence: producer.2 },
        }
    }
}

prop_compose! {
    fn any_record()(
        timestamp: i64,
        key in prop::option::of(any_bytes()),
        value in prop::option::of(any_bytes()),
        headers in prop::collection::vec(("[ab]{0,2}", prop::option::of(any_bytes())), 0..4),
    ) -> NewRecord {
        let headers = headers.into_iter().map(|(key, value)| (Bytes::from(key), value)).collect();
        NewRecord { offset: Offset(0), timestamp, key, value, headers }
    }
}

fn any_bytes() -> impl Strategy<Value = Bytes> {
    prop::collection::vec(any::<u8>(), 0..200).prop_map(Bytes::from)
}
