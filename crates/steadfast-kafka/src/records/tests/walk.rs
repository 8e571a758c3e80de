//! Walking the records field of a fetch answer.

use steadfast_core::ids::Offset;

use super::*;
use crate::records::batch::{BatchError, Batches};

fn batch_at(offset: i64) -> Bytes {
    BatchSpec::at(Offset(offset)).write(&[NewRecord::new(Offset(offset), 0, "value")]).unwrap()
}

fn joined(parts: &[&[u8]]) -> Bytes {
    parts.concat().into()
}

fn first_error(bytes: impl Into<Bytes>) -> BatchError {
    let mut walk = batches(bytes.into());
    let error = walk.next().expect("an item").expect_err("an error");
    assert_eq!(walk.next(), None, "an error ends the walk");
    error
}

fn with(mut bytes: Vec<u8>, at: usize, field: &[u8]) -> Vec<u8> {
    bytes[at..at + field.len()].copy_from_slice(field);
    let checksum = crc32c::crc32c(&bytes[21..]);
    bytes[17..21].copy_from_slice(&checksum.to_be_bytes());
    bytes
}

fn bases(walk: Batches) -> Vec<Offset> {
    walk.map(|batch| batch.unwrap().header().base_offset).collect()
}

#[test]
fn nothing_holds_no_batch() {
    assert_eq!(batches(Bytes::new()).next(), None);
}

#[test]
fn whole_batches_are_cut_apart() {
    let bytes = joined(&[&batch_at(0), &batch_at(5), &batch_at(9)]);
    assert_eq!(bases(batches(bytes)), [Offset(0), Offset(5), Offset(9)]);
}

#[test]
fn a_last_batch_that_is_cut_off_ends_the_walk_wherever_the_cut_is() {
    let last = batch_at(5);
    for cut in 0..last.len() {
        let bytes = joined(&[&batch_at(0), &last[..cut]]);
        assert_eq!(bases(batches(bytes)), [Offset(0)], "cut at {cut}");
    }
}

#[test]
fn a_first_batch_that_is_cut_off_says_how_much_it_needs() {
    let batch = batch_at(0);
    for found in 1..batch.len() {
        let needed = (found >= 12).then_some(batch.len());
        assert_eq!(first_error(batch.slice(..found)), BatchError::Truncated { found, needed });
    }
}

#[test]
fn the_formats_of_old_are_refused_by_name() {
    for magic in [0, 1] {
        let mut message = batch_at(4).to_vec();
        message[16] = magic;
        // A message of the old formats is shorter than a batch's header alone.
        message.truncate(34);
        message[8..12].copy_from_slice(&22_i32.to_be_bytes());
        let error = first_error(message);
        assert_eq!(error, BatchError::OldMagic { base_offset: Offset(4), magic: magic as i8 });
        assert_eq!(
            error.to_string(),
            format!("the batch at offset 4 has the old format {magic}; only format 2 is read")
        );
    }
}

#[test]
fn formats_of_the_future_are_refused() {
    let mut batch = batch_at(4).to_vec();
    batch[16] = 3;
    assert_eq!(first_error(batch), BatchError::UnknownMagic { base_offset: Offset(4), magic: 3 });
}

#[test]
fn a_length_that_no_batch_has_is_refused() {
    for length in [-1, i32::MIN, 0, 48] {
        let mut batch = batch_at(4).to_vec();
        batch[8..12].copy_from_slice(&length.to_be_bytes());
        assert_eq!(first_error(batch), BatchError::Length { base_offset: Offset(4), length });
    }
    let negative = [&4_i64.to_be_bytes()[..], &(-1_i32).to_be_bytes()].concat();
    assert_eq!(first_error(negative), BatchError::Length { base_offset: Offset(4), length: -1 });
}

#[test]
fn fields_out_of_range_are_refused() {
    let batch = batch_at(4).to_vec();
    let field = |base, field, value| BatchError::Field { base_offset: Offset(base), field, value };
    let minus_one = (-1_i32).to_be_bytes();
    assert_eq!(first_error(with(batch.clone(), 23, &minus_one)), field(4, "last offset delta", -1));
    assert_eq!(first_error(with(batch.clone(), 57, &minus_one)), field(4, "record count", -1));
    assert_eq!(first_error(with(batch.clone(), 21, &[0, 5])), field(4, "attributes", 5));
    let last = i64::MAX.to_be_bytes();
    assert_eq!(first_error(with(batch.clone(), 0, &last)), field(i64::MAX, "last offset delta", 0));
    assert_eq!(first_error(with(batch, 0, &[0xff; 8])), field(-1, "last offset delta", 0));
}

#[test]
fn a_walk_without_checksums_leaves_them_to_the_batch() {
    let mut damaged = batch_at(0).to_vec();
    *damaged.last_mut().unwrap() ^= 1;
    assert!(matches!(first_error(damaged.clone()), BatchError::Checksum { base_offset: Offset(0), .. }));
    let batch = batches(damaged.into()).without_checksums().next().unwrap().unwrap();
    assert!(matches!(batch.verify(), Err(BatchError::Checksum { base_offset: Offset(0), .. })));
    assert_eq!(only(batch_at(0)).verify(), Ok(()));
}

#[test]
fn an_empty_batch_left_by_compaction_moves_the_position_and_holds_nothing() {
    let spec = BatchSpec { last_offset: Some(Offset(41)), ..BatchSpec::at(Offset(30)) };
    for compression in Compression::ALL {
        let batch = plain(BatchSpec { compression, ..spec }.write(&[]).unwrap());
        assert_eq!(batch.records().count(), 0);
        assert_eq!(batch.header().next_offset(), Offset(42));
    }
}

#[test]
fn holes_left_by_compaction_are_no_gap() {
    let records = [3, 7, 8].map(|offset| NewRecord::new(Offset(offset), 0, "x"));
    let spec = BatchSpec { last_offset: Some(Offset(11)), ..BatchSpec::at(Offset(1)) };
    let batch = plain(spec.write(&records).unwrap());
    let offsets: Vec<_> = all(&batch).iter().map(|record| record.offset.0).collect();
    assert_eq!(offsets, [3, 7, 8]);
    assert_eq!(batch.header().next_offset(), Offset(12));
}
