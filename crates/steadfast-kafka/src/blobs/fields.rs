//! The fields that subscriptions and assignments are made of.

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::{BufMut, BytesMut};
use steadfast_core::ids::Partition;

use super::VERSION;

/// Bytes that are no subscription or assignment, or a value that fits into none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BlobError {
    /// The bytes end too early.
    #[error("expected {expected} of {wanted} bytes at byte {at}, found {left} bytes left")]
    Short {
        /// What should stand there.
        expected: &'static str,
        /// Where it should begin.
        at: usize,
        /// How long it should be.
        wanted: usize,
        /// How much there is.
        left: usize,
    },
    /// A number is outside of what it counts.
    #[error("expected {expected} at byte {at}, found {found}")]
    Number {
        /// What should stand there.
        expected: &'static str,
        /// Where it begins.
        at: usize,
        /// What stands there.
        found: i64,
    },
    /// A name is no UTF-8.
    #[error("expected a name in UTF-8 at byte {at}")]
    Name {
        /// Where it begins.
        at: usize,
    },
    /// What should be written is too long for its length field.
    #[error("{what} of {length} bytes or entries cannot be written: the most is {most}")]
    TooLong {
        /// What it is.
        what: &'static str,
        /// How long it is.
        length: usize,
        /// How long it may be.
        most: usize,
    },
}

/// Reads from the front, and never past the end.
pub(super) struct Reader<'a> {
    pub(super) bytes: &'a [u8],
    pub(super) at: usize,
}

impl<'a> Reader<'a> {
    fn take(&mut self, expected: &'static str, wanted: usize) -> Result<&'a [u8], BlobError> {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let short = BlobError::Short { expected, at: self.at, wanted, left: rest.len() };
        let taken = rest.get(..wanted).ok_or(short)?;
        self.at += wanted;
        Ok(taken)
    }

    fn fixed<const N: usize>(&mut self, expected: &'static str) -> Result<[u8; N], BlobError> {
        let mut fixed = [0; N];
        fixed.copy_from_slice(self.take(expected, N)?);
        Ok(fixed)
    }

    fn i16(&mut self, expected: &'static str) -> Result<i16, BlobError> {
        self.fixed(expected).map(i16::from_be_bytes)
    }

    pub(super) fn i32(&mut self, expected: &'static str) -> Result<i32, BlobError> {
        self.fixed(expected).map(i32::from_be_bytes)
    }

    /// The version, or the newest that we know if it is newer.
    pub(super) fn version(&mut self) -> Result<i16, BlobError> {
        match self.i16("a version")? {
            version @ 0.. => Ok(version.min(VERSION)),
            found => Err(BlobError::Number { expected: "a version", at: 0, found: found.into() }),
        }
    }

    /// A length; none for -1.
    fn length(&mut self, expected: &'static str, found: i64, at: usize) -> Result<Option<usize>, BlobError> {
        match usize::try_from(found) {
            Ok(length) => Ok(Some(length)),
            Err(_) if found == -1 => Ok(None),
            Err(_) => Err(BlobError::Number { expected, at, found }),
        }
    }

    pub(super) fn nullable_bytes(&mut self, expected: &'static str) -> Result<Option<&'a [u8]>, BlobError> {
        let at = self.at;
        let found = self.i32("a length")?;
        let length = self.length("a length", found.into(), at)?;
        length.map(|length| self.take(expected, length)).transpose()
    }

    pub(super) fn nullable_name(&mut self) -> Result<Option<&'a str>, BlobError> {
        let at = self.at;
        let found = self.i16("a length")?;
        let Some(length) = self.length("a length", found.into(), at)? else { return Ok(None) };
        let at = self.at;
        let name = self.take("a name", length)?;
        str::from_utf8(name).map(Some).map_err(|_| BlobError::Name { at })
    }

    pub(super) fn name(&mut self) -> Result<&'a str, BlobError> {
        let at = self.at;
        self.nullable_name()?.ok_or(BlobError::Number { expected: "a name's length", at, found: -1 })
    }

    /// As many entries as the count says, as long as there are bytes for them; none for a count of -1.
    pub(super) fn list<T: Ord>(
        &mut self,
        expected: &'static str,
        mut entry: impl FnMut(&mut Self) -> Result<T, BlobError>,
    ) -> Result<BTreeSet<T>, BlobError> {
        let at = self.at;
        let found = self.i32("a count")?;
        let count = self.length(expected, found.into(), at)?.unwrap_or(0);
        (0..count).map(|_| entry(self)).collect()
    }

    pub(super) fn partitions(&mut self) -> Result<BTreeSet<Partition>, BlobError> {
        let by_topic = self.list("a count of topics", |from| {
            let topic: Arc<str> = from.name()?.into();
            let indexes = from.list("a count of partitions", Reader::index)?;
            Ok(indexes.into_iter().map(|index| Partition::new(topic.clone(), index)).collect::<Vec<_>>())
        })?;
        Ok(by_topic.into_iter().flatten().collect())
    }

    fn index(&mut self) -> Result<i32, BlobError> {
        let at = self.at;
        match self.i32("a partition's number")? {
            index @ 0.. => Ok(index),
            found => Err(BlobError::Number { expected: "a partition's number", at, found: found.into() }),
        }
    }
}

pub(super) struct Writer(pub(super) BytesMut);

impl Writer {
    pub(super) fn length(&mut self, what: &'static str, length: usize) -> Result<(), BlobError> {
        let most = i32::MAX as usize;
        let length = i32::try_from(length).map_err(|_| BlobError::TooLong { what, length, most })?;
        self.0.put_i32(length);
        Ok(())
    }

    pub(super) fn name(&mut self, name: &str) -> Result<(), BlobError> {
        let most = i16::MAX as usize;
        let too_long = BlobError::TooLong { what: "a name", length: name.len(), most };
        self.0.put_i16(i16::try_from(name.len()).map_err(|_| too_long)?);
        self.0.put_slice(name.as_bytes());
        Ok(())
    }

    /// Absent if there are none, as Java writes it.
    pub(super) fn nullable_bytes(&mut self, bytes: &[u8]) -> Result<(), BlobError> {
        if bytes.is_empty() {
            self.0.put_i32(-1);
            return Ok(());
        }
        self.length("user data", bytes.len())?;
        self.0.put_slice(bytes);
        Ok(())
    }

    pub(super) fn partitions(&mut self, partitions: &BTreeSet<Partition>) -> Result<(), BlobError> {
        let sorted: Vec<&Partition> = partitions.iter().collect();
        let by_topic: Vec<&[&Partition]> = sorted.chunk_by(|one, next| one.topic == next.topic).collect();
        self.length("topics", by_topic.len())?;
        for of_topic in by_topic {
            if let Some(first) = of_topic.first() {
                self.name(&first.topic)?;
            }
            self.length("partitions", of_topic.len())?;
            of_topic.iter().for_each(|partition| self.0.put_i32(partition.index));
        }
        Ok(())
    }
}
