//! Record batches of format v2 as bytes: their header read and checked, their place stamped in, new ones written.
//!
//! The simulator has a writer of its own, so that it doesn't share the code that it is to test.

use bytes::{BufMut, Bytes, BytesMut};
use steadfast_core::ids::{LeaderEpoch, Offset};
use thiserror::Error;

/// The bytes before the first record.
pub(crate) const HEADER: usize = 61;
const LENGTH_COUNTS_FROM: usize = 12;
const CRC_COVERS_FROM: usize = 21;
const MAGIC: i8 = 2;
const COMPRESSION_BITS: i16 = 0x07;
const TRANSACTIONAL_BIT: i16 = 0x10;
const CONTROL_BIT: i16 = 0x20;

/// A record to append.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct NewRecord {
    /// Milliseconds since 1970.
    pub timestamp_ms: i64,
    /// The key, if there is one.
    pub key: Option<Bytes>,
    /// The value, or none for a tombstone.
    pub value: Option<Bytes>,
    /// Keys and values in order; a key may come again.
    pub headers: Vec<(Bytes, Option<Bytes>)>,
}

impl NewRecord {
    /// A record with a value alone.
    pub fn new(timestamp_ms: i64, value: impl Into<Bytes>) -> NewRecord {
        NewRecord { timestamp_ms, value: Some(value.into()), ..NewRecord::default() }
    }
}

/// Why bytes are no batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub(crate) enum BatchError {
    /// Not the bytes of exactly one batch.
    #[error("expected exactly one batch, found {found} bytes of which the first batch claims {claimed}")]
    Length { found: usize, claimed: usize },
    /// Another format.
    #[error("expected record format 2, found {found}")]
    Magic { found: i8 },
    /// The checksum is wrong.
    #[error("the batch says CRC {claimed:08x}, its bytes give {found:08x}")]
    Crc { claimed: u32, found: u32 },
    /// The counts contradict each other.
    #[error("{count} records cannot reach up to offset delta {last_offset_delta}")]
    Count { count: i32, last_offset_delta: i32 },
}

/// Who produced a batch, as the batch says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Producer {
    pub(crate) id: i64,
    pub(crate) epoch: i16,
    /// The sequence number of the first record; -1 in a batch that is not idempotent.
    pub(crate) base_sequence: i32,
}

impl Producer {
    /// No idempotent producer.
    pub(crate) const NONE: Producer = Producer { id: -1, epoch: -1, base_sequence: -1 };
}

/// What a batch says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) attributes: i16,
    pub(crate) last_offset_delta: i32,
    pub(crate) base_timestamp: i64,
    pub(crate) max_timestamp: i64,
    pub(crate) producer: Producer,
    pub(crate) count: i32,
}

impl Header {
    /// Reads and checks the bytes of exactly one batch.
    pub(crate) fn read(bytes: &[u8]) -> Result<Header, BatchError> {
        let length = |claimed| BatchError::Length { found: bytes.len(), claimed };
        if bytes.len() < HEADER {
            return Err(length(HEADER));
        }
        let claimed = usize::try_from(i32_at(bytes, 8)).map_err(|_| length(0))? + LENGTH_COUNTS_FROM;
        let magic = i8::from_be_bytes([bytes[16]]);
        if magic != MAGIC {
            return Err(BatchError::Magic { found: magic });
        }
        if claimed != bytes.len() {
            return Err(length(claimed));
        }
        check_crc(bytes)?;
        let header = Header::of_valid(bytes);
        if header.count < 1 || header.count - 1 != header.last_offset_delta {
            let Header { count, last_offset_delta, .. } = header;
            return Err(BatchError::Count { count, last_offset_delta });
        }
        Ok(header)
    }

    /// Reads a header that was checked before, or that this file wrote.
    fn of_valid(bytes: &[u8]) -> Header {
        Header {
            attributes: i16_at(bytes, 21),
            last_offset_delta: i32_at(bytes, 23),
            base_timestamp: i64_at(bytes, 27),
            max_timestamp: i64_at(bytes, 35),
            producer: Producer {
                id: i64_at(bytes, 43),
                epoch: i16_at(bytes, 51),
                base_sequence: i32_at(bytes, 53),
            },
            count: i32_at(bytes, 57),
        }
    }

    pub(crate) fn is_compressed(&self) -> bool {
        self.attributes & COMPRESSION_BITS != 0
    }

    pub(crate) fn is_transactional(&self) -> bool {
        self.attributes & TRANSACTIONAL_BIT != 0
    }

    pub(crate) fn is_control(&self) -> bool {
        self.attributes & CONTROL_BIT != 0
    }
}

fn check_crc(bytes: &[u8]) -> Result<(), BatchError> {
    let claimed = u32::from_be_bytes(array(bytes, 17));
    let found = crc32c::crc32c(&bytes[CRC_COVERS_FROM..]);
    if claimed == found { Ok(()) } else { Err(BatchError::Crc { claimed, found }) }
}

/// The batch with its place in the log stamped in. Neither is covered by the checksum, so that a leader can set them.
pub(crate) fn stamped(batch: &[u8], base_offset: Offset, epoch: LeaderEpoch) -> Bytes {
    let mut bytes = BytesMut::from(batch);
    bytes[0..8].copy_from_slice(&base_offset.0.to_be_bytes());
    bytes[12..16].copy_from_slice(&epoch.0.to_be_bytes());
    bytes.freeze()
}

/// An uncompressed batch of these records, base offset and leader epoch not yet stamped in.
pub(crate) fn write(records: &[NewRecord], producer: Producer, transactional: bool) -> Bytes {
    let attributes = if transactional { TRANSACTIONAL_BIT } else { 0 };
    let base = records.first().map_or(-1, |record| record.timestamp_ms);
    let max = records.iter().map(|record| record.timestamp_ms).max().unwrap_or(-1);
    let mut body = BytesMut::new();
    for (delta, record) in records.iter().enumerate() {
        put_record(&mut body, record, delta as i64, record.timestamp_ms.wrapping_sub(base));
    }
    assemble(attributes, (base, max), producer, records.len() as i32, &body)
}

/// A transaction's marker.
pub(crate) fn marker(producer_id: i64, epoch: i16, commit: bool, timestamp_ms: i64) -> Bytes {
    let mut key = BytesMut::new();
    key.put_i16(0);
    key.put_i16(i16::from(commit));
    let mut value = BytesMut::new();
    value.put_i16(0);
    value.put_i32(0);
    let record =
        NewRecord { timestamp_ms, key: Some(key.freeze()), value: Some(value.freeze()), headers: Vec::new() };
    let mut body = BytesMut::new();
    put_record(&mut body, &record, 0, 0);
    let producer = Producer { id: producer_id, epoch, base_sequence: -1 };
    assemble(TRANSACTIONAL_BIT | CONTROL_BIT, (timestamp_ms, timestamp_ms), producer, 1, &body)
}

fn assemble(attributes: i16, times: (i64, i64), producer: Producer, count: i32, records: &[u8]) -> Bytes {
    let mut checked = BytesMut::with_capacity(HEADER - CRC_COVERS_FROM + records.len());
    checked.put_i16(attributes);
    checked.put_i32(count - 1);
    checked.put_i64(times.0);
    checked.put_i64(times.1);
    checked.put_i64(producer.id);
    checked.put_i16(producer.epoch);
    checked.put_i32(producer.base_sequence);
    checked.put_i32(count);
    checked.put_slice(records);
    let mut batch = BytesMut::with_capacity(CRC_COVERS_FROM + checked.len());
    batch.put_i64(0);
    batch.put_i32((CRC_COVERS_FROM - LENGTH_COUNTS_FROM + checked.len()) as i32);
    batch.put_i32(-1);
    batch.put_i8(MAGIC);
    batch.put_u32(crc32c::crc32c(&checked));
    batch.put_slice(&checked);
    batch.freeze()
}

fn put_record(out: &mut BytesMut, record: &NewRecord, offset_delta: i64, time_delta: i64) {
    let mut body = BytesMut::new();
    body.put_i8(0);
    put_varint(&mut body, time_delta);
    put_varint(&mut body, offset_delta);
    put_optional(&mut body, record.key.as_deref());
    put_optional(&mut body, record.value.as_deref());
    put_varint(&mut body, record.headers.len() as i64);
    for (key, value) in &record.headers {
        put_optional(&mut body, Some(key));
        put_optional(&mut body, value.as_deref());
    }
    put_varint(out, body.len() as i64);
    out.put_slice(&body);
}

fn put_optional(out: &mut BytesMut, bytes: Option<&[u8]>) {
    match bytes {
        Some(bytes) => {
            put_varint(out, bytes.len() as i64);
            out.put_slice(bytes);
        }
        None => put_varint(out, -1),
    }
}

fn put_varint(out: &mut BytesMut, value: i64) {
    let mut rest = ((value << 1) ^ (value >> 63)) as u64;
    while rest >= 0x80 {
        out.put_u8(rest as u8 | 0x80);
        rest >>= 7;
    }
    out.put_u8(rest as u8);
}

/// The offset delta and the time of each record of an uncompressed batch, as far as the bytes hold.
pub(crate) fn times(batch: &[u8]) -> impl Iterator<Item = (i64, i64)> + '_ {
    let base = Header::of_valid(batch).base_timestamp;
    let mut rest = &batch[HEADER..];
    std::iter::from_fn(move || {
        let length = usize::try_from(take_varint(&mut rest)?).ok()?;
        let mut record = rest.get(1..length)?;
        rest = rest.get(length..)?;
        let time = base.wrapping_add(take_varint(&mut record)?);
        Some((take_varint(&mut record)?, time))
    })
}

fn take_varint(bytes: &mut &[u8]) -> Option<i64> {
    let mut value = 0u64;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some((value >> 1) as i64 ^ -((value & 1) as i64));
        }
    }
    None
}

fn array<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    let mut out = [0; N];
    out.copy_from_slice(&bytes[at..at + N]);
    out
}

fn i16_at(bytes: &[u8], at: usize) -> i16 {
    i16::from_be_bytes(array(bytes, at))
}

fn i32_at(bytes: &[u8], at: usize) -> i32 {
    i32::from_be_bytes(array(bytes, at))
}

fn i64_at(bytes: &[u8], at: usize) -> i64 {
    i64::from_be_bytes(array(bytes, at))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn two() -> Bytes {
        write(&[NewRecord::new(10, "a"), NewRecord::new(7, "bb")], Producer::NONE, false)
    }

    #[test]
    fn what_is_written_is_read_back() {
        let header = Header::read(&two()).unwrap();
        assert_eq!((header.count, header.last_offset_delta), (2, 1));
        assert_eq!((header.base_timestamp, header.max_timestamp), (10, 10));
        assert_eq!(times(&two()).collect::<Vec<_>>(), [(0, 10), (1, 7)]);
        assert!(!header.is_transactional() && !header.is_control() && !header.is_compressed());
    }

    #[test]
    fn stamping_a_place_leaves_the_checksum_right() {
        let stamped = stamped(&two(), Offset(1 << 40), LeaderEpoch(3));
        assert!(Header::read(&stamped).is_ok());
        assert_eq!((i64_at(&stamped, 0), i32_at(&stamped, 12)), (1 << 40, 3));
    }

    #[test]
    fn any_flipped_bit_under_the_checksum_is_noticed() {
        for at in CRC_COVERS_FROM..two().len() {
            let mut bytes = BytesMut::from(&two()[..]);
            bytes[at] ^= 1;
            assert!(matches!(Header::read(&bytes), Err(BatchError::Crc { .. })), "byte {at}");
        }
    }

    #[test]
    fn neither_a_part_of_a_batch_nor_two_are_one() {
        let batch = two();
        for length in 0..batch.len() {
            assert!(matches!(Header::read(&batch[..length]), Err(BatchError::Length { .. })), "{length}");
        }
        assert!(matches!(Header::read(&[&batch[..], &batch[..]].concat()), Err(BatchError::Length { .. })));
    }

    #[test]
    fn an_older_format_is_named() {
        let mut bytes = BytesMut::from(&two()[..]);
        bytes[16] = 1;
        assert_eq!(Header::read(&bytes), Err(BatchError::Magic { found: 1 }));
    }
}
