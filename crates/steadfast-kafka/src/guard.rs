//! Checks an answer's bytes before kafka-protocol decodes them.
//!
//! kafka-protocol's array decoder sets memory aside for as many elements as the wire announces (2^31 of them
//! are 64 GiB and an abort). So each API file describes its answer by a [`Shape`], and [`check`] walks the
//! bytes by it, without allocating: every length and every element must really be there, and what decoding
//! will take must stay within [`INFLATION`] times the bytes.

/// How many bytes decoding may take for each byte of the answer. The smallest partition of a Fetch answer
/// with one tagged field that we do not know takes 19.
pub(crate) const INFLATION: usize = 24;

/// What decoding may take in any case, in bytes.
pub(crate) const ALLOWANCE: usize = 1 << 20;

/// What a text or a byte string takes beside its bytes, which stay in the frame.
const SLICE: usize = 32;

/// What an array takes beside its elements, and what the map of unknown tagged fields takes when empty.
const HOLDER: usize = 24;

/// What one unknown tagged field takes at most: the first node of the map that keeps it.
const UNKNOWN_TAG: usize = 448;

/// The layout of one structure of an answer, in all versions.
pub(crate) struct Shape {
    /// The fields, in the order of the wire.
    pub(crate) fields: &'static [Field],
    /// The tagged fields (KIP-482) that kafka-protocol knows.
    pub(crate) tags: &'static [Tag],
}

/// One field and the versions that have it.
pub(crate) struct Field {
    name: &'static str,
    from: i16,
    to: i16,
    kind: Kind,
}

/// One tagged field that kafka-protocol decodes.
pub(crate) struct Tag {
    tag: u32,
    from: i16,
    name: &'static str,
    kind: Kind,
}

/// How a field's bytes are laid out. Null is allowed everywhere: whether it may be null is the decoder's
/// question, and costs nothing.
pub(crate) enum Kind {
    /// So many bytes.
    Fixed(usize),
    /// A string: two bytes of length, or a varint in flexible versions.
    Text,
    /// Bytes or records: four bytes of length, or a varint in flexible versions.
    Blob,
    /// An array.
    List(&'static Kind),
    /// A structure.
    Struct(&'static Shape),
    /// A byte, and if it is 1 a structure.
    Optional(&'static Shape),
}

/// Announces an optional structure; whatever else stands there is taken for none.
const PRESENT: u8 = 1;

/// A field that all versions have.
pub(crate) const fn field(name: &'static str, kind: Kind) -> Field {
    between(0, i16::MAX, name, kind)
}

/// A field that begins with version `from`.
pub(crate) const fn since(from: i16, name: &'static str, kind: Kind) -> Field {
    between(from, i16::MAX, name, kind)
}

/// A field of the versions `from` to `to`.
pub(crate) const fn between(from: i16, to: i16, name: &'static str, kind: Kind) -> Field {
    Field { name, from, to, kind }
}

/// Tagged field number `tag`, known from version `from`.
pub(crate) const fn tag(tag: u32, from: i16, name: &'static str, kind: Kind) -> Tag {
    Tag { tag, from, name, kind }
}

/// An answer's bytes are not what its API and version say.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{problem} in {field} at byte {at} of {size}")]
pub struct Malformed {
    /// The field, by its name in Kafka's schema.
    pub field: &'static str,
    /// Where in the answer's body.
    pub at: usize,
    /// How many bytes the body has.
    pub size: usize,
    /// What is wrong there.
    pub problem: Problem,
}

/// What is wrong with an answer's bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// Something longer was announced than what is left.
    #[error("expected {expected} more bytes, found {found}")]
    Short {
        /// How many bytes were announced.
        expected: usize,
        /// How many are left.
        found: usize,
    },
    /// A length below -1.
    #[error("expected a length, found {found}")]
    Negative {
        /// The length as it was sent.
        found: i32,
    },
    /// A tagged field's size differs from what it holds.
    #[error("expected a tagged field of {expected} bytes, found one of {found}")]
    TagSize {
        /// The size that was announced.
        expected: usize,
        /// The size of what it holds.
        found: usize,
    },
    /// Decoding would take far more memory than the answer has bytes.
    #[error("expected contents that take at most {limit} bytes in memory, found more")]
    Inflated {
        /// What the answer may take.
        limit: usize,
    },
    /// Bytes are left over.
    #[error("expected the end of the answer, found {found} more bytes")]
    Trailing {
        /// How many are left.
        found: usize,
    },
}

/// Checks that `body` is an answer of this shape in `version`, to its last byte. Flexible versions (KIP-482)
/// have varint lengths and tagged fields.
pub(crate) fn check(
    shape: &'static Shape,
    flexible: bool,
    version: i16,
    body: &[u8],
) -> Result<(), Malformed> {
    let budget = body.len().saturating_mul(INFLATION).saturating_add(ALLOWANCE);
    let mut walk = Walk { body, at: 0, flexible, version, limit: budget, left: budget, field: "answer" };
    walk.structure(shape)?;
    match walk.remaining() {
        0 => Ok(()),
        found => Err(walk.malformed(Problem::Trailing { found })),
    }
}

/// How many bytes at the start of `bytes` are tagged fields, as an answer's header ends with them.
pub(crate) fn tags_in_header(bytes: &[u8]) -> Result<usize, Malformed> {
    const HEADER: Shape = Shape { fields: &[], tags: &[] };
    let limit = ALLOWANCE;
    let mut walk =
        Walk { body: bytes, at: 0, flexible: true, version: 1, limit, left: limit, field: "header" };
    walk.structure(&HEADER)?;
    Ok(walk.at)
}

struct Walk<'a> {
    body: &'a [u8],
    at: usize,
    flexible: bool,
    version: i16,
    /// What decoding may take in all, and what of it is left, in bytes.
    limit: usize,
    left: usize,
    /// The field being walked, for errors.
    field: &'static str,
}

impl Walk<'_> {
    fn structure(&mut self, shape: &Shape) -> Result<(), Malformed> {
        for field in shape.fields {
            if (field.from..=field.to).contains(&self.version) {
                self.field = field.name;
                self.value(&field.kind)?;
            }
        }
        if self.flexible { self.tagged(shape.tags) } else { Ok(()) }
    }

    fn value(&mut self, kind: &Kind) -> Result<(), Malformed> {
        match kind {
            Kind::Fixed(size) => self.skip(*size),
            Kind::Text => {
                let length = if self.flexible { self.compact_length()? } else { self.short_length()? };
                self.skip(length)
            }
            Kind::Blob => {
                let length = if self.flexible { self.compact_length()? } else { self.length()? };
                self.skip(length)
            }
            Kind::List(element) => self.list(element),
            Kind::Struct(shape) => self.structure(shape),
            Kind::Optional(shape) => match self.take::<1>()? {
                [PRESENT] => self.structure(shape),
                _ => Ok(()),
            },
        }
    }

    fn list(&mut self, element: &Kind) -> Result<(), Malformed> {
        let count = if self.flexible { self.compact_length()? } else { self.length()? };
        let field = self.field;
        self.charge(count.saturating_mul(in_memory(element)))?;
        if let Kind::Fixed(size) = element {
            return self.skip(count.saturating_mul(*size));
        }
        for _ in 0..count {
            self.field = field;
            self.value(element)?;
        }
        Ok(())
    }

    fn tagged(&mut self, known: &[Tag]) -> Result<(), Malformed> {
        self.field = "tagged fields";
        for _ in 0..self.varint()? {
            self.field = "tagged fields";
            let number = self.varint()?;
            let size = self.varint()? as usize;
            match known.iter().find(|tag| tag.tag == number && tag.from <= self.version) {
                Some(tag) => self.known_tag(tag, size)?,
                None => {
                    self.charge(UNKNOWN_TAG)?;
                    self.skip(size)?;
                }
            }
        }
        Ok(())
    }

    /// kafka-protocol decodes a tagged field that it knows by its type and ignores the announced size.
    fn known_tag(&mut self, tag: &Tag, expected: usize) -> Result<(), Malformed> {
        let start = self.at;
        self.field = tag.name;
        self.value(&tag.kind)?;
        match self.at - start {
            found if found == expected => Ok(()),
            found => Err(self.malformed(Problem::TagSize { expected, found })),
        }
    }

    fn charge(&mut self, bytes: usize) -> Result<(), Malformed> {
        let left = self.left.checked_sub(bytes);
        self.left = left.ok_or_else(|| self.malformed(Problem::Inflated { limit: self.limit }))?;
        Ok(())
    }

    fn compact_length(&mut self) -> Result<usize, Malformed> {
        Ok(self.varint()?.saturating_sub(1) as usize)
    }

    fn short_length(&mut self) -> Result<usize, Malformed> {
        let found = i32::from(i16::from_be_bytes(self.take()?));
        self.announced(found)
    }

    fn length(&mut self) -> Result<usize, Malformed> {
        let found = i32::from_be_bytes(self.take()?);
        self.announced(found)
    }

    fn announced(&self, found: i32) -> Result<usize, Malformed> {
        match found {
            -1 => Ok(0),
            _ => usize::try_from(found).map_err(|_| self.malformed(Problem::Negative { found })),
        }
    }

    /// At most five bytes, as kafka-protocol reads it: the fifth ends it whatever it says.
    fn varint(&mut self) -> Result<u32, Malformed> {
        let mut value = 0;
        for shift in (0..35).step_by(7) {
            let [byte] = self.take()?;
            value |= u32::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                break;
            }
        }
        Ok(value)
    }

    fn take<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        let bytes = self.body[self.at..].first_chunk();
        let bytes = *bytes.ok_or_else(|| self.short(N))?;
        self.at += N;
        Ok(bytes)
    }

    fn skip(&mut self, length: usize) -> Result<(), Malformed> {
        if length > self.remaining() {
            return Err(self.short(length));
        }
        self.at += length;
        Ok(())
    }

    fn remaining(&self) -> usize {
        self.body.len() - self.at
    }

    fn short(&self, expected: usize) -> Malformed {
        self.malformed(Problem::Short { expected, found: self.remaining() })
    }

    fn malformed(&self, problem: Problem) -> Malformed {
        Malformed { field: self.field, at: self.at, size: self.body.len(), problem }
    }
}

/// What one value of this kind takes in memory once decoded, without what its arrays hold.
fn in_memory(kind: &Kind) -> usize {
    match kind {
        Kind::Fixed(size) => *size,
        Kind::Text | Kind::Blob => SLICE,
        Kind::List(_) => HOLDER,
        Kind::Struct(shape) | Kind::Optional(shape) => {
            let fields = shape.fields.iter().map(|field| in_memory(&field.kind));
            let tags = shape.tags.iter().map(|tag| in_memory(&tag.kind));
            HOLDER + fields.chain(tags).sum::<usize>()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Kind::{Blob, Fixed, List, Struct, Text};
    use super::*;
    use proptest::prelude::*;

    static ITEM: Shape = Shape { fields: &[field("id", Fixed(4)), field("name", Text)], tags: &[] };
    static OUTER: Shape = Shape {
        fields: &[field("items", List(&Struct(&ITEM))), since(2, "blob", Blob)],
        tags: &[tag(0, 2, "extra", Fixed(2))],
    };

    fn problem(flexible: bool, body: &[u8]) -> Option<(&'static str, Problem)> {
        check(&OUTER, flexible, 2, body).err().map(|error| (error.field, error.problem))
    }

    #[test]
    fn a_huge_count_is_refused_before_anything_is_walked() {
        let body = (i32::MAX).to_be_bytes();
        assert!(matches!(problem(false, &body), Some(("items", Problem::Inflated { .. }))));
    }

    #[test]
    fn every_element_must_be_there() {
        let body = [0, 0, 0, 2, 0, 0, 0, 1, 0, 1, b'a', 0, 0];
        assert_eq!(problem(false, &body), Some(("id", Problem::Short { expected: 4, found: 2 })));
    }

    #[test]
    fn null_and_empty_pass() {
        assert_eq!(problem(false, &[255, 255, 255, 255, 255, 255, 255, 255]), None);
        assert_eq!(problem(true, &[0, 0, 0]), None);
    }

    #[test]
    fn a_length_below_minus_one_is_named() {
        let body = [255, 255, 255, 254];
        assert_eq!(problem(false, &body), Some(("items", Problem::Negative { found: -2 })));
    }

    #[test]
    fn a_known_tag_must_have_the_size_it_announces() {
        assert_eq!(problem(true, &[1, 1, 1, 0, 2, 9, 9]), None);
        let wrong = Problem::TagSize { expected: 3, found: 2 };
        assert_eq!(problem(true, &[1, 1, 1, 0, 3, 9, 9, 9]), Some(("extra", wrong)));
    }

    #[test]
    fn unknown_tags_are_skipped_but_not_in_any_number() {
        assert_eq!(problem(true, &[1, 1, 1, 7, 2, 9, 9]), None);
        let count = 60_000u32;
        let mut body =
            vec![1, 1, 0x80 | (count & 0x7f) as u8, 0x80 | (count >> 7 & 0x7f) as u8, (count >> 14) as u8];
        body.extend(std::iter::repeat_n([9, 0], count as usize).flatten());
        assert!(matches!(problem(true, &body), Some((_, Problem::Inflated { .. }))));
    }

    #[test]
    fn leftovers_are_refused() {
        assert_eq!(problem(true, &[1, 1, 0, 5]), Some(("tagged fields", Problem::Trailing { found: 1 })));
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_are_walked_without_a_panic(
            body in prop::collection::vec(any::<u8>(), 0..256), flexible: bool, version in 0i16..4,
        ) {
            let _ = check(&OUTER, flexible, version, &body);
            let _ = tags_in_header(&body);
        }
    }
}
