//! A cursor over one Kafka answer: it walks the fields, remembers what is to be replaced, and copies the
//! rest as it is. Nothing is allocated by a length that came over the wire.

use std::io;
use std::ops::Range;

/// The bytes are no answer of the API and version they were taken for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum WalkError {
    /// The answer ends inside a field.
    #[error("expected {expected} more bytes at offset {at}, found {found}")]
    Short {
        /// Where the field begins.
        at: usize,
        /// How many bytes the field needs.
        expected: usize,
        /// How many there are.
        found: usize,
    },
    /// A length or a count is negative where none may be, or longer than an integer can be.
    #[error("expected a length at offset {at}, found {found}")]
    Length {
        /// Where the length begins.
        at: usize,
        /// What it says.
        found: i64,
    },
    /// A string is no UTF-8.
    #[error("expected UTF-8 at offset {at}")]
    Text {
        /// Where the string begins.
        at: usize,
    },
}

impl From<WalkError> for io::Error {
    fn from(error: WalkError) -> io::Error {
        io::Error::new(io::ErrorKind::InvalidData, error)
    }
}

/// Walks one message from its front to its end.
pub(super) struct Walk<'a> {
    bytes: &'a [u8],
    at: usize,
    flexible: bool,
    edits: Vec<(Range<usize>, Vec<u8>)>,
}

impl<'a> Walk<'a> {
    /// Begins at the front of `bytes`; `flexible` says how strings and arrays are written (KIP-482).
    pub(super) fn new(bytes: &'a [u8], flexible: bool) -> Walk<'a> {
        Walk { bytes, at: 0, flexible, edits: Vec::new() }
    }

    /// Where the next field begins.
    pub(super) fn at(&self) -> usize {
        self.at
    }

    /// Steps over `count` bytes and gives them.
    pub(super) fn take(&mut self, count: usize) -> Result<&'a [u8], WalkError> {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let taken =
            rest.get(..count).ok_or(WalkError::Short { at: self.at, expected: count, found: rest.len() })?;
        self.at += count;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], WalkError> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(N)?);
        Ok(array)
    }

    pub(super) fn i16(&mut self) -> Result<i16, WalkError> {
        Ok(i16::from_be_bytes(self.array()?))
    }

    pub(super) fn i32(&mut self) -> Result<i32, WalkError> {
        Ok(i32::from_be_bytes(self.array()?))
    }

    pub(super) fn uvarint(&mut self) -> Result<u32, WalkError> {
        let start = self.at;
        let mut value = 0_u64;
        for shift in (0..35).step_by(7) {
            let [byte] = self.array()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return u32::try_from(value).map_err(|_| too_long(start, value));
            }
        }
        Err(too_long(start, value))
    }

    /// A length in the flexible notation: one more than it is, and 0 for null.
    fn compact_length(&mut self) -> Result<Option<usize>, WalkError> {
        let start = self.at;
        let value = self.uvarint()?;
        let length = usize::try_from(value).map_err(|_| too_long(start, value.into()))?;
        Ok(length.checked_sub(1))
    }

    /// A string, or none for null.
    pub(super) fn string(&mut self) -> Result<Option<&'a str>, WalkError> {
        let start = self.at;
        let length = if self.flexible {
            self.compact_length()?
        } else {
            match self.i16()? {
                -1 => None,
                length => Some(length_of(start, length.into())?),
            }
        };
        let Some(length) = length else { return Ok(None) };
        let text = self.take(length)?;
        std::str::from_utf8(text).map(Some).map_err(|_| WalkError::Text { at: start })
    }

    /// Steps over bytes or records.
    pub(super) fn bytes(&mut self) -> Result<(), WalkError> {
        let start = self.at;
        let length = if self.flexible {
            self.compact_length()?.unwrap_or(0)
        } else {
            match self.i32()? {
                -1 => 0,
                length => length_of(start, length.into())?,
            }
        };
        self.take(length).map(drop)
    }

    /// Walks an array: `element` is called for each. A null array has none.
    pub(super) fn each<E: From<WalkError>>(
        &mut self,
        mut element: impl FnMut(&mut Walk<'a>) -> Result<(), E>,
    ) -> Result<(), E> {
        let start = self.at;
        let count = if self.flexible {
            self.compact_length()?.unwrap_or(0)
        } else {
            match self.i32()? {
                -1 => 0,
                count => length_of(start, count.into())?,
            }
        };
        (0..count).try_for_each(|_| element(self))
    }

    /// Steps over tagged fields, if the message has any.
    pub(super) fn tags(&mut self) -> Result<(), WalkError> {
        self.tagged(|_, _| Ok(false))
    }

    /// Walks tagged fields, if the message has any. `field` is called with each tag and says whether it
    /// walked that field's content; what it did not walk is stepped over.
    pub(super) fn tagged<E: From<WalkError>>(
        &mut self,
        mut field: impl FnMut(&mut Walk<'a>, u32) -> Result<bool, E>,
    ) -> Result<(), E> {
        if !self.flexible {
            return Ok(());
        }
        for _ in 0..self.uvarint()? {
            let tag = self.uvarint()?;
            let size_at = self.at;
            let size = self.uvarint()?;
            let length = usize::try_from(size).map_err(|_| too_long(size_at, size.into()))?;
            let (content, edits) = (self.at, self.edits.len());
            if !field(self, tag)? {
                self.take(length)?;
                continue;
            }
            if self.at - content != length {
                return Err(too_long(size_at, size.into()).into());
            }
            if self.edits.len() > edits {
                let replaced: usize = self.edits[edits..].iter().map(|(range, _)| range.len()).sum();
                let by: usize = self.edits[edits..].iter().map(|(_, bytes)| bytes.len()).sum();
                let mut size = Vec::new();
                put_uvarint(&mut size, length - replaced + by);
                self.edits.push((size_at..content, size));
            }
        }
        Ok(())
    }

    /// Replaces all from `start` to where the cursor stands.
    pub(super) fn replace(&mut self, start: usize, with: Vec<u8>) {
        self.edits.push((start..self.at, with));
    }

    /// A string in this message's notation.
    pub(super) fn put_string(&self, out: &mut Vec<u8>, text: &str) {
        if self.flexible {
            put_uvarint(out, text.len() + 1);
        } else {
            out.extend((text.len() as u16).to_be_bytes());
        }
        out.extend(text.as_bytes());
    }

    /// An empty array in this message's notation.
    pub(super) fn no_elements(&self) -> Vec<u8> {
        if self.flexible { vec![1] } else { vec![0; 4] }
    }

    /// The message with what was replaced, or none when nothing was. What was not walked stays.
    pub(super) fn finish(mut self) -> Option<Vec<u8>> {
        if self.edits.is_empty() {
            return None;
        }
        self.edits.sort_by_key(|(range, _)| range.start);
        let mut out = Vec::with_capacity(self.bytes.len() + 64);
        let mut copied = 0;
        for (range, with) in &self.edits {
            out.extend(&self.bytes[copied..range.start]);
            out.extend(with);
            copied = range.end;
        }
        out.extend(&self.bytes[copied..]);
        Some(out)
    }
}

fn too_long(at: usize, found: u64) -> WalkError {
    WalkError::Length { at, found: i64::try_from(found).unwrap_or(i64::MAX) }
}

fn length_of(at: usize, found: i64) -> Result<usize, WalkError> {
    usize::try_from(found).map_err(|_| WalkError::Length { at, found })
}

fn put_uvarint(out: &mut Vec<u8>, mut value: usize) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_count_from_the_wire_allocates_nothing() {
        let claims_two_billion = [0x7f, 0xff, 0xff, 0xff, 0, 0];
        let error = Walk::new(&claims_two_billion, false).each(|walk| walk.take(1).map(drop)).unwrap_err();
        assert_eq!(error, WalkError::Short { at: 6, expected: 1, found: 0 });
    }

    #[test]
    fn a_length_past_32_bits_is_refused() {
        let too_long = [0xff, 0xff, 0xff, 0xff, 0x7f];
        assert!(matches!(Walk::new(&too_long, true).string(), Err(WalkError::Length { at: 0, .. })));
    }

    #[test]
    fn a_tagged_field_that_lies_about_its_size_is_refused() {
        let one_tag_of_two_bytes = [1, 0, 2, 0xaa, 0xbb];
        let read_one =
            Walk::new(&one_tag_of_two_bytes, true).tagged(|walk, _| walk.take(1).map(|_| true)).unwrap_err();
        assert_eq!(read_one, WalkError::Length { at: 2, found: 2 });
    }

    #[test]
    fn the_size_of_a_tagged_field_follows_its_content() {
        let mut walk = Walk::new(&[9, 1, 0, 2, 0xaa, 0xbb, 7], true);
        walk.take(1).unwrap();
        walk.tagged(|walk, _| {
            let start = walk.at();
            walk.take(2)?;
            walk.replace(start, vec![1; 200]);
            Ok::<_, WalkError>(true)
        })
        .unwrap();
        let out = walk.finish().unwrap();
        assert_eq!(&out[..5], [9, 1, 0, 0xc8, 0x01]);
        assert_eq!(&out[5..], [&[1; 200][..], &[7]].concat());
    }
}
