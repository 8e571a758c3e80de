//! Record batches as a fetch answer carries them: cut apart, their headers parsed, their checksums checked.

use bytes::{Buf, Bytes};
use steadfast_core::ids::{LeaderEpoch, Offset};
use thiserror::Error;

use super::compression::{Compression, CompressionError, decompress};
use super::lazy::PlainBatch;

/// The bytes of a batch before its length field ends: base offset and length.
pub(super) const PREFIX: usize = 12;
/// The bytes of a batch before its records.
pub(super) const HEADER: usize = 61;
/// Where the bytes begin that the checksum covers. Base offset, length and leader epoch stand before it:
/// the broker fills them in without touching the checksum.
pub(super) const CHECKED_FROM: usize = 21;
/// Up to here the formats of all times agree: offset, length, four more bytes, magic.
const MAGIC_END: usize = 17;
/// The length of the smallest message there ever was (magic 0, no key, no value).
const SMALLEST_LENGTH: i32 = 14;

pub(super) const TIMESTAMP_TYPE_BIT: i16 = 1 << 3;
pub(super) const TRANSACTIONAL_BIT: i16 = 1 << 4;
pub(super) const CONTROL_BIT: i16 = 1 << 5;
pub(super) const DELETE_HORIZON_BIT: i16 = 1 << 6;

/// Why bytes are not a batch that can be read.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum BatchError {
    /// Not even one whole batch: the partition must be asked for again with a larger limit.
    #[error("the first batch is cut off after {found} bytes ({})", whole(.needed))]
    Truncated {
        /// Bytes there are.
        found: usize,
        /// Bytes the batch says it has, if the length field is there.
        needed: Option<usize>,
    },
    /// A message of a format that brokers since 4.0 no longer keep.
    #[error("the batch at offset {base_offset} has the old format {magic}; only format 2 is read")]
    OldMagic {
        /// Where the batch begins.
        base_offset: Offset,
        /// 0 or 1.
        magic: i8,
    },
    /// A batch of a format unknown to us.
    #[error("the batch at offset {base_offset} has the unknown format {magic}; only format 2 is read")]
    UnknownMagic {
        /// Where the batch begins.
        base_offset: Offset,
        /// What the magic byte says.
        magic: i8,
    },
    /// The length field holds what no batch can have.
    #[error("the batch at offset {base_offset} says it has {length} bytes, too few for its header")]
    Length {
        /// Where the batch begins.
        base_offset: Offset,
        /// What the length field says.
        length: i32,
    },
    /// The bytes are not those that were written.
    #[error("the batch at offset {base_offset} has checksum {found:08x}, its header says {expected:08x}")]
    Checksum {
        /// Where the batch begins.
        base_offset: Offset,
        /// What the header says.
        expected: u32,
        /// What the bytes have.
        found: u32,
    },
    /// A header field holds a value out of its range.
    #[error("the batch at offset {base_offset} says {field} {value}, which is out of range")]
    Field {
        /// Where the batch begins.
        base_offset: Offset,
        /// The field's name.
        field: &'static str,
        /// What it says.
        value: i64,
    },
    /// The body cannot be decompressed.
    #[error("the batch at offset {base_offset} cannot be decompressed")]
    Compression {
        /// Where the batch begins.
        base_offset: Offset,
        /// What is wrong with the body.
        source: CompressionError,
    },
}

fn whole(needed: &Option<usize>) -> String {
    needed.map_or("its length too".into(), |needed| format!("of {needed}"))
}

/// Whose clock a batch's timestamps are from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TimestampType {
    /// The producer's, one for each record.
    CreateTime,
    /// The broker's when it appended the batch, the same for all records.
    LogAppendTime,
}

/// What a batch says of itself before its records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatchHeader {
    /// The offset that the records count from. Compaction may have removed the record there.
    pub base_offset: Offset,
    /// The last offset the batch stands for, also if compaction removed the record there.
    pub last_offset: Offset,
    /// The epoch of the leader that appended the batch.
    pub leader_epoch: LeaderEpoch,
    /// How the body is compressed.
    pub compression: Compression,
    /// What the timestamps mean.
    pub timestamp_type: TimestampType,
    /// Whether the batch belongs to a transaction.
    pub transactional: bool,
    /// Whether the batch holds a marker and not records of a user.
    pub control: bool,
    /// Whether `base_timestamp` is also the time (ms) from which on compaction may drop tombstones and
    /// markers (KIP-534).
    pub delete_horizon: bool,
    /// What the records' timestamps count from, in ms.
    pub base_timestamp: i64,
    /// The latest timestamp, in ms; the append time with [`TimestampType::LogAppendTime`].
    pub max_timestamp: i64,
    /// The idempotent or transactional producer, or -1.
    pub producer_id: i64,
    /// That producer's epoch, or -1.
    pub producer_epoch: i16,
    /// That producer's sequence number of the record at `base_offset`, or -1.
    pub base_sequence: i32,
    /// How many records follow; never negative.
    pub record_count: i32,
}

impl BatchHeader {
    /// The offset to go on from after this batch, whatever of it was delivered.
    pub fn next_offset(&self) -> Offset {
        self.last_offset.next()
    }
}

/// One whole batch: its header, and its body as a slice of the bytes it came in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordBatch {
    header: BatchHeader,
    frame: Bytes,
}

impl RecordBatch {
    /// The parsed header.
    pub fn header(&self) -> &BatchHeader {
        &self.header
    }

    /// The records as they came, compressed or not; shares memory with the bytes of the walk.
    pub fn body(&self) -> Bytes {
        self.frame.slice(HEADER..)
    }

    /// The bytes of the whole batch, header included.
    pub fn size(&self) -> usize {
        self.frame.len()
    }

    /// The offset to go on from after this batch: base offset + last offset delta + 1.
    pub fn next_offset(&self) -> Offset {
        self.header.next_offset()
    }

    /// Checks the checksum (CRC-32C), for a walk that left it out.
    ///
    /// # Errors
    /// [`BatchError::Checksum`] when the bytes are not those that were written.
    pub fn verify(&self) -> Result<(), BatchError> {
        verify(&self.frame)
    }

    /// The batch with its body decompressed into at most `limit` bytes; an uncompressed body is shared, not
    /// copied, and the limit does not touch it.
    ///
    /// # Errors
    /// [`BatchError::Compression`] when the body is damaged or larger than `limit`.
    pub fn decompress(&self, limit: usize) -> Result<PlainBatch, BatchError> {
        let plain = match self.header.compression {
            Compression::None => self.body(),
            codec => decompress(codec, &self.frame[HEADER..], limit)
                .map_err(|source| BatchError::Compression { base_offset: self.header.base_offset, source })?
                .into(),
        };
        Ok(PlainBatch::new(self.header, plain))
    }
}

/// Cuts the records field of a fetch answer into its batches, each with its checksum checked.
///
/// Brokers cut the answer where the limit falls: a last batch that is not whole ends the walk in silence,
/// unless it is the first ([`BatchError::Truncated`]). After an error the walk is over.
pub fn batches(bytes: Bytes) -> Batches {
    Batches { rest: bytes, verify: true, first: true }
}

/// The walk of [`batches`].
#[derive(Debug, Clone)]
pub struct Batches {
    rest: Bytes,
    verify: bool,
    first: bool,
}

impl Batches {
    /// Leaves the checksums to [`RecordBatch::verify`], so that the headers alone can be walked first and
    /// the next fetch sent while the bodies are checked.
    pub fn without_checksums(self) -> Batches {
        Batches { verify: false, ..self }
    }

    fn cut(&mut self) -> Result<Option<RecordBatch>, BatchError> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        let found = self.rest.len();
        match frame_length(&self.rest)? {
            Some(needed) if needed <= found => {
                self.first = false;
                parse(self.rest.split_to(needed), self.verify).map(Some)
            }
            needed if self.first => Err(BatchError::Truncated { found, needed }),
            _ => Ok(None),
        }
    }
}

impl Iterator for Batches {
    type Item = Result<RecordBatch, BatchError>;

    fn next(&mut self) -> Option<Self::Item> {
        let item = self.cut().transpose();
        if !matches!(item, Some(Ok(_))) {
            self.rest.clear();
        }
        item
    }
}

impl std::iter::FusedIterator for Batches {}

/// How long the batch at the head of `bytes` is, or none if its length is not there yet.
fn frame_length(mut bytes: &[u8]) -> Result<Option<usize>, BatchError> {
    let magic = (bytes.len() >= MAGIC_END).then(|| bytes[MAGIC_END - 1] as i8);
    if bytes.len() < PREFIX {
        return Ok(None);
    }
    let base_offset = Offset(bytes.get_i64());
    let length = bytes.get_i32();
    let smallest = match magic {
        None => SMALLEST_LENGTH,
        Some(2) => (HEADER - PREFIX) as i32,
        Some(magic @ (0 | 1)) => return Err(BatchError::OldMagic { base_offset, magic }),
        Some(magic) => return Err(BatchError::UnknownMagic { base_offset, magic }),
    };
    if length < smallest {
        return Err(BatchError::Length { base_offset, length });
    }
    Ok(Some(PREFIX + length as usize))
}

/// Parses `frame`, whose length and magic byte are known to be right.
fn parse(frame: Bytes, check: bool) -> Result<RecordBatch, BatchError> {
    if check {
        verify(&frame)?;
    }
    let mut fields = &frame[..HEADER];
    let base_offset = Offset(fields.get_i64());
    let field = |field, value| BatchError::Field { base_offset, field, value };
    fields.advance(4);
    let leader_epoch = LeaderEpoch(fields.get_i32());
    fields.advance(5);
    let attributes = fields.get_i16();
    let last_offset_delta = fields.get_i32();
    let header = BatchHeader {
        base_offset,
        last_offset: last_offset(base_offset, last_offset_delta)
            .ok_or_else(|| field("last offset delta", last_offset_delta.into()))?,
        leader_epoch,
        compression: Compression::from_attributes(attributes)
            .ok_or_else(|| field("attributes", attributes.into()))?,
        timestamp_type: timestamp_type(attributes),
        transactional: attributes & TRANSACTIONAL_BIT != 0,
        control: attributes & CONTROL_BIT != 0,
        delete_horizon: attributes & DELETE_HORIZON_BIT != 0,
        base_timestamp: fields.get_i64(),
        max_timestamp: fields.get_i64(),
        producer_id: fields.get_i64(),
        producer_epoch: fields.get_i16(),
        base_sequence: fields.get_i32(),
        record_count: fields.get_i32(),
    };
    if header.record_count < 0 {
        return Err(field("record count", header.record_count.into()));
    }
    Ok(RecordBatch { header, frame })
}

fn verify(frame: &[u8]) -> Result<(), BatchError> {
    let expected = (&frame[MAGIC_END..CHECKED_FROM]).get_u32();
    let found = crc32c::crc32c(&frame[CHECKED_FROM..]);
    if expected != found {
        let base_offset = Offset((&frame[..PREFIX]).get_i64());
        return Err(BatchError::Checksum { base_offset, expected, found });
    }
    Ok(())
}

/// The last offset, if it and the one after it are offsets at all.
fn last_offset(base: Offset, delta: i32) -> Option<Offset> {
    let last = base.0.checked_add(i64::from(delta))?;
    (base.0 >= 0 && delta >= 0 && last < i64::MAX).then_some(Offset(last))
}

fn timestamp_type(attributes: i16) -> TimestampType {
    if attributes & TIMESTAMP_TYPE_BIT == 0 {
        TimestampType::CreateTime
    } else {
        TimestampType::LogAppendTime
    }
}
