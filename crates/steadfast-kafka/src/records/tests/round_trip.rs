//! What is written is read.

use proptest::prelude::*;
use steadfast_core::ids::Offset;

use super::*;
use crate::records::batch::TimestampType;
use crate::records::write::TransactionEnd;
use crate::records::write::{WriteError, end_of_transaction};

proptest! {
    #[test]
    fn every_codec_and_flag_comes_back((spec, records) in any_batch()) {
        let batch = plain(spec.write(&records).unwrap());
        let header = batch.header();
        prop_assert_eq!(header.base_offset, spec.base_offset);
        prop_assert_eq!(header.leader_epoch, spec.leader_epoch);
        prop_assert_eq!(header.compression, spec.compression);
        prop_assert_eq!(header.transactional, spec.transactional);
        prop_assert_eq!(header.control, spec.control);
        prop_assert_eq!(header.delete_horizon, spec.delete_horizon.is_some());
        prop_assert_eq!(header.producer_id, spec.producer.id);
        prop_assert_eq!(header.producer_epoch, spec.producer.epoch);
        prop_assert_eq!(header.base_sequence, spec.producer.base_sequence);
        prop_assert_eq!(header.record_count as usize, records.len());
        let last = records.last().map_or(spec.base_offset, |record| record.offset);
        prop_assert_eq!(header.last_offset, spec.last_offset.unwrap_or(last));
        prop_assert_eq!(header.next_offset(), header.last_offset.next());
        let written: Vec<_> = records
            .into_iter()
            .map(|record| NewRecord { timestamp: spec.append_time.unwrap_or(record.timestamp), ..record })
            .collect();
        prop_assert_eq!(all(&batch), written);
    }

    #[test]
    fn a_fetch_from_the_middle_of_a_batch_sees_the_rest_of_it((spec, records) in any_batch(), into in 0..200_i64) {
        let batch = plain(spec.write(&records).unwrap());
        let from = Offset(spec.base_offset.0 + into);
        let seen: Vec<_> = batch.records_from(from).map(|record| record.unwrap().offset).collect();
        let expected: Vec<_> = records.iter().map(|record| record.offset).filter(|at| *at >= from).collect();
        prop_assert_eq!(seen, expected);
    }
}

#[test]
fn the_append_time_replaces_the_producers_times() {
    let spec = BatchSpec { append_time: Some(99), ..BatchSpec::at(Offset(0)) };
    let batch = plain(spec.write(&[NewRecord::new(Offset(0), 5, "a")]).unwrap());
    let record = batch.records().next().unwrap().unwrap();
    assert_eq!((record.timestamp, record.timestamp_type), (99, TimestampType::LogAppendTime));
}

#[test]
fn headers_keep_their_order_and_their_duplicates() {
    let headers = [("b", Some("1")), ("a", None), ("b", Some("")), ("b", Some("1"))];
    let record = NewRecord {
        headers: headers.map(|(key, value)| (key.into(), value.map(Into::into))).into(),
        ..NewRecord::new(Offset(7), 0, "value")
    };
    let batch = plain(BatchSpec::at(Offset(7)).write(&[record]).unwrap());
    let read = batch.records().next().unwrap().unwrap().headers();
    assert_eq!(read.len(), 4);
    let read: Vec<_> =
        read.map(|h| (h.key_text().into_owned(), h.value.map(|v| str::from_utf8(v).unwrap()))).collect();
    assert_eq!(read, headers.map(|(key, value)| (key.to_string(), value)));
}

#[test]
fn an_uncompressed_body_is_shared_with_the_fetch_answer() {
    let bytes = BatchSpec::at(Offset(0)).write(&[NewRecord::new(Offset(0), 0, "here")]).unwrap();
    let batch = plain(bytes.clone());
    let value = batch.records().next().unwrap().unwrap().value.unwrap();
    assert!(bytes.as_ptr_range().contains(&value.as_ptr()));
}

#[test]
fn the_writer_refuses_what_no_batch_can_hold() {
    let at = |offset| NewRecord::new(Offset(offset), 0, "x");
    let spec = BatchSpec::at(Offset(10));
    let refused = |lowest, found| WriteError::Offset { lowest: Offset(lowest), found: Offset(found) };
    assert_eq!(spec.write(&[at(9)]), Err(refused(10, 9)));
    assert_eq!(spec.write(&[at(10), at(10)]), Err(refused(11, 10)));
    assert_eq!(spec.write(&[at(10 + (1 << 31))]), Err(refused(10, 10 + (1 << 31))));
    let short = BatchSpec { last_offset: Some(Offset(11)), ..spec };
    assert_eq!(short.write(&[at(12)]), Err(refused(12, 11)));
}

#[test]
fn the_writer_holds_no_more_than_its_bound() {
    let value = Bytes::from(vec![0; crate::records::write::MAX_BYTES]);
    let batch = BatchSpec::at(Offset(3)).write(&[NewRecord::new(Offset(3), 0, value)]);
    assert_eq!(batch, Err(WriteError::TooLarge { base_offset: Offset(3) }));
}

#[test]
fn a_marker_is_a_control_batch_of_its_producer() {
    let producer = Producer { id: 7, epoch: 2, base_sequence: -1 };
    let bytes =
        end_of_transaction(Offset(5), LeaderEpoch(1), producer, TransactionEnd::Commit, 0, 8).unwrap();
    let header = *only(bytes).header();
    assert!(header.control && header.transactional);
    assert_eq!((header.producer_id, header.producer_epoch, header.next_offset()), (7, 2, Offset(6)));
}
