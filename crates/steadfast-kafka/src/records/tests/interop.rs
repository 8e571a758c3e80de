//! Batches of others: those that Java's kafka-clients 4.2.0 wrote, and kafka-protocol's encoder and decoder.
//!
//! Each line of java.txt is a name and a batch in hexadecimal. `MemoryRecordsBuilder` wrote those named by
//! their codec and APPEND_TIME from the same three records; `MemoryRecords.filterTo`, the log cleaner's
//! means, made HOLES and EMPTY from the lz4 one; `MemoryRecords.withEndTransactionMarker` wrote the markers.

use kafka_protocol::records as peer;
use proptest::prelude::*;

use super::*;
use crate::records::aborted::{ControlMarker, MarkerKind, control_marker};
use crate::records::batch::TimestampType;
use crate::records::compression::{compress, decompress};
use crate::records::write::{TransactionEnd, end_of_transaction};

fn java(name: &str) -> Bytes {
    let line = include_str!("java.txt").lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    let hex = line.expect("a batch of that name").as_bytes();
    let digit = |digit: u8| (digit as char).to_digit(16).expect("a digit") as u8;
    hex.chunks(2).map(|pair| digit(pair[0]) << 4 | digit(pair[1])).collect::<Vec<_>>().into()
}

fn java_records() -> Vec<NewRecord> {
    let record = |offset, timestamp, key: Option<&'static str>, value: Option<String>, headers| NewRecord {
        offset: Offset(offset),
        timestamp,
        key: key.map(Into::into),
        value: value.map(Into::into),
        headers,
    };
    let traced =
        vec![("trace".into(), Some("1".into())), ("trace".into(), Some("2".into())), ("none".into(), None)];
    vec![
        record(1000, 1_700_000_000_000, None, Some("first".into()), vec![]),
        record(1001, 1_699_999_999_990, Some("key"), Some("x".repeat(300)), traced),
        record(1002, 1_700_000_000_500, Some(""), None, vec![("".into(), Some("".into()))]),
    ]
}

#[test]
fn what_java_writes_in_every_codec_is_read() {
    for (name, compression) in ["NONE", "GZIP", "SNAPPY", "LZ4", "ZSTD"].into_iter().zip(Compression::ALL) {
        let batch = plain(java(name));
        let header = batch.header();
        assert_eq!(header.compression, compression);
        assert_eq!((header.base_offset, header.next_offset()), (Offset(1000), Offset(1003)));
        assert_eq!(header.leader_epoch, LeaderEpoch(9));
        assert_eq!((header.producer_id, header.producer_epoch, header.base_sequence), (77, 3, 5));
        assert!(header.transactional && !header.control && !header.delete_horizon);
        assert_eq!(header.max_timestamp, 1_700_000_000_500);
        assert_eq!(all(&batch), java_records(), "{name}");
    }
}

#[test]
fn javas_append_time_holds_for_all_records() {
    let batch = plain(java("APPEND_TIME"));
    assert_eq!(batch.header().timestamp_type, TimestampType::LogAppendTime);
    let records = java_records().into_iter();
    let expected: Vec<_> =
        records.map(|record| NewRecord { timestamp: 1_700_000_000_999, ..record }).collect();
    assert_eq!(all(&batch), expected);
}

#[test]
fn what_javas_log_cleaner_leaves_is_read() {
    let holes = plain(java("HOLES"));
    assert_eq!(all(&holes), java_records()[1..2]);
    let empty = plain(java("EMPTY"));
    assert_eq!(all(&empty), []);
    for batch in [holes, empty] {
        assert_eq!((batch.header().base_offset, batch.header().next_offset()), (Offset(1000), Offset(1003)));
    }
}

#[test]
fn javas_markers_are_told_apart_and_ours_are_the_same_bytes() {
    let producer = Producer { id: 77, epoch: 3, base_sequence: -1 };
    let ends = [
        ("ABORT", 50, MarkerKind::Abort, TransactionEnd::Abort),
        ("COMMIT", 51, MarkerKind::Commit, TransactionEnd::Commit),
    ];
    for (name, offset, kind, end) in ends {
        let marker = control_marker(&only(java(name)));
        assert_eq!(marker, Ok(Some(ControlMarker { version: 0, kind })));
        let ours = end_of_transaction(Offset(offset), LeaderEpoch(9), producer, end, 4, 1_700_000_000_000);
        assert_eq!(ours.unwrap(), java(name));
    }
}

#[test]
fn our_uncompressed_batches_are_javas_byte_for_byte() {
    let spec = BatchSpec {
        leader_epoch: LeaderEpoch(9),
        transactional: true,
        producer: Producer { id: 77, epoch: 3, base_sequence: 5 },
        ..BatchSpec::at(Offset(1000))
    };
    assert_eq!(spec.write(&java_records()).unwrap(), java("NONE"));
}

fn codec(compression: peer::Compression) -> Compression {
    Compression::ALL[compression as usize]
}

fn peers(compression: Compression) -> peer::Compression {
    [
        peer::Compression::None,
        peer::Compression::Gzip,
        peer::Compression::Snappy,
        peer::Compression::Lz4,
        peer::Compression::Zstd,
    ][compression as usize]
}

/// kafka-protocol's decoder keeps one header of a key, and its encoder takes the sequence as the offset's
/// companion: so no duplicates here, and a batch without holes has consecutive sequence numbers.
fn peer_records(spec: &BatchSpec, records: &[NewRecord]) -> Vec<peer::Record> {
    let record = |record: &NewRecord| peer::Record {
        transactional: spec.transactional,
        control: spec.control,
        delete_horizon: false,
        partition_leader_epoch: spec.leader_epoch.0,
        producer_id: spec.producer.id,
        producer_epoch: spec.producer.epoch,
        timestamp_type: peer::TimestampType::Creation,
        offset: record.offset.0,
        sequence: spec.producer.base_sequence.wrapping_add((record.offset.0 - spec.base_offset.0) as i32),
        timestamp: record.timestamp,
        key: record.key.clone(),
        value: record.value.clone(),
        headers: record
            .headers
            .iter()
            .map(|(key, value)| (str::from_utf8(key).unwrap().to_owned().into(), value.clone()))
            .collect(),
    };
    records.iter().map(record).collect()
}

/// A batch that kafka-protocol can express.
fn shared_batch() -> impl Strategy<Value = (BatchSpec, Vec<NewRecord>)> {
    any_batch().prop_map(|(mut spec, mut records)| {
        spec.append_time = None;
        spec.delete_horizon = None;
        spec.last_offset = None;
        spec.base_offset = records.first().map_or(spec.base_offset, |record| record.offset);
        for record in &mut records {
            record.timestamp &= i64::MAX >> 1;
            record.headers.truncate(1);
        }
        (spec, records)
    })
}

proptest! {
    #[test]
    fn what_kafka_protocol_encodes_is_read((spec, records) in shared_batch()) {
        let mut out = bytes::BytesMut::new();
        let options = peer::RecordEncodeOptions { version: 2, compression: peers(spec.compression) };
        let theirs = peer_records(&spec, &records);
        peer::RecordBatchEncoder::encode_with_custom_compression(
            &mut out,
            &theirs,
            &options,
            Some(|plain: &mut bytes::BytesMut, out: &mut bytes::BytesMut, compression| {
                out.extend_from_slice(&compress(codec(compression), plain)?);
                Ok(())
            }),
        )
        .unwrap();
        let read: Vec<_> = batches(out.freeze())
            .flat_map(|batch| all(&batch.unwrap().decompress(ENOUGH).unwrap()))
            .collect();
        prop_assert_eq!(read, records);
    }

    #[test]
    fn what_is_written_kafka_protocol_decodes((spec, records) in shared_batch()) {
        let mut bytes = spec.write(&records).unwrap();
        let set = peer::RecordBatchDecoder::decode_with_custom_compression(
            &mut bytes,
            Some(|body: &mut Bytes, compression| Ok(decompress(codec(compression), body, ENOUGH)?.into())),
        )
        .unwrap();
        prop_assert_eq!(set.records, peer_records(&spec, &records));
    }
}
