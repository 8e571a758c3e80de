//! A buffer that grows as it is filled, up to a limit.

use std::io::Read;

use super::Fault;

/// What a first allocation is at least and at most, in bytes, within the limit.
const FIRST: (usize, usize) = (4 << 10, 1 << 20);

/// Decompressed bytes, never more than the limit.
///
/// `Read::read_to_end` would double its buffer past the limit; this one's capacity is limit + 1 at most (the
/// one byte more tells a body that ends at the limit from one that goes on).
pub(super) struct Output {
    bytes: Vec<u8>,
    filled: usize,
    first: usize,
    limit: usize,
}

impl Output {
    /// An empty buffer for what `compressed` bytes unfold to.
    pub(super) fn new(compressed: usize, limit: usize) -> Output {
        let first = compressed.saturating_mul(4).clamp(FIRST.0, FIRST.1);
        Output { bytes: Vec::new(), filled: 0, first, limit }
    }

    /// Takes all that `reader` gives.
    pub(super) fn drain(&mut self, reader: &mut impl Read) -> Result<(), Fault> {
        loop {
            if self.filled == self.bytes.len() {
                self.grow()?;
            }
            match reader.read(&mut self.bytes[self.filled..])? {
                0 => return Ok(()),
                count => self.filled += count,
            }
        }
    }

    /// Room for `length` bytes more, which the caller fills, all of it.
    pub(super) fn room(&mut self, length: usize) -> Result<&mut [u8], Fault> {
        if length > self.limit - self.filled {
            return Err(Fault::TooLarge);
        }
        let start = self.filled;
        self.filled += length;
        if self.filled > self.bytes.len() {
            self.resize(self.filled.max(self.doubled()));
        }
        Ok(&mut self.bytes[start..self.filled])
    }

    /// What was taken.
    pub(super) fn finish(mut self) -> Result<Vec<u8>, Fault> {
        if self.filled > self.limit {
            return Err(Fault::TooLarge);
        }
        self.bytes.truncate(self.filled);
        Ok(self.bytes)
    }

    fn grow(&mut self) -> Result<(), Fault> {
        if self.filled > self.limit {
            return Err(Fault::TooLarge);
        }
        self.resize(self.doubled());
        Ok(())
    }

    fn doubled(&self) -> usize {
        self.filled.saturating_mul(2).max(self.first)
    }

    fn resize(&mut self, length: usize) {
        let length = length.min(self.limit.saturating_add(1));
        self.bytes.reserve_exact(length - self.bytes.len());
        self.bytes.resize(length, 0);
    }
}
