//! A writer of record batches, for what plays the broker or the producer in tests.
//!
//! It is not on any hot path: it copies each record, and refuses batches of more than [`MAX_BYTES`].

use bytes::{BufMut, Bytes};
use steadfast_core::ids::{LeaderEpoch, Offset};
use thiserror::Error;

use super::batch::{
    BatchHeader, CHECKED_FROM, CONTROL_BIT, DELETE_HORIZON_BIT, HEADER, PREFIX, TIMESTAMP_TYPE_BIT,
    TRANSACTIONAL_BIT, TimestampType,
};
use super::compression::{Compression, CompressionError, compress};
use super::varint;

/// The most bytes of records that one batch may have, before and after compression.
pub const MAX_BYTES: usize = 64 << 20;

const MAGIC: i8 = 2;
const NO_TIMESTAMP: i64 = -1;
const MARKER_VERSION: i16 = 0;

/// Why a batch could not be written.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum WriteError {
    /// Too much for one batch.
    #[error("the batch at offset {base_offset} would have more than {MAX_BYTES} bytes of records")]
    TooLarge {
        /// Where the batch begins.
        base_offset: Offset,
    },
    /// An offset that the batch cannot hold.
    #[error("offset {found} does not fit the batch: expected is one from {lowest} on, near the first")]
    Offset {
        /// The lowest that was possible.
        lowest: Offset,
        /// What was asked for.
        found: Offset,
    },
    /// The codec refused.
    #[error("the batch at offset {base_offset} cannot be compressed")]
    Compression {
        /// Where the batch begins.
        base_offset: Offset,
        /// What the codec says.
        source: CompressionError,
    },
}

/// A record to write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewRecord {
    /// Its place; a hole before it is one that compaction left.
    pub offset: Offset,
    /// Milliseconds since 1970.
    pub timestamp: i64,
    /// The key, if there is one.
    pub key: Option<Bytes>,
    /// The value, or none for a tombstone.
    pub value: Option<Bytes>,
    /// Keys and values in order; a key may come again.
    pub headers: Vec<(Bytes, Option<Bytes>)>,
}

impl NewRecord {
    /// A record with a value alone.
    pub fn new(offset: Offset, timestamp: i64, value: impl Into<Bytes>) -> NewRecord {
        NewRecord { offset, timestamp, key: None, value: Some(value.into()), headers: Vec::new() }
    }
}

/// The producer that a batch names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Producer {
    /// Its id.
    pub id: i64,
    /// Its epoch.
    pub epoch: i16,
    /// Its sequence number of the first record.
    pub base_sequence: i32,
}

impl Producer {
    /// No idempotent producer.
    pub const NONE: Producer = Producer { id: -1, epoch: -1, base_sequence: -1 };
}

/// What a batch is to be like, apart from its records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatchSpec {
    /// What the offsets count from; no record may stand before it.
    pub base_offset: Offset,
    /// The last offset the batch stands for, if compaction removed the record there; else the last record's
    /// (the base offset if there is none).
    pub last_offset: Option<Offset>,
    /// The epoch of the leader that appends it.
    pub leader_epoch: LeaderEpoch,
    /// How to compress the records.
    pub compression: Compression,
    /// The broker's time for all records (ms), where the topic says `LogAppendTime`.
    pub append_time: Option<i64>,
    /// Whether it is part of a transaction.
    pub transactional: bool,
    /// Whether it holds markers.
    pub control: bool,
    /// The time (ms) from which on compaction may drop tombstones and markers.
    pub delete_horizon: Option<i64>,
    /// Who produced it.
    pub producer: Producer,
}

impl BatchSpec {
    /// A plain, uncompressed batch from `base_offset` on, of leader epoch 0.
    pub fn at(base_offset: Offset) -> BatchSpec {
        BatchSpec {
            base_offset,
            last_offset: None,
            leader_epoch: LeaderEpoch(0),
            compression: Compression::None,
            append_time: None,
            transactional: false,
            control: false,
            delete_horizon: None,
            producer: Producer::NONE,
        }
    }

    /// The batch with `records`, whose offsets must increase; none make the empty batch that compaction
    /// keeps for a producer's last sequence number.
    ///
    /// # Errors
    /// As [`WriteError`] says.
    pub fn write(&self, records: &[NewRecord]) -> Result<Bytes, WriteError> {
        let base_timestamp =
            self.delete_horizon.or(records.first().map(|record| record.timestamp)).unwrap_or(NO_TIMESTAMP);
        let (body, after) = self.body(records, base_timestamp)?;
        let last_written = Offset(after.0.saturating_sub(1)).max(self.base_offset);
        let last_offset = self.last_offset.unwrap_or(last_written);
        if last_offset < last_written {
            return Err(WriteError::Offset { lowest: last_written, found: last_offset });
        }
        let body = compress(self.compression, &body)
            .map_err(|source| WriteError::Compression { base_offset: self.base_offset, source })?;
        let latest = records.iter().map(|record| record.timestamp).max().unwrap_or(NO_TIMESTAMP);
        let header = BatchHeader {
            base_offset: self.base_offset,
            last_offset,
            leader_epoch: self.leader_epoch,
            compression: self.compression,
            timestamp_type: match self.append_time {
                None => TimestampType::CreateTime,
                Some(_) => TimestampType::LogAppendTime,
            },
            transactional: self.transactional,
            control: self.control,
            delete_horizon: self.delete_horizon.is_some(),
            base_timestamp,
            max_timestamp: self.append_time.unwrap_or(latest),
            producer_id: self.producer.id,
            producer_epoch: self.producer.epoch,
            base_sequence: self.producer.base_sequence,
            record_count: i32::try_from(records.len()).map_err(|_| self.too_large())?,
        };
        frame(&header, &body)
    }

    /// The records in their wire form, and the offset after the last.
    fn body(&self, records: &[NewRecord], base_timestamp: i64) -> Result<(Vec<u8>, Offset), WriteError> {
        let (mut body, mut one) = (Vec::new(), Vec::new());
        let mut lowest = self.base_offset;
        for record in records {
            let wrong = WriteError::Offset { lowest, found: record.offset };
            let delta = offset_delta(self.base_offset, record.offset).filter(|_| record.offset >= lowest);
            one.clear();
            one.push(0);
            varint::write_i64(&mut one, record.timestamp.wrapping_sub(base_timestamp));
            varint::write_i32(&mut one, delta.ok_or(wrong)?);
            self.contents(record, &mut one)?;
            varint::write_i32(&mut body, self.length(one.len())?);
            body.extend_from_slice(&one);
            self.length(body.len())?;
            lowest = record.offset.next();
        }
        Ok((body, lowest))
    }

    fn contents(&self, record: &NewRecord, out: &mut Vec<u8>) -> Result<(), WriteError> {
        self.nullable(out, &record.key)?;
        self.nullable(out, &record.value)?;
        varint::write_i32(out, self.length(record.headers.len())?);
        for (key, value) in &record.headers {
            varint::write_i32(out, self.length(key.len())?);
            out.extend_from_slice(key);
            self.nullable(out, value)?;
        }
        Ok(())
    }

    fn nullable(&self, out: &mut Vec<u8>, bytes: &Option<Bytes>) -> Result<(), WriteError> {
        match bytes {
            None => varint::write_i32(out, -1),
            Some(bytes) => {
                varint::write_i32(out, self.length(bytes.len())?);
                out.extend_from_slice(bytes);
            }
        }
        self.length(out.len()).map(drop)
    }

    fn length(&self, length: usize) -> Result<i32, WriteError> {
        i32::try_from(length).ok().filter(|_| length <= MAX_BYTES).ok_or_else(|| self.too_large())
    }

    fn too_large(&self) -> WriteError {
        WriteError::TooLarge { base_offset: self.base_offset }
    }
}

/// How a transaction ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TransactionEnd {
    /// Its records count.
    Commit,
    /// Its records do not.
    Abort,
}

/// The control batch with which the transaction coordinator of epoch `coordinator_epoch` ends the
/// transaction of `producer`: one marker at `offset`, of time `timestamp` (ms).
///
/// # Errors
/// As [`WriteError`] says: for an offset that is none.
pub fn end_of_transaction(
    offset: Offset,
    leader_epoch: LeaderEpoch,
    producer: Producer,
    end: TransactionEnd,
    coordinator_epoch: i32,
    timestamp: i64,
) -> Result<Bytes, WriteError> {
    let kind: i16 = match end {
        TransactionEnd::Abort => 0,
        TransactionEnd::Commit => 1,
    };
    let key = [MARKER_VERSION.to_be_bytes(), kind.to_be_bytes()].concat();
    let value = [&MARKER_VERSION.to_be_bytes()[..], &coordinator_epoch.to_be_bytes()].concat();
    let spec =
        BatchSpec { leader_epoch, transactional: true, control: true, producer, ..BatchSpec::at(offset) };
    spec.write(&[NewRecord { key: Some(key.into()), ..NewRecord::new(offset, timestamp, value) }])
}

/// A batch of `header` with `body` as it stands, whatever it holds: length and checksum are filled in, and
/// whether count, codec and records fit each other is the caller's business.
///
/// # Errors
/// [`WriteError::TooLarge`] for a body over [`MAX_BYTES`], [`WriteError::Offset`] when the last offset is
/// too far from the first.
pub fn frame(header: &BatchHeader, body: &[u8]) -> Result<Bytes, WriteError> {
    let base_offset = header.base_offset;
    if body.len() > MAX_BYTES {
        return Err(WriteError::TooLarge { base_offset });
    }
    let last_offset_delta = offset_delta(base_offset, header.last_offset)
        .ok_or(WriteError::Offset { lowest: base_offset, found: header.last_offset })?;
    let mut out = Vec::with_capacity(HEADER + body.len());
    out.put_i64(base_offset.0);
    out.put_i32((HEADER - PREFIX + body.len()) as i32);
    out.put_i32(header.leader_epoch.0);
    out.put_i8(MAGIC);
    out.put_u32(0);
    out.put_i16(attributes(header));
    out.put_i32(last_offset_delta);
    out.put_i64(header.base_timestamp);
    out.put_i64(header.max_timestamp);
    out.put_i64(header.producer_id);
    out.put_i16(header.producer_epoch);
    out.put_i32(header.base_sequence);
    out.put_i32(header.record_count);
    out.extend_from_slice(body);
    let checksum = crc32c::crc32c(&out[CHECKED_FROM..]);
    out[CHECKED_FROM - 4..CHECKED_FROM].copy_from_slice(&checksum.to_be_bytes());
    Ok(out.into())
}

fn attributes(header: &BatchHeader) -> i16 {
    let append_time = header.timestamp_type == TimestampType::LogAppendTime;
    let flags = [
        (append_time, TIMESTAMP_TYPE_BIT),
        (header.transactional, TRANSACTIONAL_BIT),
        (header.control, CONTROL_BIT),
        (header.delete_horizon, DELETE_HORIZON_BIT),
    ];
    let set = flags.iter().filter(|(set, _)| *set);
    set.fold(header.compression.attributes(), |bits, (_, bit)| bits | bit)
}

fn offset_delta(base: Offset, offset: Offset) -> Option<i32> {
    i32::try_from(offset.0.checked_sub(base.0)?).ok().filter(|delta| *delta >= 0)
}
