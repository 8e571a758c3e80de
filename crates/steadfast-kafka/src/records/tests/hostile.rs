//! Bytes that nobody meant: they never panic, always end, and take no more memory than was allowed.

use proptest::prelude::*;

use super::*;
use crate::records::aborted::{AbortedTransaction, Isolation, TransactionFilter, control_marker};
use crate::records::batch::{BatchError, Batches};
use crate::records::compression::decompress;
use crate::records::lazy::{RecordError, RecordFault};
use crate::records::write::frame;

const LIMIT: usize = 10_000;

/// Reads everything there is to read, errors and all, and counts the items.
fn exhaust(walk: Batches) -> usize {
    let list = [AbortedTransaction { first_offset: Offset(0), producer_id: 0 }];
    let mut filter = TransactionFilter::new(Isolation::ReadCommitted, list);
    let mut items = 0;
    for batch in walk.map_while(Result::ok) {
        items += 1;
        let judged = filter.judge(&batch).is_ok();
        let marked = control_marker(&batch).is_ok();
        let Ok(plain) = batch.decompress(LIMIT) else { continue };
        items += usize::from(judged) + usize::from(marked) + read(&plain);
    }
    items
}

fn read(plain: &PlainBatch) -> usize {
    let (_, most) = plain.records().size_hint();
    let mut records = 0;
    for record in plain.records() {
        records += 1;
        if let Ok(record) = record {
            assert_eq!(record.headers().count(), record.headers().len());
        }
    }
    assert!(Some(records) <= most, "{records} records, at most {most:?} were announced");
    records
}

fn batch_of(compression: Compression, record_count: i32, plain: &[u8]) -> PlainBatch {
    let spec = BatchSpec { last_offset: Some(Offset(100)), ..BatchSpec::at(Offset(0)) };
    let mut header = *only(spec.write(&[]).unwrap()).header();
    header.record_count = record_count;
    header.compression = compression;
    PlainBatch::new(header, Bytes::copy_from_slice(plain))
}

fn fault(record_count: i32, plain: &[u8]) -> Option<RecordFault> {
    let batch = batch_of(Compression::None, record_count, plain);
    let mut records = batch.records();
    let error = records.by_ref().find_map(Result::err);
    assert_eq!(records.next(), None, "an error ends the records");
    error.map(|RecordError { fault, .. }| fault)
}

proptest! {
    #[test]
    fn arbitrary_bytes_end(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        exhaust(batches(bytes.clone().into()));
        exhaust(batches(bytes.into()).without_checksums());
    }

    #[test]
    fn a_changed_byte_is_caught_by_the_checksum((spec, records) in any_batch(), at: usize, change in 1..=255_u8) {
        let mut bytes = spec.write(&records).unwrap().to_vec();
        let at = 17 + at % (bytes.len() - 17);
        bytes[at] ^= change;
        let caught = matches!(batches(bytes.into()).next(), Some(Err(BatchError::Checksum { .. })));
        prop_assert!(caught);
    }

    #[test]
    fn a_changed_byte_does_no_harm_unchecked((spec, records) in any_batch(), at: usize, change in 1..=255_u8) {
        let mut bytes = spec.write(&records).unwrap().to_vec();
        let at = at % bytes.len();
        bytes[at] ^= change;
        exhaust(batches(bytes.clone().into()));
        exhaust(batches(bytes.into()).without_checksums());
    }

    #[test]
    fn a_producer_that_lies_under_a_good_checksum_does_no_harm(
        (spec, records) in any_batch(), at: usize, change in 1..=255_u8, record_count: i32,
    ) {
        let honest = plain(spec.write(&records).unwrap());
        let mut body = honest.plain().to_vec();
        if !body.is_empty() {
            let at = at % body.len();
            body[at] ^= change;
        }
        let mut header = *honest.header();
        header.compression = Compression::None;
        exhaust(batches(frame(&header, &body).unwrap()));
        header.record_count = record_count;
        exhaust(batches(frame(&header, &body).unwrap()));
    }

    #[test]
    fn arbitrary_bytes_as_records_end(bytes in prop::collection::vec(any::<u8>(), 0..300), count in 0..i32::MAX) {
        read(&batch_of(Compression::None, count, &bytes));
    }

    #[test]
    fn arbitrary_bytes_decompress_within_the_limit(
        codec in prop::sample::select(&Compression::ALL[..]),
        bytes in prop::collection::vec(any::<u8>(), 0..300),
        limit in 0..1_000_usize,
    ) {
        if let Ok(plain) = decompress(codec, &bytes, limit) {
            prop_assert!(plain.len() <= limit && plain.capacity() <= limit + 1);
        }
    }

    #[test]
    fn a_damaged_body_decompresses_within_the_limit(
        codec in prop::sample::select(&Compression::ALL[..]),
        text in "[ab]{0,3000}",
        at: usize,
        change in 1..=255_u8,
        limit in 0..4_000_usize,
    ) {
        let mut body = crate::records::compression::compress(codec, text.as_bytes()).unwrap();
        if !body.is_empty() {
            let at = at % body.len();
            body[at] ^= change;
        }
        if let Ok(plain) = decompress(codec, &body, limit) {
            prop_assert!(plain.len() <= limit);
        }
    }
}

/// Length 6, attributes, timestamp delta, offset delta 0, no key, no value, no headers.
const RECORD: [u8; 7] = [12, 0, 0, 0, 1, 1, 0];

fn changed(at: usize, to: u8) -> [u8; 7] {
    let mut record = RECORD;
    record[at] = to;
    record
}

#[test]
fn a_good_record_has_no_fault() {
    assert_eq!(fault(1, &RECORD), None);
}

#[test]
fn a_count_beyond_what_is_there_is_an_error() {
    assert_eq!(fault(i32::MAX, &RECORD), Some(RecordFault::Ended));
}

#[test]
fn bytes_after_the_last_record_are_an_error() {
    assert_eq!(fault(1, &[&RECORD[..], &[0; 3]].concat()), Some(RecordFault::TrailingInBatch(3)));
    assert_eq!(fault(0, &RECORD), Some(RecordFault::TrailingInBatch(7)));
}

#[test]
fn bytes_after_the_end_of_a_record_are_an_error() {
    let longer = [&changed(0, 14)[..], &[0]].concat();
    assert_eq!(fault(1, &longer), Some(RecordFault::TrailingInRecord(1)));
}

#[test]
fn lengths_beyond_the_record_are_errors() {
    let length = |what, length, left| Some(RecordFault::Length { what, length, left });
    assert_eq!(fault(1, &changed(0, 14)), length("length", 7, 6));
    assert_eq!(fault(1, &changed(0, 11)), length("length", -6, 6));
    assert_eq!(fault(1, &changed(4, 6)), length("key length", 3, 2));
    assert_eq!(fault(1, &changed(5, 4)), length("value length", 2, 1));
    assert_eq!(fault(1, &changed(6, 1)), length("header count", -1, 0));
    assert_eq!(fault(1, &changed(6, 2)), Some(RecordFault::Ended));
    let header = [&changed(0, 16)[..6], &[2, 1, 1]].concat();
    assert_eq!(fault(1, &header), length("header key length", -1, 1));
    let header = [&changed(0, 16)[..6], &[2, 0, 2]].concat();
    assert_eq!(fault(1, &header), length("header value length", 1, 0));
}

#[test]
fn integers_that_do_not_end_are_errors() {
    assert_eq!(fault(1, &[0xff; 20]), Some(RecordFault::LongInteger(5)));
    let timestamp = [&[40, 0][..], &[0xff; 19]].concat();
    assert_eq!(fault(1, &timestamp), Some(RecordFault::LongInteger(10)));
}

#[test]
fn offsets_outside_the_batch_or_out_of_order_are_errors() {
    let offset = |found, lowest| RecordFault::Offset { found, lowest: Offset(lowest), highest: Offset(100) };
    assert_eq!(fault(1, &changed(3, 1)), Some(offset(-1, 0)));
    let far = [&[14, 0, 0, 0xca, 1][..], &[1, 1, 0]].concat();
    assert_eq!(fault(1, &far), Some(offset(101, 0)));
    assert_eq!(fault(2, &[RECORD, RECORD].concat()), Some(offset(0, 1)));
    assert_eq!(fault(2, &[RECORD, changed(3, 2)].concat()), None);
}

#[test]
fn the_error_names_the_record() {
    let batch = batch_of(Compression::None, 2, &[RECORD, RECORD].concat());
    let error = batch.records().find_map(Result::err).unwrap();
    assert_eq!((error.base_offset, error.index), (Offset(0), 1));
    assert_eq!(
        error.to_string(),
        "record 1 of the batch at offset 0: its offset is 0, expected is one from 1 to 100"
    );
}

#[test]
fn a_timestamp_that_overflows_wraps_as_in_java() {
    let late = NewRecord::new(Offset(0), i64::MAX, "late");
    let early = NewRecord { offset: Offset(1), timestamp: i64::MIN, ..late.clone() };
    let batch = plain(BatchSpec::at(Offset(0)).write(&[late.clone(), early.clone()]).unwrap());
    assert_eq!(all(&batch), [late, early]);
}
