//! Records, decoded one at a time from borrowed bytes.

use std::borrow::Cow;

use bytes::Bytes;
use steadfast_core::ids::Offset;
use thiserror::Error;

use super::batch::{BatchHeader, TimestampType};
use super::varint::{self, VarintError};

/// The fewest bytes a record takes: seven integers of one byte each.
const SMALLEST_RECORD: usize = 7;

/// A record that cannot be read; the ones before it were good.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("record {index} of the batch at offset {base_offset}: {fault}")]
pub struct RecordError {
    /// Where the batch begins.
    pub base_offset: Offset,
    /// Which of the batch's records, from 0.
    pub index: i32,
    /// The lowest offset that it can have: where what cannot be read begins.
    pub from: Offset,
    /// What is wrong with it.
    pub fault: RecordFault,
}

/// What is wrong with a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum RecordFault {
    /// The bytes end before what was to be read.
    #[error("the bytes end within it")]
    Ended,
    /// An integer does not end.
    #[error("an integer of it takes more than {0} bytes")]
    LongInteger(usize),
    /// A length or count is negative or goes beyond the bytes there are.
    #[error("its {what} says {length}, {left} bytes are left")]
    Length {
        /// What the length is of.
        what: &'static str,
        /// What it says.
        length: i32,
        /// What is left to read.
        left: usize,
    },
    /// The offset is not one of the batch's, or not past the one before.
    #[error("its offset is {found}, expected is one from {lowest} to {highest}")]
    Offset {
        /// Base offset plus the record's delta.
        found: i64,
        /// The lowest that it may be.
        lowest: Offset,
        /// The batch's last offset.
        highest: Offset,
    },
    /// The record is longer than what is in it.
    #[error("{0} bytes follow its end")]
    TrailingInRecord(usize),
    /// The batch is longer than its records.
    #[error("{0} bytes stand where the batch should end")]
    TrailingInBatch(usize),
}

impl From<VarintError> for RecordFault {
    fn from(error: VarintError) -> RecordFault {
        match error {
            VarintError::Ended => RecordFault::Ended,
            VarintError::TooLong(most) => RecordFault::LongInteger(most),
        }
    }
}

/// A batch whose records can be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlainBatch {
    header: BatchHeader,
    plain: Bytes,
}

impl PlainBatch {
    /// The batch of `header` with the decompressed body `plain`.
    /// [`RecordBatch::decompress`](super::batch::RecordBatch::decompress) makes one too; this is for a
    /// caller that decompresses itself, into bytes with an owner of its own for instance.
    pub fn new(header: BatchHeader, plain: Bytes) -> PlainBatch {
        PlainBatch { header, plain }
    }

    /// What the batch says of itself.
    pub fn header(&self) -> &BatchHeader {
        &self.header
    }

    /// The decompressed body.
    pub fn plain(&self) -> &Bytes {
        &self.plain
    }

    /// What of the batch cannot be read, if there is something: why, and its bytes from there to the end.
    pub fn unreadable(&self) -> Option<(RecordError, &[u8])> {
        let mut records = self.records();
        loop {
            let rest = records.rest;
            if let Err(error) = records.next()? {
                return Some((error, rest));
            }
        }
    }

    /// All records of the batch; of a control batch, the markers.
    pub fn records(&self) -> Records<'_> {
        self.records_from(self.header.base_offset)
    }

    /// The records at `from` and after it: a fetch from the middle of a batch is answered with all of it.
    /// The records before it are checked like the others.
    pub fn records_from(&self, from: Offset) -> Records<'_> {
        let header = &self.header;
        Records {
            rest: &self.plain,
            left: header.record_count,
            header,
            lowest: header.base_offset,
            from,
            append_time: match header.timestamp_type {
                TimestampType::CreateTime => None,
                TimestampType::LogAppendTime => Some(header.max_timestamp),
            },
        }
    }
}

/// One record, borrowed from its batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Record<'a> {
    /// Its place in the partition.
    pub offset: Offset,
    /// Milliseconds since 1970, or -1 if there is none.
    pub timestamp: i64,
    /// Whose clock the timestamp is from.
    pub timestamp_type: TimestampType,
    /// The key; none and empty differ.
    pub key: Option<&'a [u8]>,
    /// The value; none and empty differ (none is a tombstone in a compacted topic).
    pub value: Option<&'a [u8]>,
    headers: Headers<'a>,
}

impl<'a> Record<'a> {
    /// The headers as the producer gave them: in its order, and as often as it named a key.
    pub fn headers(&self) -> Headers<'a> {
        self.headers
    }
}

/// One header of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header<'a> {
    /// The key's bytes, which should be UTF-8.
    pub key: &'a [u8],
    /// The value; none and empty differ.
    pub value: Option<&'a [u8]>,
}

impl<'a> Header<'a> {
    /// The key as text; what is no UTF-8 is replaced, as in Java's consumer.
    pub fn key_text(&self) -> Cow<'a, str> {
        String::from_utf8_lossy(self.key)
    }
}

/// The headers of one record. Their lengths were checked with the record, so there are no errors left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Headers<'a> {
    rest: &'a [u8],
    left: i32,
}

impl<'a> Headers<'a> {
    /// Takes `count` headers off `bytes`.
    #[inline]
    fn take(bytes: &mut &'a [u8], count: i32) -> Result<Headers<'a>, RecordFault> {
        if count < 0 {
            return Err(RecordFault::Length { what: "header count", length: count, left: bytes.len() });
        }
        let headers = Headers { rest: bytes, left: count };
        for _ in 0..count {
            header(bytes)?;
        }
        Ok(headers)
    }
}

impl<'a> Iterator for Headers<'a> {
    type Item = Header<'a>;

    fn next(&mut self) -> Option<Header<'a>> {
        if self.left == 0 {
            return None;
        }
        self.left -= 1;
        header(&mut self.rest).ok()
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left as usize, Some(self.left as usize))
    }
}

impl ExactSizeIterator for Headers<'_> {}

/// The records of one batch, in order. It ends after the last one or after an error.
#[derive(Debug, Clone)]
pub struct Records<'a> {
    rest: &'a [u8],
    left: i32,
    header: &'a BatchHeader,
    /// The lowest offset that the next record may have.
    lowest: Offset,
    from: Offset,
    append_time: Option<i64>,
}

impl<'a> Records<'a> {
    fn record(&mut self) -> Result<Record<'a>, RecordFault> {
        let length = varint::read_i32(&mut self.rest)?;
        let mut body = take(&mut self.rest, length, "length")?;
        // The record's own attributes: none are defined.
        let (_, rest) = body.split_first().ok_or(RecordFault::Ended)?;
        body = rest;
        let timestamp_delta = varint::read_i64(&mut body)?;
        let offset = self.place(varint::read_i32(&mut body)?)?;
        let key = nullable(&mut body, "key length")?;
        let value = nullable(&mut body, "value length")?;
        let header_count = varint::read_i32(&mut body)?;
        let headers = Headers::take(&mut body, header_count)?;
        if !body.is_empty() {
            return Err(RecordFault::TrailingInRecord(body.len()));
        }
        Ok(Record {
            offset,
            timestamp: self.timestamp(timestamp_delta),
            timestamp_type: self.header.timestamp_type,
            key,
            value,
            headers,
        })
    }

    /// Brokers do not check timestamps for overflow and Java's consumer wraps: a record that it delivers
    /// must not stop us.
    #[inline]
    fn timestamp(&self, delta: i64) -> i64 {
        self.append_time.unwrap_or_else(|| self.header.base_timestamp.wrapping_add(delta))
    }

    #[inline]
    fn place(&mut self, delta: i32) -> Result<Offset, RecordFault> {
        let (lowest, highest) = (self.lowest, self.header.last_offset);
        let found = self.header.base_offset.0.saturating_add(i64::from(delta));
        if found < lowest.0 || found > highest.0 {
            return Err(RecordFault::Offset { found, lowest, highest });
        }
        self.lowest = Offset(found).next();
        Ok(Offset(found))
    }

    fn end(&mut self) -> Result<(), RecordFault> {
        match self.rest.len() {
            0 => Ok(()),
            left => Err(RecordFault::TrailingInBatch(left)),
        }
    }

    #[cold]
    fn fail(&mut self, fault: RecordFault) -> RecordError {
        let index = self.header.record_count - self.left;
        let (from, base_offset) = (self.lowest.min(self.header.last_offset), self.header.base_offset);
        self.rest = &[];
        self.left = 0;
        RecordError { base_offset, index, from, fault }
    }
}

impl<'a> Iterator for Records<'a> {
    type Item = Result<Record<'a>, RecordError>;

    fn next(&mut self) -> Option<Self::Item> {
        while self.left > 0 {
            match self.record() {
                Err(fault) => return Some(Err(self.fail(fault))),
                Ok(record) => {
                    self.left -= 1;
                    if record.offset >= self.from {
                        return Some(Ok(record));
                    }
                }
            }
        }
        self.end().err().map(|fault| Err(self.fail(fault)))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (0, Some((self.left as usize).min(self.rest.len() / SMALLEST_RECORD).saturating_add(1)))
    }
}

impl std::iter::FusedIterator for Records<'_> {}

fn header<'a>(bytes: &mut &'a [u8]) -> Result<Header<'a>, RecordFault> {
    let length = varint::read_i32(bytes)?;
    let key = take(bytes, length, "header key length")?;
    Ok(Header { key, value: nullable(bytes, "header value length")? })
}

/// A negative length is null: -1 is what is written, Java's consumer takes the others too.
#[inline]
fn nullable<'a>(bytes: &mut &'a [u8], what: &'static str) -> Result<Option<&'a [u8]>, RecordFault> {
    let length = varint::read_i32(bytes)?;
    if length < 0 { Ok(None) } else { take(bytes, length, what).map(Some) }
}

#[inline]
fn take<'a>(bytes: &mut &'a [u8], length: i32, what: &'static str) -> Result<&'a [u8], RecordFault> {
    let split = usize::try_from(length).ok().and_then(|length| bytes.split_at_checked(length));
    let (taken, rest) = split.ok_or(RecordFault::Length { what, length, left: bytes.len() })?;
    *bytes = rest;
    Ok(taken)
}
